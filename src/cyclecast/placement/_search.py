"""The plans for a network on some chips: resident pipelines, and segments that follow each other in time."""

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
from cyclecast.placement._units import with_units
from cyclecast.timing import Home, Role, TimingModel, UnitOf, array_write_time, homes, work_of
from cyclecast.units import Time

MOST_PERIODS = 48
"""Most periods of a resident pipeline that are evaluated only for the front."""
SPARE = 8
"""Periods above the best interval that are also evaluated: they may be better in the simulation."""
BEGINNINGS = 3
"""Periods from which `Shortener` starts: as many of the shortest latency, and as many spread over all."""


@dataclass(slots=True, kw_only=True)
class PlacementSearch:
    """The search for plans of one network on a number of chips."""

    network: Network
    chip: Device
    chips: int
    mappings: Mapped[str, Mapping]
    """Mappings as tuned, by kernel."""
    policy: Dynamic
    model: TimingModel
    batch: int
    budget: int
    """Most arrays in use at the same time."""
    tell: Tell = lambda _: None
    builder: Builder = field(init=False)
    meter: Meter = field(init=False)
    homes: tuple[Home, ...] = field(init=False)
    """The units, or the host, of each digital operator."""
    device: Device = field(init=False)
    placed: list[int] = field(init=False)
    """Positions of the operators on arrays."""
    dynamic: frozenset[int] = field(init=False)
    """Positions of the operators on arrays with two computed operands."""
    known: dict[tuple[Workload, bool], ParetoMappings | None] = field(default_factory=dict)
    """Pareto mappings by workload and whether an operand is computed."""
    tuned: dict[str, ParetoMappings | None] = field(default_factory=dict)
    """Pareto mappings with the tiles of the tuned mapping, by kernel."""

    beside: dict[tuple[int, tuple[tuple[UnitOf, int], ...]], ParetoMappings] = field(default_factory=dict)
    """Pareto mappings with digital units, by `id` of those without and the work of the units."""

    def __post_init__(self) -> None:
        self.device = system(self.chip, self.chips)
        self.budget = min(self.budget, self.device.arrays)
        floor = Floorplan(self.chip, self.chips)
        self.placed = [place for place, operator in enumerate(self.operators) if self._on_arrays(operator)]
        self.homes = homes(self.network.digital, self.chip, frozenset(self.placed))
        work = work_of(self.homes)
        self.builder = Builder(
            operators=self.operators, needs=needs_of(self.operators), floor=floor, device=self.device, model=self.model,
            work=work,
        )  # fmt: skip
        self.meter = Meter(self.device, floor, work)
        self.dynamic = frozenset(place for place in self.placed if self.operators[place].is_dynamic)

    @property
    def operators(self) -> Sequence[Operator]:
        """The operators of the network."""
        return self.network.operators

    def _on_arrays(self, operator: Operator) -> bool:
        """Whether arrays compute the operator; a computed operand that does not fit makes it the host's."""
        asked = self.policy is Dynamic.ARRAYS
        return not operator.is_dynamic or (asked and self.options_of(operator) is not None)

    def options_of(self, operator: Operator) -> ParetoMappings | None:
        """The Pareto mappings of an operator with resident weights; None if there are none."""
        key = operator.workload, operator.is_dynamic
        if key not in self.known:
            self.known[key] = pareto_mappings(*key[:1], self.device, self.model, self.budget, written=key[1])
        return self.known[key]

    def _tuned_options(self, operator: Operator) -> ParetoMappings | None:
        """The same with the tiles of the tuned mapping only."""
        if operator.is_dynamic:
            return self.options_of(operator)
        if operator.kernel not in self.tuned:
            cut = self.mappings[operator.kernel]
            self.tuned[operator.kernel] = pareto_mappings(operator.workload, self.device, self.model, self.budget, cut)
        return self.tuned[operator.kernel]

    def resident(self, objective: str, tuned: bool = False) -> list[Plan]:
        """Plans with all weights resident, one for each evaluated period; [] if the weights do not fit.

        The interval of a plan is at least its period. For the objective interval, periods are evaluated in order up to
        the best interval found, then `SPARE` more, and `MOST_PERIODS` for the front. For other objectives all are
        evaluated. `tuned`: only with the tiles of the tuned mappings.
        """
        look = self._tuned_options if tuned else self.options_of
        found, of = dict[int, ParetoMappings](), " as tuned" * tuned
        for number, place in enumerate(self.placed, 1):
            options = look(self.operators[place])
            if options is not None:
                found[place] = self._with_units(options, place)
            self.tell(Told(f"operators{of}", number, len(self.placed)))
        if not found or len(found) < len(self.placed):
            return []
        fitting, plans, best = periods(list(found.values()), [1] * len(found), self.budget), list[Plan](), NEVER
        some = set() if tuned else set(evenly(len(fitting), MOST_PERIODS))
        spare = 1 if tuned else SPARE
        for number, period in enumerate(fitting):
            spare -= period >= best
            if objective != "interval" or spare > 0 or number in some:
                plans.append(self.pipeline({place: _within(each, period) for place, each in found.items()}, tuned))
                best = min(best, plans[-1].interval.femtoseconds)
            self.tell(Told(f"pipelines{of}", number + 1, len(fitting)))
        if objective == "latency" and not tuned:
            best_first = sorted(range(len(plans)), key=lambda number: plans[number].latency)
            begin = dict.fromkeys([*best_first[:BEGINNINGS], *evenly(len(plans), BEGINNINGS)])
            plans += self._shortened(found, [fitting[number] for number in begin])
        return plans

    def _with_units(self, options: ParetoMappings, place: int) -> ParetoMappings:
        """The same with the times of the digital units behind the operator."""
        if place not in self.builder.work:
            return options
        key = id(options), tuple(self.builder.work[place].items())
        if key not in self.beside:
            self.beside[key] = with_units(
                options,
                lambda mapping: self.builder.digital(mapping, place),
                lambda mapping: self._chosen(mapping, place).alone,
                self.device.levels[0].count,
            )
        return self.beside[key]

    def _shortened(self, found: Mapped[int, ParetoMappings], begin: Sequence[int]) -> list[Plan]:
        """Plans with a shorter latency: from each of these periods, free arrays are given to operators."""
        delays = {place: self.builder.chosen(each.mappings[0], False, place).delay for place, each in found.items()}
        shortener = Shortener(found, self.builder.needs, delays, self.budget)
        return [
            self.pipeline({place: found[place].mappings[at] for place, at in choice.items()})
            for choice in shortener.choices(begin)
        ]

    def _chosen(self, mapping: Mapping, place: int) -> StageCost:
        return self.builder.chosen(mapping, place in self.dynamic, place)

    def pipeline(self, mappings: Mapped[int, Mapping], tuned: bool = False) -> Plan:
        """The plan of one segment with these mappings, by position of the operator."""
        chosen = {place: self._chosen(mapping, place) for place, mapping in mappings.items()}
        segment = self.builder.segment(chosen, range(len(self.operators)), 0)
        return self.plan((segment,), segment.period, segment.latency, tuned=tuned)

    def redealt(self, plan: Plan) -> list[Plan]:
        """Plans with the same mappings and other allocations of arrays; [] for a plan of several segments."""
        if len(plan.segments) > 1:
            return []
        stages, every = plan.longest.stages, range(len(self.operators))
        chosen = {each.operator: self._chosen(each.mapping, each.operator) for each in stages}
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
        """A plan of these segments, with its energy and arrays."""
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
        """Plans of segments that follow each other; [] if the device cannot write during inference.

        They are the best partition, every operator alone, and the best partition with overlapped writing.
        """
        write = self.chip.array.write
        if not write.during_inference or not self.placed:
            return []
        parts = [self._part(place) for place in range(len(self.operators))]
        at_once = min(self.device.array.write.arrays, self.device.arrays)
        needs, count = self.builder.needs, len(parts)
        found = costs_of(parts, needs, self.budget, at_once, self.batch)
        found = found.without((0, count))  # a single segment is the resident plan
        cuts = dict.fromkeys(tuple(cut) for cut in (partition(count, found), each_alone(parts)) if cut)
        plans = []
        for number, cut in enumerate(cuts, 1):
            plans += [self._in_sequence(cut, found, False)] if all(each in found for each in cut) else []
            self.tell(Told("segments", number, len(cuts)))
        if write.while_computing:
            halves = costs_of(parts, needs, self.budget // 2, at_once, self.batch)
            halves = halves.without((0, count))
            shown = overlapped_partition(count, halves)
            plans += [self._in_sequence(tuple(shown), halves, True)] if shown else []
        return plans

    def _part(self, place: int) -> SegmentOperator:
        operator = self.operators[place]
        if not self._on_arrays(operator):
            return SegmentOperator(None)
        options = self.options_of(operator)
        if options is not None:
            first = self.builder.chosen(options.mappings[0], False, place)
            return SegmentOperator(options, int(array_write_time(first.mapping, self.device)), first.delay)
        each = self._alone(place)
        return SegmentOperator(None, alone=Cost(each.write, each.time + each.delay, each.time))

    def _alone(self, place: int) -> StageCost:
        """The times of an operator with several passes, in its tuned mapping; `write` is the time of its writes."""
        mapping = self.mappings[self.operators[place].kernel]
        each = self.builder.chosen(mapping, False, place)
        return replace(each, write=each.timing.of(Role.WRITE).femtoseconds)

    def _in_sequence(self, cut: tuple[tuple[int, int], ...], table: CostTable, overlapped: bool) -> Plan:
        """The plan of segments that follow each other; `cut` has (first operator, one after the last) of each."""
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
            options = self.options_of(operators[place])
            at = options.within(cost.period) if options else None
            assert options, "all operators of a segment have Pareto mappings"
            assert at is not None, "the period of a cost is one that all operators can keep"
            chosen[place] = self._chosen(options.mappings[at], place)
        return self.builder.segment(chosen, range(begin, end), cost.write)

    def _by_itself(self, place: int) -> Segment:
        """The segment of one operator with several passes."""
        each = self._alone(place)
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


def _within(options: ParetoMappings, period: int) -> Mapping:
    """The mapping with the fewest arrays that takes at most `period` [fs]."""
    place = options.within(period)
    assert place is not None, "all operators can keep a period of `periods`"
    return options.mappings[place]
