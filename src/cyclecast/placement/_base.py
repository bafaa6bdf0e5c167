"""The values of a placement: segments, their stages, limits and buffers, and the placement itself.

The field `operator` of a value is the operator's position in `Network.operators`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from collections.abc import Mapping as Mapped
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

from cyclecast._notebook import html_table
from cyclecast.device import Device, Dynamic
from cyclecast.mapping import Mapping
from cyclecast.network import Network, Operator
from cyclecast.placement._floorplan import Floorplan, Site
from cyclecast.timing import Home, Timing
from cyclecast.units import Energy, Time

MOST_ON_HOST = 3
"""Most kinds of operators listed in `Placement.on_host`."""
UNIT = "unit"
"""`Bottleneck.what` of a digital unit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """An operator in arrays of its own."""

    operator: int
    mapping: Mapping
    timing: Timing
    """Timing of the mapping alone."""
    busy: Time
    """Time for which one image occupies arrays and ports; it includes the writing of a computed operand."""
    site: Site
    start: Time
    """Start of the first image, from the start of the segment."""
    end: Time
    """End of the first image, from the start of the segment."""


class Told(NamedTuple):
    """Progress of a placement."""

    part: str
    """The current step: `operators`, `pipelines`, `segments` or `simulations`; the first two also with " as tuned"."""
    done: int
    """Number of finished items of the step."""
    whole: int
    """Number of all items of the step."""


Tell = Callable[[Told], None]
"""Function that is called with the progress."""


class Bottleneck(NamedTuple):
    """A lower bound on the interval, and its cause."""

    what: str
    """Kind of cause: `workload`, `pe port`, `work`, ..."""
    where: str
    """Name of the workload, the port, ..."""
    time: Time


class Kept(NamedTuple):
    """The inputs that an operator keeps in buffers."""

    operator: int
    bytes: int
    """Most bytes kept at the same time."""
    room: int | None
    """Bytes of all buffers that the operator may use; None if the device states no buffer size."""
    parts: tuple[tuple[int, int], ...] = ()
    """(Source operator, bytes kept of its results) for each source."""
    elsewhere: int = 0
    """Bytes that the buffers of the operator's own PEs cannot hold."""

    @property
    def is_enough(self) -> bool:
        """Whether the room holds all kept bytes."""
        return self.room is None or self.room >= self.bytes

    def room_of(self, source: int) -> int:
        """The bytes of the room for the results of one source."""
        return part_of(dict(self.parts)[source], self.bytes, len(self.parts), self.room or 0)


def part_of(held: int, whole: int, many: int, room: int) -> int:
    """The share of a room for one of `many` users [bytes]; it holds `held` of the `whole` bytes of all users.

    Every user gets the bytes that it holds and an equal part of the rest. If the room is too small, it is divided in
    proportion to the held bytes.
    """
    return held + (room - whole) // many if whole <= room else held * room // whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """Operators whose weights are in the arrays at the same time."""

    stages: tuple[Stage, ...]
    write: Time
    """Time to write all its arrays."""
    period: Time
    """Time between two images in the full pipeline."""
    latency: Time
    """Time of one image through the pipeline, without writing."""
    limits: tuple[Bottleneck, ...]
    """Lower bounds on the period, the longest first."""
    kept: tuple[Kept, ...] = ()
    """Inputs kept in buffers, by operator."""

    @property
    def arrays_period(self) -> Time:
        """The period if digital units took no time."""
        return max((limit.time for limit in self.limits if limit.what != UNIT), default=Time(0))

    @property
    def arrays(self) -> int:
        """Number of arrays in use."""
        return sum(stage.site.arrays for stage in self.stages)


class DynamicCost(NamedTuple):
    """Costs of a product of two computed operands, on the host and in arrays."""

    operator: int
    host: Time
    """Time on the host, by its roofline."""
    write: Time
    """Time to write one operand into arrays."""
    compute: Time
    """Time of the product in these arrays."""
    arrays: int
    """Number of arrays; 0 if the arrays cannot hold the operand."""


class ParetoPlacement(NamedTuple):
    """The values of a Pareto placement: no other one found is as good in interval, latency, energy and arrays."""

    segments: int
    interval: Time
    latency: Time
    energy: Energy | None
    arrays: int


class Spent(NamedTuple):
    """Energy of one component for one image."""

    operator: int | None
    """The operator that it is spent for; None for components of the device itself."""
    level: str
    """Name of the level; "" for the device itself."""
    component: str
    amount: Fraction
    """Energy [aJ]."""


class Wear(NamedTuple):
    """Writes of cells, and the lifetime that follows."""

    writes: int
    """Writes of the most written array in one batch."""
    endurance: int
    """Writes that a cell can stand."""
    years: float
    """Lifetime at full speed."""
    years_at_one: float
    """Lifetime at one image per second."""


class Busy(NamedTuple):
    """An interval in which arrays, a port or the network are busy."""

    resource: str
    """`arrays`, `port`, `network`, `unit`, or `write` for a computed operand."""
    pe: int
    """The busiest of the operator's PEs."""
    operator: int
    image: int
    begin: Time
    end: Time


class Stall(NamedTuple):
    """Waiting time of an operator for one image in the full pipeline, by cause."""

    operator: int
    cause: str
    """`input`, `network`, `port`, `room` (the buffer behind is full) or `unit` (it still has older sums)."""
    time: Time


