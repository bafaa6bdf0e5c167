"""The second opinion on a resident pipeline: its operators as processes that wait for each other, in SimPy.

What the closed form takes for granted is simulated: an operator takes its steps one by one, each when its inputs are
there, when the port of its busiest PE is free, and when there is room behind it. A step takes what the event simulation
of the mapping alone (L2) says.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from simpy import Environment, Event, Resource

from cyclecast.dataflow import lines, needed
from cyclecast.errors import OptionError
from cyclecast.exact import ceil_div
from cyclecast.placement._base import Busy, Check, Kept, Placement, Segment, Stall
from cyclecast.placement._buffers import shared
from cyclecast.placement._floor import port_loads
from cyclecast.placement._pipeline import needs_of
from cyclecast.placement._resident import Builder, delay_of, demands_of
from cyclecast.timing import EventDriven, TimingModel
from cyclecast.units import Time
from cyclecast.workload import Edge

MOST_TOKENS = 256
"""Of one operator for one image: longer runs of steps are taken together."""
BUFFERS = 2
"""Tokens whose inputs are on their way or wait (A23)."""
SLOWER = 1.2
"""Times so long between images at least, where the buffers are too small."""
WAITS = ("input", "network", "port", "room")
"""Why an operator that is free does not begin its next step."""


@dataclass(eq=False, slots=True)
class _Node:
    """An operator in the simulation."""

    place: int
    tokens: int
    time: int
    """Of one image [fs]."""
    delay: int
    port: Resource | None
    port_time: int
    """Of one image [fs]."""
    pe: int
    ready: list[Event]
    """Of every token: all its inputs have arrived,"""
    fed: list[Event]
    """they are in the registers of its arrays,"""
    taken: list[Event]
    """its step has begun,"""
    done: list[Event]
    """its step has ended: with when its pixels are there, the way to the next operator not counted."""
    write: int
    """Of the time, for a computed operand [fs]."""
    traffic: int = 0
    """What its inputs occupy the network for, for one image [fs]."""
    waiting: bool = False
    """For room."""
    arrived: dict[int, int] = field(default_factory=dict)
    """When the inputs of a token were there, but for the network."""
    waits: list[Counter[str]] = field(default_factory=list)
    """Of every image."""

    def share(self, token: int, whole: int) -> int:
        """The part of a time of the whole image that one token takes."""
        return whole * (token + 1) // self.tokens - whole * token // self.tokens


class _Link(NamedTuple):
    """An edge: for every token of the target the token of the source that it waits for, and the other way round."""

    source: int
    target: int
    way: int
    inputs: list[int]
    """For a token of the target, the token of the source in the same image."""
    room: list[int]
    """For a token of the source, how many tokens the target must have taken, counted from the image's first: negative
    where those of an image before are enough."""


def simulate(placement: Placement, *, images: int = 16, model: TimingModel | None = None) -> Check:
    """Simulate the segment with the longest period for so many images, steps timed by `model` (L2 unless said)."""
    if images < 4:
        raise OptionError("images", f"{images}", "at least 4: those in the middle show the interval", "images=16")
    segment = max(placement.segments, key=lambda each: each.period)
    operators = placement.network.operators
    floor, device = placement.floor, placement.device
    builder = Builder(operators, needs_of(operators), floor, device, model or EventDriven())
    return simulated(builder, segment, images)


def simulated(builder: Builder, segment: Segment, images: int, tokens: int = MOST_TOKENS, again: bool = True) -> Check:
    """Simulate one segment, steps timed by the model of `builder`, with at most so many tokens of an operator an image.

    Where operators wait for room for ever, they are named, and the times are (if `again`) those with buffers without
    limits.
    """
    kept = segment.kept
    found = _Pipeline(builder, segment, kept, images, tokens)
    found.run()
    blocked = found.blocked()
    if blocked and not again:
        return Check(Time(0), Time(0), (), (), blocked)
    if blocked:
        found = _Pipeline(builder, segment, (), images, tokens)
        found.run()
    return found.check(blocked)


def roomier(builder: Builder, segment: Segment, images: int, tokens: int = MOST_TOKENS) -> Segment | None:
    """The segment with room for what waits while an image enters in every period; None where buffers are too small.

    Where they are, images enter less often, at last one at a time. Where rooms hold what waits, no operator waits for
    room for ever, whatever the pace: what they did in that simulation they can do here.
    """
    sites = {stage.operator: stage.site for stage in segment.stages}
    pace, longest = segment.period.femtoseconds, segment.latency.femtoseconds
    while True:
        paced = _Pipeline(builder, segment, (), images, tokens, pace)
        paced.run()
        kept = shared(paced.waiting(), sites, builder.floor)
        if all(each.is_enough for each in kept):
            return replace(segment, kept=kept)
        if pace >= longest:
            return None
        share = max(each.bytes / each.room for each in kept if each.room)
        pace = min(longest, 1 + int(pace * max(share, SLOWER)))


class _Pipeline:
    """The simulation of one segment."""

    def __init__(
        self, builder: Builder, segment: Segment, kept: Sequence[Kept], images: int, most: int, pace: int = 0
    ) -> None:
        self.builder, self.images, self.most, self.pace = builder, images, most, pace
        self.operators, self.chip = builder.operators, builder.floor.chip
        self.kept = {each.operator: each for each in kept}
        self.env = Environment()
        self.network, self.writer = Resource(self.env), Resource(self.env)
        self.before = self.chip.pipeline.before * self.chip.array.read.femtoseconds
        self.spans: list[Busy] = []
        self.stages = {stage.operator: stage for stage in segment.stages}
        self.chosen = {
            place: builder.chosen(stage.mapping, self.operators[place].is_dynamic)
            for place, stage in self.stages.items()
        }
        self.hops = builder.hops({place: stage.site for place, stage in self.stages.items()})
        members = self._members(segment)
        ports = self._ports()
        self.nodes = {place: self._node(place, ports) for place in members}
        self.links = {place: self._links(place) for place in members}
        self.behind: dict[int, list[_Link]] = {place: [] for place in members}
        for found in self.links.values():
            for link in found:
                self.behind[link.source].append(link)

    def _members(self, segment: Segment) -> list[int]:
        """The operators of the segment, those on the host between them included."""
        places = [stage.operator for stage in segment.stages]
        return list(range(places[0], places[-1] + 1))

    def _ports(self) -> dict[int, tuple[Resource | None, int, int]]:
        """For every operator: the port of its busiest PE, how long it keeps it busy, and which PE that is."""
        sites = {place: stage.site for place, stage in self.stages.items()}
        _, uses = port_loads(sites, demands_of(self.chosen))
        resources: dict[int, Resource] = {}
        found: dict[int, tuple[Resource | None, int, int]] = {
            place: (None, 0, site.shares[0].pe) for place, site in sites.items()
        }
        for place, use in uses.items():
            found[place] = resources.setdefault(use.pe, Resource(self.env)), use.own, use.pe
        return found

    def _node(self, place: int, ports: Mapping[int, tuple[Resource | None, int, int]]) -> _Node:
        stage = self.stages.get(place)
        if stage is None:
            return _Node(place, 1, 0, 0, None, 0, 0, *self._events(1), 0)
        chosen = self.chosen[place]
        tokens = min(self.most, stage.mapping.temporal.pixel)
        delay = delay_of(stage.timing) - (self.before if ports[place][0] else 0)
        traffic = self.builder.traffic(place, self.hops)
        traffic += self.builder.detour(self.kept[place]) if place in self.kept else 0
        return _Node(place, tokens, chosen.time, delay, *ports[place], *self._events(tokens), chosen.write, traffic)

    def _events(self, tokens: int) -> tuple[list[Event], list[Event], list[Event], list[Event]]:
        """Ready, fed, taken, done."""
        ready, fed, taken, done = ([self.env.event() for _ in range(tokens * self.images)] for _ in range(4))
        return ready, fed, taken, done

    def _links(self, place: int) -> list[_Link]:
        edges = self.operators[place].sources
        return [self._link(edge, place) for edge in edges if edge.source in self.nodes]

    def _link(self, edge: Edge, place: int) -> _Link:
        operators = self.operators
        source, one, needs = operators[edge.source], self.nodes[edge.source], self._needs(edge, place)
        inputs = [int(ceil_div(need * one.tokens, source.pixels)) - 1 for need in needs]
        room = self._room(edge, place, needs, one.tokens, source.pixels)
        network = self.chip.network
        way = int(self.hops.get((edge.source, place), 0) * network.hop.femtoseconds) if network else 0
        return _Link(edge.source, place, way, inputs, room)

    def _needs(self, edge: Edge, place: int) -> list[int]:
        """Pixels of the source that the target needs for every token, and all before."""
        source, target, other = self.operators[edge.source], self.operators[place], self.nodes[place]
        most, needs = 0, []
        for token in range(other.tokens):
            last = ceil_div((token + 1) * target.pixels, other.tokens) - 1
            most = max(most, needed(edge, source.raster, target.raster, int(last)))
            needs.append(most)
        return needs

    def _room(self, edge: Edge, place: int, needs: list[int], tokens: int, pixels: int) -> list[int]:
        """How many tokens the target must have taken before a token of the source has room."""
        source, kept = self.operators[edge.source], self.kept.get(place)
        if place not in self.stages or kept is None or kept.room is None or edge.source not in self.stages:
            return [-self.images * len(needs)] * tokens
        alive = lines(edge, source.raster)
        steps = ceil_div(pixels, tokens) + max(b - a for a, b in zip([0, *needs], needs, strict=False))
        capacity = max(kept.room_of(edge.source) * pixels // self._size(edge.source, place), alive + steps)
        freed = _freed(needs, alive, pixels)
        found = []
        for token in range(tokens):
            over = ceil_div((token + 1) * pixels, tokens) - capacity
            images = -(over // pixels) if over <= 0 else 0
            over += images * pixels
            taken = next(count for count, free in enumerate(freed) if free >= over)
            found.append(min(taken, len(needs)) - images * len(needs))
        return found

    def _size(self, source: int, place: int) -> int:
        """Of all that an operator keeps of one source, for an image [bytes]."""
        workload = self.stages[place].mapping.workload
        return max(1, min(self.builder.bytes_of(source), workload.inputs * workload.input_bits // 8))

    def run(self) -> None:
        """Until nothing happens any more."""
        for place, node in self.nodes.items():
            self.env.process(self._bring(place, node))
            self.env.process(self._feed(node))
            self.env.process(self._work(place, node))
        self.env.run()

    def blocked(self) -> tuple[int, ...]:
        """Operators that wait for room behind them when nothing happens any more."""
        return tuple(node.place for node in self.nodes.values() if node.waiting)

    def waiting(self) -> dict[int, tuple[tuple[int, int], ...]]:
        """The most that waited for every operator at the same time, by source [bytes]."""
        found: dict[int, tuple[tuple[int, int], ...]] = {}
        for place in self.stages:
            edges = [edge for edge in self.operators[place].sources if edge.source in self.stages]
            most = {edge.source: 0 for edge in edges}
            for edge in edges:
                pixels = self.operators[edge.source].pixels
                held = self._most_held(edge, place) * self._size(edge.source, place)
                most[edge.source] = max(most[edge.source], int(ceil_div(held, pixels)))
            found[place] = tuple(most.items())
        return found

    def _most_held(self, edge: Edge, place: int) -> int:
        """Pixels of the source at the same time: each from the beginning of its step until no token needs it."""
        one, other, source = self.nodes[edge.source], self.nodes[place], self.operators[edge.source]
        freed = _freed(self._needs(edge, place), lines(edge, source.raster), source.pixels)
        begun, taken = ([int(event.value or 0) for event in node.taken] for node in (one, other))
        most = 0
        for number, begin in enumerate(begun):
            image, token = divmod(number, one.tokens)
            images, tokens = divmod(bisect_right(taken, begin), other.tokens)
            there = image * source.pixels + ceil_div((token + 1) * source.pixels, one.tokens)
            most = max(most, int(there) - images * source.pixels - freed[tokens])
        return most

    def check(self, blocked: tuple[int, ...]) -> Check:
        """What came out."""
        ends = [self._end(image) for image in range(self.images)]
        first, last = self.images // 4, self.images * 3 // 4  # later ones have the ports to themselves
        interval = Time((ends[last] - ends[first]) // (last - first))
        spans = tuple(sorted(self.spans, key=lambda span: (span.begin, span.operator, span.resource)))
        return Check(interval, Time(ends[0]), self._stalls(), spans, blocked)

    def _end(self, image: int) -> int:
        return max(int(node.done[(image + 1) * node.tokens - 1].value or 0) for node in self.nodes.values())

    def _bring(self, place: int, node: _Node) -> Generator[Event, Any, None]:
        """One token after another: wait for its inputs, and move them through the network."""
        for number in range(node.tokens * self.images):
            image, token = divmod(number, node.tokens)
            yield from self._until(image * self.pace)
            for link in self.links[place]:
                source = self.nodes[link.source]
                there = yield source.done[image * source.tokens + link.inputs[token]]
                yield from self._until(int(there or 0) + link.way)
            node.arrived[number] = int(self.env.now)
            if node.traffic:
                yield from self._occupied(self.network, "network", node, number, node.traffic)
            node.ready[number].succeed()

    def _feed(self, node: _Node) -> Generator[Event, Any, None]:
        """One token after another, through the port as far ahead as buffers reach."""
        for number in range(node.tokens * self.images):
            yield node.ready[number]
            if number >= BUFFERS:
                yield node.taken[number - BUFFERS]
            if node.port is not None:
                begin = yield from self._occupied(node.port, "port", node, number, node.port_time)
                yield from self._until(begin + self.before)
            node.fed[number].succeed()

    def _occupied(
        self, resource: Resource, name: str, node: _Node, number: int, whole: int
    ) -> Generator[Event, Any, int]:
        """Take a turn for one token, out of so much time for an image; when it began."""
        turn = resource.request()
        yield turn
        begin = int(self.env.now)
        image, token = divmod(number, node.tokens)
        yield from self._until(begin + node.share(token, whole))
        resource.release(turn)
        self._note(name, node, image, begin)
        return begin

    def _note(self, name: str, node: _Node, image: int, begin: int) -> None:
        if self.env.now > begin:
            self.spans.append(Busy(name, node.pe, node.place, image, Time(begin), Time(int(self.env.now))))

    def _work(self, place: int, node: _Node) -> Generator[Event, Any, None]:
        """Take the steps of all images one by one."""
        env = self.env
        for image in range(self.images):
            waits: Counter[str] = Counter()
            for token in range(node.tokens):
                number, since = image * node.tokens + token, int(env.now)
                yield node.ready[number]
                ready = int(env.now)
                yield node.fed[number]
                fed = int(env.now)
                for link in self.behind[place]:
                    target = self.nodes[link.target]
                    wanted = image * target.tokens + link.room[token] - 1
                    if wanted >= 0:
                        node.waiting = True
                        yield target.taken[wanted]
                        node.waiting = False
                if node.write and not token:
                    yield from self._occupied(self.writer, "write", node, image * node.tokens, node.tokens * node.write)
                begin = int(env.now)
                node.taken[number].succeed(begin)
                yield from self._until(begin + node.share(token, node.time - node.write))
                self._note("arrays", node, image, begin)
                node.done[number].succeed(int(env.now) + node.delay)
                arrived = max(since, node.arrived[number])
                waits.update({"input": arrived - since, "network": ready - arrived})
                waits.update({"port": fed - ready, "room": begin - fed})
            node.waits.append(waits)

    def _until(self, when: int) -> Generator[Event, Any, None]:
        if when > self.env.now:
            yield self.env.timeout(when - int(self.env.now))

    def _stalls(self) -> tuple[Stall, ...]:
        """Of an image in the middle."""
        middle = self.images // 2
        busiest = max(self.nodes.values(), key=lambda node: node.time)
        found = [Stall(busiest.place, cause, Time(busiest.waits[middle][cause])) for cause in WAITS]
        for cause in WAITS[1:]:
            node = max(self.nodes.values(), key=lambda each: each.waits[middle][cause])
            found.append(Stall(node.place, cause, Time(node.waits[middle][cause])))
        named = sorted(dict.fromkeys(found), key=lambda stall: -stall.time.femtoseconds)
        return tuple(stall for stall in named if stall.time > Time(0))


def _freed(needs: Sequence[int], alive: int, pixels: int) -> list[int]:
    """Pixels of a source that no later token needs, once so many tokens of the target are taken."""
    return [0, *(max(0, need - alive) for need in needs[:-1]), pixels]
