"""Every way to have a network on the chips: pipelines of all operators, and segments that take turns."""

from __future__ import annotations

from collections.abc import Mapping as Mapped
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from cyclecast._integers import ceil_div
from cyclecast.device import Device, Dynamic
from cyclecast.mapping import Mapping
from cyclecast.network import Network, Operator, Workload
from cyclecast.placement._base import Bottleneck, Kept, Segment, Stage, Tell, Told, system
from cyclecast.placement._energy import Meter
from cyclecast.placement._floorplan import Floorplan, deal
from cyclecast.placement._interval import periods
from cyclecast.placement._pareto_mappings import ParetoMappings, pareto_mappings
from cyclecast.placement._pipeline import needs_of
from cyclecast.placement._plan import Plan, evenly
from cyclecast.placement._resident import Builder, StageCost, in_pe
from cyclecast.placement._segment import (
    Cost,
    CostTable,
    SegmentOperator,
    costs_of,
    each_alone,
    overlapped_partition,
    overlapped_time,
    partition,
)
from cyclecast.placement._shorten import Shortener
from cyclecast.placement._staircase import NEVER
from cyclecast.timing import Role, TimingModel, array_write_time
from cyclecast.units import Time

MOST_PERIODS = 48
"""Of a resident pipeline that are looked at for the front alone."""
SPARE = 8
"""Periods longer than the best interval that are looked at, too: the simulation may like them better."""
BEGINNINGS = 3
"""Of the periods with the shortest latency, and of all, that are shortened further."""


