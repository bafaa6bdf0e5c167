"""Which elements of its operands an element of an operator's result needs, per dimension."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import accumulate
from operator import mul
from typing import Any

from tvm import relax
from tvm.ir import Op

from cyclecast.frontend.host._host import name_of
from cyclecast.network import Along

Dimensions = list[Along | None]
"""For every dimension of an operand: the part that an index of the result needs, or None for all of it."""

LOCAL_NAMES = (
    "abs acos acosh add asin asinh astype atan atan2 atanh bitwise_and bitwise_not bitwise_or bitwise_xor broadcast_to "
    "ceil clip cos cosh dequantize divide dropout equal erf ewise_fma exp floor floor_divide floor_mod full_like gelu "
    "gelu_tanh greater greater_equal isfinite isinf isnan leakyrelu left_shift less less_equal log log_add_exp "
    "logical_and logical_not logical_or logical_xor maximum memory.view minimum mod multiply negative not_equal "
    "ones_like power prelu quantize relu relu6 right_shift round rsqrt selu sigmoid sign silu sin sinh softplus sqrt "
    "square subtract tan tanh trunc where zeros_like"
)
ELEMENTWISE = frozenset(LOCAL_NAMES.split())
ALONG_AXES = ("softmax", "log_softmax", "layer_norm", "rms_norm", "cumsum", "cumprod")
"""Operators that need all of some axes, and the same index of the others."""
REDUCTIONS = ("max", "mean", "min", "prod", "std", "sum", "variance", "argmax", "argmin")
VIEWS = ("reshape", "flatten", "batch_flatten", "squeeze", "expand_dims")


def shape_of(value: Any) -> tuple[int, ...] | None:
    """Extents of a tensor, or None if one is unknown."""
    try:
        return tuple(int(extent) for extent in value.ty.shape)
    except (AttributeError, TypeError):
        return None


def dimensions_of(call: Any, operand: Any, position: int) -> Dimensions:
    """Part of one operand that an element of a host operator's result needs."""
    shape, result, name = shape_of(operand), shape_of(call), name_of(call) if isinstance(call.op, Op) else ""
    if shape is None:
        return []
    nothing: Dimensions = [None] * len(shape)
    if name == "split" and isinstance(call.ty, relax.TupleType):
        return _except(shape, {int(call.attrs.axis) % len(shape)})
    first = int(name != "" and str(call.op.name) == "relax.call_tir")  # its first argument is the function
    if result is None or (position > first and name not in ELEMENTWISE | {"concat"}):
        return nothing
    if name in ELEMENTWISE:
        return broadcast(shape, result, range(len(result)))
    rule = RULES.get(name) or (_pool if name.endswith(("pool1d", "pool2d", "pool3d")) else None)
    return rule(call, shape, result) if rule else nothing


def broadcast(shape: tuple[int, ...], result: tuple[int, ...], places: Any) -> Dimensions:
    """Dimensions of a broadcast operand, aligned at the last axis; an extent of 1 is needed whole."""
    aligned = list(places)[len(result) - len(shape) :] if len(shape) <= len(result) else []
    if len(aligned) != len(shape):
        return [None] * len(shape)
    return [
        Along(place) if extent == result[len(result) - len(shape) + index] else None
        for index, (place, extent) in enumerate(zip(aligned, shape, strict=True))
    ]


def _except(shape: tuple[int, ...], axes: set[int]) -> Dimensions:
    return [None if axis in axes else Along(axis) for axis in range(len(shape))]


def _axes(attribute: Any, rank: int) -> set[int]:
    """Axes of an attribute: one, several, or all for None."""
    if attribute is None:
        return set(range(rank))
    try:
        return {int(axis) % rank for axis in attribute}
    except TypeError:
        return {int(attribute) % rank}


def _along_axes(call: Any, shape: tuple[int, ...], result: tuple[int, ...]) -> Dimensions:
    attribute = call.attrs.axes if hasattr(call.attrs, "axes") else call.attrs.axis
    return _except(shape, _axes(attribute, len(shape)))


def _reduced(call: Any, shape: tuple[int, ...], result: tuple[int, ...]) -> Dimensions:
    axes = _axes(call.attrs.axis, len(shape))
    kept = _except(shape, axes)
    if len(result) == len(shape):
        return kept
    left = [axis for axis in range(len(shape)) if axis not in axes]
    return [Along(left.index(axis)) if axis in left else None for axis in range(len(shape))]


def _permuted(call: Any, shape: tuple[int, ...], result: tuple[int, ...]) -> Dimensions:
    rank = len(shape)
    axes = [int(axis) % rank for axis in call.attrs.axes] if call.attrs.axes is not None else list(range(rank))[::-1]
    return [Along(axes.index(axis)) for axis in range(rank)]


