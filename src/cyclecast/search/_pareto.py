"""The front: every mapping that no other beats in latency, energy and arrays in use together.

The space is that of `cyclecast.mapspace`: the smallest of equal tilings and of equal factors. None that it leaves
out is shorter or takes fewer arrays, but one may take less energy: where fewer word lines (bit lines) are active at
once than an array has, a larger tile can share the last phase with a smaller rest; and where row tiles follow in time,
more of them in the first pass than need be are fewer sums to read back. So the front is that of the listed space.

A *node* is a tiling, the passes over groups, row tiles and column tiles, their order, and the steps along the pixels;
its mappings differ in where the tiles lie. They take at least the time of the busiest array alone, the energy of the
events that the node already decides, and the arrays of so many copies. A node of which something found is no worse in
all three is left out. Two rounds look at the rest: a few mappings of every node, filled from the inside outwards, then
all of them. This asks of the timing model what the exhaustive search asks, also of the time without writing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from math import prod
from typing import Any, ClassVar, NamedTuple

import numpy as np

from cyclecast._integers import ceil_div
from cyclecast.energy import energies, energy, least_energies
from cyclecast.errors import OptionError
from cyclecast.mapping import TILE_AXES, Mapping, Mappings
from cyclecast.mapspace import (
    Numbers,
    ParetoFront,
    Tilings,
    Values,
    default_mapping,
    forms,
    inner,
    mappings_of,
    sketches,
    tilings,
    unported,
)
from cyclecast.search._base import ParetoPoint, Problem, SearchResult
from cyclecast.timing import Timing, Timings, abilities
from cyclecast.units import Energy, Time

GROUP, ROW, COLUMN, PIXEL = range(len(TILE_AXES))
AT_ONCE = 1 << 13
"""Mappings or nodes in a chunk: what bounds memory, and what a cache of the processor holds."""
FIRST = 1 << 10
"""In the first chunk."""
PIECES = 16
"""Nodes in chunks, of which what is left is timed together."""
ORDERS = ((ROW, COLUMN, GROUP, PIXEL), (COLUMN, ROW, GROUP, PIXEL), (PIXEL, ROW, COLUMN, GROUP))
"""In which the axes fill the levels in the first round."""
RANGES = 12
"""Of steps, that are looked at together first."""
KINDS = AT_ONCE // RANGES
"""Nodes without their steps in a chunk."""
FINER = 8
"""Ranges of arrays from one power of two to the next."""
RANGE_SIZES = (4, FINER)
"""How many such powers, and how many ranges, are looked at together first."""


@dataclass(frozen=True, slots=True)
class Pareto:
    """Latency x energy x arrays: everything that is worth choosing from."""

    leaves_out: ClassVar[bool] = True
    """Mappings, by bounds that rest on the laws of the timing model."""

    most: int = 10_000_000
    """Mappings and nodes to look at, at most; the front is then of those that were."""
    calls: int = 20_000
    """Mappings, for a model that times one at a time."""

    def __post_init__(self) -> None:
        for name in ("most", "calls"):
            if getattr(self, name) < 1:
                value = f"{name}={getattr(self, name)}"
                raise OptionError("pareto", value, "at least 1 mapping is timed", f"pareto:{name}=1000000")

    def declines(self, problem: Problem) -> str:
        """Why another strategy is needed: never, as it ends after so many mappings."""
        return ""

    def start(self, problem: Problem) -> ParetoSearch:
        """Begin with the default mapping."""
        return ParetoSearch(problem, self)


class _Nodes(NamedTuple):
    """Element i of each array is of node i."""

    tiling: Numbers
    turns: Numbers
    """Passes over groups, row tiles and column tiles, and steps along the pixels: four rows."""
    stationary: Numbers
    """Whether inputs are: 0 or 1."""
    least: Values

    def take(self, chosen: Numbers) -> _Nodes:
        """Those at these places."""
        return _Nodes(self.tiling[chosen], self.turns[:, chosen], self.stationary[chosen], self.least.take(chosen))


class ParetoSearch:
    """The search at work."""

    at_once: ClassVar[int] = AT_ONCE

    def __init__(self, problem: Problem, plan: Pareto) -> None:
        self.problem, self.plan = problem, plan
        self.many = abilities(problem.model).many
        self.unported = unported(problem.device)
        self.front = ParetoFront()
        self.looked = self.timed = 0
        self.complete = False
        self.asked: Mappings | None = None
        self.waiting: Mappings | None = None
        """The rest of a chunk, of which a part was asked for."""
        self.batches = self._batches()

    def ask(self, most: int) -> Mappings | Sequence[Mapping]:
        """The next mappings, of which a chunk has at most `at_once`."""
        self.asked = None if self._spent() else self.waiting or next(self.batches, None)
        self.waiting = None
        if self.asked is None:
            return []
        left = most if self.many is not None else min(most, self.plan.calls - self.timed)
        if len(self.asked) > left:
            self.asked, self.waiting = self.asked.part(0, left), self.asked.part(left)
        return self.asked

    def _spent(self) -> bool:
        return (
            self.problem.watch.over(self.looked)
            or self.looked >= self.plan.most
            or (self.many is None and self.timed >= self.plan.calls)
        )

    def tell(self, timings: Timings | Sequence[Timing | None]) -> None:
        """Times, to which come energies and arrays; None where the timing model refuses a mapping."""
        assert self.asked is not None
        many, device, rows = self.asked, self.problem.device, _rows(self.asked)
        if isinstance(timings, Timings):
            values = Values(timings.total, energies(many, device, timings), many.arrays)
            if timings.refused is not None:
                known = np.flatnonzero(~timings.refused)
                values, rows = values.take(known), rows[:, known]
        else:
            timed = [(place, timing) for place, timing in enumerate(timings) if timing is not None]
            places = np.array([place for place, _ in timed], np.int64)
            times = [timing.total.femtoseconds for _, timing in timed]
            amounts = [energy(many[place], device, timing).total.attojoules for place, timing in timed]
            values = Values(np.array(times, object), np.array(amounts, object), many.arrays[places])
            rows = rows[:, places]
        self.timed += len(many)
        self.looked += len(many)
        self.front.add(values, rows)

    def outcome(self) -> SearchResult:
        """The front of what was looked at, or of everything once there is nothing left to ask for."""
        found = f"the front of {self.timed:,} mappings that were timed, not of all" if not self.complete else ""
        space = sketches(self.problem.workload, self.problem.device)
        return SearchResult("pareto", found or "the front of all mappings", space, front=tuple(self._choices()))

    def _choices(self) -> Iterator[ParetoPoint]:
        if not len(self.front.values.time):
            return
        mappings = _mappings(self.problem, self.front.rows)
        for place, (time, taken, arrays) in enumerate(zip(*self.front.values, strict=True)):
            yield ParetoPoint(mappings[place], Time(int(time)), Energy(int(taken)), int(arrays))

    def _batches(self) -> Iterator[Mappings]:
        """Chunks: told values in between leave out some of what follows."""
        default_mapping(self.problem.workload, self.problem.device)  # raises where nothing fits
        known = forms(self.problem.workload, self.problem.device)
        kept: list[set[int]] = [set() for _ in range(len(known))]
        """Tilings of every form that the front did not cover in the first round."""
        rounds: tuple[tuple[Any, Any], ...] = (
            (self._some, lambda form, cut: np.zeros(1, np.int64)),  # the largest tiles
            (self._some, lambda form, cut: 1 + self._promising(cut[np.arange(1, len(cut))])),
            (self._all, lambda form, cut: np.array(sorted(kept[form]), np.int64)),
        )
        for look, places in rounds:
            for rows in _chunks(self._round(known, kept, look, places), AT_ONCE, PIECES):
                yield _mappings(self.problem, rows)
                if self._spent():
                    return
        self.complete = not self._spent()

    def _round(self, known: Tilings, kept: list[set[int]], look: Any, places: Any) -> Iterator[Numbers]:
        for form in range(len(known)):
            if self._spent():
                return
            cut = tilings(self.problem.workload, self.problem.device, known[form : form + 1])
            for nodes in self._nodes(cut, places(form, cut)):
                kept[form].update(np.unique(nodes.tiling).tolist())
                yield from look(cut, nodes)

    def _nodes(self, cut: Tilings, places: Numbers) -> Iterator[_Nodes]:
        """The nodes of some tilings that the front does not cover: first by ranges of steps, then one by one."""
        vectors, device = int(cut.tiles[PIXEL][0]), self.problem.device
        steps = _turns(vectors, device.arrays)
        ranges = np.array_split(steps, min(len(steps), RANGES))
        first, last = (np.array([some[end] for some in ranges]) for end in (0, -1))
        sizes = np.array([len(some) for some in ranges])
        begin = np.cumsum(sizes) - sizes
        for kinds in _chunks(self._kinds(cut, places), KINDS, KINDS):
            if self._spent():
                return
            kind, part = (places.ravel() for places in np.indices((kinds.shape[1], len(ranges))))
            some = self._open(cut, kinds[:, kind], first[part], ceil_div(vectors, last[part]))[0]
            kind, part = kind[some], part[some]
            again = np.repeat(np.arange(len(kind)), sizes[part])
            within = np.arange(len(again)) - np.repeat(np.cumsum(sizes[part]) - sizes[part], sizes[part])
            each = steps[begin[part][again] + within]
            for place in range(0, len(again), AT_ONCE):
                few, exactly = kinds[:, kind[again[place : place + AT_ONCE]]], each[place : place + AT_ONCE]
                some, least = self._open(cut, few, exactly, ceil_div(vectors, exactly))
                if len(some):
                    turns = np.vstack([few[1 : 1 + PIXEL, some], exactly[some]])
                    yield _Nodes(few[0, some], turns, few[-1, some], least)

    def _kinds(self, cut: Tilings, places: Numbers) -> Iterator[Numbers]:
        """Tilings, passes of them and both orders, as rows of arrays: first those that stay resident."""
        device, ones = self.problem.device, np.ones(len(places), np.int64)
        yield np.stack([places, *(ones,) * PIXEL, 0 * ones])
        for place in places if device.array.write.during_inference else ():
            tiles = [int(count[place]) for count in cut.tiles[:PIXEL]]
            turns = (np.union1d(_turns(count, device.arrays), count) for count in tiles)
            passes = np.stack([numbers.ravel() for numbers in np.meshgrid(*turns, indexing="ij")])
            passes = passes[:, passes.prod(axis=0) > 1]
            ones = np.ones_like(passes[0])
            yield from (np.stack([place * ones, *passes, order * ones]) for order in (0, 1))

    def _promising(self, cut: Tilings) -> Numbers:
        """Which tilings the front does not cover, however many arrays they use: as if work were spread evenly."""
        length = prod(RANGE_SIZES)
        octaves = self.problem.device.arrays.bit_length()
        edges = 2 ** (np.arange(ceil_div(octaves * FINER, length) * length + 1) / FINER)
        tiling, part = (numbers.ravel() for numbers in np.indices((len(cut), len(edges) // length)))
        for size in (*RANGE_SIZES, 1):
            tiling, part = self._may_spread(cut, tiling, edges[::length].astype(np.int64), part)
            length //= size
            tiling = np.repeat(tiling, size)
            part = np.tile(np.arange(size), len(part)) + np.repeat(size * part, size)
        return np.unique(tiling)

    def _may_spread(self, cut: Tilings, tiling: Numbers, edges: Numbers, part: Numbers) -> tuple[Numbers, Numbers]:
        """The tilings and the ranges of arrays that the front does not cover."""
        low, high = edges[part], np.minimum(edges[part + 1] - 1, self.problem.device.arrays)
        some = np.flatnonzero(low <= high)
        tiling, part, low, high = tiling[some], part[some], low[some], high[some]
        work = reduce(np.multiply, cut.tiles)
        found = [np.zeros(0, np.int64)]
        for first in range(0, len(tiling), AT_ONCE):
            if self._spent():
                break
            few = slice(first, first + AT_ONCE)
            ones = np.ones_like(tiling[few])
            turns = np.stack([ones, ones, ones, ceil_div(work[tiling[few]], high[few])])
            least = self._least(cut[tiling[few]], turns, 0 * ones, low[few], ones, spread=True)
            found.append(first + np.flatnonzero(~self.front.covers(least)))
        kept = np.concatenate(found)
        return tiling[kept], part[kept]

    def _open(self, cut: Tilings, kinds: Numbers, steps: Numbers, replicas: Numbers) -> tuple[Numbers, Values]:
        """Those that the device can hold and the front does not cover; so many replicas at least."""
        tiles, (tiling, *passes, stationary) = cut.tiles, kinds
        held = reduce(np.multiply, (ceil_div(tiles[axis][tiling], passes[axis]) for axis in range(PIXEL)))
        arrays = held * replicas
        able = np.flatnonzero((arrays <= self.problem.device.arrays) & (steps > stationary))
        turns = np.vstack([np.stack(passes), steps])[:, able]
        least = self._least(cut[tiling[able]], turns, stationary[able], arrays[able], stationary[able])
        found = np.flatnonzero(~self.front.covers(least))
        return able[found], least.take(found)

    def _least(
        self,
        cut: Tilings,
        turns: Numbers,
        stationary: Numbers,
        arrays: Numbers,
        moved_once: Numbers,
        spread: bool = False,
    ) -> Values:
        """What no mapping of these turns is below, that uses so many arrays or more; nothing for a plain model."""
        if self.many is None or not len(cut):
            return Values(0 * arrays, 0 * arrays, arrays)
        self.looked += len(cut)
        device = self.problem.device
        ones = np.ones((len(TILE_AXES) * len(device.levels), len(cut)), np.int64)
        relaxed = _mappings(self.problem, np.vstack([_sizes(cut), stationary, turns, ones]))
        timings = self.many.times(relaxed.using(arrays), self.unported if spread else device)
        once = _mappings(self.problem, np.vstack([_sizes(cut), moved_once, turns, ones]))
        return Values(timings.total, least_energies(once, arrays, device, timings), arrays)

    def _some(self, cut: Tilings, nodes: _Nodes) -> Iterator[Numbers]:
        """A few mappings of every node."""
        seen: list[Numbers] = []
        for order in ORDERS:
            rows, able = self._filled(cut, nodes, order)
            for other in seen:
                able &= (rows != other).any(axis=0)
            seen.append(rows)
            yield self._uncovered(nodes, np.flatnonzero(able), rows[:, able])

    def _uncovered(self, nodes: _Nodes, places: Numbers, rows: Numbers) -> Numbers:
        """Those mappings that the front does not cover, going by the least of their nodes and their own arrays."""
        arrays = rows[-len(TILE_AXES) * len(self.problem.device.levels) :].prod(axis=0)
        least = nodes.least.take(places)._replace(arrays=arrays)
        return rows[:, ~self.front.covers(least)]

    def _filled(self, cut: Tilings, nodes: _Nodes, order: Sequence[int]) -> tuple[Numbers, Numbers]:
        """A mapping of every node that fills the levels from the inside outwards, where that is one."""
        left = np.stack([count[nodes.tiling] for count in cut.tiles])
        levels: list[Numbers] = []
        for level in reversed(self.problem.device.levels[1:]):
            factors, room = np.ones_like(left), np.full_like(left[0], level.count)
            for axis in order:
                factor = np.minimum(room, ceil_div(left[axis], nodes.turns[axis]))
                factors[axis] = ceil_div(left[axis], ceil_div(left[axis], factor))
                room //= factors[axis]
            left = ceil_div(left, factors)
            levels.insert(0, factors)
        outer = ceil_div(left, nodes.turns)
        able = (ceil_div(left, outer) == nodes.turns).all(axis=0)
        able &= outer.prod(axis=0) <= self.problem.device.levels[0].count
        return np.vstack([_sizes(cut[nodes.tiling]), nodes.stationary, nodes.turns, outer, *levels]), able

    def _all(self, cut: Tilings, nodes: _Nodes) -> Iterator[Numbers]:
        """All mappings of every node but those of the first round."""
        seen = [self._filled(cut, nodes, order)[0] for order in ORDERS]
        device, sizes = self.problem.device, _sizes(cut)
        for tiling in np.unique(nodes.tiling):
            ways = inner(device, tuple(int(count[tiling]) for count in cut.tiles))
            inside, factors = np.stack(ways.inside), [row for level in ways.factors for row in level]
            left = ceil_div(np.array([count[tiling] for count in cut.tiles])[:, None], inside)
            of_it = np.flatnonzero(nodes.tiling == tiling)
            at_once = max(1, AT_ONCE // left.shape[1])
            for first in range(0, len(of_it), at_once):
                if self._spent():
                    return
                some = of_it[first : first + at_once]
                self.looked += len(some) * left.shape[1]
                outer = ceil_div(left[:, None, :], nodes.turns[:, some, None])
                able = (ceil_div(left[:, None, :], outer) == nodes.turns[:, some, None]).all(axis=0)
                node, way = np.nonzero(able & (outer.prod(axis=0) <= device.levels[0].count))
                place = some[node]
                levels = np.stack([*outer[:, node, way], *(row[way] for row in factors)])
                same = np.repeat(sizes[:, [tiling]], len(place), axis=1)
                rows = np.vstack([same, nodes.stationary[place], nodes.turns[:, place], levels])
                fresh = np.logical_and.reduce([(rows != other[:, place]).any(axis=0) for other in seen])
                yield self._uncovered(nodes, place[fresh], rows[:, fresh])


def _turns(tiles: int, most: int) -> Numbers:
    """How many turns so many tiles can take, for any number of them side by side up to the most."""
    return np.unique(ceil_div(tiles, np.arange(1, min(tiles, most) + 1, dtype=np.int64)))


def _sizes(cut: Tilings) -> Numbers:
    """The first rows of a mapping's column."""
    return np.stack([*cut.window, cut.packed, cut.word_lines, cut.filters])


