"""A network: its workloads, the operators that the host computes, and who needs whose results."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field
from math import prod
from typing import Any

from cyclecast._notebook import html_table
from cyclecast.device import Host
from cyclecast.network._digital import DigitalOperator
from cyclecast.network._workload import Workload
from cyclecast.storage.reading import loadable
from cyclecast.units import Time

NOT_FINITE = "its weights are no finite numbers"
"""Reason why a product stays on the host."""
MOST_PARTS = 3
"""Most host operators listed in a sentence."""


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
    digital: tuple[DigitalOperator, ...] = ()
    """Every operator that arrays do not compute, in program order, products of two computed operands left out."""

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
