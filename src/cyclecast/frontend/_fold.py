"""Constants that importers leave behind, folded with NumPy.

TVM's `FoldConstant` compiles a program for each of them, which takes most of the time of loading a network.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from tvm import relax
from tvm.ir import GenericConst, Op

FOLDED: dict[str, Callable[..., Any]] = {
    "relax.add": np.add,
    "relax.divide": np.divide,
    "relax.isnan": np.isnan,
    "relax.multiply": np.multiply,
    "relax.permute_dims": np.transpose,
    "relax.reshape": np.reshape,
    "relax.subtract": np.subtract,
    "relax.where": np.where,
}
"""What NumPy calls the operators that are folded."""


def constants_of(function: Any) -> dict[Any, Any]:
    """The variables of a Relax function that hold constants, each with its constant."""
    known: dict[Any, Any] = {}
    for block in function.body.blocks:
        for binding in block.bindings:
            values = _values(binding.value, known)
            if values is not None:
                known[binding.var] = relax.const(_apply(binding.value, values), str(binding.var.ty.dtype))
    return known


def bytes_of_constants(program: Any) -> int:
    """The size of all constants of a program's `main`."""
    sizes: list[int] = []

    def visit(part: Any) -> None:
        if isinstance(part, GenericConst):
            sizes.append(part.value.numpy().nbytes)

    relax.analysis.post_order_visit(program["main"], visit)
    return sum(sizes)


def _values(call: Any, known: dict[Any, Any]) -> list[Any] | None:
    """The constant operands of a call that can be folded, or None."""
    if not isinstance(call, relax.Call) or not isinstance(call.op, Op) or call.op.name not in FOLDED:
        return None
    operands = [known.get(operand, operand) for operand in call.args if not isinstance(operand, relax.ShapeExpr)]
    if not all(isinstance(operand, GenericConst) for operand in operands):
        return None
    return [operand.value.numpy() for operand in operands]


def _apply(call: Any, values: list[Any]) -> Any:
    function = FOLDED[call.op.name]
    if call.op.name == "relax.reshape":
        return function(values[0], [int(extent) for extent in call.ty.shape])
    if call.op.name == "relax.permute_dims":
        axes = None if call.attrs.axes is None else [int(axis) for axis in call.attrs.axes]
        return np.ascontiguousarray(function(values[0], axes))
    return function(*values)