def _rows(many: Mappings) -> Numbers:
    """A column for each mapping: its sizes, its order, its turns, its factors."""
    factors = [many.temporal, *(entry.factors for entry in many.levels)]
    along = [entry.along(axis) for entry in factors for axis in TILE_AXES]
    return np.stack([*many.window, many.packed, many.word_lines, many.filters, many.input_stationary, *along])


def _mappings(problem: Problem, rows: Numbers) -> Mappings:
    """The same as mappings."""
    slides = len(problem.workload.slides)
    packed, word_lines, filters, stationary, *along = rows[slides:]
    temporal, *levels = (along[first : first + len(TILE_AXES)] for first in range(0, len(along), len(TILE_AXES)))
    cut = Tilings(tuple(rows[:slides]), packed, word_lines, filters, ())
    return mappings_of(problem.workload, problem.device, cut, levels, temporal, stationary)


def _chunks(found: Iterator[Numbers], most: int, pieces: int) -> Iterator[Numbers]:
    """The same columns in chunks that grow, of so many pieces at most: what is told of one shortens the rest."""
    held: list[Numbers] = []
    count, size = 0, min(most, FIRST)
    for rows in found:
        held.append(rows)
        count += rows.shape[1]
        while count >= size or (len(held) >= pieces and count):
            whole = np.hstack(held)
            yield whole[:, :size]
            held, count, size = [whole[:, size:]], max(0, count - size), min(most, 2 * size)
    if count:
        yield np.hstack(held)