@dataclass(frozen=True, slots=True)
class Check:
    """The result of the event simulation of a segment."""

    interval: Time
    latency: Time
    stalls: tuple[Stall, ...]
    """Stalls of the busiest operator, and for each cause the longest of all operators; the longest first."""
    spans: tuple[Busy, ...]
    """Busy intervals of all images, in the order of their begin."""
    blocked: tuple[int, ...] = ()
    """Operators in a deadlock, each waiting for room; the other fields are then those of unlimited buffers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """A whole network in the arrays of one or more equal chips."""

    network: Network
    chip: Device
    """The device of one chip."""
    floor: Floorplan
    segments: tuple[Segment, ...]
    batch: int
    """Images that go through a segment before the next segment is written."""
    objective: str
    overlapped: bool
    """Whether a segment is written while the one before it computes."""
    interval: Time
    """Time from one result of the chips to the next, on average over a batch, digital units included."""
    latency: Time
    """Time of one image on the chips if all weights are resident; else from the first input of a batch to its last
    result."""
    energy: Energy | None
    """Energy of one image; None if the device states no components."""
    spent: tuple[Spent, ...]
    """Energy of one image by operator and component."""
    homes: tuple[Home, ...]
    """The units, or the host, of each digital operator."""
    host: Time
    """Time of the host's operators for one image, one after another (A13)."""
    bounds: tuple[Bottleneck, ...]
    """Lower bounds on the interval of every placement with resident weights, the longest first."""
    front: tuple[ParetoPlacement, ...]
    """The Pareto front of all placements found."""
    independent: Time | None
    """Least interval, by the closed form, with the tiles of the mappings as tuned for each workload alone; None if
    these do not fit."""
    gain: float | None
    """Objective with these tiles divided by the objective, at least 1; None if they do not fit or block."""
    dynamic: Dynamic
    """Who computes products of two computed operands."""
    dynamic_costs: tuple[DynamicCost, ...]
    kept: tuple[Kept, ...]
    """Inputs kept in buffers, of all segments."""
    wear: Wear | None
    """None if no cell is written again, or if the device states no endurance."""

    @property
    def chips(self) -> int:
        """Number of chips."""
        return self.floor.chips

    @property
    def is_resident(self) -> bool:
        """Whether all weights are resident."""
        return len(self.segments) == 1 and self.segments[0].write == Time(0)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages of all segments, in the order of the program."""
        return tuple(stage for segment in self.segments for stage in segment.stages)

    @property
    def arrays(self) -> int:
        """Number of arrays in use in the fullest segment."""
        return max((segment.arrays for segment in self.segments), default=0)

    @property
    def utilisation(self) -> float:
        """Share of all arrays that the fullest segment uses, from 0 to 1."""
        return self.arrays / (self.chip.arrays * self.chips)

    @property
    def limit(self) -> Bottleneck:
        """The bottleneck of the whole network: the host, or that of the chips."""
        return Bottleneck("host", self.on_host, self.host) if self.host > self.interval else self.chip_limit

    @property
    def on_host(self) -> str:
        """The operators on the host, with their numbers and the reasons, most frequent first."""
        found = Counter((home.operator.name, home.why) for home in self.homes if home.on_host)
        costs = self.dynamic_costs
        if products := sum(self.dynamic is Dynamic.HOST or not cost.arrays for cost in costs):
            found["product", "two computed operands"] = products
        shown = [f"{name} x {count}: {why}" for (name, why), count in found.most_common(MOST_ON_HOST)]
        return "; ".join(shown) + ("; ..." if len(found) > MOST_ON_HOST else "")

    @property
    def chip_limit(self) -> Bottleneck:
        """The bottleneck of the chips: writing if it takes most of the time, else that of the slowest segment."""
        write = sum((segment.write for segment in self.segments), Time(0))
        if 2 * write > self.batch * self.interval:
            return Bottleneck("write", "segments", write)
        return max(self.segments, key=lambda segment: segment.period).limits[0]

    @property
    def mappings(self) -> Mapped[str, Mapping]:
        """The mapping of every kernel, for building; that of its first stage if several stages have the kernel."""
        found: dict[str, Mapping] = {}
        for stage in self.stages:
            kernel = self.operator(stage).kernel
            if kernel:
                found.setdefault(kernel, stage.mapping)
        return found

    @property
    def device(self) -> Device:
        """All chips as one device, for building."""
        return system(self.chip, self.chips)

    @property
    def with_host(self) -> tuple[Time, Time]:
        """Interval with the host as one more stage of the pipeline, and latency with the host's time added."""
        return max(self.interval, self.host), self.latency + self.batch * self.host

    @property
    def arrays_interval(self) -> Time:
        """The interval if digital units took no time: that of arrays, ports, networks and writing alone."""
        waits = (each.period.femtoseconds - each.arrays_period.femtoseconds for each in self.segments)
        return Time(max(self.interval.femtoseconds - sum(waits), 0))

    def _repr_html_(self) -> str:
        rows = [
            (self.operator(stage).name, f"{stage.site.arrays:,}", f"{stage.mapping.replicas:,}", str(stage.busy))
            for stage in self.stages
        ]
        caption = (
            f"{self.network.name} on {self.chips} x {self.chip.name}: interval {self.interval}, "
            f"latency {self.latency}, {self.arrays:,} arrays"
        )
        return html_table(caption, ("operator", "arrays", "replicas", "busy"), rows)

    def operator(self, stage: Stage) -> Operator:
        """The operator of a stage."""
        return self.network.operators[stage.operator]


def system(chip: Device, chips: int) -> Device:
    """Several chips as one device: `chips` times the instances of the outermost level, written in parallel."""
    if chips == 1:
        return chip
    outermost, write = chip.levels[0], chip.array.write
    return chip.vary_all(
        {
            f"levels.{outermost.name}.count": chips * outermost.count,
            "array.write.arrays": min(chips * min(write.arrays, chip.arrays), 1_000_000),
        }
    )
