"""L2: the stages of a pass as processes that wait for each other, in SimPy.

What the analytical model takes for granted is simulated here: buffers hold two tokens, ports and merges serve one
token at a time in the order of arrival, and lanes that add up the same sums wait for each other. The stages and their
times are in `timing/_stages.py`; the assumptions A22 to A24 in `docs/assumptions/`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from math import ceil
from typing import NamedTuple

from simpy import Environment, Event, Resource

from cyclecast._integers import ceil_div
from cyclecast.device import Device
from cyclecast.errors import OptionError
from cyclecast.mapping import Mapping
from cyclecast.timing._base import Phase, Timing, role_of
from cyclecast.timing._costs import Events, column_phases, events, kinds, row_phases, write_time
from cyclecast.timing._stages import PassStage, PassStages, Product, plan
from cyclecast.units import Time

LEAST_WINDOW = 16
"""Tokens of a sample: each of its last two quarters must have a period."""
WAITS = ("wait input", "wait conversion", "wait merge", "wait output")
"""Why an array that has work does not read."""
PHASES = ("write", "fill", "compute", *WAITS, "drain")


class Span(NamedTuple):
    """A resource that is busy with a token, in a pass whose weights are in place."""

    resource: str
    what: str
    begin: Time
    end: Time


@dataclass(frozen=True, slots=True)
class Simulation:
    """What was simulated, and the timing that follows from it."""

    timing: Timing
    error: Time
    """By how much the total may differ from that of a simulation of every token; 0 where every one was simulated."""
    sampled: bool
    """Whether tokens were left out."""
    timeline: tuple[Span, ...]
    """The simulated tokens of the first pass, in the order of their ends."""

    @property
    def stalls(self) -> dict[str, Time]:
        """How long the arrays of the critical lane wait, by cause, over all passes."""
        return {phase.name: phase.time for phase in self.timing.phases if phase.name in WAITS}


@dataclass(frozen=True, slots=True)
class EventDriven:
    """The event simulation: the first of the tokens of each kind of pass, and a straight line through their ends."""

    window: int = 48
    """The most tokens of a lane that are simulated in a pass (A24)."""
    buffers: int = 2
    """Tokens that wait in a buffer (A23)."""

    def __post_init__(self) -> None:
        for name, least in (("window", LEAST_WINDOW), ("buffers", 1)):
            if getattr(self, name) < least:
                value = f"{name}={getattr(self, name)}"
                raise OptionError("event", value, f"at least {least}", f"event:{name}={least}")

    def time(self, mapping: Mapping, device: Device) -> Timing:
        """The timing of the mapping, with its events.

        Phases, of the lane whose arrays end last: `write`; `fill`, until the first read; `compute`, reads; four causes
        to wait, of which `wait conversion` is that an array cannot go on reading before its converters are done; and
        `drain`, from the last read to the last result.
        """
        return self.simulate(mapping, device).timing

    def simulate(self, mapping: Mapping, device: Device) -> Simulation:
        """The timing, and how it came about.

        Passes differ in what they move only; one of each kind is simulated. They follow each other strictly: the next
        is written when the last result of one has left.
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
    """A stage in one simulation: when it delivers each token, and when it takes it out of the buffer before it."""

    def __init__(self, env: Environment, stage: PassStage, tokens: int, room: int) -> None:
        self.stage, self.tokens, self.room = stage, tokens, room
        self.done = [env.event() for _ in range(tokens)]
        """With when the token arrives downstream, and when its first transfer began."""
        self.taken = [env.event() for _ in range(tokens)] if stage.product else self.done
        self.ended = [0] * tokens
        self.reads: list[tuple[int, int]] = []
        """Of arrays: begin of the first and end of the last read of each token."""
        self.waits: list[Counter[str]] = []


