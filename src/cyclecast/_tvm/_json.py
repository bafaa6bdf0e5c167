"""TVM's objects as JSON text of the installed version.

`tvm.ir.load_json` is not used: to upgrade texts of older versions, it parses and writes all of a text in Python.
"""

from __future__ import annotations

from tvm.ir import Node
from tvm_ffi.serialization import from_json_graph_str, to_json_graph_str


def to_text(thing: Node) -> str:
    """The text of an object and all objects in it."""
    text: str = to_json_graph_str(thing)
    return text


def from_text(text: str) -> Node:
    """The object of a text of `to_text`. Raises errors of TVM for other texts."""
    return from_json_graph_str(text)


def copied(thing: Node) -> Node:
    """A deep copy of an object."""
    return from_text(to_text(thing))
