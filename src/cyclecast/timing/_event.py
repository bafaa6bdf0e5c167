"""L2: the event simulation: the stages of a pass are processes that wait for each other.

It simulates three effects that the analytical model leaves out: buffers have a limited size (two tokens), ports and
merges serve one token at a time in the order of arrival, and lanes that add up the same sums wait for each other. The
stages and their times are in `timing/_stages.py`; the assumptions A22 to A24 in `docs/assumptions/`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from math import ceil
from typing import NamedTuple

from cyclecast._clock import Clock, Process, Resume, Signal, Turns
from cyclecast._integers import ceil_div
from cyclecast.device import Device
from cyclecast.errors import OptionError
from cyclecast.mapping import Mapping
from cyclecast.timing._base import Phase, Timing, role_of
from cyclecast.timing._converters import column_phases, row_phases
from cyclecast.timing._costs import Events, events, kinds, write_time
from cyclecast.timing._stages import PassStage, PassStages, Product, plan
from cyclecast.units import Time

LEAST_WINDOW = 16
"""Least tokens of a sample: its last two quarters give one period each."""
WAITS = ("wait input", "wait conversion", "wait merge", "wait output")
"""Causes for which an array with work left does not read."""
PHASES = ("write", "fill", "compute", *WAITS, "drain")


class Span(NamedTuple):
    """An interval in which a resource is busy with a token; times count from the end of the writing."""

    resource: str
    what: str
    """The token: "step 0", "step 1", ..."""
    begin: Time
    end: Time


@dataclass(frozen=True, slots=True)
class Simulation:
    """The result of a simulation: the timing, its error, and the simulated tokens."""

    timing: Timing
    error: Time
    """Estimate of the difference to a simulation of all tokens; 0 if all tokens were simulated."""
    sampled: bool
    """Whether some tokens were extrapolated."""
    timeline: tuple[Span, ...]
    """The simulated tokens of the first pass, in the order of their ends."""

    @property
    def stalls(self) -> dict[str, Time]:
        """Waiting time of the arrays of the critical lane, by cause (`WAITS`), over all passes."""
        return {phase.name: phase.time for phase in self.timing.phases if phase.name in WAITS}


@dataclass(frozen=True, slots=True)
class EventDriven:
    """The event simulation: the first tokens of each kind of pass are simulated, the rest is extrapolated linearly."""

    window: int = 48
    """Most tokens of a lane that are simulated in a pass (A24); at least 16."""
    buffers: int = 2
    """Size of a buffer, in tokens (A23); at least 1."""

    def __post_init__(self) -> None:
        for name, least in (("window", LEAST_WINDOW), ("buffers", 1)):
            if getattr(self, name) < least:
                value = f"{name}={getattr(self, name)}"
                raise OptionError("event", value, f"at least {least}", f"event:{name}={least}")

    def time(self, mapping: Mapping, device: Device) -> Timing:
        """The timing of the mapping, with its events.

        The phases are those of the critical lane, whose arrays end last: `write`; `fill`, until the first read;
        `compute`, the reads; four waits (in `wait conversion` an array cannot read before its converters are free); and
        `drain`, from the last read to the last result.
        """
        return self.simulate(mapping, device).timing

    def simulate(self, mapping: Mapping, device: Device) -> Simulation:
        """The timing, its error and the timeline.

        One pass of each kind is simulated. Passes do not overlap: the arrays are written again after the last result of
        a pass has left.
        """
        total, error, sampled = Counter({"write": write_time(mapping, device)}), 0, False
        timeline: list[tuple[str, str, int, int]] = []
        for kind in kinds(mapping):
            found = _Pass(plan(mapping, device, kind), self.window, self.buffers)
            found.run()
            phases, doubt = found.phases()
            total.update({name: kind.times * time for name, time in phases.items()})
            error, sampled = error + kind.times * doubt, kind.steps > self.window
            timeline = timeline or found.spans
        timing = Timing(
            tuple(Phase(name, Time(total[name]), role=role_of(name)) for name in PHASES),
            device.array.read,
            census(mapping, device),
        )
        return Simulation(
            timing,
            Time(error),
            sampled,
            tuple(Span(resource, what, Time(begin), Time(end)) for resource, what, begin, end in timeline),
        )


class _Node:
    """A stage in one simulation, with the signals and times of its tokens."""

    def __init__(self, clock: Clock, stage: PassStage, tokens: int, room: int) -> None:
        self.stage, self.tokens, self.room = stage, tokens, room
        self.done = Signal(clock)
        """A token is delivered."""
        self.stamps: list[tuple[int, int]] = []
        """Of each delivered token: time of its arrival downstream, begin of its first transfer."""
        self.taken = Signal(clock) if stage.product else self.done
        """A token has left the buffer before the stage."""
        self.ended = [0] * tokens
        """Time at which the token's result is complete."""
        self.reads: list[tuple[int, int]] = []
        """Of arrays: begin of the first and end of the last read of each token."""
        self.waits: list[Counter[str]] = []
        """Of arrays: waiting time of each token, by cause."""


