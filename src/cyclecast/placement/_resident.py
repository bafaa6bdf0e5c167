"""A run of operators with resident weights: their sites, period, latency and limits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Mapping as Mapped
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import NamedTuple

from cyclecast._integers import ceil_div
from cyclecast.device import Device, Dynamic, Unit
from cyclecast.errors import OptionError
from cyclecast.mapping import Mapping
from cyclecast.network import Operator
from cyclecast.placement._base import UNIT, Bottleneck, Kept, Segment, Stage
from cyclecast.placement._buffers import kept_of, result_bytes, room_period, waiting
from cyclecast.placement._floorplan import IDLE, Demand, Floorplan, Site, deal, port_loads
from cyclecast.placement._pareto_mappings import stage_time
from cyclecast.placement._pipeline import Line, Needs, Work, latency_of, lines_of
from cyclecast.timing import (
    Role,
    Timing,
    TimingModel,
    UnitOf,
    array_write_time,
    input_bytes,
    output_bytes,
    port_time,
    unit_times,
    units_of,
)
from cyclecast.units import Time

Hops = dict[tuple[int, int], float]
"""Mean distance in links of the mesh, by (source, target)."""


@dataclass(frozen=True, slots=True)
class StageCost:
    """A mapping for an operator, with its times."""

    mapping: Mapping
    timing: Timing
    alone: int
    """Time of all steps of one image on arrays and ports, writing of a computed operand included [fs]."""
    write: int
    """Time to write a computed operand; 0 for constant weights [fs]."""
    demand: Demand
    """Demand on the ports of its PEs."""
    units: Mapped[UnitOf, Demand] = field(default_factory=dict)
    """Demand on the digital units of its PEs, by unit, for the operators behind it."""

    @property
    def digital(self) -> int:
        """Time of the busiest unit [fs]."""
        return max((each.busy for each in self.units.values()), default=0)

    @property
    def time(self) -> int:
        """Time for which one image occupies arrays, ports and units, which work at the same time [fs]."""
        return max(self.alone, self.digital)

    @property
    def delay(self) -> int:
        """Time from a step's inputs to its results beside the step itself [fs].

        Arrays and units are two stages of a flow shop, whose makespan is the time of the slower one and one step of the
        other.
        """
        return delay_of(self.timing) + int(ceil_div(min(self.alone, self.digital), self.mapping.temporal.pixel))


def delay_of(timing: Timing) -> int:
    """Time from a step's inputs to its results beside the step itself [fs]."""
    return timing.of(Role.FILL).femtoseconds


class Dealt(NamedTuple):
    """An allocation of arrays to operators, by position of the operator, and its limits."""

    sites: dict[int, Site]
    hops: Hops
    traffic: dict[int, int]
    """Time for which the inputs of an operator occupy all links, for one image [fs]."""
    limits: tuple[Bottleneck, ...]
    """Lower bounds on the period, the longest first."""

    @property
    def period(self) -> int:
        """The longest limit [fs]; 0 if there are none."""
        return self.limits[0].time.femtoseconds if self.limits else 0


