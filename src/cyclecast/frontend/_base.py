"""The interface of a front end, and the options of quantisation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from cyclecast.device import Device
from cyclecast.device import Inputs as Drive
from cyclecast.errors import DeviceError, OptionError, UnsupportedError

Shapes = Mapping[str, Sequence[int]]
"""Shapes by input name, for inputs whose shape the source leaves open."""
Inputs = dict[str, tuple[tuple[int, ...], Any]]
"""Shape and NumPy type of every input, by name and in order."""
Values = Mapping[str, Any]
"""An array for every input or output, by name."""
Scheme = Literal["symmetric", "affine"]
"""Whether the zero point is 0 (symmetric) or follows from the range of the values (affine)."""

FEWEST, MOST = 2, 16
"""Fewest and most bits of an operand."""
LARGEST_FILE = (1 << 31) - 1
"""Largest message that protobuf, and therefore onnxruntime, reads [bytes]."""
BLOCK = 512
"""Unit of `st_blocks` [bytes], on every file system."""

MOST_AXES, MOST_OPERANDS = 32, 1000
"""Most axes of a tensor; most operands or results of an operator. TVM's passes recurse over them in quadratic time."""


def require_narrow(where: str, axes: int, operands: int = 0) -> None:
    """Raise `UnsupportedError` for a tensor with too many axes, or an operator with too many operands or results."""
    for what, number, most in (("axes", axes, MOST_AXES), ("operands or results", operands, MOST_OPERANDS)):
        if number > most:
            raise UnsupportedError(where, f"{number:,} {what}", f"at most {most:,}", "exporting it in smaller steps")


def size_of(source: Path) -> int:
    """Bytes of a file that lie on the disk, without holes; 0 if there is no such file.

    Raises `UnsupportedError` if the file is larger than its format allows.
    """
    if not source.is_file():
        return 0
    status = source.stat()
    if status.st_size > LARGEST_FILE:
        raise UnsupportedError(
            str(source), f"{status.st_size:,} bytes", "networks are below 2 GiB", "a smaller network"
        )
    return min(status.st_size, BLOCK * status.st_blocks)


@dataclass(frozen=True, slots=True)
class Quantization:
    """How float values become integers. A network that is quantised already keeps its integers and scales."""

    activation_bits: int = 8
    weight_bits: int = 8
    activations: Scheme = "affine"
    weights: Scheme = "symmetric"
    """One scale per output channel."""
    calibration: Values = field(default_factory=dict)
    """Samples for every input along a leading axis, for one scale per tensor. Without them, scales are computed at run
    time: one per input vector of a matrix product and one per image of a convolution."""

    def __post_init__(self) -> None:
        for what, bits in (("activation_bits", self.activation_bits), ("weight_bits", self.weight_bits)):
            if not FEWEST <= bits <= MOST:
                raise OptionError(what, f"{bits}", f"{FEWEST} to {MOST} bits are possible", f"{what}=8")
        for what, scheme in (("activations", self.activations), ("weights", self.weights)):
            if scheme not in ("symmetric", "affine"):
                raise OptionError(what, f"'{scheme}'", "values are quantised 'symmetric' or 'affine'", "'symmetric'")


def bits_of(device: Device) -> tuple[int, int]:
    """Bits of activations and weights on a device. Raises `DeviceError` if one is below the minimum for networks."""
    bits = device.bits
    for what, value in (("activation", bits.activation), ("weight", bits.weight)):
        if value < FEWEST:
            where = f"{device.name}: bits.{what}"
            raise DeviceError(where, f"{value} bit", f"networks are quantised to {FEWEST} to {MOST} bits", "2")
    return bits.activation, bits.weight


def activations_of(device: Device, requested: str | None) -> Any:
    """The requested scheme of activations, or the best one for the device. Raises `OptionError` for an impossible one.

    The default is affine, and symmetric for devices whose sums saturate or whose inputs have a sign and a magnitude: an
    affine zero point makes integers and sums large, and the least integer has no magnitude.
    """
    sign = device.array.inputs is Drive.SIGN_MAGNITUDE
    if sign and requested == "affine":
        bound = f"{device.name} drives signs and magnitudes, which lack the least integer"
        raise OptionError("activations", "'affine'", bound, "'symmetric'")
    return requested or ("affine" if device.array.is_exact and not sign else "symmetric")


@dataclass(frozen=True, slots=True)
class Bound:
    """An ONNX file with constants bound to some of its inputs, by name."""

    source: Path
    constants: Values

    def __str__(self) -> str:
        return str(self.source)


class FrontEnd(Protocol):
    """Reads one kind of source. The source's own runtime is the reference for the outputs."""

    @property
    def runtime(self) -> str:
        """Name of the reference runtime."""
        ...

    def accepts(self, source: Any) -> bool:
        """Whether this front end reads the source, a path or an object in memory."""
        ...

    def inputs(self, source: Any, shapes: Shapes) -> Inputs:
        """Shape and type of the inputs; `shapes` fixes open shapes."""
        ...

    def load(self, source: Any, shapes: Shapes, quantization: Quantization) -> Any:
        """The source as an `IRModule` whose `main` is the network, with fixed shapes. Raises `ModelError`.

        Values that are quantised, by the source or by calibration, stay float, with `relax.quantize` and
        `relax.dequantize` around the operators.
        """
        ...

    def reference(self, source: Any, samples: Sequence[Values]) -> list[dict[str, Any]]:
        """Outputs of the reference runtime for each sample: exact, without fused or changed operators."""
        ...


@runtime_checkable
class OnnxGraphs(Protocol):
    """A front end whose sources are or become ONNX graphs. These can be calibrated."""

    def graph(self, source: Any, shapes: Shapes) -> Any:
        """The source as a `ModelProto`, which the caller may change."""
        ...
