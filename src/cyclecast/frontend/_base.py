"""What a front end is, and how values are to be quantised."""

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
"""Whether zero is the middle of the integers, or wherever the range of values puts it."""

FEWEST, MOST = 2, 16
"""Bits of an operand."""
LARGEST_FILE = (1 << 31) - 1
"""Bytes that protobuf, and so onnxruntime, takes in one piece."""
BLOCK = 512
"""Bytes that the kernel counts a file's blocks in, whatever the disk has."""

MOST_AXES, MOST_OPERANDS = 32, 1000
"""Of a tensor; of an operator, and results: passes of TVM call themselves for each, and their time is its square."""


def require_narrow(where: str, axes: int, operands: int = 0) -> None:
    """Raises `UnsupportedError` for a tensor of too many axes, or an operator of too many operands or results."""
    for what, number, most in (("axes", axes, MOST_AXES), ("operands or results", operands, MOST_OPERANDS)):
        if number > most:
            raise UnsupportedError(where, f"{number:,} {what}", f"at most {most:,}", "exporting it in smaller steps")


def size_of(source: Path) -> int:
    """The bytes of a file that are on the disk, not those of its holes: what reading it is worth.

    Zero where there is no such file. Raises `UnsupportedError` where it is larger than any format takes.
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
    """How float values become integers. A network that is quantised already keeps its own integers and scales."""

    activation_bits: int = 8
    weight_bits: int = 8
    activations: Scheme = "affine"
    weights: Scheme = "symmetric"
    """One scale per output channel."""
    calibration: Values = field(default_factory=dict)
    """Samples for every input, along a leading axis, for one scale per tensor; without them scales are computed when
    the program runs, one for each input vector of a matrix product and each image of a convolution."""

    def __post_init__(self) -> None:
        for what, bits in (("activation_bits", self.activation_bits), ("weight_bits", self.weight_bits)):
            if not FEWEST <= bits <= MOST:
                raise OptionError(what, f"{bits}", f"{FEWEST} to {MOST} bits are possible", f"{what}=8")
        for what, scheme in (("activations", self.activations), ("weights", self.weights)):
            if scheme not in ("symmetric", "affine"):
                raise OptionError(what, f"'{scheme}'", "values are quantised 'symmetric' or 'affine'", "'symmetric'")


def bits_of(device: Device) -> tuple[int, int]:
    """Bits of activations and weights that a network has on a device; `DeviceError` where no network has so few."""
    bits = device.bits
    for what, value in (("activation", bits.activation), ("weight", bits.weight)):
        if value < FEWEST:
            where = f"{device.name}: bits.{what}"
            raise DeviceError(where, f"{value} bit", f"networks are quantised to {FEWEST} to {MOST} bits", "2")
    return bits.activation, bits.weight


def activations_of(device: Device, said: str | None) -> Any:
    """The scheme that is said, else the better one: affine, but symmetric where sums saturate or have a sign apart.

    The integers of an affine zero are large, so that sums are, too; and its least integer has no magnitude of its own.
    """
    sign = device.array.inputs is Drive.SIGN_MAGNITUDE
    if sign and said == "affine":
        bound = f"{device.name} drives signs and magnitudes, which lack the least integer"
        raise OptionError("activations", "'affine'", bound, "'symmetric'")
    return said or ("affine" if device.array.is_exact and not sign else "symmetric")


@dataclass(frozen=True, slots=True)
class Bound:
    """A network's file with constants for some of its inputs, by name."""

    source: Path
    constants: Values

    def __str__(self) -> str:
        return str(self.source)


class FrontEnd(Protocol):
    """Reads one kind of source; its own runtime is the reference for what the network computes."""

    @property
    def runtime(self) -> str:
        """What its reference runtime is called."""
        ...

    def accepts(self, source: Any) -> bool:
        """Whether this front end is the one for the source: a path, or an object in memory."""
        ...

    def inputs(self, source: Any, shapes: Shapes) -> Inputs:
        """The inputs, once `shapes` has fixed what the source leaves open."""
        ...

    def load(self, source: Any, shapes: Shapes, quantization: Quantization) -> Any:
        """The source as an `IRModule` whose `main` is the network, all shapes fixed; `ModelError` where that cannot be.

        Values that are quantised, by the source or by calibration, are left as `relax.quantize` and `relax.dequantize`
        around float operators.
        """
        ...

    def reference(self, source: Any, samples: Sequence[Values]) -> list[dict[str, Any]]:
        """The outputs that the source's own runtime computes from each sample: exact, no operator fused or changed."""
        ...


@runtime_checkable
class OnnxGraphs(Protocol):
    """A front end whose sources are, or become, ONNX graphs: these can be calibrated."""

    def graph(self, source: Any, shapes: Shapes) -> Any:
        """The source as a `ModelProto` of the caller's own."""
        ...
