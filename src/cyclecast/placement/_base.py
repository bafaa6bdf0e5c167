"""What a placement is: operators in arrays, segment after segment, and what follows from that."""

from __future__ import annotations

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
from cyclecast.timing import Timing
from cyclecast.units import Energy, Time


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """An operator with arrays of its own."""

    operator: int
    """Its place in the network."""
    mapping: Mapping
    timing: Timing
    """Of the mapping alone."""
    busy: Time
    """For one image: arrays and ports of the mapping, and writing where its operands are computed."""
    site: Site
    start: Time
    """Of the first image, from the start of its segment."""
    end: Time


class Told(NamedTuple):
    """Progress of a placement, told from time to time."""

    part: str
    """The step at work: `operators`, `pipelines`, `segments` or `simulations`."""
    done: int
    whole: int
    """Of which so many are done."""


Tell = Callable[[Told], None]


class Bottleneck(NamedTuple):
    """What an interval cannot be shorter than, and because of what."""

    what: str
    """Such as `workload`, `pe port`, `work`."""
    where: str
    """Which one."""
    time: Time


class Kept(NamedTuple):
    """What an operator keeps of its inputs in buffers."""

    operator: int
    bytes: int
    room: int | None
    """What its part of all buffers holds; None where the device states no size."""
    parts: tuple[tuple[int, int], ...] = ()
    """Of the bytes, what comes from each of its sources; by their places."""
    elsewhere: int = 0
    """Of the bytes, what the buffers of its own PEs do not hold."""

    @property
    def is_enough(self) -> bool:
        """Whether the room holds what is kept."""
        return self.room is None or self.room >= self.bytes

    def room_of(self, source: int) -> int:
        """The part of the room for what comes from one source."""
        return part_of(dict(self.parts)[source], self.bytes, len(self.parts), self.room or 0)


def part_of(held: int, whole: int, many: int, room: int) -> int:
    """The part of a room for one of so many, of whose `whole` bytes it holds so many.

    It has what it holds and an equal part of the rest. Where there is no rest, parts are in proportion.
    """
    return held + (room - whole) // many if whole <= room else held * room // whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """Operators whose weights are in the arrays together."""

    stages: tuple[Stage, ...]
    write: Time
    """Programming all its arrays."""
    period: Time
    """Between two images, when its pipeline is full."""
    latency: Time
    """Of one image, without writing."""
    limits: tuple[Bottleneck, ...]
    """What the period cannot be shorter than, the longest first."""
    kept: tuple[Kept, ...] = ()
    """What waits in buffers."""

    @property
    def arrays(self) -> int:
        """In use."""
        return sum(stage.site.arrays for stage in self.stages)


class DynamicCost(NamedTuple):
    """A product of two computed operands, on the host and in arrays."""

    operator: int
    host: Time
    """By the host's roofline."""
    write: Time
    """Of one operand, into arrays."""
    compute: Time
    """In these arrays."""
    arrays: int
    """0 where they do not hold it."""


class ParetoPlacement(NamedTuple):
    """A placement that none looked at is as good as in everything."""

    segments: int
    interval: Time
    latency: Time
    energy: Energy | None
    arrays: int


class Spent(NamedTuple):
    """What one component takes for one image."""

    operator: int | None
    """For which operator; None of the device itself."""
    level: str
    component: str
    amount: Fraction
    """[aJ]"""


class Wear(NamedTuple):
    """How often cells are written."""

    writes: int
    """Of the most written array, for one batch."""
    endurance: int
    """Writes that a cell stands."""
    years: float
    """At full speed."""
    years_at_one: float
    """At one image per second."""


class Busy(NamedTuple):
    """Arrays, a port or the network at work."""

    resource: str
    """`arrays`, `port`, `network`, or `write` where both operands are computed."""
    pe: int
    """The busiest of the operator's PEs."""
    operator: int
    """Its place in the network."""
    image: int
    begin: Time
    end: Time


class Stall(NamedTuple):
    """What an operator waits for, per image, when the pipeline is full."""

    operator: int
    """Its place in the network."""
    cause: str
    """`input`, `network`, `port` or `room`."""
    time: Time


@dataclass(frozen=True, slots=True)
class Check:
    """A segment as simulated."""

    interval: Time
    latency: Time
    stalls: tuple[Stall, ...]
    """Of the operator that takes longest, and the longest of the others for each cause; the longest first."""
    spans: tuple[Busy, ...]
    """What was at work, all images, in the order of beginning."""
    blocked: tuple[int, ...] = ()
    """Operators that would wait for room for ever, each for the next; all else is said of buffers without limits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """A whole network on some chips of a device."""

    network: Network
    chip: Device
    """One of them."""
    floor: Floorplan
    segments: tuple[Segment, ...]
    batch: int
    """Images that go through a segment before the next is written."""
    objective: str
    overlapped: bool
    """Whether a segment is written while the one before it computes."""
    interval: Time
    """Results follow each other at this distance, on average over a batch."""
    latency: Time
    """From the first input of a batch to its last result; of one image where all weights are resident."""
    energy: Energy | None
    """Of one image; None where the device states no components."""
    spent: tuple[Spent, ...]
    """What it is made of."""
    host: Time
    """What the operators on the host take for one image, one after another (A13)."""
    bounds: tuple[Bottleneck, ...]
    """What no placement of all weights has a shorter interval than, the longest first."""
    front: tuple[ParetoPlacement, ...]
    independent: Time | None
    """The least interval with the tiles of the mappings as tuned, each workload by itself, by the closed form; None
    where these do not fit."""
    gain: float | None
    """How many times less the objective is than with these tiles, at least 1; None where they do not fit or block."""
    dynamic: Dynamic
    dynamic_costs: tuple[DynamicCost, ...]
    kept: tuple[Kept, ...]
    wear: Wear | None

    @property
    def chips(self) -> int:
        """How many."""
        return self.floor.chips

    @property
    def is_resident(self) -> bool:
        """Whether all weights are resident."""
        return len(self.segments) == 1 and self.segments[0].write == Time(0)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Of all segments, in the order of the program."""
        return tuple(stage for segment in self.segments for stage in segment.stages)

    @property
    def arrays(self) -> int:
        """In use at the same time, at most."""
        return max((segment.arrays for segment in self.segments), default=0)

    @property
    def utilisation(self) -> float:
        """The share of the arrays in use, in the fullest segment; 0 to 1."""
        return self.arrays / (self.chip.arrays * self.chips)

    @property
    def limit(self) -> Bottleneck:
        """What the interval depends on most: writing, where that takes longer, or the limit of the slowest segment."""
        write = sum((segment.write for segment in self.segments), Time(0))
        if 2 * write > self.batch * self.interval:
            return Bottleneck("write", "segments", write)
        return max(self.segments, key=lambda segment: segment.period).limits[0]

    @property
    def mappings(self) -> Mapped[str, Mapping]:
        """The mapping of every kernel, for building; that of its first segment where it is in several."""
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
        """Interval and latency with the host: as one more stage of the pipeline, and one after the other."""
        return max(self.interval, self.host), self.latency + self.batch * self.host

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
        """What a stage computes."""
        return self.network.operators[stage.operator]


def system(chip: Device, chips: int) -> Device:
    """Several chips as one device: so many times the instances of the outermost level, written at the same time."""
    if chips == 1:
        return chip
    outermost, write = chip.levels[0], chip.array.write
    return chip.vary_all(
        {
            f"levels.{outermost.name}.count": chips * outermost.count,
            "array.write.arrays": min(chips * min(write.arrays, chip.arrays), 1_000_000),
        }
    )
