"""Inline operators that ONNX defines as functions and that TVM's importer does not know.

Many bodies depend on the types of operands and on attributes. So inferred types and default attributes are written into
the graph first.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import onnx
from onnx import helper, inliner

from cyclecast.frontend.graphs._nodes import inferred_types, version_of

NOT_AS_IMPORTED = {("GroupNormalization", 21): "scales by channel, not by group"}
"""Operators whose meaning changed, and since which version; the importer has the older meaning."""


def inline(model: Any, is_unknown: Callable[[Any], bool], without: Collection[str]) -> bool:
    """Inline functions in place, except those in `without`; return whether there were any."""
    done = set(without)
    while True:  # bodies may contain such operators, too
        version = version_of(model)
        found = {node.op_type for node in model.graph.node if _is_to_be(node, version, is_unknown)} - done
        if not found:
            return len(done) > len(without)
        _say_types(model)
        _say_defaults(model, found, version)
        names = [("", name) for name in sorted(found)]
        model.CopyFrom(inliner.inline_selected_functions(model, names, inline_schema_functions=True))
        del model.graph.value_info[:]
        done |= found


def _is_to_be(node: Any, version: int, is_unknown: Callable[[Any], bool]) -> bool:
    if node.domain not in ("", "ai.onnx") or not onnx.defs.has(node.op_type):
        return False
    schema: Any = onnx.defs.get_schema(node.op_type, version)
    changed = any(name == node.op_type and since <= version for name, since in NOT_AS_IMPORTED)
    more = node.op_type == "LayerNormalization" and any(node.output[1:])  # the importer makes these outputs scalars
    return bool(schema.has_function or schema.has_context_dependent_function) and (changed or more or is_unknown(node))


def _say_types(model: Any) -> None:
    known = {value.name for value in (*model.graph.input, *model.graph.output, *model.graph.value_info)}
    for name, (kind, shape) in inferred_types(model).items():
        if name not in known and kind:
            model.graph.value_info.append(helper.make_tensor_value_info(name, kind, shape))


def _say_defaults(model: Any, operators: Collection[str], version: int) -> None:
    for node in model.graph.node:
        if node.op_type in operators:
            given = {attribute.name for attribute in node.attribute}
            for name, attribute in onnx.defs.get_schema(node.op_type, version).attributes.items():
                if name not in given and attribute.default_value.type:
                    node.attribute.append(attribute.default_value)
