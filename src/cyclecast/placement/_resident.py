"""A run of operators whose weights stay in arrays: sites, period, latency, and what limits them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from collections.abc import Mapping as Mapped
from dataclasses import dataclass, field

from cyclecast.device import Device, Dynamic
from cyclecast.errors import OptionError
from cyclecast.exact import ceil_div
from cyclecast.mapping import Mapping
from cyclecast.placement._base import Kept, Limit, Segment, Stage
from cyclecast.placement._floor import Demand, Floor, PortUse, Site, deal, port_loads, rooms
from cyclecast.placement._options import stage_time
from cyclecast.placement._pipeline import Line, Needs, Work, kept_pixels, latency_of, lines_of
from cyclecast.timing import Timing, TimingModel
from cyclecast.units import Time
from cyclecast.work import array_write_time, input_bytes, output_bytes, port_time
from cyclecast.workload import Operator

Hops = dict[tuple[int, int], float]
"""The mean way from one operator to another, in links."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """A mapping for an operator, with what it takes."""

    mapping: Mapping
    timing: Timing
    time: int
    """For one image, all steps [fs]."""
    write: int
    """Of these, for writing a computed operand [fs]."""

    @property
    def delay(self) -> int:
        """From a step's inputs to its results beside the step [fs]."""
        return sum(p.time.femtoseconds for p in self.timing.phases if p.name in ("fill", "drain") and not p.hidden)


