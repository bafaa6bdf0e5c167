"""Dynamic quantisation: scales are computed at run time.

Each input vector of a matrix product and each image of a convolution has its own scale, so an array's result does not
depend on other vectors or images of the batch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from tvm import relax

from cyclecast.frontend._base import Scheme
from cyclecast.frontend.quantization._integers import LARGEST, LEAST_SCALE, Activation, integer_type


class DynamicQuantizer:
    """Quantises tensors of a program, each tensor once."""

    def __init__(self, builder: Any, bits: int, scheme: Scheme) -> None:
        self.builder = builder
        self.bits = bits
        self.scheme = scheme
        self.made: dict[Any, Activation] = {}

    def activation(self, data: Any, axes: tuple[int, ...]) -> Activation:
        """The tensor as integers; one scale holds along `axes`, which have extent 1 in scale and zero point."""
        if (data, axes) not in self.made:
            make = self._symmetric if self.scheme == "symmetric" else self._affine
            self.made[data, axes] = make(data, list(axes))
        return self.made[data, axes]

    def _symmetric(self, data: Any, axes: list[int]) -> Activation:
        emit, most = self.builder.emit, (1 << (self.bits - 1)) - 1
        data = self._numbers(data, LARGEST)
        largest = emit(relax.op.max(emit(relax.op.abs(data)), axes, keepdims=True))
        scale = emit(relax.op.divide(emit(relax.op.maximum(largest, _real(LEAST_SCALE * most))), _real(most)))
        rounded = emit(relax.op.round(emit(relax.op.divide(data, scale))))
        return Activation(emit(relax.op.astype(rounded, integer_type(self.bits))), scale, 0, self.bits)

    def _affine(self, data: Any, axes: list[int]) -> Activation:
        emit, half = self.builder.emit, 1 << (self.bits - 1)
        data = self._numbers(data, LARGEST / 2)  # keeps the span finite
        least = emit(relax.op.minimum(emit(relax.op.min(data, axes, keepdims=True)), _real(0)))
        largest = emit(relax.op.maximum(emit(relax.op.max(data, axes, keepdims=True)), _real(0)))
        span = emit(relax.op.maximum(emit(relax.op.subtract(largest, least)), _real(LEAST_SCALE * 4 * half)))
        scale = emit(relax.op.divide(span, _real(2 * half - 1)))
        zero = emit(relax.op.round(emit(relax.op.subtract(_real(-half), emit(relax.op.divide(least, scale))))))
        rounded = emit(relax.op.add(emit(relax.op.round(emit(relax.op.divide(data, scale)))), zero))
        kept = emit(relax.op.clip(rounded, -half, half - 1))
        integers = emit(relax.op.astype(kept, integer_type(self.bits)))
        return Activation(integers, scale, emit(relax.op.astype(zero, "int32")), self.bits)

    def _numbers(self, data: Any, most: float) -> Any:
        """Finite values: NaN becomes 0, magnitudes are clipped to `most`."""
        emit = self.builder.emit
        numbers = emit(relax.op.where(emit(relax.op.isnan(data)), _real(0), data))
        return emit(relax.op.minimum(emit(relax.op.maximum(numbers, _real(-most))), _real(most)))


def _real(value: float) -> Any:
    return relax.const(np.float32(value), "float32")
