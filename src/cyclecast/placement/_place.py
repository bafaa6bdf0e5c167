"""From mappings to a placement: every way to have the network on the chips, and the best of them."""

from __future__ import annotations

from collections.abc import Mapping as Mapped
from dataclasses import dataclass, field
from typing import Literal, get_args

from cyclecast.device import Device, Dynamic
from cyclecast.errors import FitError, OptionError
from cyclecast.exact import ceil_div
from cyclecast.mapping import Mapping
from cyclecast.placement._balance import periods, work_bound
from cyclecast.placement._base import DynamicCost, Limit, Placement, Point, Segment, Spent, Stage, Wear, system
from cyclecast.placement._energy import Meter, image_energy
from cyclecast.placement._floor import Floor, deal
from cyclecast.placement._options import Options, least_arrays, options
from cyclecast.placement._pipeline import needs_of
from cyclecast.placement._resident import Builder, Chosen, dynamic_policy, in_pe, writing_time
from cyclecast.placement._segments import (
    Cost,
    Part,
    Table,
    costs_of,
    each_alone,
    overlapped_partition,
    overlapped_time,
    partition,
)
from cyclecast.timing import TimingModel, timing_model
from cyclecast.units import Energy, Time
from cyclecast.work import array_write_time, sum_bits
from cyclecast.workload import HostOperator, Network, Operator, Workload, host_time

Objective = Literal["interval", "latency", "energy", "arrays"]
YEAR = 365.25 * 24 * 3600
"""Seconds."""
MOST_PERIODS = 48
"""Of a resident pipeline, that are looked at for the front."""
SHORTEST = 12
"""Of these, that are looked at whatever the others are: ports may make a longer one the better one."""
MOST_CHIPS = 1024


@dataclass(frozen=True, slots=True)
class Plan:
    """Segments, and what they come to."""

    segments: tuple[Segment, ...]
    interval: Time
    latency: Time
    energy: Energy | None
    spent: tuple[Spent, ...]
    """By component; what the energy is made of."""
    overlapped: bool = False

    @property
    def arrays(self) -> int:
        """In use at the same time, at most."""
        return max(segment.arrays for segment in self.segments)

    @property
    def values(self) -> tuple[int, int, int, int]:
        """What is compared: less is better."""
        energy = self.energy.attojoules if self.energy else 0
        return self.interval.femtoseconds, self.latency.femtoseconds, energy, self.arrays

    def of(self, objective: str) -> tuple[int, ...]:
        """The value of an objective first, then the others."""
        first = get_args(Objective).index(objective)
        return (self.values[first], *self.values)


def place(
    network: Network,
    chip: Device,
    mappings: Mapped[str, Mapping],
    *,
    chips: int | None = 1,
    objective: str = "interval",
    batch: int = 1,
    dynamic: Dynamic | str | None = None,
    timing: str | TimingModel = "analytical",
) -> Placement:
    """Put a whole network into the arrays of so many chips (None: as many as all weights take).

    All weights stay (a resident pipeline), or segments of the network take turns, each for a `batch` of images: of all
    placements looked at, the one with the least `objective` is taken. `mappings` are those of the kernels by
    themselves: what does not fit at once is computed with them, and the gain over their tiles is stated. Raises
    `FitError` where the network does not fit and arrays are not written during inference.
    """
    if objective not in get_args(Objective):
        raise OptionError("objective", f"'{objective}'", f"one of {', '.join(get_args(Objective))}", "interval")
    if batch < 1 or (chips is not None and not 1 <= chips <= MOST_CHIPS):
        raise OptionError("place", f"a batch of {batch} on {chips} chips", f"1 to {MOST_CHIPS} chips", "chips=1")
    if not network.operators:
        raise OptionError(network.name, "it says nothing about its operators", "a front end does", "loading it anew")
    policy, model = dynamic_policy(chip, dynamic), timing_model(timing)
    least = chips or _enough(network, chip, policy)
    if least > MOST_CHIPS:
        where = f"{network.name} on {chip.name}"
        raise FitError(
            where, f"{least:,} chips for all weights", f"there are {MOST_CHIPS} at most", "a number of chips"
        )
    most = chips or min(MOST_CHIPS, 2 * least)  # factors of the levels take a little more than the tiles
    for count in range(least, max(least, most) + 1):
        search = _Search(network, chip, count, mappings, policy, model, batch)
        plans = search.resident()
        if plans:
            break
    if not search.placed:
        raise OptionError(network.name, "nothing of it is computed by arrays", "they hold constant weights")
    plans += search.segmented()
    if not plans:
        raise search.misfit()
    return search.placement(min(plans, key=lambda plan: plan.of(objective)), plans, objective)


