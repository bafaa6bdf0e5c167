"""One operator instance (`Workload`) and the network that it belongs to (`Network`).

Every workload is in matrix-vector form: for each group, `pixels` input vectors of `reduction` values are multiplied by
a weight matrix of `reduction` x `filters` values. The im2col of a convolution gives exactly this form.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field
from enum import StrEnum
from math import gcd, prod
from typing import Any

from cyclecast._integers import Whole, larger
from cyclecast._notebook import html_table
from cyclecast.device import Host
from cyclecast.errors import MappingError
from cyclecast.storage.reading import loadable, read_as
from cyclecast.units import Time

NOT_FINITE = "its weights are no finite numbers"
"""Reason why a product stays on the host."""
MOST_PARTS = 3
"""Most host operators listed in a sentence."""


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


@loadable
@dataclass(frozen=True, slots=True)
class Member:
    """A workload of a network, its number of occurrences, and the program's function that computes it."""

    workload: Workload
    count: int
    kernel: str


@loadable
@dataclass(frozen=True, slots=True)
class HostOperator:
    """Operators of one kind that stay on the host, and their total cost."""

    name: str
    _: KW_ONLY
    count: int
    operations: int
    """Elementary operations; 0 for operators that only move values, such as a transposition."""
    bytes: int
    """Bytes loaded and stored; 0 for operators that move nothing, such as a change of shape."""
    macs: int = 0
    """Multiply-accumulates among the operations."""
    reason: str = ""
    """Why a product is not computed by arrays; empty for other operators."""


@loadable
@dataclass(frozen=True, slots=True)
class Along:
    """Indices along a raster axis of the source that index i along an axis of the target needs."""

    axis: int
    """Axis of the target."""
    scale: int = 1
    offset: int = 0
    """The last index needed is scale x i + offset, clipped to the extent,"""
    span: int = 0
    """and `span` indices before it: a kernel of size k and dilation d spans (k - 1) d."""

    def after(self, inner: Along) -> Along:
        """The need through another operator, whose result needs `inner` of the tensor that `self` is about."""
        scale, offset = self.scale * inner.scale, self.scale * inner.offset + self.offset
        return Along(inner.axis, scale, offset, self.scale * inner.span + self.span)


Reach = tuple[Along | None, ...]
"""For every raster axis of the source: the indices needed, or None for all."""


@loadable
@dataclass(frozen=True, slots=True)
class Edge:
    """The pixels that one operator needs from an earlier one."""

    source: int
    """Place of the earlier operator in the network."""
    reach: Reach


@loadable
@dataclass(frozen=True, slots=True)
class Operator:
    """One occurrence of a workload in a network."""

    kernel: str
    """Function that computes it; empty for a product of two computed operands, which the program computes on the
    host."""
    workload: Workload
    raster: tuple[int, ...]
    """Extents of the axes in which its pixels are computed, outermost first."""
    sources: tuple[Edge, ...]

    @property
    def name(self) -> str:
        """Name in reports."""
        return self.workload.name

    @property
    def is_dynamic(self) -> bool:
        """Whether both operands are computed, so that it has no constant weights."""
        return not self.kernel

    @property
    def pixels(self) -> int:
        """Number of pixels in the raster."""
        return prod(self.raster)


@dataclass(frozen=True, slots=True)
class Network:
    """A network ready to schedule: equal workloads are merged, other operators are left to the host.

    `program` is the front end's result (a TVM `IRModule`); only rows that may import TVM use it.
    """

    name: str
    members: tuple[Member, ...]
    host: tuple[HostOperator, ...]
    program: Any = field(compare=False, repr=False)
    operators: tuple[Operator, ...] = ()
    """Every occurrence of a workload in program order, and every product of two computed operands."""

    def __repr__(self) -> str:
        on_host = sum(operator.count for operator in self.host)
        return f"<network {self.name}: {len(self.members)} workloads, {self.macs:,} MACs, {on_host} host operators>"

    def _repr_html_(self) -> str:
        rows = [(of.workload.name, str(of.count), f"{of.count * of.workload.macs:,}") for of in self.members]
        return html_table(repr(self)[1:-1], ("workload", "count", "MACs"), rows)

    @property
    def macs(self) -> int:
        """Multiply-accumulate operations of all scheduled workloads, counts included."""
        return sum(member.count * member.workload.macs for member in self.members)

    @property
    def beside_arrays(self) -> str:
        """Products on the host, with shares and reasons, largest first; empty if there are none."""
        parts = sorted((operator for operator in self.host if operator.macs), key=lambda operator: -operator.macs)
        whole = self.macs + self.host_macs
        shares = [f"{part.name} {part.macs / whole:.0%}{f' ({part.reason})' if part.reason else ''}" for part in parts]
        return ", ".join(shares[:MOST_PARTS]) + (", ..." if len(shares) > MOST_PARTS else "")

    @property
    def host_macs(self) -> int:
        """Multiply-accumulate operations of the products that stay on the host."""
        return sum(operator.macs for operator in self.host)

    @property
    def coverage(self) -> float:
        """Fraction of the network's operations that its workloads do, two per multiply-accumulate; 0 to 1."""
        scheduled = 2 * self.macs
        everything = scheduled + sum(operator.operations for operator in self.host)
        return scheduled / everything if everything else 0.0

    @property
    def warning(self) -> str:
        """A warning if arrays do less than half of the multiply-accumulates or weights are not finite; else empty."""
        whole, beside = self.macs + self.host_macs, self.beside_arrays
        odd = sum(operator.count for operator in self.host if operator.reason == NOT_FINITE)
        if not whole:
            return "no operator runs on arrays: the network multiplies no matrices"
        if not self.members:
            return f"no operator runs on arrays: the host multiplies {beside}"
        if 2 * self.macs < whole:
            return f"{self.macs / whole:.1%} of the multiply-accumulates run on arrays: the host multiplies {beside}"
        return f"weights of {odd} operators are NaN or infinite: the host multiplies {beside}" if odd else ""


def host_time(operator: HostOperator, host: Host) -> Time:
    """Roofline time of the host: the maximum of operations / rate and bytes / bandwidth (A13, A33)."""
    return max(host.operations.time(operator.operations), host.bandwidth.time(operator.bytes))