@dataclass(slots=True, kw_only=True)
class PlacementSearch:
    """All that is looked at for one network on so many chips."""

    network: Network
    chip: Device
    chips: int
    mappings: Mapped[str, Mapping]
    """As tuned, by kernel."""
    policy: Dynamic
    model: TimingModel
    batch: int
    budget: int
    """Arrays that may be in use at the same time; at most all."""
    tell: Tell = lambda _: None
    builder: Builder = field(init=False)
    meter: Meter = field(init=False)
    device: Device = field(init=False)
    placed: list[int] = field(init=False)
    """The operators that arrays compute."""
    dynamic: frozenset[int] = field(init=False)
    """Those of them with two computed operands."""
    known: dict[tuple[Workload, bool], ParetoMappings | None] = field(default_factory=dict)
    tuned: dict[str, ParetoMappings | None] = field(default_factory=dict)
    """With the tiles of the mappings as tuned, by kernel."""

    def __post_init__(self) -> None:
        self.device = system(self.chip, self.chips)
        self.budget = min(self.budget, self.device.arrays)
        floor = Floorplan(self.chip, self.chips)
        self.builder = Builder(
            operators=self.operators, needs=needs_of(self.operators), floor=floor, device=self.device, model=self.model
        )
        self.meter = Meter(self.device, floor)
        self.placed = [place for place, operator in enumerate(self.operators) if self._on_arrays(operator)]
        self.dynamic = frozenset(place for place in self.placed if self.operators[place].is_dynamic)

    @property
    def operators(self) -> Sequence[Operator]:
        """Of the network."""
        return self.network.operators

    def _on_arrays(self, operator: Operator) -> bool:
        """A product of computed operands that arrays cannot hold is the host's, whatever the policy."""
        asked = self.policy is Dynamic.ARRAYS
        return not operator.is_dynamic or (asked and self.options_of(operator) is not None)

    def options_of(self, operator: Operator) -> ParetoMappings | None:
        """The ways to keep one operator in arrays."""
        key = operator.workload, operator.is_dynamic
        if key not in self.known:
            self.known[key] = pareto_mappings(*key[:1], self.device, self.model, self.budget, written=key[1])
        return self.known[key]

    def _tuned_options(self, operator: Operator) -> ParetoMappings | None:
        """Those with the tiles of the mapping as tuned."""
        if operator.is_dynamic:
            return self.options_of(operator)
        if operator.kernel not in self.tuned:
            cut = self.mappings[operator.kernel]
            self.tuned[operator.kernel] = pareto_mappings(operator.workload, self.device, self.model, self.budget, cut)
        return self.tuned[operator.kernel]

    def resident(self, objective: str, tuned: bool = False) -> list[Plan]:
        """All weights at once, at every period worth it; none where they do not fit.

        No plan of a period has a shorter interval than that period. For the least interval, periods are looked at in
        order until they are longer than the best interval found, some more for the simulation, and some for the front.
        For other objectives all are. `tuned`: with the tiles of the mappings as they are.
        """
        look = self._tuned_options if tuned else self.options_of
        found, of = dict[int, ParetoMappings](), " as tuned" * tuned
        for number, place in enumerate(self.placed, 1):
            ways = look(self.operators[place])
            if ways is not None:
                found[place] = ways
            self.tell(Told(f"operators{of}", number, len(self.placed)))
        if not found or len(found) < len(self.placed):
            return []
        fitting, plans, best = periods(list(found.values()), [1] * len(found), self.budget), list[Plan](), NEVER
        some = set() if tuned else set(evenly(len(fitting), MOST_PERIODS))
        spare = 1 if tuned else SPARE
        for number, period in enumerate(fitting):
            spare -= period >= best
            if objective != "interval" or spare > 0 or number in some:
                plans.append(self.pipeline({place: _within(ways, period) for place, ways in found.items()}, tuned))
                best = min(best, plans[-1].interval.femtoseconds)
            self.tell(Told(f"pipelines{of}", number + 1, len(fitting)))
        if objective == "latency" and not tuned:
            best_first = sorted(range(len(plans)), key=lambda number: plans[number].latency)
            begin = dict.fromkeys([*best_first[:BEGINNINGS], *evenly(len(plans), BEGINNINGS)])
            plans += self._shortened(found, [fitting[number] for number in begin])
        return plans

    def _shortened(self, found: Mapped[int, ParetoMappings], begin: Sequence[int]) -> list[Plan]:
        """From these periods on, free arrays for whoever shortens the latency most."""
        delays = {place: self.builder.chosen(ways.mappings[0], False).delay for place, ways in found.items()}
        shortener = Shortener(found, self.builder.needs, delays, self.budget)
        return [
            self.pipeline({place: found[place].mappings[at] for place, at in choice.items()})
            for choice in shortener.choices(begin)
        ]

    def pipeline(self, mappings: Mapped[int, Mapping], tuned: bool = False) -> Plan:
        """All operators at once, each in its mapping."""
        chosen = {place: self.builder.chosen(mapping, place in self.dynamic) for place, mapping in mappings.items()}
        segment = self.builder.segment(chosen, range(len(self.operators)), 0)
        return self.plan((segment,), segment.period, segment.latency, tuned=tuned)

    def redealt(self, plan: Plan) -> list[Plan]:
        """The same mappings in other places, where all weights are resident."""
        if len(plan.segments) > 1:
            return []
        stages, every = plan.longest.stages, range(len(self.operators))
        chosen = {each.operator: self.builder.chosen(each.mapping, each.operator in self.dynamic) for each in stages}
        segments = [self.builder.lined(chosen, dealt, every, 0) for dealt in self.builder.deals(chosen)]
        others = [each for each in segments if each != plan.longest]
        return [self.plan((each,), each.period, each.latency, tuned=plan.tuned) for each in others]

    def plan(
        self,
        segments: tuple[Segment, ...],
        interval: Time,
        latency: Time,
        overlapped: bool = False,
        tuned: bool = False,
    ) -> Plan:
        """With its energy."""
        energy = self.meter.total(segments, self.batch, interval, self.dynamic)
        arrays = max(segment.arrays for segment in segments)
        return Plan(
            segments=segments,
            interval=interval,
            latency=latency,
            energy=energy,
            arrays=arrays,
            overlapped=overlapped,
            tuned=tuned,
        )

    def segmented(self) -> list[Plan]:
        """Segments that take turns, and every operator by itself; none where arrays are not written meanwhile."""
        write = self.chip.array.write
        if not write.during_inference or not self.placed:
            return []
        parts = [self._part(place) for place in range(len(self.operators))]
        at_once = min(self.device.array.write.arrays, self.device.arrays)
        needs, count = self.builder.needs, len(parts)
        found = costs_of(parts, needs, self.budget, at_once, self.batch)
        found = found.without((0, count))  # which would be written for nothing: all weights could stay
        cuts = dict.fromkeys(tuple(cut) for cut in (partition(count, found), each_alone(parts)) if cut)
        plans = []
        for number, cut in enumerate(cuts, 1):
            plans += [self._turns(cut, found, False)] if all(each in found for each in cut) else []
            self.tell(Told("segments", number, len(cuts)))
        if write.while_computing:
            halves = costs_of(parts, needs, self.budget // 2, at_once, self.batch)
            halves = halves.without((0, count))
            shown = overlapped_partition(count, halves)
            plans += [self._turns(tuple(shown), halves, True)] if shown else []
        return plans

    def _part(self, place: int) -> SegmentOperator:
        operator = self.operators[place]
        if not self._on_arrays(operator):
            return SegmentOperator(None)
        ways = self.options_of(operator)
        if ways is not None:
            first = self.builder.chosen(ways.mappings[0], False)
            return SegmentOperator(ways, int(array_write_time(first.mapping, self.device)), first.delay)
        each = self._alone(operator)
        return SegmentOperator(None, alone=Cost(each.write, each.time + each.delay, each.time))

    def _alone(self, operator: Operator) -> StageCost:
        """An operator whose weights take turns, with its own mapping: what it writes is said apart."""
        mapping = self.mappings[operator.kernel]
        each = self.builder.chosen(mapping, False)
        return replace(each, write=each.timing.of(Role.WRITE).femtoseconds)

    def _turns(self, cut: tuple[tuple[int, int], ...], table: CostTable, overlapped: bool) -> Plan:
        segments = tuple(self._segment(begin, end, table[begin, end]) for begin, end in cut)
        costs = {
            each: Cost(
                segment.write.femtoseconds,
                (segment.latency + (self.batch - 1) * segment.period).femtoseconds,
                segment.period.femtoseconds,
            )
            for each, segment in zip(cut, segments, strict=True)
        }
        whole = overlapped_time(cut, costs) if overlapped else sum(cost.write + cost.compute for cost in costs.values())
        return self.plan(segments, Time(ceil_div(whole, self.batch)), Time(whole), overlapped)

    def _segment(self, begin: int, end: int, cost: Cost) -> Segment:
        operators, places = self.operators, [place for place in self.placed if begin <= place < end]
        if len(places) == 1 and self.options_of(operators[places[0]]) is None:
            return self._by_itself(places[0])
        chosen = {}
        for place in places:
            ways = self.options_of(operators[place])
            at = ways.within(cost.period) if ways else None
            assert ways, "segments hold what has options"
            assert at is not None, "a cost is that of options within its period"
            chosen[place] = self.builder.chosen(ways.mappings[at], place in self.dynamic)
        return self.builder.segment(chosen, range(begin, end), cost.write)

    def _by_itself(self, place: int) -> Segment:
        each = self._alone(self.operators[place])
        time, whole = Time(each.time), Time(each.time + each.delay)
        site = deal(self.builder.floor, {place: (each.mapping.arrays, in_pe(each.mapping))})[place]
        stage = Stage(
            operator=place, mapping=each.mapping, timing=each.timing, busy=time, site=site, start=Time(0), end=whole
        )
        limit = Bottleneck("workload", self.operators[place].name, whole)
        return Segment(
            stages=(stage,),
            write=Time(each.write),
            period=whole,
            latency=whole,
            limits=(limit,),
            kept=(Kept(place, 0, None),),
        )


def _within(ways: ParetoMappings, period: int) -> Mapping:
    place = ways.within(period)
    assert place is not None, "a fitting period suits all"
    return ways.mappings[place]
