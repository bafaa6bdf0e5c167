"""The event simulation of a resident pipeline: its operators are processes that wait for each other.

It is a second opinion on the closed form. An operator takes its steps one by one; a step waits for its inputs, for the
port of the operator's busiest PE, and for room in the buffers behind. The time of a step is that of the event
simulation of the mapping alone (L2), unless another timing model is given.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import replace

from cyclecast._clock import Clock, Process, Resume, Signal, Turns
from cyclecast._integers import ceil_div
from cyclecast.errors import OptionError
from cyclecast.network import Edge, live_pixels
from cyclecast.placement._base import Busy, Check, Kept, Placement, Segment, Stall
from cyclecast.placement._buffers import shared
from cyclecast.placement._pipeline import needs_of
from cyclecast.placement._resident import Builder, delay_of
from cyclecast.placement._shared import ports_of, units_of
from cyclecast.placement._tokens import Link, Node, freed_by_token, needed_by_token
from cyclecast.timing import EventDriven, TimingModel, work_of
from cyclecast.units import Time

MOST_TOKENS = 256
"""Most tokens of an operator for one image; with more steps, a token has several."""
BUFFERS = 2
"""Tokens whose inputs may be in the port or wait behind it (A23)."""
SLOWER = 1.2
"""Least factor by which `roomier` lengthens the pace if the buffers are too small."""
WAITS = ("input", "network", "port", "room", "unit")
"""Causes for which an idle operator does not begin its next step."""


def simulate(placement: Placement, *, images: int = 16, model: TimingModel | None = None, spans: bool = True) -> Check:
    """Simulate the segment with the longest period for `images` images.

    `model` gives the times of steps (default: L2). `spans`: whether to record the busy intervals. Raises `OptionError`
    for fewer than 4 images.
    """
    if images < 4:
        raise OptionError("images", f"{images}", "at least 4: those in the middle show the interval", "images=16")
    segment = max(placement.segments, key=lambda each: each.period)
    operators = placement.network.operators
    floor, device = placement.floor, placement.device
    builder = Builder(
        operators=operators, needs=needs_of(operators), floor=floor, device=device, model=model or EventDriven(),
        work=work_of(placement.homes),
    )  # fmt: skip
    return simulated(builder, segment, images, spans=spans)


def simulated(
    builder: Builder,
    segment: Segment,
    images: int,
    tokens: int = MOST_TOKENS,
    again: bool = True,
    spans: bool = False,
) -> Check:
    """Simulate one segment with the timing model of `builder` and at most `tokens` tokens of an operator per image.

    In a deadlock, `Check.blocked` names the operators that wait for room. If `again`, the other results are then those
    with unlimited buffers, else 0.
    """
    found = _Pipeline(builder, segment, segment.kept, images, tokens, spans=spans)
    found.run()
    blocked = found.blocked()
    if blocked and not again:
        return Check(Time(0), Time(0), (), (), blocked)
    if blocked:
        found = _Pipeline(builder, segment, (), images, tokens, spans=spans)
        found.run()
    return found.check(blocked)


def roomier(builder: Builder, segment: Segment, images: int, tokens: int = MOST_TOKENS) -> Segment | None:
    """The segment with other rooms, large enough for the tokens that wait if one image enters per period.

    If the buffers are too small for that, images enter less often, at last one at a time; None if they are too small
    for one image. With these rooms there is no deadlock at any pace: the simulated order of steps is always possible.
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
        self,
        builder: Builder,
        segment: Segment,
        kept: Sequence[Kept],
        images: int,
        most: int,
        pace: int | None = None,
        spans: bool = False,
    ) -> None:
        self.builder, self.images, self.most = builder, images, most
        self.pace, self.paced = pace or 0, pace is not None
        self.operators, self.chip = builder.operators, builder.floor.chip
        self.kept = {each.operator: each for each in kept}
        self.clock = Clock()
        self.network, self.writer = Turns(self.clock), Turns(self.clock)
        self.before = self.chip.pipeline.before * self.chip.array.read.femtoseconds
        self.spans: list[Busy] | None = [] if spans else None
        self.stages = {stage.operator: stage for stage in segment.stages}
        self.chosen = {
            place: builder.chosen(stage.mapping, self.operators[place].is_dynamic, place)
            for place, stage in self.stages.items()
        }
        self.hops = builder.hops({place: stage.site for place, stage in self.stages.items()})
        members = self._members(segment)
        sites = {place: stage.site for place, stage in self.stages.items()}
        self.ports, self.units = ports_of(sites, self.chosen, self.clock), units_of(sites, self.chosen, self.clock)
        self.nodes = {place: self._node(place) for place in members}
        self.links = {place: self._links(place) for place in members}
        self.behind: dict[int, list[Link]] = {place: [] for place in members}
        for found in self.links.values():
            for link in found:
                self.behind[link.source].append(link)

    def _members(self, segment: Segment) -> list[int]:
        """The operators of the segment, with the host's operators between them."""
        places = [stage.operator for stage in segment.stages]
        return list(range(places[0], places[-1] + 1))

    def _node(self, place: int) -> Node:
        stage = self.stages.get(place)
        ready, fed, taken, summed, done = (Signal(self.clock) for _ in range(5))
        signals = ready, fed, taken, summed, done
        if stage is None:
            return Node(place, 1, 0, 0, None, 0, 0, None, 0, 0, 0, *signals)
        chosen = self.chosen[place]
        tokens = min(self.most, stage.mapping.temporal.pixel)
        delay = delay_of(stage.timing) - (self.before if self.ports[place][0] else 0)
        traffic = self.builder.traffic(place, self.hops)
        traffic += self.builder.detour(self.kept[place]) if place in self.kept else 0
        port, port_time, pe = self.ports[place]
        unit, unit_time = self.units.get(place, (None, 0))
        times = chosen.alone, delay, port, port_time, pe, unit, unit_time, chosen.write, traffic
        return Node(place, tokens, *times, *signals)

    def _links(self, place: int) -> list[Link]:
        edges = self.operators[place].sources
        return [self._link(edge, place) for edge in edges if edge.source in self.nodes]

    def _link(self, edge: Edge, place: int) -> Link:
        operators = self.operators
        source, one, needs = operators[edge.source], self.nodes[edge.source], self._needs(edge, place)
        inputs = [int(ceil_div(need * one.tokens, source.pixels)) - 1 for need in needs]
        room = self._room(edge, place, needs, one.tokens, source.pixels)
        network = self.chip.network
        way = int(self.hops.get((edge.source, place), 0) * network.hop.femtoseconds) if network else 0
        return Link(edge.source, place, way, inputs, room)

    def _needs(self, edge: Edge, place: int) -> Sequence[int]:
        """Pixels of the source that the target needs, by token of the target; they never fall."""
        source, target = self.operators[edge.source], self.operators[place]
        return needed_by_token(replace(edge, source=0), source.raster, target.raster, self.nodes[place].tokens)

    def _room(self, edge: Edge, place: int, needs: Sequence[int], tokens: int, pixels: int) -> list[int]:
        """By token of the source: number of tokens that the target must have taken before (`Link.room`)."""
        source, kept = self.operators[edge.source], self.kept.get(place)
        if place not in self.stages or kept is None or kept.room is None or edge.source not in self.stages:
            return [-self.images * len(needs)] * tokens
        alive = live_pixels(edge, source.raster)
        steps = ceil_div(pixels, tokens) + max(b - a for a, b in zip([0, *needs], needs, strict=False))
        capacity = max(kept.room_of(edge.source) * pixels // self._size(edge.source, place), alive + steps)
        freed = freed_by_token(needs, alive, pixels)
        found = []
        for token in range(tokens):
            over = ceil_div((token + 1) * pixels, tokens) - capacity
            images = -(over // pixels) if over <= 0 else 0
            over += images * pixels
            found.append(min(bisect_left(freed, over), len(needs)) - images * len(needs))
        return found

    def _size(self, source: int, place: int) -> int:
        """Bytes that an operator keeps of one source, for a whole image; at least 1."""
        workload = self.stages[place].mapping.workload
        return max(1, min(self.builder.bytes_of[source], workload.inputs * workload.input_bits // 8))

    def run(self) -> None:
        """Run the simulation until no event is left."""
        processes: list[Process] = []
        for place, node in self.nodes.items():
            processes += [self._bring(place, node), self._feed(node), self._work(place, node)]
            processes += [self._finish(node)] if node.unit else []
        self.clock.run(processes)

    def blocked(self) -> tuple[int, ...]:
        """Operators that still wait for room after the end of the simulation: a deadlock."""
        return tuple(node.place for node in self.nodes.values() if node.waiting)

    def waiting(self) -> dict[int, tuple[tuple[int, int], ...]]:
        """By operator: (source, most bytes that waited at the same time) for each source."""
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
        """Most pixels of the source that wait at the same time, from the begin of their step to their last use."""
        one, other, source = self.nodes[edge.source], self.nodes[place], self.operators[edge.source]
        freed = freed_by_token(self._needs(edge, place), live_pixels(edge, source.raster), source.pixels)
        most = 0
        for number, begin in enumerate(one.begun):
            image, token = divmod(number, one.tokens)
            images, tokens = divmod(bisect_right(other.begun, begin), other.tokens)
            there = image * source.pixels + ceil_div((token + 1) * source.pixels, one.tokens)
            most = max(most, int(there) - images * source.pixels - freed[tokens])
        return most

    def check(self, blocked: tuple[int, ...]) -> Check:
        """The results of the simulation."""
        ends = [self._end(image) for image in range(self.images)]
        first, last = self.images // 4, self.images * 3 // 4  # later images have less competition for ports
        interval = Time((ends[last] - ends[first]) // (last - first))
        spans = tuple(sorted(self.spans or (), key=lambda span: (span.begin, span.operator, span.resource)))
        return Check(interval, Time(ends[0]), self._stalls(), spans, blocked)

    def _end(self, image: int) -> int:
        return max(node.ended[(image + 1) * node.tokens - 1] for node in self.nodes.values())

    def _bring(self, place: int, node: Node) -> Process:
        """Process: for each token, wait for its inputs and move them through the network."""
        resume, clock = (yield), self.clock
        links = [(self.nodes[link.source], link.inputs, link.way) for link in self.links[place]]
        for image in range(self.images):
            for token in range(node.tokens):
                if image * self.pace > clock.now:
                    clock.at(image * self.pace, resume)
                    yield
                for source, inputs, way in links:
                    number = image * source.tokens + inputs[token]
                    if source.done.seen <= number:
                        source.done.wait(number, resume)
                        yield
                    there = source.ended[number] + way
                    if there > clock.now:
                        clock.at(there, resume)
                        yield
                arrived = clock.now
                if node.traffic:
                    self.network.ask(resume)
                    yield
                    begin, taken = clock.now, node.share(token, node.traffic)
                    if taken:
                        clock.at(begin + taken, resume)
                        yield
                    self.network.leave()
                    self._note("network", node, image, begin)
                node.came.append((arrived, clock.now))
                node.ready.happen()
        yield

    def _feed(self, node: Node) -> Process:
        """Process: move the inputs of each token through the port, at most `BUFFERS` tokens ahead."""
        resume, clock, ready, taken = (yield), self.clock, node.ready, node.taken
        for number in range(node.tokens * self.images):
            if ready.seen <= number:
                ready.wait(number, resume)
                yield
            if taken.seen <= number - BUFFERS:
                taken.wait(number - BUFFERS, resume)
                yield
            if node.port is not None:
                node.port.ask(resume)
                yield
                image, token = divmod(number, node.tokens)
                begin, lasting = clock.now, node.share(token, node.port_time)
                if lasting:
                    clock.at(begin + lasting, resume)
                    yield
                node.port.leave()
                self._note("port", node, image, begin)
                if begin + self.before > clock.now:
                    clock.at(begin + self.before, resume)
                    yield
            node.fed.happen()
        yield

    def _note(self, name: str, node: Node, image: int, begin: int) -> None:
        if self.spans is not None and self.clock.now > begin:
            self.spans.append(Busy(name, node.pe, node.place, image, Time(begin), Time(self.clock.now)))

    def _work(self, place: int, node: Node) -> Process:
        """Process: take the steps of all images one by one."""
        resume, clock, fed = (yield), self.clock, node.fed
        behind = [(self.nodes[link.target], link.room) for link in self.behind[place]]
        for image in range(self.images):
            by_input = by_network = by_port = by_room = by_unit = 0
            for token in range(node.tokens):
                number, since = image * node.tokens + token, clock.now
                if fed.seen <= number:
                    fed.wait(number, resume)
                    yield
                there = clock.now
                for target, room in behind:
                    wanted = image * target.tokens + room[token] - 1
                    if target.taken.seen <= wanted:
                        node.waiting = True
                        target.taken.wait(wanted, resume)
                        yield
                        node.waiting = False
                free = clock.now
                yield from self._until_unit(node, number, resume)
                if node.write and not token:
                    yield from self._written(node, image, resume)
                begin = clock.now
                if self.paced:
                    node.begun.append(begin)
                node.taken.happen()
                lasting = node.share(token, node.time - node.write)
                if lasting:
                    clock.at(begin + lasting, resume)
                    yield
                self._note("arrays", node, image, begin)
                if node.unit:
                    node.summed.happen()
                else:
                    node.ended.append(clock.now + node.delay)
                    node.done.happen()
                arrived, came = (max(since, when) for when in node.came.popleft())
                by_input, by_network = by_input + arrived - since, by_network + came - arrived
                by_port, by_room, by_unit = by_port + there - came, by_room + free - there, by_unit + begin - free
            node.waits.append(dict(zip(WAITS, (by_input, by_network, by_port, by_room, by_unit), strict=True)))
        yield

    def _until_unit(self, node: Node, number: int, resume: Resume) -> Process:
        """Wait until the digital unit has taken older sums, so that there is room for those of this token."""
        if node.unit and node.done.seen <= number - BUFFERS:
            node.done.wait(number - BUFFERS, resume)
            yield

    def _finish(self, node: Node) -> Process:
        """Process: the digital unit takes the sums of one token after another."""
        resume, clock, summed = (yield), self.clock, node.summed
        assert node.unit is not None
        for number in range(node.tokens * self.images):
            if summed.seen <= number:
                summed.wait(number, resume)
                yield
            node.unit.ask(resume)
            yield
            image, token = divmod(number, node.tokens)
            begin, lasting = clock.now, node.share(token, node.unit_time)
            if lasting:
                clock.at(begin + lasting, resume)
                yield
            node.unit.leave()
            self._note("unit", node, image, begin)
            node.ended.append(clock.now + node.delay)
            node.done.happen()
        yield

    def _written(self, node: Node, image: int, resume: Resume) -> Process:
        """Write a computed operand; one operator at a time can write."""
        self.writer.ask(resume)
        yield
        begin = self.clock.now
        self.clock.at(begin + node.write, resume)
        yield
        self.writer.leave()
        self._note("write", node, image, begin)

    def _stalls(self) -> tuple[Stall, ...]:
        """The stalls of an image in the middle of the simulation."""
        middle = self.images // 2
        busiest = max(self.nodes.values(), key=lambda node: node.time)
        found = [Stall(busiest.place, cause, Time(busiest.waits[middle][cause])) for cause in WAITS]
        for cause in WAITS[1:]:
            node = max(self.nodes.values(), key=lambda each: each.waits[middle][cause])
            found.append(Stall(node.place, cause, Time(node.waits[middle][cause])))
        named = sorted(dict.fromkeys(found), key=lambda stall: -stall.time.femtoseconds)
        return tuple(stall for stall in named if stall.time > Time(0))