@dataclass(slots=True)
class Builder:
    """Puts operators into arrays of a floor."""

    operators: Sequence[Operator]
    needs: Sequence[Sequence[Needs]]
    floor: Floor
    device: Device
    """All chips as one."""
    model: TimingModel
    timings: dict[Mapping, Timing] = field(default_factory=dict)

    def chosen(self, mapping: Mapping, dynamic: bool) -> Chosen:
        """What a mapping takes; where both operands are computed, one is written for every image."""
        timing = self.timings.get(mapping)
        if timing is None:
            timing = self.timings[mapping] = self.model.time(mapping, self.device)
        write = writing_time(mapping, self.device) if dynamic else 0
        return Chosen(mapping, timing, stage_time(timing) + write, write)

    def segment(self, chosen: Mapped[int, Chosen], places: range, write: int) -> Segment:
        """The operators at these places; what is not chosen is on the host, and takes no time here.

        They are dealt in the blocks of their mappings, or one array after another, whichever has the shorter period.
        """
        arrays = {place: each.mapping.arrays for place, each in chosen.items()}
        whole = {place: (count, in_pe(chosen[place].mapping)) for place, count in arrays.items()}
        single = {place: (count, 1) for place, count in arrays.items()}
        dealt = [self._dealt(chosen, blocks) for blocks in (whole, single)]
        sites, hops, limits = min(dealt, key=lambda found: found[2][0].time if found[2] else Time(0))
        works = self.works(chosen, sites, hops, places)
        lines = lines_of(works, self.needs, self._ways(hops))
        stages = tuple(
            Stage(
                place,
                each.mapping,
                each.timing,
                Time(each.time),
                sites[place],
                Time(lines[place].start),
                Time(lines[place].end),
            )
            for place, each in chosen.items()
        )
        period = limits[0].time if limits else Time(0)
        return Segment(stages, Time(write), period, Time(latency_of(lines)), limits)

    def works(
        self, chosen: Mapped[int, Chosen], sites: Mapped[int, Site], hops: Hops, places: Iterable[int]
    ) -> dict[int, Work]:
        """What every operator takes, at the pace of its port where that is slower; nothing on the host.

        A step waits for its inputs to pass network and port, and there for half a step of each other operator.
        """
        before = self.device.pipeline.before * self.device.array.read.femtoseconds
        steps = {place: each.mapping.temporal.pixel for place, each in chosen.items()}
        traffic = {place: self.traffic(place, hops) // steps[place] for place in chosen}
        queue = sum(traffic.values()) // 2
        uses = self.port_uses({place: each.mapping for place, each in chosen.items()}, sites)[1]
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

    def port_uses(
        self, mappings: Mapped[int, Mapping], sites: Mapped[int, Site]
    ) -> tuple[dict[int, int], dict[int, PortUse]]:
        """How long every port of a PE is busy, and what every operator asks of its busiest one [fs]."""
        return port_loads(sites, {place: self._port(mapping) for place, mapping in mappings.items()})

    def _dealt(
        self, chosen: Mapped[int, Chosen], blocks: Mapped[int, tuple[int, int]]
    ) -> tuple[dict[int, Site], Hops, tuple[Limit, ...]]:
        sites = deal(self.floor, blocks)
        hops = self.hops(sites)
        return sites, hops, self._limits(chosen, sites, hops)

    def hops(self, sites: Mapped[int, Site]) -> Hops:
        """The mean way along every edge between these operators."""
        return {
            (need.source, place): self.floor.hops(sites[need.source], site) if self.floor.chip.network else 0.0
            for place, site in sites.items()
            for need in self.needs[place]
            if need.source in sites
        }

    def traffic(self, place: int, hops: Hops) -> int:
        """How long the inputs of an operator occupy all links, equally busy, for one image [fs]."""
        network, links = self.floor.chip.network, self.floor.links * self.floor.chips
        if network is None or not links:
            return 0
        moved = sum(self.bytes_of(source) * way for (source, target), way in hops.items() if target == place)
        return network.bandwidth.time(ceil_div(int(moved), links)).femtoseconds

    def _ways(self, hops: Hops) -> dict[tuple[int, int], int]:
        """What the way from each operator to the next takes [fs]."""
        network = self.floor.chip.network
        return {edge: int(way * network.hop.femtoseconds) for edge, way in hops.items()} if network else {}

    def _limits(self, chosen: Mapped[int, Chosen], sites: Mapped[int, Site], hops: Hops) -> tuple[Limit, ...]:
        """What the period of these operators cannot be shorter than, the longest first."""
        found = [
            Limit("workload", self.operators[place].name, Time(each.time))
            for place, each in chosen.items()
            if each.time
        ]
        loads, _ = self.port_uses({place: each.mapping for place, each in chosen.items()}, sites)
        if loads:
            busiest = max(loads, key=loads.__getitem__)
            level = self.floor.chip.levels[0].name
            found.append(Limit(f"{level} port", f"{level} {busiest}", Time(loads[busiest])))
        writes = sum(each.write for each in chosen.values())
        if writes:
            found.append(Limit("write", "computed operands", Time(writes)))
        found += self._traffic(sites, hops)
        return tuple(sorted(found, key=lambda limit: -limit.time.femtoseconds))

    def _port(self, mapping: Mapping) -> Demand:
        """What a mapping asks of the port of one instance of the outermost level."""
        port = self.device.levels[0]
        into = port_time(port.input_bandwidth, input_bytes(mapping, 0)) if port.input_bandwidth else 0
        out = port_time(port.output_bandwidth, output_bytes(mapping, 0)) if port.output_bandwidth else 0
        busy = into + out if port.shared_port else max(into, out)
        return Demand(in_pe(mapping), int(busy), mapping.temporal.pixel)

    def _traffic(self, sites: Mapped[int, Site], hops: Hops) -> list[Limit]:
        """The network between PEs, all links equally busy, and the links between chips."""
        chip = self.floor.chip
        crossing = sum(
            self.bytes_of(source)
            for source, place in hops
            if self.floor.chips_of(sites[source]) != self.floor.chips_of(sites[place])
        )
        found = [Limit("network", "links", Time(sum(self.traffic(place, hops) for place in sites)))]
        if chip.link_bandwidth and self.floor.chips > 1:
            each = ceil_div(2 * crossing, self.floor.chips)
            found.append(Limit("chip links", "links", chip.link_bandwidth.time(each)))
        return [limit for limit in found if limit.time > Time(0)]

    def bytes_of(self, place: int) -> int:
        """Results of an operator for one image, as wide as an activation."""
        workload = self.operators[place].workload
        values = workload.pixels * workload.groups * workload.filters
        return int(ceil_div(values * self.floor.chip.bits.activation, 8))

    def kept(self, segment: Segment) -> tuple[Kept, ...]:
        """What every operator keeps of its inputs, and the room in the buffers of its arrays' PEs."""
        sites = {stage.operator: stage.site for stage in segment.stages}
        chosen = {s.operator: Chosen(s.mapping, s.timing, s.busy.femtoseconds, 0) for s in segment.stages}
        works = self.works(chosen, sites, self.hops(sites), sites)
        lines = {s.operator: Line(s.start.femtoseconds, s.end.femtoseconds) for s in segment.stages}
        pixels = kept_pixels(works, self.needs, lines, segment.period.femtoseconds)
        held: dict[int, int] = dict.fromkeys(sites, 0)
        for (source, place), count in pixels.items():
            workload = self.operators[place].workload
            size = ceil_div(workload.inputs * workload.input_bits, 8)
            held[place] = max(held[place], int(ceil_div(size * count, self.operators[source].pixels)))
        buffer = self.floor.chip.levels[0].buffer
        room = rooms(sites, held, buffer.bytes) if buffer else {}
        return tuple(Kept(place, kept, room.get(place)) for place, kept in held.items())


def in_pe(mapping: Mapping) -> int:
    """Arrays of a mapping in one instance of the outermost level."""
    return int(mapping.arrays // mapping.levels[0].factors.product)


def writing_time(mapping: Mapping, device: Device) -> int:
    """Programming all arrays of a mapping once [fs]."""
    return int(ceil_div(mapping.arrays, device.array.write.arrays) * array_write_time(mapping, device))


def dynamic_policy(device: Device, asked: Dynamic | str | None) -> Dynamic:
    """Who multiplies two computed operands: as asked, else as the device says."""
    if asked is None:
        return device.dynamic
    if asked not in list(Dynamic):
        raise OptionError("dynamic", f"'{asked}'", f"one of {', '.join(Dynamic)}", "host")
    return Dynamic(asked)
