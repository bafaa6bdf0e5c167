"""The stages of one pass of a mapping, for the event simulation.

All instances of a level are equal, and the first one is the busiest, as its tiles are full. So the stages are those of
one instance of the outermost level. Each instance of the next level in it is a *lane*; deeper levels work in lock-step
with their lane (A22). One step along the pixels in one lane is a *token*. Times are in femtoseconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass, field
from itertools import groupby, product
from typing import NamedTuple

from cyclecast._integers import ceil_div, ceil_log2
from cyclecast.device import Device, Level
from cyclecast.mapping import TILE_AXES, Factors, Mapping, TileAxis
from cyclecast.timing._converters import column_phases, conversion_time, row_phases, steps, used_columns, used_rows
from cyclecast.timing._costs import PassKind, partial_sum_bits, port_time
from cyclecast.units import Bandwidth


class Product(NamedTuple):
    """The time of a matrix-vector product of a full tile in the arrays of a lane: slots of a read and its conversions.

    With overlapped converters a slot's sums are held and converted while the next slot is read (Shafiee et al., ISAAC,
    ISCA 2016, figure 4b). There is one set of held sums, so a read cannot end before the converters are free. The later
    slots end at constant times after the first one, so the whole product is one event of the simulation.
    """

    first: int
    """Time of the first slot's read; without overlap, of all slots [fs]."""
    inner: int
    """Time from the end of the first slot's read to the end of the last slot's read; 0 without overlap [fs]."""
    converting: int
    """Time of the last slot's conversions if they overlap later reads; else 0 [fs]."""
    reads: int
    """Time of all reads [fs]."""

    @property
    def period(self) -> int:
        """Time from one product to the next if only the array limits [fs]."""
        return max(self.first, self.converting) + self.inner

    def run(self, start: int, converted: int) -> tuple[int, int]:
        """End of the last read and end of the last conversion, if the converters are busy until `converted` [fs]."""
        end = max(start + self.first, converted) + self.inner
        return end, end + self.converting


@dataclass(eq=False, slots=True)
class PassStage:
    """A stage that serves tokens one after another: a port, a merge, or the arrays of a lane (`product`)."""

    resource: str
    """Name of the occupied resource; stages with an equal resource share it."""
    tokens: int
    """Number of steps in which the lane has a pixel; a replica may have fewer than others."""
    _: KW_ONLY
    many: int = 0
    """Number of full tokens; they come first."""
    full: int = 0
    """Time of a full token [fs]."""
    rest: int = 0
    """Time of a later token, which has one pixel less [fs]."""
    latency: int = 0
    """Delay after the service, in which the resource is free again [fs]."""
    hidden: int = 0
    """Least time from a token's arrival to the end of its transfer, in the pipeline's last cycles [fs]."""
    product: Product | None = None
    shared: bool = False
    """Whether the stage is a port for inputs and outputs."""
    sources: list[PassStage] = field(default_factory=list)
    """Stages that deliver; a token is served when all of them have delivered it."""
    consumers: list[PassStage] = field(default_factory=list)
    """Stages that receive the tokens."""

    @property
    def busy(self) -> int:
        """Occupation of the resource for all tokens [fs]."""
        return self.many * self.full + (self.tokens - self.many) * self.rest


class PassStages(NamedTuple):
    """The stages of one pass and the times of its pipeline."""

    stages: tuple[PassStage, ...]
    """Stages, upstream first."""
    steps: int
    """Number of steps along the pixels."""
    before: int
    """Least time from the begin of a token's first transfer to its first read [fs]."""
    after: int
    """Time from a token's last read to its result; it includes a last conversion of up to one cycle [fs]."""
    cycle: int
    """The device's cycle [fs]."""
    early: int
    """Time by which a token may leave by the first port out before its result is complete; 0 without a port [fs]."""


class _Share(NamedTuple):
    """Share of an instance (of the device, a level, a lane) in a pass."""

    values: int
    results: int
    groups: int
    vectors: int
    """Input vectors of a group; every replica has a block of them, one vector per step."""

    def inputs(self, m: Mapping) -> int:
        """Bits of one input vector, all groups of the share included (A5)."""
        return self.values * self.groups * m.workload.input_bits

    def outputs(self, m: Mapping, times: int) -> int:
        """Bits of the partial sums of one vector, each moved `times` times (A6)."""
        return times * self.results * self.groups * partial_sum_bits(m)

    def within(self, m: Mapping, level: int, at: Factors, steps: int) -> _Share:
        """The share of the instance of a level at place `at`; 0 if earlier places have all the work."""
        places = (at.row, at.column, at.group, at.pixel)
        return _Share(
            *(
                max(0, min(size, whole - (place - 1) * size))
                for size, whole, place in zip(_sizes(m, level, steps), self, places, strict=True)
            )
        )


