"""Integers with scale and zero point: value = (integer - zero) * scale (Jacob et al., CVPR 2018, eq. 1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm import relax
from tvm.ir import GenericConst

from cyclecast.frontend._base import Scheme
from cyclecast.frontend.host._relax_constants import values_of
from cyclecast.frontend.quantization._products import name_of

LEAST_SCALE = float(np.finfo(np.float32).tiny)
LARGEST = float(np.finfo(np.float32).max)
STORED = {"int8": 8, "uint8": 8, "int16": 16, "uint16": 16}
"""Integer types that operands of a kernel may have, and their bits."""
BLOCK = 1 << 18
"""Weights that are quantised at a time, so that intermediate values stay in the cache."""
SAME_VALUES = {
    "relax.reshape", "relax.permute_dims", "relax.expand_dims", "relax.squeeze", "relax.flatten",
    "relax.nn.batch_flatten",
}  # fmt: skip
"""Operators that move values and change none."""


def integer_type(bits: int) -> str:
    """Storage type of integers with `bits` bits."""
    return "int8" if bits <= 8 else "int16"


@dataclass(frozen=True, slots=True)
class Constant:
    """A constant tensor; `scale` and `zero` have its rank, with extent 1 along axes on which they are constant."""

    integers: Any
    scale: Any
    zero: Any
    bits: int

    @classmethod
    def of(cls, values: Any) -> Constant:
        """A tensor that is not quantised: scale 1 and zero point 0."""
        ones = (1,) * values.ndim
        bits = STORED.get(str(values.dtype), 32)
        return cls(values, np.ones(ones, "float32"), np.zeros(ones, "int32"), bits)

    @property
    def is_real(self) -> bool:
        """Whether the values are floats, not quantised yet."""
        return bool(np.issubdtype(self.integers.dtype, np.floating))

    @property
    def is_integer(self) -> bool:
        """Whether the integers can be operands of a kernel."""
        return str(self.integers.dtype) in STORED

    def varies_only_along(self, axes: tuple[int, ...]) -> bool:
        """Whether scale and zero point are constant along all axes but these."""
        extents = (extent for part in (self.scale, self.zero) for extent in enumerate(part.shape))
        return all(extent == 1 or axis in axes for axis, extent in extents)

    def values(self) -> Any:
        """The dequantised values."""
        if self.is_real:
            return self.integers
        return ((self.integers - self.zero) * self.scale).astype("float32")

    def turned(self) -> Constant:
        """The constant with its last two axes swapped."""
        integers, scale, zero = (np.swapaxes(part, -1, -2) for part in (self.integers, self.scale, self.zero))
        return Constant(np.ascontiguousarray(integers), scale, zero, self.bits)

    def moved(self, call: Any) -> Constant:
        """The result of an operator that only moves values."""
        integers, scale, zero = (self._moved(part, call) for part in (self.integers, self.scale, self.zero))
        return Constant(integers, scale, zero, self.bits)

    def _moved(self, part: Any, call: Any) -> Any:
        if name_of(call) == "relax.permute_dims":
            axes = call.attrs.axes
            return np.transpose(part, None if axes is None else [int(axis) for axis in axes])
        shape = [int(extent) for extent in call.ty.shape]
        if part.size == 1 and part is not self.integers:
            return np.reshape(part, [1] * len(shape))
        return _without_repeats(np.broadcast_to(part, self.integers.shape).reshape(shape), part is self.integers)

    def signed(self, most: int) -> Constant:
        """The same values as signed integers of at most `most` bits if they fit; this may change the zero point."""
        bits = min(self.bits, most)
        half = 1 << (bits - 1)
        for offset in (self.zero, 0, half):
            moved = self.integers.astype("int32") - offset if np.any(offset) else self.integers
            if -half <= moved.min(initial=0) and moved.max(initial=0) < half:
                zero = (self.zero - offset).astype("int32")
                return Constant(moved.astype(integer_type(bits), copy=False), self.scale, zero, bits)
        return self.signed(self.bits) if bits < self.bits else self


def _without_repeats(part: Any, whole: bool) -> Any:
    """The array with extent 1 along axes on which it is constant; `whole` keeps it as it is."""
    for axis in range(0 if whole else part.ndim):
        first = part.take([0], axis=axis)
        part = first if np.array_equal(np.broadcast_to(first, part.shape), part) else part
    return np.ascontiguousarray(part)


def quantised_constants(function: Any, constants: Mapping[Any, Any]) -> dict[Any, Constant]:
    """Variables of a Relax function that hold dequantised constants; `constants` are the other constants."""
    known: dict[Any, Constant] = {}
    for block in function.body.blocks:
        for binding in block.bindings:
            call = binding.value
            name = name_of(call)
            operands = [constants.get(part, part) for part in call.args] if name == "relax.dequantize" else []
            if operands and all(isinstance(part, GenericConst) for part in operands):
                known[binding.var] = _dequantised(call, *map(values_of, operands))
            elif name in SAME_VALUES and call.args[0] in known:
                known[binding.var] = known[call.args[0]].moved(call)
            elif isinstance(call, relax.Var) and call in known:
                known[binding.var] = known[call]
    return known


def _dequantised(call: Any, integers: Any, scale: Any, zero: Any) -> Constant:
    shape = [1] * integers.ndim
    if scale.size > 1:
        shape[int(call.attrs.axis)] = -1
    elif zero.size > 1:
        scale = np.broadcast_to(scale, zero.shape)
        shape[int(call.attrs.axis)] = -1
    scale = np.reshape(scale, shape)
    zero = np.broadcast_to(np.reshape(zero, shape if zero.size > 1 else [1] * integers.ndim), scale.shape)
    return Constant(integers, scale, zero.astype("int32"), STORED.get(str(integers.dtype), 32))


def quantize_weights(values: Any, axes: tuple[int, ...], bits: int, scheme: Scheme = "symmetric") -> Constant:
    """Quantise weights with one scale (and zero point) per index along `axes`.

    Symmetric: the largest magnitude of a channel becomes 2^(bits-1) - 1. Affine: its least value becomes -2^(bits-1)
    and its largest 2^(bits-1) - 1; the range always contains zero, which is an integer.
    """
    others = tuple(axis for axis in range(values.ndim) if axis not in axes)
    least, largest = (edge(values, axis=others, keepdims=True, initial=0.0) for edge in (np.min, np.max))
    scale, zero = scale_and_zero(least, largest, bits, scheme)
    most, half = (1 << (bits - 1)) - 1, 1 << (bits - 1)
    integers = np.empty(values.shape, integer_type(bits))
    step = max(1, BLOCK * len(values) // max(1, values.size))
    for first in range(0, len(values), step):
        rows = slice(first, first + step)
        scales, zeros = (part if len(part) == 1 else part[rows] for part in (scale, zero))
        rounded = np.rint(values[rows] / scales) + zeros
        integers[rows] = np.clip(rounded, -most if scheme == "symmetric" else -half, most)
    return Constant(integers, scale, zero, bits)


def scale_and_zero(least: Any, largest: Any, bits: int, scheme: Scheme) -> tuple[Any, Any]:
    """Scale (float32) and zero point (int32) for values from `least` (<= 0) to `largest` (>= 0)."""
    half = 1 << (bits - 1)
    if scheme == "symmetric":
        largest = np.maximum(np.abs(least), np.abs(largest))
        scale = np.maximum(largest, LEAST_SCALE * half) / (half - 1)
        return scale.astype("float32"), np.zeros(np.shape(scale), "int32")
    scale = (np.maximum(largest - least, LEAST_SCALE * 4 * half) / (2 * half - 1)).astype("float32")
    return scale, np.clip(np.rint(-half - least / scale), -half, half - 1).astype("int32")


@dataclass(frozen=True, slots=True)
class Activation:
    """A tensor of the program as signed integers; `scale` and `zero` are numbers, or tensors at run time."""

    integers: Any
    scale: Any
    zero: Any
    bits: int

    @property
    def is_static(self) -> bool:
        """Whether the scale is known at compile time."""
        return not isinstance(self.scale, relax.Expr)


class Recovered:
    """Finds the integers of tensors that the network dequantises before use."""

    def __init__(self, builder: Any) -> None:
        self.builder = builder
        self.found: dict[Any, Activation] = {}

    def activation(self, data: Any) -> Activation | None:
        """The integers of a tensor; None if it does not come from integers."""
        if data in self.found:
            return self.found[data]
        if str(data.ty.dtype) in STORED:  # the network multiplies integers: scale 1
            integers, offset = self._signed(data)
            return Activation(integers, np.float32(1), -offset, STORED[str(data.ty.dtype)])
        call = self.builder.lookup_binding(data) if isinstance(data, relax.Var) else None
        activation = self._behind(call) if isinstance(call, relax.Call) else None
        if activation is not None:
            self.found[data] = activation
        return activation

    def _behind(self, call: Any) -> Activation | None:
        name = name_of(call)
        if name == "relax.dequantize":
            return self._dequantised(call)
        if name not in SAME_VALUES and not _pads_zero(call):
            return None
        inner = self.activation(call.args[0])
        if inner is None or (name == "relax.nn.pad" and isinstance(inner.zero, relax.Expr)):
            return None
        emit = self.builder.emit
        if name == "relax.nn.pad":
            integers = emit(
                relax.op.nn.pad(inner.integers, list(map(int, call.attrs.pad_width)), "constant", float(inner.zero))
            )
        else:
            integers = emit(relax.Call(call.op, [inner.integers, *call.args[1:]], call.attrs))
        return Activation(integers, inner.scale, inner.zero, inner.bits)

    def _dequantised(self, call: Any) -> Activation | None:
        data, scale, zero = call.args
        kind = str(data.ty.dtype)
        if kind not in STORED or any(_extent(part) > 1 for part in (scale, zero)):
            return None
        emit, bits = self.builder.emit, STORED[kind]
        integers, offset = self._signed(data)
        if isinstance(zero, GenericConst):
            middle: Any = int(zero.value.numpy().item()) - offset
        else:
            scalar = emit(relax.op.reshape(emit(relax.op.astype(zero, "int32")), ()))
            middle = emit(relax.op.subtract(scalar, _int32(offset))) if offset else scalar
        number = np.float32(scale.value.numpy().item()) if isinstance(scale, GenericConst) else self._scalar(scale)
        return Activation(integers, number, middle, self._bits(data, bits, number, middle))

    def _signed(self, data: Any) -> tuple[Any, int]:
        """The tensor as signed integers, and the offset that was subtracted."""
        kind = str(data.ty.dtype)
        if not kind.startswith("u"):
            return data, 0
        emit, offset = self.builder.emit, 1 << (STORED[kind] - 1)
        less = emit(relax.op.subtract(emit(relax.op.astype(data, "int32")), _int32(offset)))
        return emit(relax.op.astype(less, integer_type(STORED[kind]))), offset

    def _scalar(self, scale: Any) -> Any:
        return self.builder.emit(relax.op.reshape(scale, ()))

    def _bits(self, data: Any, bits: int, scale: Any, zero: Any) -> int:
        """Bits that the integers need; fewer than stored if the values were clipped before quantisation."""
        quantised = self._call(data)
        if name_of(quantised) != "relax.quantize" or isinstance(scale, relax.Expr) or isinstance(zero, relax.Expr):
            return bits
        upper = self._edge(quantised.args[0], "relax.greater")
        lower = self._edge(upper[1], "relax.less") if upper else None
        if not upper or not lower:
            return bits
        least, largest = (int(np.rint(edge / scale)) + int(zero) for edge, _ in (lower, upper))
        return min(bits, 1 + max((-least - 1).bit_length() if least < 0 else 0, max(largest, 0).bit_length()))

    def _edge(self, variable: Any, comparison: str) -> tuple[float, Any] | None:
        """Constant and tensor of `where(compare(tensor, constant), constant, tensor)`, or None."""
        kept = self._call(variable)
        if name_of(kept) != "relax.where":
            return None
        condition, edge, data = kept.args
        compared = self._call(condition)
        scalar = isinstance(edge, GenericConst) and edge.value.numpy().size == 1
        if name_of(compared) != comparison or not scalar or not compared.args[0].same_as(data):
            return None
        return float(edge.value.numpy().item()), data

    def _call(self, variable: Any) -> Any:
        return self.builder.lookup_binding(variable) if isinstance(variable, relax.Var) else None


def _int32(value: Any) -> Any:
    return relax.const(value, "int32")


def _pads_zero(call: Any) -> bool:
    return (
        name_of(call) == "relax.nn.pad"
        and str(call.attrs.pad_mode) == "constant"
        and float(call.attrs.pad_value) == 0.0
    )


def _extent(part: Any) -> int:
    return int(np.prod([int(extent) for extent in part.ty.shape]))
