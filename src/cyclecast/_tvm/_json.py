"""TVM's objects as JSON text of the version that runs.

`tvm.ir.load_json` first rewrites texts of older versions: it parses and writes all of it in Python, weights included.
"""

from __future__ import annotations

from tvm.ir import Node
from tvm_ffi.serialization import from_json_graph_str, to_json_graph_str


def to_text(thing: Node) -> str:
    """The object and all that it holds."""
    text: str = to_json_graph_str(thing)
    return text


def from_text(text: str) -> Node:
    """The object of a text of `to_text`; what TVM raises for others."""
    return from_json_graph_str(text)


def copied(thing: Node) -> Node:
    """A deep copy."""
    return from_text(to_text(thing))
