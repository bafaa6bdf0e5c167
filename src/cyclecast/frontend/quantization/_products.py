"""Convolutions and matrix products of a Relax program: operands, channels, and their integer form."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np
from tvm import relax, tirx
from tvm.ir import GenericConst, Op

CONVOLUTIONS = {"relax.nn.conv1d": relax.op.nn.conv1d, "relax.nn.conv2d": relax.op.nn.conv2d}
CONVOLUTIONS["relax.nn.conv3d"] = relax.op.nn.conv3d
"""Convolutions that become kernels; the spatial letters of their layouts are D, H and W."""
MATMUL = "relax.matmul"
PRODUCTS = {MATMUL, *CONVOLUTIONS}
OPAQUE = 8
"""TVM's pattern number of functions that are not fused."""
REAL, SUMS = ("float32", "float16", "bfloat16", "float64"), ("int32", "int64")
"""Types of results whose products are rewritten: floats, and sums of integers."""


def name_of(call: Any) -> str:
    """Name of the called operator; empty if the call is to something else."""
    return str(call.op.name) if isinstance(call, relax.Call) and isinstance(call.op, Op) else ""


def is_product(name: str) -> bool:
    """Whether an operator multiplies and accumulates, on the device or on the host."""
    return name == MATMUL or name.startswith("relax.nn.conv")


def last_two_turned(operand: Any) -> list[int]:
    """The permutation of axes that swaps the last two."""
    rank = len(operand.ty.shape)
    return [*range(rank - 2), rank - 1, rank - 2]


def refusal(call: Any, is_constant: Mapping[Any, Any]) -> str | None:
    """Why a product stays on the host; None if it becomes a kernel."""
    name = name_of(call)
    if name not in PRODUCTS:
        return "no kernel computes it"
    data, weight = (operand in is_constant or isinstance(operand, GenericConst) for operand in call.args)
    if str(call.ty.dtype) not in (*REAL, *SUMS):
        return f"its values are {call.ty.dtype}"
    if data and weight:
        return "both operands are constants"
    if not data and not weight:
        return "both operands are computed"
    if name in CONVOLUTIONS:
        return "its input is constant" if data else None
    ranks = [len(operand.ty.shape) for operand in call.args]
    if min(ranks) < 2:
        return "an operand is a vector"
    return None if ranks[data] >= ranks[weight] else "its weights differ along the batch"


def filter_axes(call: Any) -> tuple[int, ...]:
    """Axes of the weights that index outputs: filters of a convolution; batch and columns of a matrix product."""
    if name_of(call) in CONVOLUTIONS:
        return (str(call.attrs.kernel_layout).index("O"),)
    rank = len(call.args[1].ty.shape)
    return tuple(axis for axis in range(rank) if axis != rank - 2)


def vector_axes(call: Any) -> tuple[int, ...]:
    """Axes of the input that share a dynamic scale: those of one input vector, or of one image of a convolution."""
    rank = len(call.args[0].ty.shape)
    if name_of(call) not in CONVOLUTIONS:
        return (rank - 1,)
    images, results = (str(layout).index("N") for layout in (call.attrs.data_layout, call.attrs.out_layout))
    return tuple(axis for axis in range(rank) if axis != images or images != results)


def terms(call: Any) -> int:
    """Number of products in one output."""
    extents = [int(extent) for extent in call.args[1].ty.shape]
    return prod(extents) // extents[filter_axes(call)[0]] if name_of(call) in CONVOLUTIONS else extents[-2]


def beside_output(values: Any, call: Any) -> Any:
    """Values per filter, of the weights' rank, reshaped to broadcast against the output."""
    if name_of(call) in CONVOLUTIONS:
        return np.reshape(values, [-1 if letter == "C" else 1 for letter in str(call.attrs.out_layout)])
    return values


def weight_sums(values: Any, call: Any) -> Any:
    """Sum of the weights of each filter, reshaped to broadcast against the output."""
    others = tuple(axis for axis in range(values.ndim) if axis not in filter_axes(call))
    return beside_output(values.sum(axis=others, dtype="int64", keepdims=True), call)


def padding(call: Any) -> list[int] | None:
    """Padding of a convolution, before and after every axis of its input; None if there is none."""
    if name_of(call) not in CONVOLUTIONS or not any(map(int, call.attrs.padding)):
        return None
    pads = [int(pad) for pad in call.attrs.padding]
    layout = str(call.attrs.data_layout)
    spatial = [letter for letter in "DHW" if letter in layout]
    before = dict(zip(spatial, pads, strict=False))
    after = dict(zip(spatial, pads[len(spatial) :], strict=True))
    return [side.get(letter, 0) for letter in layout for side in (before, after)]


def on_integers(
    call: Any, data: Any, weight: Any, sums: str, *, padded: bool = False, groups: int | None = None
) -> Any:
    """The call with other operands; `padded` if the data is padded already."""
    if name_of(call) == MATMUL:
        return relax.op.matmul(data, weight, out_dtype=sums)
    attrs = call.attrs
    return CONVOLUTIONS[name_of(call)](
        data,
        weight,
        strides=list(attrs.strides),
        padding=0 if padded else list(attrs.padding),
        dilation=list(attrs.dilation),
        groups=int(attrs.groups) if groups is None else groups,
        data_layout=str(attrs.data_layout),
        kernel_layout=str(attrs.kernel_layout),
        out_layout=str(attrs.out_layout),
        out_dtype=sums,
    )


def integer_function(call: Any, data: Any, weights: Any, sums: str, *, padded: bool) -> Any:
    """The call on integer operands as a `PrimFunc` that is not fused."""
    builder = relax.BlockBuilder()
    x, w = relax.Var("x", data), relax.Var("w", weights)
    with builder.function("main", [x, w]):
        builder.emit_func_output(builder.emit(on_integers(call, x, w, sums, padded=padded)))
    legal = relax.transform.LegalizeOps()(builder.get())
    (function,) = (part for part in legal.functions.values() if isinstance(part, tirx.PrimFunc))
    return function.with_attr("op_pattern", OPAQUE)


def names(call: Any) -> tuple[str, str]:
    """Name of the kernel's function in the program, and of the workload in reports (channels before pixels)."""
    data, weight = ([int(extent) for extent in part.ty.shape] for part in call.args)
    if name_of(call) == MATMUL:
        operator = "dense" if len(weight) == 2 else "batch_matmul"
        return operator, f"{operator} {_times(data)} -> {weight[-1]}"
    attrs = call.attrs
    operator = name_of(call).removeprefix("relax.nn.")
    layout, kernel = str(attrs.data_layout), str(attrs.kernel_layout)
    ordered = [data[layout.index(letter)] for letter in "NCDHW" if letter in layout]
    taps = [weight[kernel.index(letter)] for letter in "DHW" if letter in kernel]
    parts = [operator, _times(ordered), f"k{_times(taps)}"]
    if any(int(stride) != 1 for stride in attrs.strides):
        parts.append(f"s{_times(attrs.strides)}")
    if any(int(dilation) != 1 for dilation in attrs.dilation):
        parts.append(f"d{_times(attrs.dilation)}")
    if int(attrs.groups) > 1:
        parts.append(f"g{int(attrs.groups)}")
    return operator, f"{' '.join(parts)} -> {weight[kernel.index('O')]}"


def _times(extents: Any) -> str:
    return "x".join(str(int(extent)) for extent in extents)