FIRST = Factors()
"""The first place along every axis: places count from 1."""


def plan(m: Mapping, device: Device, kind: PassKind) -> PassStages:
    """The stages of one pass of this kind."""
    build = _StageBuilder(m, device, kind)
    build.everything()
    read, pipeline = device.array.read.femtoseconds, device.pipeline
    return PassStages(
        tuple(build.stages),
        kind.steps,
        pipeline.before * read,
        (pipeline.fill - pipeline.before) * read,
        read,
        build.early,
    )


def slots(m: Mapping, device: Device) -> Iterator[tuple[int, int, int]]:
    """The slots of one product in order, equal ones together, as (number, read [fs], conversion [fs])."""
    columns = used_columns(m, device)
    phases = row_phases(used_rows(m, device), device) * column_phases(columns, device)
    for step in steps(device):
        yield step.times * phases, step.read, conversion_time(columns, device, step)


def product_of(m: Mapping, device: Device) -> Product:
    """The times of one product, from its `slots`."""
    found = list(slots(m, device))
    reads = sum(times * read for times, read, _ in found)
    if not device.array.adc_overlap:
        whole = sum(times * (read + conversion) for times, read, conversion in found)
        return Product(whole, 0, 0, reads)
    inner, held = 0, None
    for times, read, conversion in found:
        inner += (times - 1) * max(read, conversion) + (max(read, held) if held is not None else 0)
        held = conversion
    return Product(found[0][1], inner, held or 0, reads)


def first_port_out(device: Device) -> int | None:
    """Level of the first limited port on the way of results out, -1 for the device's; None if all are unlimited."""
    ports: tuple[Device | Level, ...] = (device, *device.levels)
    return next((level - 1 for level in range(len(ports))[::-1] if ports[level].output_bandwidth), None)