def _viewed(call: Any, shape: tuple[int, ...], result: tuple[int, ...]) -> Dimensions:
    """Reshape: a dimension is kept if its extent and the number of elements before it are kept."""
    before = dict(zip(zip(accumulate(result, mul, initial=1), result, strict=False), range(len(result)), strict=True))
    places = zip(accumulate(shape, mul, initial=1), shape, strict=False)
    return [Along(before[place]) if place in before else None for place in places]


def _joined(call: Any, shape: tuple[int, ...], result: tuple[int, ...]) -> Dimensions:
    return _except(shape, _axes(call.attrs.axis or 0, len(shape)))


def _cut(call: Any, shape: tuple[int, ...], result: tuple[int, ...]) -> Dimensions:
    if len(shape) != len(result):
        return [None] * len(shape)
    return [Along(axis) if shape[axis] == result[axis] else None for axis in range(len(shape))]


def _pad(call: Any, shape: tuple[int, ...], result: tuple[int, ...]) -> Dimensions:
    """Padding; a function of the program has no widths, so all of the padding may lie before."""
    if hasattr(call.attrs, "pad_width"):
        widths = [int(width) for width in call.attrs.pad_width]
        return [Along(axis, 1, -widths[2 * axis]) for axis in range(len(shape))]
    return [Along(axis, 1, 0, result[axis] - shape[axis]) for axis in range(len(shape))]


def _mirrored(call: Any, shape: tuple[int, ...], result: tuple[int, ...]) -> Dimensions:
    """Mirror padding: an element before the first one is as far behind it."""
    more = [max(0, large - small) for small, large in zip(shape, result, strict=True)]
    return [Along(axis, 1, extra, 2 * extra) for axis, extra in enumerate(more)]


def _pool(call: Any, shape: tuple[int, ...], result: tuple[int, ...]) -> Dimensions:
    attributes, rank = call.attrs, len(shape)
    layout = str(attributes.layout)
    spatial = [axis for axis, letter in enumerate(layout) if letter in "DHW"]
    if not hasattr(attributes, "pool_size") or len(layout) != rank:  # adaptive ones
        return _except(shape, set(spatial))
    return _windows(layout, spatial, attributes.pool_size, attributes)


def _windows(layout: str, spatial: list[int], sizes: Any, attributes: Any) -> Dimensions:
    """Sliding windows: index i needs elements up to stride x i - padding + (size - 1) x dilation."""
    found: Dimensions = [Along(axis) for axis in range(len(layout))]
    for place, axis in enumerate(spatial):
        stride, dilation, padding = (
            int(getattr(attributes, name)[place]) for name in ("strides", "dilation", "padding")
        )
        span = (int(sizes[place]) - 1) * dilation
        found[axis] = Along(axis, stride, span - padding, span)
    return found


def conv_dimensions(call: Any) -> tuple[Any, Dimensions, list[int]]:
    """Data operand of a convolution, what its outputs need of it, and the pixel dimensions of the result."""
    data, weight = call.args[:2]
    attributes = call.attrs
    layout, out, kernel = (str(getattr(attributes, name)) for name in ("data_layout", "out_layout", "kernel_layout"))
    out = out or layout
    spatial = [axis for axis, letter in enumerate(layout) if letter in "DHW"]
    sizes = [int(weight.ty.shape[kernel.index(letter)]) for letter in layout if letter in "DHW"]
    dimensions = _windows(layout, spatial, sizes, attributes)
    moved = [along and replace(along, axis=out.index(layout[along.axis])) for along in dimensions]
    moved[layout.index("C")] = None
    return data, moved, [axis for axis, letter in enumerate(out) if letter != "C"]


def matmul_dimensions(call: Any, is_known: Callable[[Any], bool]) -> tuple[Any, Dimensions, list[int]]:
    """The same for a matrix product with a constant operand on either side."""
    left, right = call.args
    result = shape_of(call) or ()
    rank = len(result)
    if is_known(right):
        data, shape = left, shape_of(left) or ()
        if len(shape) < 2:
            return data, [None] * len(shape), []
        raster = [axis for axis in range(rank) if axis != rank - 1]
        return data, [*broadcast(shape[:-2], result[:-2], range(rank - 2)), Along(rank - 2), None], raster
    data, shape = right, shape_of(right) or ()
    if len(shape) < 2:
        return data, [None] * len(shape), []
    raster = [axis for axis in range(rank) if axis != rank - 2]
    return data, [*broadcast(shape[:-2], result[:-2], range(rank - 2)), None, Along(rank - 1)], raster


Rule = Callable[[Any, tuple[int, ...], tuple[int, ...]], Dimensions]
RULES: dict[str, Rule] = {
    **dict.fromkeys(ALONG_AXES, _along_axes),
    **dict.fromkeys(REDUCTIONS, _reduced),
    **dict.fromkeys(VIEWS, _viewed),
    "permute_dims": _permuted,
    "concat": _joined,
    "strided_slice": _cut,
    "pad": _pad,
    "mirror_pad": _mirrored,
}
