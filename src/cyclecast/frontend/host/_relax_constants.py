"""Constant folding of Relax programs, for operators without side effects.

TVM's `FoldConstant` compiles a program per constant, which dominates the time of loading a network. So NumPy folds the
frequent operators.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
import tvm
from tvm import relax, tirx
from tvm.ir import GenericConst, Op

from cyclecast.frontend.host._legal import LEGAL

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
"""Frequent operators, and the NumPy functions that fold them."""
KEPT = ("relax.quantize", "relax.dequantize")
"""Operators that are not folded, since their operands are the integers and scales."""
COLUMNS = 64
"""Columns of a transposed matrix written at a time, so that the rows read stay in the cache."""
MOST_VALUES = 1 << 24
"""Most values of a constant that TVM folds."""


def constants_of(function: Any) -> dict[Any, Any]:
    """Variables of a Relax function that hold constants, with their values."""
    known: dict[Any, Any] = {}
    for block in function.body.blocks:
        for binding in block.bindings:
            values = _values(binding.value, known)
            if values is None:
                continue
            if binding.value.op.name in FOLDED or binding.value.op.name == "relax.astype":
                known[binding.var] = constant_of(_apply(binding.value, values), str(binding.var.ty.dtype))
            elif (constant := _by_tvm(binding.value, known)) is not None:
                known[binding.var] = constant
    return known


def constant_of(values: Any, kind: str) -> Any:
    """A Relax constant of type `kind`; the values are copied once."""
    tensor = tvm.runtime.empty(values.shape, kind)
    try:
        target = np.from_dlpack(tensor)
    except RuntimeError:  # types without a NumPy type, such as bfloat16
        return relax.const(values, kind)
    columns = values.shape[1] if values.ndim == 2 and not values.flags.c_contiguous else 0
    for column in range(0, columns, COLUMNS):
        target[:, column : column + COLUMNS] = values[:, column : column + COLUMNS]
    if not columns:
        target[...] = values
    return relax.const(tensor)


def values_of(constant: Any) -> Any:
    """Values of a Relax constant, read-only: a view, or a copy for types that NumPy lacks."""
    try:
        values = np.from_dlpack(constant.value)
    except RuntimeError:
        values = constant.value.numpy()
    values.flags.writeable = False
    return values


def bytes_of_constants(program: Any) -> int:
    """Size of all constants in `main` [bytes]."""
    sizes: list[int] = []

    def visit(part: Any) -> None:
        if isinstance(part, GenericConst):
            sizes.append(values_of(part).nbytes)

    relax.analysis.post_order_visit(program["main"], visit)
    return sum(sizes)


def _values(call: Any, known: dict[Any, Any]) -> list[Any] | None:
    """Constant operands of a call that can be folded, or None."""
    if not isinstance(call, relax.Call) or not isinstance(call.op, Op) or call.op.name in KEPT:
        return None
    if not call.op.get_attr("FPurity") or not isinstance(call.ty, relax.TensorType):
        return None
    given = [part for argument in call.args for part in getattr(argument, "fields", [argument])]
    operands = [known.get(part, part) for part in given if isinstance(part.ty, relax.TensorType | relax.TupleType)]
    if not operands or not all(isinstance(operand, GenericConst) for operand in operands):
        return None
    return [values_of(operand) for operand in operands]


def _apply(call: Any, values: list[Any]) -> Any:
    if call.op.name == "relax.astype":
        return values[0].astype(str(call.ty.dtype))
    function = FOLDED[call.op.name]
    if call.op.name == "relax.reshape":
        return function(values[0], [int(extent) for extent in call.ty.shape])
    if call.op.name == "relax.permute_dims":
        axes = None if call.attrs.axes is None else [int(axis) for axis in call.attrs.axes]
        return function(values[0], axes)
    return function(*values)


def _with(known: dict[Any, Any], argument: Any) -> Any:
    """The operand, with constants instead of their variables."""
    if isinstance(argument, relax.Tuple):
        return relax.Tuple([_with(known, part) for part in argument.fields])
    return known.get(argument, argument)


def _by_tvm(call: Any, known: dict[Any, Any]) -> Any:
    """The constant that a call evaluates to, or None if TVM does not fold it."""
    if call.ty.shape is None or not all(isinstance(extent, tirx.IntImm) for extent in call.ty.shape):
        return None
    if prod(int(extent) for extent in call.ty.shape) > MOST_VALUES:
        return None
    builder = relax.BlockBuilder()
    with builder.function("main", []):
        with builder.dataflow():
            arguments = [_with(known, argument) for argument in call.args]
            result = builder.emit_output(relax.Call(call.op, arguments, call.attrs))
        builder.emit_func_output(result)
    folded = relax.transform.FoldConstant()(relax.transform.LegalizeOps(LEGAL)(builder.get()))
    body = folded["main"].body
    value = body.blocks[-1].bindings[-1].value if len(body.blocks) else body.body
    return value if isinstance(value, GenericConst) else None
