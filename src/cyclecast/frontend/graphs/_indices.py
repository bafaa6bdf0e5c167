"""Inputs of an ONNX graph that index tables, and the sizes of these tables."""

from __future__ import annotations

from typing import Any

from cyclecast.frontend.graphs._nodes import inferred_shapes

SAME_VALUES = {
    "Cast", "Expand", "Flatten", "Identity", "Reshape", "Slice", "Squeeze", "Tile", "Transpose", "Unsqueeze",
}  # fmt: skip
"""Operators whose results only hold values of their first operand."""


def most_index(model: Any) -> dict[str, int]:
    """The largest valid index of each input that indexes a table; other inputs are not in the result."""
    shapes, source = inferred_shapes(model), {value.name: value.name for value in model.graph.input}
    shapes |= {part.name: tuple(part.dims) for part in model.graph.initializer}
    found: dict[str, int] = {}
    for node in model.graph.node:
        if node.op_type in SAME_VALUES and node.input and node.input[0] in source:
            source[node.output[0]] = source[node.input[0]]
        if node.op_type != "Gather" or len(node.input) < 2 or node.input[1] not in source:
            continue
        shape = shapes.get(node.input[0], ())
        axis = next((part.i for part in node.attribute if part.name == "axis"), 0)
        if -len(shape) <= axis < len(shape) and shape[axis] > 0:
            name = source[node.input[1]]
            found[name] = min(found.get(name, shape[axis] - 1), shape[axis] - 1)
    return found
