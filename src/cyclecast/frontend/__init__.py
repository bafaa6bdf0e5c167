"""Front ends: from a network's file to workloads."""

from __future__ import annotations

from pathlib import Path

import cyclecast._tvm as _door  # noqa: F401 - first of all, TVM must be one that works
from cyclecast._tvm._native import without_native_chatter
from cyclecast.errors import ModelError, OptionError
from cyclecast.frontend._base import FrontEnd, Shapes
from cyclecast.frontend._onnx import Onnx, input_shapes
from cyclecast.frontend._quantize import Bits, quantize
from cyclecast.workload import Network

__all__ = ["FrontEnd", "Onnx", "Shapes", "input_shapes", "load"]

FRONT_ENDS: tuple[FrontEnd, ...] = (Onnx(),)
WIDEST = 16
"""Bits of an operand."""


def load(
    source: str | Path, *, shapes: Shapes | None = None, activation_bits: int = 8, weight_bits: int = 8
) -> Network:
    """Load a network, quantise what the device can compute to so many bits (2 to 16), and find its workloads.

    `shapes` fixes input shapes that the file leaves open, by input name. Raises `ModelError`.
    """
    path = Path(source)
    for what, bits in (("activation_bits", activation_bits), ("weight_bits", weight_bits)):
        if not 2 <= bits <= WIDEST:
            raise OptionError(what, f"{bits}", f"2 to {WIDEST} bits are possible", f"{what}=8")
    for front_end in FRONT_ENDS:
        if front_end.accepts(path):
            program = front_end.load(path, shapes or {})
            with without_native_chatter():
                whole, members, host = quantize(program, Bits(activation_bits, weight_bits))
            return Network(path.stem, members, host, whole)
    raise ModelError(str(path), f"its suffix '{path.suffix}'", "networks are .onnx files", "exporting it to ONNX")
