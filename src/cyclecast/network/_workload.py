"""One operator instance as a matrix-vector product (`Workload`).

Every workload is in matrix-vector form: for each group, `pixels` input vectors of `reduction` values are multiplied by
a weight matrix of `reduction` x `filters` values. The im2col of a convolution gives exactly this form.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field
from enum import StrEnum
from math import gcd, prod

from cyclecast._integers import Whole, larger
from cyclecast.errors import MappingError
from cyclecast.storage.reading import loadable, read_as


class Kind(StrEnum):
    """The role of an axis, by the operands it indexes."""

    GROUP = "group"
    """Indexes input, weight and output: independent products (convolution groups, batch of a batch matmul)."""
    PIXEL = "pixel"
    """Indexes input and output: the weights are reused along it."""
    FILTER = "filter"
    """Indexes weight and output: the inputs are reused along it."""
    REDUCTION = "reduction"
    """Indexes input and weight: summed over."""


@loadable
@dataclass(frozen=True, slots=True)
class Axis:
    """One loop axis of an operator."""

    name: str
    extent: int
    kind: Kind

    def __post_init__(self) -> None:
        if self.extent < 1:
            raise MappingError(f"axis {self.name}", f"an extent of {self.extent}", "extents are at least 1")


@loadable
@dataclass(frozen=True, slots=True)
class Slide:
    """A kernel that slides over an input dimension: output i and tap j read element `stride` i + `dilation` j.

    Neighbouring outputs share elements, so a *window* of them can be computed from one input vector, as with shifted
    and duplicated kernels (Zhang et al., TCAD 2020; Rhe et al., VW-SDK, DATE 2022, arXiv:2112.11282).
    """

    pixel: str
    """Name of the axis of the outputs."""
    kernel: str
    """Name of the axis of the taps."""
    outputs: int
    taps: int
    _: KW_ONLY
    stride: int = 1
    dilation: int = 1

    @property
    def step(self) -> int:
        """The stride divided by gcd(stride, dilation), the spacing of elements that are read."""
        return self.stride // gcd(self.stride, self.dilation)

    @property
    def gap(self) -> int:
        """The dilation divided by the same gcd."""
        return self.dilation // gcd(self.stride, self.dilation)

    @property
    def shares(self) -> bool:
        """Whether some outputs share elements, and a window of them has no holes."""
        return self.taps > self.step and self.outputs > self.gap and 1 in (self.step, self.gap)

    @property
    def windows(self) -> range:
        """Sizes of the windows of more than one output that share elements."""
        return range(self.gap + 1, self.outputs + 1) if self.shares else range(0)

    def elements(self, window: Whole) -> Whole:
        """Number of input elements that a window of `window` outputs reads."""
        return window * self.taps - larger(window - self.gap, 0) * max(0, self.taps - self.step)


@loadable
@dataclass(frozen=True, slots=True)
class Workload:
    """One operator instance to schedule. Equal axes, slides and bits make equal workloads, whatever the name."""

    name: str = field(compare=False)
    axes: tuple[Axis, ...]
    input_bits: int = 8
    weight_bits: int = 8
    slides: tuple[Slide, ...] = ()
    """Pairs of a pixel axis and a reduction axis whose outputs share inputs; an axis is in at most one pair."""

    def __post_init__(self) -> None:
        named = {(axis.name, axis.kind): axis.extent for axis in self.axes}
        for slide in self.slides:
            ends = ((slide.pixel, Kind.PIXEL, slide.outputs), (slide.kernel, Kind.REDUCTION, slide.taps))
            if any(named.get((name, kind)) != extent for name, kind, extent in ends) or not slide.shares:
                raise MappingError(
                    f"workload {self.name}", f"{slide}", "it slides along a pixel and a reduction axis, sharing inputs"
                )
        for bits in (self.input_bits, self.weight_bits):
            if not 1 <= bits <= 32:
                raise MappingError(f"workload {self.name}", f"{bits}-bit values", "1 to 32 bits are possible")

    def extent(self, kind: Kind) -> int:
        """The product of the extents of all axes of this kind (1 if there is none)."""
        return prod(axis.extent for axis in self.axes if axis.kind is kind)

    @property
    def groups(self) -> int:
        """Number of independent matrices."""
        return self.extent(Kind.GROUP)

    @property
    def pixels(self) -> int:
        """Input vectors per group."""
        return self.extent(Kind.PIXEL)

    @property
    def filters(self) -> int:
        """Output values per input vector."""
        return self.extent(Kind.FILTER)

    @property
    def reduction(self) -> int:
        """Values of one input vector."""
        return self.extent(Kind.REDUCTION)

    @property
    def inputs(self) -> int:
        """Number of input values, each counted once, however many outputs read it."""
        met = prod(slide.elements(slide.outputs) for slide in self.slides)
        beside = self.pixels // prod(slide.outputs for slide in self.slides)
        return int(self.groups * beside * met * self.reduction // prod(slide.taps for slide in self.slides))

    @property
    def macs(self) -> int:
        """Multiply-accumulate operations."""
        return prod(axis.extent for axis in self.axes)

    @property
    def weights(self) -> int:
        """Weight values."""
        return self.groups * self.reduction * self.filters


def workload_from_json(value: object) -> Workload:
    """Rebuild a workload from `asdict`. Raises `ValueError`, which names a field of a wrong type."""
    return read_as(Workload, value)