@dataclass(slots=True, kw_only=True)
class Builder:
    """Builds segments: allocates arrays of a floorplan to operators, and computes their times."""

    operators: Sequence[Operator]
    needs: Sequence[Sequence[Needs]]
    floor: Floorplan
    device: Device
    """All chips as one device."""
    model: TimingModel
    bytes_of: list[int] = field(init=False)
    """Bytes of every operator's results for one image, with the bits of an activation."""
    work: Mapped[int, Mapped[UnitOf, int]] = field(default_factory=dict)
    """Operations of digital units behind each operator on arrays, by its position."""
    all_units: Mapped[UnitOf, Unit] = field(init=False)
    known: dict[tuple[int, bool, int], StageCost] = field(default_factory=dict)
    """Cache by `id` of the mapping, which the value keeps alive (comparing mappings would be slow), whether an operand
    is computed, and the position of an operator with digital operators, else -1."""

    def __post_init__(self) -> None:
        bits = self.floor.chip.bits.activation
        self.bytes_of = [result_bytes(operator, bits) for operator in self.operators]
        self.all_units = units_of(self.device)

    def chosen(self, mapping: Mapping, dynamic: bool, place: int = -1) -> StageCost:
        """The times of a mapping for the operator at `place`, its digital operators included; -1: without any.

        `dynamic`: one operand is computed, and written for every image.
        """
        behind = self.work.get(place)
        key = id(mapping), dynamic, place if behind else -1
        found = self.known.get(key)
        if found is None and behind:
            found = replace(self.chosen(mapping, dynamic), units=self._units(mapping, place))
        elif found is None:
            timing = self.model.time(mapping, self.device)
            write = writing_time(mapping, self.device) if dynamic else 0
            found = StageCost(mapping, timing, stage_time(timing) + write, write, self._demand(mapping))
        self.known[key] = found
        return found

    def digital(self, mapping: Mapping, place: int) -> int:
        """Time of the busiest digital unit for one image [fs]."""
        times = unit_times(self.work.get(place, {}), mapping, self.all_units)
        return max((time.femtoseconds for time in times.values()), default=0)

    def _units(self, mapping: Mapping, place: int) -> dict[UnitOf, Demand]:
        together, steps = in_pe(mapping), mapping.temporal.pixel
        times = unit_times(self.work[place], mapping, self.all_units)
        return {unit: Demand(together, time.femtoseconds, steps) for unit, time in times.items()}

    def segment(self, chosen: Mapped[int, StageCost], places: range, write: int) -> Segment:
        """A segment of the operators in `places`; operators without a mapping are on the host and take no time.

        Of several allocations of arrays (`deals`), the first with the shortest period. `write` is in femtoseconds.
        """
        found: list[Segment] = []
        for dealt in self.deals(chosen):
            if not found or Time(dealt.period) < min(each.period for each in found):
                found.append(self.lined(chosen, dealt, places, write))
                if found[-1].period.femtoseconds <= max((each.time for each in chosen.values()), default=0):
                    break  # no allocation has a shorter period
        return min(found, key=lambda each: each.period)

    def deals(self, chosen: Mapped[int, StageCost]) -> Iterator[Dealt]:
        """Three allocations: in blocks of the mappings, without blocks, in blocks at the least busy ports first."""
        arrays = {place: each.mapping.arrays for place, each in chosen.items()}
        whole = {place: (count, in_pe(chosen[place].mapping)) for place, count in arrays.items()}
        dense = {place: (count, 0) for place, count in arrays.items()}
        yield self._dealt(chosen, {place: of if of[1] > 1 else dense[place] for place, of in whole.items()})
        yield self._dealt(chosen, dense)
        yield self._dealt(chosen, whole, {place: max(each.demand.busy, each.digital) for place, each in chosen.items()})

    def lined(self, chosen: Mapped[int, StageCost], dealt: Dealt, places: range, write: int) -> Segment:
        """The segment of an allocation, with start and end of every operator."""
        sites, hops = dealt.sites, dealt.hops
        works = self.works(chosen, sites, dealt.traffic, places)
        lines = lines_of(works, self.needs, self._transfers(hops))
        latency = latency_of(lines)
        kept, limits = self._with_room(works, lines, dealt, latency)
        stages = tuple(
            Stage(
                operator=place,
                mapping=each.mapping,
                timing=each.timing,
                busy=Time(each.time),
                site=sites[place],
                start=Time(lines[place].start),
                end=Time(lines[place].end),
            )
            for place, each in chosen.items()
        )
        period = limits[0].time if limits else Time(0)
        return Segment(stages=stages, write=Time(write), period=period, latency=Time(latency), limits=limits, kept=kept)

    def _with_room(
        self, works: Mapped[int, Work], lines: Mapped[int, Line], dealt: Dealt, latency: int
    ) -> tuple[tuple[Kept, ...], tuple[Bottleneck, ...]]:
        """The inputs kept in buffers, and the limits with those of the buffers.

        Inputs that wait in the buffers of other PEs go through the network once more, over the mean distance.
        """
        there = {place: lines[place] for place in dealt.sites}
        waits = waiting(self.operators, self.needs, works, there, self.floor.chip.bits.activation)
        least = room_period(waits, self.floor, latency)
        kept = kept_of(waits, works, dealt.sites, max(dealt.period, least), self.floor)
        found = [each for each in dealt.limits if each.what != "network"]
        if least > dealt.period:
            found.append(Bottleneck("buffer", "all", Time(least)))
        network = sum(dealt.traffic.values())
        network += sum(self.detour(each) for each in kept)
        found += [Bottleneck("network", "links", Time(network))] if network else []
        return kept, tuple(sorted(found, key=lambda limit: -limit.time.femtoseconds))

    def detour(self, kept: Kept) -> int:
        """Time for which the operator's inputs that wait in other PEs occupy all links, for one image [fs]."""
        network, links = self.floor.chip.network, self.floor.links * self.floor.chips
        if network is None or not links or not kept.elsewhere:
            return 0
        mean = Fraction(network.rows + network.cols, 3)
        moved = sum(self.bytes_of[source] for source, _ in kept.parts) * mean * kept.elsewhere / kept.bytes
        return int(network.bandwidth.time(ceil_div(int(moved), links)).femtoseconds)

    def works(
        self, chosen: Mapped[int, StageCost], sites: Mapped[int, Site], moving: Mapped[int, int], places: Iterable[int]
    ) -> dict[int, Work]:
        """The times of every operator: those of its arrays, or of its port if that is slower; 0 on the host.

        The delay of a step includes the transfer of its inputs through network and port. In the network it waits for
        three quarters of the traffic of all operators.
        """
        before = self.device.pipeline.before * self.device.array.read.femtoseconds
        steps = {place: each.mapping.temporal.pixel for place, each in chosen.items()}
        traffic = {place: moving[place] // steps[place] for place in chosen}
        queue = 3 * sum(traffic.values()) // 4
        uses = port_loads(sites, demands_of(chosen))[1]
        found = {}
        for place in places:
            if place not in chosen:
                found[place] = Work()
                continue
            each, own = chosen[place], uses[place].own if place in uses else 0
            others = uses[place].other if place in uses else 0
            arriving = max(0, own // steps[place] + others - before) + (traffic[place] + queue if traffic[place] else 0)
            found[place] = Work(max(each.time, own), steps[place], each.delay + arriving)
        return found

    def _dealt(
        self,
        chosen: Mapped[int, StageCost],
        blocks: Mapped[int, tuple[int, int]],
        busy: Mapped[int, int] | None = None,
    ) -> Dealt:
        sites = deal(self.floor, blocks, busy)
        hops = self.hops(sites)
        traffic = {place: self.traffic(place, hops) for place in sites}
        return Dealt(sites, hops, traffic, self._limits(chosen, sites, hops, traffic))

    def hops(self, sites: Mapped[int, Site]) -> Hops:
        """The mean distance along every edge between these operators."""
        return {
            (need.source, place): self.floor.hops(sites[need.source], site) if self.floor.chip.network else 0.0
            for place, site in sites.items()
            for need in self.needs[place]
            if need.source in sites
        }

    def traffic(self, place: int, hops: Hops) -> int:
        """Time for which the inputs of an operator occupy all links, if all are equally busy, for one image [fs]."""
        network, links = self.floor.chip.network, self.floor.links * self.floor.chips
        if network is None or not links:
            return 0
        sources = dict.fromkeys(need.source for need in self.needs[place] if (need.source, place) in hops)
        moved = sum(self.bytes_of[source] * hops[source, place] for source in sources)
        return network.bandwidth.time(ceil_div(int(moved), links)).femtoseconds

    def _transfers(self, hops: Hops) -> dict[tuple[int, int], int]:
        """The network's latency along every edge [fs]; {} without a network."""
        network = self.floor.chip.network
        return {edge: int(mean * network.hop.femtoseconds) for edge, mean in hops.items()} if network else {}

    def _limits(
        self, chosen: Mapped[int, StageCost], sites: Mapped[int, Site], hops: Hops, traffic: Mapped[int, int]
    ) -> tuple[Bottleneck, ...]:
        """Lower bounds on the period of these operators, the longest first."""
        found = [
            Bottleneck("workload", self.operators[place].name, Time(each.alone))
            for place, each in chosen.items()
            if each.alone
        ]
        found += self._unit_limits(chosen, sites)
        loads, _ = port_loads(sites, demands_of(chosen))
        if loads:
            busiest, level = max(loads, key=lambda load: load.time), self.floor.chip.levels[0].name
            found.append(Bottleneck(f"{level} port", f"{level} {busiest.first}", Time(busiest.time)))
        writes = sum(each.write for each in chosen.values())
        if writes:
            found.append(Bottleneck("write", "computed operands", Time(writes)))
        found += self._traffic(sites, hops, traffic)
        return tuple(sorted(found, key=lambda limit: -limit.time.femtoseconds))

    def _unit_limits(self, chosen: Mapped[int, StageCost], sites: Mapped[int, Site]) -> list[Bottleneck]:
        """The busiest digital unit of every kind, and the PE that it is in."""
        found, level = list[Bottleneck](), self.floor.chip.levels[0].name
        for unit in dict.fromkeys(unit for each in chosen.values() for unit in each.units):
            loads, _ = port_loads(sites, {place: each.units.get(unit, IDLE) for place, each in chosen.items()})
            busiest = max(loads, key=lambda load: load.time)
            found.append(Bottleneck(UNIT, f"{unit.name} of {level} {busiest.first}", Time(busiest.time)))
        return found

    def _demand(self, mapping: Mapping) -> Demand:
        """The demand of a mapping on the port of one instance of the outermost level."""
        port = self.device.levels[0]
        into = port_time(port.input_bandwidth, input_bytes(mapping, 0)) if port.input_bandwidth else 0
        out = port_time(port.output_bandwidth, output_bytes(mapping, 0)) if port.output_bandwidth else 0
        busy = into + out if port.shared_port else max(into, out)
        return Demand(in_pe(mapping), int(busy), mapping.temporal.pixel)

    def _traffic(self, sites: Mapped[int, Site], hops: Hops, traffic: Mapped[int, int]) -> list[Bottleneck]:
        """The limits of the network between PEs, if all links are equally busy, and of the links between chips."""
        chip = self.floor.chip
        crossing = sum(
            self.bytes_of[source]
            for source, place in hops
            if self.floor.chips_of(sites[source]) != self.floor.chips_of(sites[place])
        )
        found = [Bottleneck("network", "links", Time(sum(traffic.values())))]
        if chip.link_bandwidth and self.floor.chips > 1:
            each = ceil_div(2 * crossing, self.floor.chips)
            found.append(Bottleneck("chip links", "links", chip.link_bandwidth.time(each)))
        return [limit for limit in found if limit.time > Time(0)]


def demands_of(chosen: Mapped[int, StageCost]) -> dict[int, Demand]:
    """The demand of every operator on its ports."""
    return {place: each.demand for place, each in chosen.items()}


def in_pe(mapping: Mapping) -> int:
    """Number of arrays of a mapping in one instance of the outermost level."""
    return int(mapping.arrays // mapping.levels[0].factors.product)


def writing_time(mapping: Mapping, device: Device) -> int:
    """Time to write all arrays of a mapping once [fs]."""
    return int(ceil_div(mapping.arrays, device.array.write.arrays) * array_write_time(mapping, device))


def dynamic_policy(device: Device, asked: Dynamic | str | None) -> Dynamic:
    """Who computes products of two computed operands: `asked`, else the device's default. Raises `OptionError`."""
    if asked is None:
        return device.dynamic
    if asked not in list(Dynamic):
        raise OptionError("dynamic", f"'{asked}'", f"one of {', '.join(Dynamic)}", "host")
    return Dynamic(asked)
