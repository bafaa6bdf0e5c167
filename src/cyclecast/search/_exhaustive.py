"""Exhaustive search: the best mapping of all, and the proof of it.

Branch and bound in three steps, each over arrays of numbers:

1. every *tiling* (`cyclecast.enumeration`),
2. every *node*: a tiling, the passes over groups, row tiles and column tiles, and their order;
3. every *mapping* of a node: the factors of the inner levels, and replicas; the outermost level takes what is left.

A node's lower bound is the time of its busiest array alone: tiles of that size, one after another, in the fewest steps
that all arrays of the device allow. Nodes are opened in the order of their bounds until none is below the best time
found. This asks of the timing model that it is never shorter for larger tiles, for more instances at work or for more
turns, and never shorter than one array's share of the work alone.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from time import perf_counter
from typing import NamedTuple

import numpy as np

from cyclecast.bounding import AT_ONCE, Floor, factors_of, mappings_of
from cyclecast.decisions import default_mapping
from cyclecast.enumeration import (
    MOST_WAYS,
    Inner,
    Numbers,
    Tilings,
    divides,
    forms,
    inner,
    inner_ways,
    is_least,
    sketches,
    tilings,
    unported,
)
from cyclecast.errors import CyclecastError, OptionError
from cyclecast.exact import ceil_div
from cyclecast.mapping import TILE_AXES, Mapping
from cyclecast.mappings import Mappings
from cyclecast.search._base import Certificate, Outcome, Problem
from cyclecast.timing import Timing, Timings
from cyclecast.units import Bandwidth, Time

GROUP, ROW, COLUMN, PIXEL = range(len(TILE_AXES))
UNLIMITED = Bandwidth(10**30)
LEAST_CHUNK = 4096
"""What the smallest chunk costs, in mappings."""
NEVER = 2**200
"""Longer than any time [fs]."""
SLOW = 0.001
"""Seconds a mapping from which on a timing model is too slow for this."""
MOST_TILINGS = 4096
"""In a block."""
MOST_KINDS = 128
"""Tilings with all their passes in a chunk, twice."""


@dataclass(frozen=True, slots=True)
class Exhaustive:
    """Every mapping of every sketch, timed or excluded by a bound."""

    most: int = 20_000_000
    """Mappings to time, at most; the certificate then says how far from the least time the best one can be.

    A chunk of fewer than 4,096 counts as so many, so that the time is bounded too.
    """
    im2col: bool = False
    """Only mappings without windows, packed groups and stationary inputs."""
    perfect: bool = False
    """Only sizes and factors that divide what they cut, as in mappers that know no others; nothing is then counted."""
    calls: int = 200_000
    """The same for a model that times one mapping at a time, its bounds included."""

    def __post_init__(self) -> None:
        for name in ("most", "calls"):
            if getattr(self, name) < 1:
                value = f"{name}={getattr(self, name)}"
                raise OptionError("exhaustive", value, "at least 1 mapping is timed", f"exhaustive:{name}=1000000")

    def declines(self, problem: Problem) -> str:
        """Why another strategy is needed: the device is too wide or the timing model too slow; empty if neither."""
        ways = inner_ways(problem.device)
        if ways > MOST_WAYS:
            return f"the inner levels can be used in {ways:.2g} ways, too many to look at all"
        if hasattr(problem.model, "times"):
            return ""
        mapping = default_mapping(problem.workload, problem.device)
        try:
            seconds = min(_seconds(partial(problem.model.time, mapping, problem.device)) for _ in range(3))
        except CyclecastError:  # refuses this one
            return ""
        if not getattr(problem.model, "lawful", True) and not _is_least(problem, mapping):
            return "the timing model may be faster with more work, which no bound can follow"
        if seconds < SLOW:
            return ""
        return f"the timing model takes {1000 * seconds:.2g} ms a mapping, too long to look at all"

    def start(self, problem: Problem) -> ExhaustiveSearch:
        """Begin with the default mapping."""
        return ExhaustiveSearch(problem, self)


def _is_least(problem: Problem, mapping: Mapping) -> bool:
    """Whether the mapping is as short as the model itself says that any can be."""
    stated = getattr(problem.model, "bounds", None)
    total = problem.model.time(mapping, problem.device).total
    return stated is not None and bool(total == stated(mapping, problem.device).lower)


def _seconds(step: Callable[[], object]) -> float:
    begin = perf_counter()
    step()
    return perf_counter() - begin


class _Nodes(NamedTuple):
    """Element i of each array is node i."""

    tiling: Numbers
    passes: Numbers
    """Over groups, row tiles and column tiles: three rows."""
    stationary: Numbers
    """Whether inputs are: 0 or 1."""
    steps: Numbers
    """The fewest along the pixels."""
    lower: Numbers
    """No mapping of the node is shorter [fs]."""

    def take(self, chosen: Numbers) -> _Nodes:
        """Those at these places."""
        return _Nodes(*(numbers[..., chosen] for numbers in self))


class ExhaustiveSearch:
    """The search at work."""

    def __init__(self, problem: Problem, plan: Exhaustive) -> None:
        self.problem, self.plan = problem, plan
        alone = not hasattr(problem.model, "times")
        free = unported(problem.device, UNLIMITED if alone else None)
        self.floor, self.unported = (
            Floor(problem.workload, of, problem.model, plan.calls) for of in (problem.device, free)
        )
        self.first = default_mapping(problem.workload, problem.device)
        self.timed, self.looked, self.complete = 0, 0, False
        self.times: list[int] = []
        """The two shortest different times so far [fs]."""
        self.lower = 0
        """Of all that is not yet looked at [fs]."""
        self.batches = self._batches()

    def ask(self, most: int) -> Mappings | Sequence[Mapping]:
        """The next chunk, of at most 16,384 mappings whatever is asked for less."""
        while not self._spent():
            batch = next(self.batches, [])
            if not isinstance(batch, Mappings) or self.plan.perfect:
                return batch
            if len(batch := batch.without(self.first)):
                return batch
        return []

    @property
    def best(self) -> int:
        """The shortest time so far [fs]."""
        return self.times[0] if self.times else NEVER

    def _spent(self) -> bool:
        if self.floor.many is not None:
            return self.looked >= self.plan.most
        return self.timed + self.floor.calls + self.unported.calls >= self.plan.calls

    def tell(self, timings: Sequence[Timing | None] | Timings) -> None:
        """Times that prune what follows."""
        if isinstance(timings, Timings):
            totals = [int(time) for time in np.unique(timings.total)[:2]]
            self.timed += len(timings.total)
            self.looked += max(len(timings.total), LEAST_CHUNK)
        else:
            totals = [timing.total.femtoseconds for timing in timings if timing]
            self.timed += len(timings)
            self.looked += len(timings)
        self.times = sorted({*self.times, *totals})[:2]

    def outcome(self) -> Outcome:
        """The certificate: complete once there is nothing left to ask for."""
        found = sketches(self.problem.workload, self.problem.device)
        found = tuple(of for of in found if of.rules == "im2col" or not self.plan.im2col) * (not self.plan.perfect)
        legal = sum(sketch.legal for sketch in found)
        if not self.times:
            return Outcome("exhaustive", "no mapping was timed", found)
        calls = self.floor.calls + self.unported.calls
        asked = f" and {calls:,} bounds" if calls else ""
        note = "" if self.complete else f"stopped after {self.timed:,} mappings{asked}"
        proven = Certificate(
            covered=legal if self.complete else min(self.timed, legal),
            timed=self.timed,
            best=Time(self.best),
            runner_up=Time(self.times[1]) if len(self.times) > 1 else None,
            lower=Time(self.best if self.complete else min(self.best, self.lower)),
        )
        return Outcome("exhaustive", note, found, proven)

    def _batches(self) -> Iterator[Mappings | Sequence[Mapping]]:
        """Chunks, best nodes first; told times in between make the rest shorter."""
        workload, device = self.problem.workload, self.problem.device
        first = self.first
        if not self.plan.perfect:
            yield [first]
        stated = getattr(self.problem.model, "bounds", None)
        self.lower = stated(first, device).lower.femtoseconds if stated else 0
        known = forms(workload, device)
        plain = np.logical_and.reduce([known.packed == 1, *(sizes == 1 for sizes in known.window)])
        for some, lower in self._by_bound(known[np.flatnonzero(plain)] if self.plan.im2col else known):
            self.lower = max(self.lower, lower)
            for place in range(len(some)):
                for block, _ in self._by_bound(tilings(workload, device, some[place : place + 1], self.plan.perfect)):
                    yield from self._open(block, self._nodes(block))
                    if self._spent():
                        return
        self.complete = True

    def _by_bound(self, cut: Tilings) -> Iterator[tuple[Tilings, int]]:
        """Tilings that may be better than the best so far, in blocks that grow, with the least bound of each.

        All their work is as short as if it were spread over all arrays evenly, all weights had their turn at once, and
        nothing limited what moves: steps of several passes may move less than as many steps of one.
        """
        ones = np.ones(len(cut), np.int64)
        steps = ceil_div(reduce(np.multiply, cut.tiles), self.problem.device.arrays)
        lower = self.unported.times(cut, (ones, ones, ones), 0 * ones, steps)
        order, size = np.argsort(lower, kind="stable"), 16
        while len(order) and max(self.lower, lower[order[0]]) < self.best:
            block, order, size = order[:size], order[size:], min(4 * size, MOST_TILINGS)
            yield cut[block[lower[block] < self.best]], int(lower[block[0]])

    def _open(self, cut: Tilings, nodes: _Nodes) -> Iterator[Mappings]:
        """The nodes of these tilings, by their bounds."""
        for place in np.argsort(nodes.lower, kind="stable"):
            if max(self.lower, nodes.lower[place]) >= self.best or self._spent():
                return
            yield from self._mappings(cut, nodes.take(np.array([place])))

    def _nodes(self, cut: Tilings) -> _Nodes:
        """The nodes of these tilings that may be better than the best so far."""
        places = np.arange(len(cut))
        ones = np.ones(len(cut), np.int64)
        kinds = [_kind(places, [ones] * PIXEL, 0)]
        if self.problem.device.array.write.during_inference:
            orders = 1 if self.plan.im2col else 2
            gains = self._gains_by_passes(cut)
            kinds += [kind for place in places[gains] for kind in _several_passes(cut, place, orders)]
        some = (np.hstack(kinds[first : first + MOST_KINDS]) for first in range(0, len(kinds), MOST_KINDS))
        found = [self._node(cut, *kind) for kind in some]
        fields = (np.concatenate([nodes[field] for nodes in found], axis=-1) for field in range(len(_Nodes._fields)))
        return _Nodes(*fields)

    def _node(self, cut: Tilings, places: Numbers, *turns: Numbers) -> _Nodes:
        """These nodes with their fewest steps and their bounds, as far as both allow them."""
        *passes, stationary = turns
        tiles = cut[places].tiles
        held = _held(cut, _Nodes(places, passes, stationary, places, places))
        able = held <= self.problem.device.arrays
        steps = ceil_div(tiles[PIXEL], np.maximum(self.problem.device.arrays // held, 1))
        steps = np.maximum(steps, 1 + stationary)
        able &= steps <= tiles[PIXEL]
        nodes = _Nodes(places, np.stack(passes), stationary, steps, 0 * steps).take(np.flatnonzero(able))
        lower = self.floor.times(cut[nodes.tiling], nodes.passes, nodes.stationary, nodes.steps, _held(cut, nodes))
        return nodes._replace(lower=lower).take(np.flatnonzero(lower < self.best))

    def _gains_by_passes(self, cut: Tilings) -> Numbers:
        """Which tilings may be better with more than one pass: with two, along the axis where that costs least."""
        ones = np.ones(len(cut), np.int64)
        gains = np.zeros(len(cut), bool)
        for axis in range(PIXEL):
            passes = tuple(ones + (other == axis) for other in range(PIXEL))
            for stationary in (0 * ones, ones):
                lower = self.floor.times(cut, passes, stationary, 1 + stationary)
                gains |= (lower < self.best) & (cut.tiles[axis] > 1)
        return gains

    def _mappings(self, cut: Tilings, node: _Nodes) -> Iterator[Mappings]:
        """The mappings of a node: first with as many replicas as there is room for, then with fewer."""
        one, device = cut[node.tiling], self.problem.device
        tiles = [int(count[0]) for count in one.tiles]
        allowed = divides if self.plan.perfect else is_least
        ways = inner(device, tuple(tiles), self.plan.perfect)
        left = [ceil_div(tiles[axis], ways.inside[axis]) for axis in range(len(tiles))]
        outer = [ceil_div(left[axis], node.passes[axis]) for axis in range(PIXEL)]
        exact = [allowed(outer[axis], left[axis]) for axis in range(PIXEL)]
        exact += [ceil_div(left[axis], outer[axis]) == node.passes[axis] for axis in range(PIXEL)]
        room = device.levels[0].count // reduce(np.multiply, outer)
        able = np.flatnonzero(np.logical_and.reduce([*exact, room > 0]))
        pixels, room = left[PIXEL][able], np.minimum(room[able], left[PIXEL][able])
        replicas = ceil_div(pixels, ceil_div(pixels, room))
        most = self._most_steps(one, node, tiles[PIXEL])
        tried = np.flatnonzero((ceil_div(pixels, replicas) <= most) & allowed(replicas, pixels))
        yield from self._chunks(one, node, ways, able[tried], outer, replicas[tried])
        fewest = ceil_div(pixels, max(1, self._most_steps(one, node, tiles[PIXEL])))
        more = np.maximum(replicas - fewest, 0)
        again = np.repeat(np.arange(len(able)), more)
        fewer = replicas[again] - 1 - (np.arange(len(again)) - np.repeat(np.cumsum(more) - more, more))
        kept = np.flatnonzero(allowed(fewer, pixels[again]))
        yield from self._chunks(one, node, ways, able[again[kept]], outer, fewer[kept])

    def _chunks(
        self, one: Tilings, node: _Nodes, ways: Inner, rows: Numbers, outer: list[Numbers], replicas: Numbers
    ) -> Iterator[Mappings]:
        for first in range(0, len(rows), AT_ONCE):
            some, pixel = rows[first : first + AT_ONCE], replicas[first : first + AT_ONCE]
            steps = ceil_div(ceil_div(one.tiles[PIXEL], ways.inside[PIXEL][some]), pixel)
            if node.stationary[0]:
                several = np.flatnonzero(steps > 1)
                some, pixel, steps = some[several], pixel[several], steps[several]
            if not len(some):
                continue
            outermost = factors_of((*(factor[some] for factor in outer), pixel))
            levels = [outermost, *(factors_of(factor[some] for factor in level) for level in ways.factors)]
            ones = np.ones(len(some), np.int64)
            yield mappings_of(
                self.problem.workload, self.problem.device, one, levels, (*node.passes, steps), node.stationary, ones
            )

    def _most_steps(self, one: Tilings, node: _Nodes, most: int) -> int:
        """The most steps of which the bound of the node is below the best time so far."""

        def low(steps: int) -> bool:
            lower = self.floor.times(one, node.passes, node.stationary, np.array([steps]), held)
            return bool(lower[0] < self.best)

        held = _held(one, node._replace(tiling=np.zeros(1, np.int64)))

        return bisect_left(range(1, most + 1), True, key=lambda steps: not low(steps))


def _held(cut: Tilings, nodes: _Nodes) -> Numbers:
    """The arrays that one copy of the weights of a pass takes, at least."""
    tiles = cut[nodes.tiling].tiles
    return reduce(np.multiply, (ceil_div(tiles[axis], nodes.passes[axis]) for axis in range(PIXEL)))


def _several_passes(cut: Tilings, place: int, orders: int) -> Iterator[Numbers]:
    """All passes of one tiling but the single one, weight-stationary and, of two orders, input-stationary."""
    turns = [np.unique(ceil_div(int(count[place]), np.arange(1, int(count[place]) + 1))) for count in cut.tiles[:PIXEL]]
    passes = [numbers.ravel() for numbers in np.meshgrid(*turns, indexing="ij")]
    several = np.flatnonzero(reduce(np.multiply, passes) > 1)
    for stationary in range(orders if int(cut.tiles[PIXEL][place]) > 1 else 1):
        yield _kind(np.full_like(several, place), [numbers[several] for numbers in passes], stationary)


def _kind(places: Numbers, passes: list[Numbers], stationary: int) -> Numbers:
    """Nodes of one order as rows of an array: tilings, passes, order."""
    return np.stack([places, *passes, np.full_like(places, stationary)])