def _enough(network: Network, chip: Device, policy: Dynamic) -> int:
    """The fewest chips that could hold all weights."""
    found = {operator.workload: 0 for operator in network.operators}
    for workload in found:
        found[workload] = least_arrays(workload, chip)
    whole = sum(found[o.workload] for o in network.operators if not o.is_dynamic or policy is Dynamic.ARRAYS)
    return max(1, int(ceil_div(whole, chip.arrays)))


@dataclass(slots=True)
class _Search:
    """All that is looked at for one network on so many chips."""

    network: Network
    chip: Device
    chips: int
    mappings: Mapped[str, Mapping]
    policy: Dynamic
    model: TimingModel
    batch: int
    builder: Builder = field(init=False)
    meter: Meter = field(init=False)
    device: Device = field(init=False)
    known: dict[Workload, Options | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        operators = self.network.operators
        self.device = system(self.chip, self.chips)
        floor = Floor(self.chip, self.chips)
        self.builder = Builder(operators, needs_of(operators), floor, self.device, self.model)
        self.meter = Meter(self.device, floor)

    @property
    def placed(self) -> list[int]:
        """The operators that arrays compute."""
        return [place for place, operator in enumerate(self.network.operators) if self._on_arrays(operator)]

    def _on_arrays(self, operator: Operator) -> bool:
        """A product of computed operands that arrays cannot hold is the host's, whatever the policy."""
        asked = self.policy is Dynamic.ARRAYS
        return not operator.is_dynamic or (asked and self.options_of(operator) is not None)

    @property
    def dynamic(self) -> frozenset[int]:
        """Those of them with two computed operands."""
        return frozenset(place for place in self.placed if self.network.operators[place].is_dynamic)

    def options_of(self, operator: Operator) -> Options | None:
        """The ways to keep one operator in arrays."""
        workload = operator.workload
        if workload not in self.known:
            self.known[workload] = options(
                workload, self.device, self.model, self.device.arrays, written=operator.is_dynamic
            )
        return self.known[workload]

    def resident(self) -> list[Plan]:
        """All weights at once, at every period worth it, shortest first; none where they do not fit."""
        return self._plans([self.options_of(self.network.operators[place]) for place in self.placed], MOST_PERIODS)

    def _plans(self, every: list[Options | None], most: int) -> list[Plan]:
        ways = [each for each in every if each is not None]
        if not ways or len(ways) < len(every):
            return []
        fitting = periods(ways, [1] * len(ways), self.device.arrays)
        some = [fitting[round(place)] for place in _evenly(len(fitting), most)]
        plans = []
        for period in dict.fromkeys([*fitting[:SHORTEST], *some]):
            chosen = {}
            for place, each in zip(self.placed, ways, strict=True):
                at = each.within(period)
                assert at is not None, "a fitting period suits all"
                chosen[place] = self.builder.chosen(each.mappings[at], place in self.dynamic)
            segment = self.builder.segment(chosen, range(len(self.network.operators)), 0)
            plans.append(self._plan((segment,), segment.period, segment.latency))
        return plans

    def _plan(self, segments: tuple[Segment, ...], interval: Time, latency: Time, overlapped: bool = False) -> Plan:
        spent = self.meter.image(segments, self.batch, interval, self.dynamic)
        return Plan(segments, interval, latency, image_energy(spent, self.device), spent, overlapped)

    def segmented(self) -> list[Plan]:
        """Segments that take turns, and every operator by itself; none where arrays are not written meanwhile."""
        write = self.chip.array.write
        if not write.during_inference or not self.placed:
            return []
        parts = [self._part(place) for place in range(len(self.network.operators))]
        at_once = min(self.device.array.write.arrays, self.device.arrays)
        needs, count = self.builder.needs, len(parts)
        found = costs_of(parts, needs, self.device.arrays, at_once, self.batch)
        found.pop((0, count), None)  # which would be written for nothing: all weights could stay
        cuts = dict.fromkeys(tuple(cut) for cut in (partition(count, found), each_alone(parts)) if cut)
        plans = [self._turns(cut, found, False) for cut in cuts if all(each in found for each in cut)]
        if write.while_computing:
            halves = costs_of(parts, needs, self.device.arrays // 2, at_once, self.batch)
            halves.pop((0, count), None)
            cut = overlapped_partition(count, halves)
            plans += [self._turns(tuple(cut), halves, True)] if cut else []
        return plans

    def _part(self, place: int) -> Part:
        operator = self.network.operators[place]
        if not self._on_arrays(operator):
            return Part(None)
        ways = self.options_of(operator)
        if ways is not None:
            first = self.builder.chosen(ways.mappings[0], False)
            return Part(ways, int(array_write_time(first.mapping, self.device)), first.delay)
        each = self._alone(operator)
        return Part(None, alone=Cost(each.write, each.time + each.delay, each.time))

    def _alone(self, operator: Operator) -> Chosen:
        """An operator whose weights take turns, with its own mapping: what it writes is said apart."""
        mapping = self.mappings[operator.kernel]
        each = self.builder.chosen(mapping, False)
        write = sum(phase.time.femtoseconds for phase in each.timing.phases if phase.name == "write")
        return Chosen(mapping, each.timing, each.time, write)

    def _turns(self, cut: tuple[tuple[int, int], ...], table: Table, overlapped: bool) -> Plan:
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
        return self._plan(segments, Time(ceil_div(whole, self.batch)), Time(whole), overlapped)

    def _segment(self, begin: int, end: int, cost: Cost) -> Segment:
        operators, places = self.network.operators, [place for place in self.placed if begin <= place < end]
        if len(places) == 1 and self.known[operators[places[0]].workload] is None:
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
        each = self._alone(self.network.operators[place])
        time, whole = Time(each.time), Time(each.time + each.delay)
        site = deal(self.builder.floor, {place: (each.mapping.arrays, in_pe(each.mapping))})[place]
        stage = Stage(place, each.mapping, each.timing, time, site, Time(0), whole)
        limit = Limit("workload", self.network.operators[place].name, whole)
        return Segment((stage,), Time(each.write), whole, whole, (limit,))

    def independent(self) -> Time | None:
        """The least interval with the tiles of the mappings as they are."""
        found = []
        for place in self.placed:
            operator = self.network.operators[place]
            if operator.is_dynamic:
                found.append(self.options_of(operator))
                continue
            cut = self.mappings[operator.kernel]
            found.append(options(operator.workload, self.device, self.model, self.device.arrays, cut))
        return min((plan.interval for plan in self._plans(found, 1)), default=None)

    def bounds(self) -> tuple[Limit, ...]:
        """What no resident placement has a shorter interval than: the work of all arrays, ports, and each workload."""
        shares, slowest = [], Limit("workload", "", Time(0))
        for place in self.placed:
            operator = self.network.operators[place]
            ways = self.options_of(operator)
            if ways is None:
                continue
            area = min(arrays * time for arrays, time in zip(ways.arrays, ways.times, strict=True))
            shares.append((ways.arrays[0], area))
            slowest = max(slowest, Limit("workload", operator.name, Time(ways.times[-1])), key=lambda each: each.time)
        work = Limit("work", "all arrays", Time(work_bound(shares, self.device.arrays)))
        found = [limit for limit in (work, slowest, *self._bandwidth()) if limit.time > Time(0)]
        return tuple(sorted(found, key=lambda limit: -limit.time.femtoseconds))

    def _bandwidth(self) -> list[Limit]:
        """Every input into some instance of the outermost level, and every sum out of one, spread over all of them."""
        level = self.device.levels[0]
        workloads = [self.network.operators[place].workload for place in self.placed]
        into = sum(w.inputs * w.input_bits for w in workloads)
        out = sum(w.pixels * w.groups * w.filters * sum_bits(w) for w in workloads)
        ports = (level.input_bandwidth, into, "in"), (level.output_bandwidth, out, "out")
        return [
            Limit(f"{level.name} port", f"all, {way}", port.time(ceil_div(bits, 8 * level.count)))
            for port, bits, way in ports
            if port
        ]

    def costs_of_dynamic(self) -> tuple[DynamicCost, ...]:
        """Every product of two computed operands, on the host and in as many arrays as are fastest."""
        found = []
        for place, operator in enumerate(self.network.operators):
            if operator.is_dynamic:
                ways = self.options_of(operator)
                least = ways.mappings[-1] if ways else None
                write = writing_time(least, self.device) if least else 0
                time = ways.times[-1] - write if ways else 0
                host = host_time(host_product(operator), self.chip.host)
                found.append(DynamicCost(place, host, Time(write), Time(time), least.arrays if least else 0))
        return tuple(found)

    def misfit(self) -> FitError:
        """Why there is no placement."""
        needed = sum(least_arrays(self.network.operators[place].workload, self.chip) for place in self.placed)
        return FitError(
            f"{self.network.name} on {self.chips} x {self.chip.name}",
            f"{needed:,} arrays for all weights",
            f"there are {self.device.arrays:,}, and none are written during inference",
            f"{ceil_div(needed, self.chip.arrays)} chips or more",
        )

    def placement(self, best: Plan, plans: list[Plan], objective: str) -> Placement:
        """The chosen plan with all that is said about it."""
        costs = self.costs_of_dynamic()
        host = sum((host_time(operator, self.chip.host) for operator in self.network.host), Time(0))
        taken = sum((cost.host for cost in costs if cost.operator in self.dynamic), Time(0))
        host = Time(max(0, host.femtoseconds - taken.femtoseconds))
        return Placement(
            self.network,
            self.chip,
            self.builder.floor,
            best.segments,
            self.batch,
            objective,
            best.overlapped,
            best.interval,
            best.latency,
            best.energy,
            best.spent,
            host,
            self.bounds(),
            _front(plans),
            self.independent(),
            self.policy,
            costs,
            tuple(kept for segment in best.segments for kept in self.builder.kept(segment)),
            self._wear(best),
        )

    def _wear(self, plan: Plan) -> Wear | None:
        endurance = self.chip.array.write.endurance
        stages = [stage for segment in plan.segments for stage in segment.stages]
        once = len(plan.segments) if len(plan.segments) > 1 else 0
        again = sum(stage.mapping.passes - 1 for stage in stages)
        writes = once + again + self.batch * bool(self.dynamic)
        if endurance is None or not writes:
            return None
        whole = (self.batch * plan.interval).seconds
        batches = endurance / writes
        return Wear(writes, endurance, batches * whole / YEAR, batches * self.batch / YEAR)


def host_product(operator: Operator) -> HostOperator:
    """What a product of two computed operands asks of the host, in single precision (A33)."""
    workload = operator.workload
    values = workload.groups * workload.pixels * (workload.reduction + workload.filters) + workload.weights
    return HostOperator(operator.name, 1, 2 * workload.macs, 4 * values, workload.macs)


def _evenly(length: int, most: int) -> list[float]:
    if length <= most:
        return list(range(length))
    return [place * (length - 1) / max(1, most - 1) for place in range(most)]


def _front(plans: list[Plan]) -> tuple[Point, ...]:
    """What no other plan is as good as in everything, shortest interval first; equal ones once."""
    kept: list[Plan] = []
    for plan in sorted(plans, key=lambda each: each.values):
        if not any(all(a <= b for a, b in zip(other.values, plan.values, strict=True)) for other in kept):
            kept.append(plan)
    return tuple(Point(len(p.segments), p.interval, p.latency, p.energy, p.arrays) for p in kept)