class _Pass:
    """The simulation of one pass."""

    def __init__(self, what: PassStages, window: int, buffers: int) -> None:
        self.plan, self.window = what, min(window, what.steps)
        self.product = next(stage.product for stage in what.stages if stage.product)
        self.period = self.product.period
        self.env = Environment()
        self.nodes = {stage: self._node(stage, buffers) for stage in what.stages}
        users = Counter(stage.resource for stage in what.stages)
        self.ports = {name: Resource(self.env) for name, count in users.items() if count > 1}
        self.spans: list[tuple[str, str, int, int]] = []

    def _node(self, stage: PassStage, buffers: int) -> _Node:
        """With room for the tokens that wait, and for those that are on their way through its pipeline."""
        on_their_way = stage.latency
        if stage.product:
            on_their_way = self.plan.after + stage.product.converting
        elif any(consumer.product for consumer in stage.consumers):
            on_their_way = self.plan.before
        room = buffers + ceil_div(on_their_way, self.period)
        return _Node(self.env, stage, min(stage.tokens, self.window), room)

    def run(self) -> None:
        for node in self.nodes.values():
            self.env.process(self._compute(node, node.stage.product) if node.stage.product else self._move(node))
        self.env.run()

    def _arrive(self, node: _Node, token: int) -> Generator[Event, tuple[int, int], tuple[int, int]]:
        """Wait until all sources have delivered the token: when, and when its first transfer began."""
        stamps = []
        for source in node.stage.sources:
            before = self.nodes[source]
            if token < before.tokens:
                stamps.append((yield before.done[token]))
        if not stamps:
            return 0, -1
        return max(arrival for arrival, _ in stamps), min(begin for _, begin in stamps)

    def _room(self, node: _Node, token: int) -> Generator[Event, tuple[int, int], None]:
        """Wait until there is room behind the stage for what it makes of the token."""
        for consumer in node.stage.consumers:
            after = self.nodes[consumer]
            if 0 <= token - node.room < after.tokens:
                yield after.taken[token - node.room]

    def _until(self, when: int) -> Generator[Event, tuple[int, int], None]:
        if when > self.env.now:
            yield self.env.timeout(when - int(self.env.now))

    def _move(self, node: _Node) -> Generator[Event, tuple[int, int], None]:
        """A port or a merge: it takes a token when the token, room behind it, and its turn have come."""
        stage, port = node.stage, self.ports.get(node.stage.resource)
        for token in range(node.tokens):
            arrival, first = yield from self._arrive(node, token)
            yield from self._until(arrival)
            yield from self._room(node, token)
            turn = port.request() if port else None
            if turn:
                yield turn
            begin = int(self.env.now)
            yield from self._until(begin + (stage.full if token < stage.many else stage.rest))
            if port and turn:
                port.release(turn)
            end = int(self.env.now)
            if end > begin:
                self.spans.append((stage.resource, f"step {token}", begin, end))
            node.ended[token] = max(end, arrival + stage.hidden) + stage.latency
            node.done[token].succeed((node.ended[token], begin if first < 0 else first))

    def _compute(self, node: _Node, slots: Product) -> Generator[Event, tuple[int, int], None]:
        """The arrays of a lane, and the pipeline behind them."""
        plan, converted = self.plan, 0
        fill = plan.before + plan.after
        for token in range(node.tokens):
            free = int(self.env.now)
            arrival, first = yield from self._arrive(node, token)
            yield from self._until(max(arrival, max(first, 0) + plan.before))
            ready = int(self.env.now)
            yield from self._room(node, token)
            begin = int(self.env.now)
            node.taken[token].succeed()
            end, converted = slots.run(begin, converted)
            late = max(end, converted - plan.cycle) if slots.converting else end
            result = max(converted, late + plan.after, arrival + fill)
            merge = self._merging(node, token, ready, begin)
            causes = {"wait input": ready - free, "wait conversion": end - begin - slots.reads}
            node.waits.append(Counter(causes | {"wait merge": merge, "wait output": begin - ready - merge}))
            node.reads.append((begin, end))
            self.spans.append((node.stage.resource, f"step {token}", begin, end))
            yield from self._until(end)
            node.ended[token] = result
            node.done[token].succeed((max(converted, result - plan.early), 0))

    def _merging(self, node: _Node, token: int, since: int, until: int) -> int:
        """How much of a wait for room is that lanes wait for each other: until the last of them has a result."""
        waited, oldest = 0, token - node.room
        for consumer in node.stage.consumers:
            others = [self.nodes[source] for source in consumer.sources]
            if len(others) > 1 and oldest >= 0:
                last = max(other.ended[oldest] for other in others if oldest < other.tokens)
                waited = max(waited, min(until, last) - since)
        return waited

    def phases(self) -> tuple[dict[str, int], int]:
        """The time of the pass by phase, and by how much the sum may be wrong [fs]."""
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
        """Between the last tokens of the sample, and by how much the end of those left out is in doubt [fs]."""
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
        takes_turns = any(stage.shared and stage.resource in self.ports for stage in self.nodes)
        unsteady = period if ripple or takes_turns else 0  # the order of turns may yet change
        return period, ceil(abs(third - fourth) * left + ripple + unsteady) + self._uneven()

    def _most(self) -> int:
        """The longest occupation of a resource for one step."""
        occupied: Counter[str] = Counter()
        for stage in self.nodes:
            occupied[stage.resource] += min(stage.full, stage.rest) if stage.tokens == self.plan.steps else 0
        return max(self.period, *occupied.values())

    def _uneven(self) -> int:
        """What replicas that run out of pixels save in the tokens left out, at most; the last one at every stage."""
        saved: Counter[str] = Counter()
        for stage in self.nodes:
            saved[stage.resource] += self.plan.steps * stage.full - stage.busy
        return max(saved.values()) + sum(stage.full - stage.rest for stage in self.nodes)


def _spread(found: Counter[str], time: int, weights: Counter[str]) -> None:
    """Add the time to the causes in proportion to their weights; a rest that no weight explains to `wait output`."""
    whole = sum(weights.values())
    shares = {name: time * weights[name] // whole if whole else 0 for name in WAITS}
    shares["wait output"] += time - sum(shares.values())
    found.update(shares)


def census(m: Mapping, device: Device) -> Events:
    """What the tokens do, counted tile by tile: every tile is one of the few kinds, full or last along each axis.

    Independent of `work.events`, which the tests compare it with; traffic is taken from there.
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
    """The sizes of tiles in so many places, and how many there are of each; places without a tile do nothing."""
    full, rest = divmod(min(extent, places * size), size)
    return [(size, full), (rest, 1)] if rest else [(size, full)]