class _Pass:
    """The simulation of one pass."""

    def __init__(self, what: PassStages, window: int, buffers: int) -> None:
        self.plan, self.window = what, min(window, what.steps)
        self.product = next(stage.product for stage in what.stages if stage.product)
        self.period = self.product.period
        self.clock = Clock()
        self.nodes = {stage: self._node(stage, buffers) for stage in what.stages}
        users = Counter(stage.resource for stage in what.stages)
        self.ports = {name: Turns(self.clock) for name, count in users.items() if count > 1}
        self.spans: list[tuple[str, str, int, int]] = []

    def _node(self, stage: PassStage, buffers: int) -> _Node:
        """A node with room for the tokens in its buffer and for those in its pipeline."""
        on_their_way = stage.latency
        if stage.product:
            on_their_way = self.plan.after + stage.product.converting
        elif any(consumer.product for consumer in stage.consumers):
            on_their_way = self.plan.before
        room = buffers + ceil_div(on_their_way, self.period)
        return _Node(self.clock, stage, min(stage.tokens, self.window), room)

    def run(self) -> None:
        nodes = self.nodes.values()
        self.clock.run(
            [self._compute(node, node.stage.product) if node.stage.product else self._move(node) for node in nodes]
        )

    def _arrive(self, node: _Node, token: int, resume: Resume) -> Generator[None, Resume, tuple[int, int]]:
        """Wait until all sources have delivered the token; return (arrival, begin of its first transfer or -1)."""
        arrival = first = -1
        for source in node.stage.sources:
            before = self.nodes[source]
            if token < before.tokens:
                if before.done.seen <= token:
                    before.done.wait(token, resume)
                    yield
                there, begin = before.stamps[token]
                arrival, first = max(arrival, there), begin if first < 0 else min(first, begin)
        return max(arrival, 0), first

    def _room(self, node: _Node, token: int, resume: Resume) -> Process:
        """Wait until the buffers behind the stage have room for the token."""
        oldest = token - node.room
        for consumer in node.stage.consumers:
            after = self.nodes[consumer]
            if after.taken.seen <= oldest < after.tokens:
                after.taken.wait(oldest, resume)
                yield

    def _until(self, when: int, resume: Resume) -> Process:
        if when > self.clock.now:
            self.clock.at(when, resume)
            yield

    def _move(self, node: _Node) -> Process:
        """Process of a port or a merge: it serves a token that has arrived once there is room and the port is free."""
        resume, clock = (yield), self.clock
        stage, port = node.stage, self.ports.get(node.stage.resource)
        for token in range(node.tokens):
            arrival, first = yield from self._arrive(node, token, resume)
            yield from self._until(arrival, resume)
            yield from self._room(node, token, resume)
            if port:
                port.ask(resume)
                yield
            begin = clock.now
            yield from self._until(begin + (stage.full if token < stage.many else stage.rest), resume)
            if port:
                port.leave()
            end = clock.now
            if end > begin:
                self.spans.append((stage.resource, f"step {token}", begin, end))
            node.ended[token] = max(end, arrival + stage.hidden) + stage.latency
            node.stamps.append((node.ended[token], begin if first < 0 else first))
            node.done.happen()
        yield

    def _compute(self, node: _Node, slots: Product) -> Process:
        """Process of the arrays of a lane and the pipeline behind them."""
        resume, clock = (yield), self.clock
        plan, converted = self.plan, 0
        fill = plan.before + plan.after
        for token in range(node.tokens):
            free = clock.now
            arrival, first = yield from self._arrive(node, token, resume)
            yield from self._until(max(arrival, max(first, 0) + plan.before), resume)
            ready = clock.now
            yield from self._room(node, token, resume)
            begin = clock.now
            node.taken.happen()
            end, converted = slots.run(begin, converted)
            late = max(end, converted - plan.cycle) if slots.converting else end
            result = max(converted, late + plan.after, arrival + fill)
            merge = self._merging(node, token, ready, begin)
            causes = {"wait input": ready - free, "wait conversion": end - begin - slots.reads}
            node.waits.append(Counter(causes | {"wait merge": merge, "wait output": begin - ready - merge}))
            node.reads.append((begin, end))
            self.spans.append((node.stage.resource, f"step {token}", begin, end))
            yield from self._until(end, resume)
            node.ended[token] = result
            node.stamps.append((max(converted, result - plan.early), 0))
            node.done.happen()
        yield

    def _merging(self, node: _Node, token: int, since: int, until: int) -> int:
        """The part of a wait for room (`since` to `until`) in which a merge waits for the results of other lanes."""
        waited, oldest = 0, token - node.room
        for consumer in node.stage.consumers:
            others = [self.nodes[source] for source in consumer.sources]
            if len(others) > 1 and oldest >= 0:
                last = max(other.ended[oldest] for other in others if oldest < other.tokens)
                waited = max(waited, min(until, last) - since)
        return waited

    def phases(self) -> tuple[dict[str, int], int]:
        """The time of the pass by phase [fs], and the error of their sum [fs]."""
        lanes = [node for node in self.nodes.values() if node.stage.product]
        critical = max((lane for lane in lanes if lane.tokens == self.window), key=lambda lane: lane.reads[-1][1])
        (begin, _), (_, end) = critical.reads[0], critical.reads[-1]
        last = max(node.ended[-1] for node in self.nodes.values())
        found = Counter(dict.fromkeys(PHASES, 0))
        for waits in critical.waits[1:]:
            found.update(waits)
        found["wait conversion"] += critical.waits[0]["wait conversion"]
        found.update({"fill": begin, "compute": self.window * self.product.reads, "drain": last - end})
        doubt, left = 0, self.plan.steps - self.window
        if left:
            period, doubt = self._period(left)
            found["compute"] += left * self.product.reads
            steady = sum((waits for waits in critical.waits[self.window // 2 :]), Counter[str]())
            _spread(found, ceil(left * period) - left * self.product.reads, steady)
        return dict(found), doubt

    def _period(self, left: int) -> tuple[Fraction, int]:
        """The period of the last simulated tokens [fs], and the error of the end of the `left` others [fs]."""
        sinks = [node for node in self.nodes.values() if not node.stage.consumers]
        last = self.window - 1
        ends = [max(sink.ended[token] for sink in sinks if token < sink.tokens) for token in range(self.window)]

        def between(first: int, final: int) -> Fraction:
            return Fraction(ends[final] - ends[first], final - first)

        half, quarter = last - self.window // 2, last - self.window // 4
        third, fourth = between(half, quarter), between(quarter, last)
        most = self._most()
        period = max(between(half, last), Fraction(most))
        ripple = max(abs(ends[last] - (last - token) * period - ends[token]) for token in range(half, last))
        shares = any(stage.shared and stage.resource in self.ports for stage in self.nodes)
        unsteady = period if ripple or shares else 0  # the order of service may still change
        return period, ceil(abs(third - fourth) * left + ripple + unsteady) + self._uneven()

    def _most(self) -> int:
        """The longest occupation of a resource in one step [fs]: the least possible period."""
        occupied: Counter[str] = Counter()
        for stage in self.nodes:
            occupied[stage.resource] += min(stage.full, stage.rest) if stage.tokens == self.plan.steps else 0
        return max(self.period, *occupied.values())

    def _uneven(self) -> int:
        """Most time that the extrapolated tokens save because some replicas have fewer pixels [fs]."""
        saved: Counter[str] = Counter()
        for stage in self.nodes:
            saved[stage.resource] += self.plan.steps * stage.full - stage.busy
        return max(saved.values()) + sum(stage.full - stage.rest for stage in self.nodes)


def _spread(found: Counter[str], time: int, weights: Counter[str]) -> None:
    """Add the time to the waits in proportion to their weights; the remainder goes to `wait output`."""
    whole = sum(weights.values())
    shares = {name: time * weights[name] // whole if whole else 0 for name in WAITS}
    shares["wait output"] += time - sum(shares.values())
    found.update(shares)


def census(m: Mapping, device: Device) -> Events:
    """The events of all tokens, counted tile by tile: along each axis a tile is a full one or the last one.

    The counts are independent of `timing.events`, and tests compare both; `moved` is taken from `timing.events`.
    """
    workload, array = m.workload, device.array
    counted: Counter[str] = Counter()
    group_kinds = _tiles(workload.groups, m.packed, m.temporal.group * m.spatial("group"))
    row_kinds = _tiles(m.values, m.word_lines, m.temporal.row * m.spatial("row"))
    column_kinds = _tiles(m.results, m.filters, m.temporal.column * m.spatial("column"))
    for (groups, n), (values, k), (results, c) in product(group_kinds, row_kinds, column_kinds):
        tiles = n * k * c
        rows, used = groups * values * array.rows_per_weight, groups * results * device.columns_per_weight
        converted = used if array.skips_unused else array.cols
        reads = tiles * m.vectors * device.input_steps
        counted["blocks"] += tiles * groups * values * results
        counted["products"] += tiles * m.vectors
        counted["conversions"] += reads * row_phases(rows, device) * converted
        counted["row_drives"] += reads * column_phases(used, device) * rows
        counted["cell_reads"] += reads * rows * used
    weights = counted.pop("blocks") * workload.reduction // m.values  # a window's filters are zero elsewhere
    cells = weights * array.rows_per_weight * device.columns_per_weight * m.replicas
    counted["macs"] = weights * workload.pixels // m.outputs
    counted["cells"], counted["cell_writes"] = cells, cells * m.turns if m.passes > 1 else 0
    return Events(**counted, moved=events(m, device).moved)


def _tiles(extent: int, size: int, places: int) -> list[tuple[int, int]]:
    """The tiles of an axis that has `places` for them, as (size, number): full ones, then the last one if smaller."""
    full, rest = divmod(min(extent, places * size), size)
    return [(size, full), (rest, 1)] if rest else [(size, full)]