class _StageBuilder:
    """Builds the stages of a pass, upstream first."""

    def __init__(self, m: Mapping, device: Device, kind: PassKind) -> None:
        everything = _Share(m.values, m.results, m.workload.groups, kind.vectors)
        self.m, self.device, self.kind = m, device, kind
        self.first_out = first_port_out(device) if kind.sums else None
        write_back = device.pipeline.write_back * device.array.read.femtoseconds
        self.early = 0 if self.first_out is None else write_back
        self.stages: list[PassStage] = []
        self.whole = self._part(everything, -1, FIRST)
        self.outermost = self._part(self.whole, 0, FIRST)

    def everything(self) -> None:
        """Device input -> outermost input -> lanes -> merge, outermost output -> merge, device output."""
        m, device, slots_ = self.m, self.device, product_of(self.m, self.device)
        bits = self.kind.inputs * self.whole.inputs(m)
        feed = self._add([], "device input", device.input_bandwidth, self.whole, bits)
        results: dict[Factors, list[PassStage]] = {}
        shares: dict[Factors, _Share] = {}
        for shared, lanes in groupby(_places(m), key=lambda at: (at.group, at.row, at.pixel)):
            together = [(at, share) for at in lanes if min(share := self._lane(at)) > 0]
            if not together:
                continue
            ready = self._port(feed, 0, "input", "", together[0][1])
            for at, share in together:
                number = f" {_number(m, at)}" if len(device.levels) > 1 else ""
                key = Factors(group=shared[0], column=at.column, pixel=shared[2])
                results.setdefault(key, []).extend(self._through(ready, share, number, slots_))
                shares.setdefault(key, share)
        left: list[PassStage] = []
        for number_, (key, sources) in enumerate(results.items()):
            merged = self._merge(sources, 1, f" {number_}", shares[key])
            left += self._port(merged, 0, "output", "", shares[key])
        merged = self._merge(left, 0, "", self.outermost)
        bits = self.whole.outputs(m, self.kind.sums)
        out = self._add(merged, "device output", device.output_bandwidth, self.whole, bits)
        self._hide(out, -1)

    def _lane(self, at: Factors) -> _Share:
        return self._part(self.outermost, 1, at) if len(self.m.levels) > 1 else self.outermost

    def _part(self, share: _Share, level: int, at: Factors) -> _Share:
        return share.within(self.m, level, at, self.kind.steps)

    def _through(self, feed: list[PassStage], share: _Share, number: str, slots_: Product) -> list[PassStage]:
        """The stages of one lane: its input ports, its arrays, its output ports and merges."""
        inside = [share] + [self._part(share, level, FIRST) for level in range(2, len(self.m.levels))]
        levels = list(enumerate(inside, 1)) if len(self.m.levels) > 1 else []
        for level, part in levels:
            feed = self._port(feed, level, "input", number, part)
        tokens = min(self.kind.steps, share.vectors)
        results = [self._append(PassStage(f"arrays{number}", tokens, product=slots_), feed)]
        for level, part in reversed(levels):
            results = self._port(results, level, "output", number, part)
            if level > 1:
                results = self._merge(results, level, number, part)
        return results

    def _port(self, sources: list[PassStage], level: int, way: str, number: str, share: _Share) -> list[PassStage]:
        port = self.device.levels[level]
        bandwidth = port.input_bandwidth if way == "input" else port.output_bandwidth
        bits = self.kind.inputs * share.inputs(self.m) if way == "input" else share.outputs(self.m, self.kind.sums)
        resource = f"{port.name}{number} {'port' if port.shared_port else way}"
        found = self._add(sources, resource, bandwidth, share, bits)
        if found is not sources:
            found[0].shared = port.shared_port
        if way == "output":
            self._hide(found, level)
        return found

    def _hide(self, stages: list[PassStage], level: int) -> None:
        """Set `hidden` at the first port out, whose transfers overlap the pipeline's last cycles."""
        if level == self.first_out:
            stages[0].hidden = self.early

    def _merge(self, sources: list[PassStage], level: int, number: str, share: _Share) -> list[PassStage]:
        """The adder tree of the instances of a level (A21)."""
        hops = ceil_log2(self.m.levels[level].factors.row) if level < len(self.m.levels) else 0
        if not hops:
            return sources
        tier, bits = self.device.levels[level], share.outputs(self.m, hops)
        found = self._add(sources, f"{tier.name}{number} merge", tier.merge_bandwidth or FREE, share, bits)
        found[0].latency = hops * tier.merge_hop.femtoseconds
        return found

    def _add(
        self, sources: list[PassStage], resource: str, bandwidth: Bandwidth | None, share: _Share, bits: int
    ) -> list[PassStage]:
        """A stage that moves `bits` for every vector of the share; none if there are no bits or no bandwidth limit."""
        if bandwidth is None or not bits:
            return sources
        tokens = min(self.kind.steps, share.vectors)
        at_once, many = divmod(share.vectors, tokens)
        full, rest = (
            0 if bandwidth is FREE else port_time(bandwidth, ceil_div(count * bits, 8))
            for count in (ceil_div(share.vectors, tokens), at_once)
        )
        return [self._append(PassStage(resource, tokens, many=many or tokens, full=full, rest=rest), sources)]

    def _append(self, stage: PassStage, sources: list[PassStage]) -> PassStage:
        stage.sources = sources
        for source in sources:
            source.consumers.append(stage)
        self.stages.append(stage)
        return stage


def _sizes(m: Mapping, level: int, steps: int) -> tuple[int, int, int, int]:
    """Most values, results, groups and vectors of an instance of the level in a pass; level -1 is the device."""
    return (
        m.inside(level, "row") * m.word_lines,
        m.inside(level, "column") * m.filters,
        m.inside(level, "group") * m.packed,
        steps * m.inside(level, "pixel"),
    )


FREE = Bandwidth(1)
"""Marks a merge without bandwidth limit: it waits for all its parts and takes no time."""
LANE_AXES: tuple[TileAxis, ...] = ("group", "row", "pixel", "column")
"""Axes of the lanes; lanes that differ only along the last axis share their inputs."""


def _places(m: Mapping) -> Iterator[Factors]:
    """The place of every lane in an instance of the outermost level; one place on a device of one level."""
    factors = m.levels[1].factors if len(m.levels) > 1 else FIRST
    for at in product(*(range(1, factors.along(axis) + 1) for axis in LANE_AXES)):
        yield Factors(**dict(zip(LANE_AXES, at, strict=True)))


def _number(m: Mapping, at: Factors) -> int:
    """Number of the lane, from 0, in the order of `TILE_AXES`."""
    number, factors = 0, m.levels[1].factors
    for axis in TILE_AXES:
        number = number * factors.along(axis) + at.along(axis) - 1
    return number
