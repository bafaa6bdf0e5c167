"""Pareto search: all Pareto mappings in latency, energy and arrays in use.

The mapspace is that of `cyclecast.mapspace`: of equivalent tilings and factors the smallest. A mapping outside it is
never shorter and never takes fewer arrays, but it may take less energy in two cases. If fewer word lines (bit lines)
are active at once than an array has, a larger tile may need fewer phases for the last, smaller tile. If there are
several row passes, more row tiles in the first pass leave fewer sums to read back.

A *node* is a tiling, the passes over groups, row tiles and column tiles, their order, and the steps along the pixels;
its mappings differ only in the factors of the levels. Three lower bounds hold for them: the time of the busiest array
alone, the energy of the events that the node decides, and the arrays of all replicas. A node is excluded if a mapping
of the front is no worse in all three. The other nodes are searched in rounds: first a few mappings of every node,
filled from the inside outwards, then all mappings. The timing model must keep the laws of `TimingModel`, also for the
time without writing.
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
"""Mappings or nodes in a chunk; it limits memory and fits into a processor's cache."""
FIRST = 1 << 10
"""Mappings in the first chunk."""
PIECES = 16
"""Most pieces from several nodes that are joined to a chunk."""
ORDERS = ((ROW, COLUMN, GROUP, PIXEL), (COLUMN, ROW, GROUP, PIXEL), (PIXEL, ROW, COLUMN, GROUP))
"""Orders in which the axes fill the levels in the first rounds."""
RANGES = 12
"""Ranges of steps, each of which is bounded as a whole first."""
KINDS = AT_ONCE // RANGES
"""Combinations of tiling, passes and order in a chunk."""
FINER = 8
"""Ranges of arrays from one power of two to the next."""
RANGE_SIZES = (4, FINER)
"""Factors by which ranges of arrays are refined: 4 x 8 ranges, 8 ranges, one range."""


@dataclass(frozen=True, slots=True)
class Pareto:
    """All Pareto mappings in latency, energy and arrays."""

    leaves_out: ClassVar[bool] = True

    most: int = 10_000_000
    """Most mappings and nodes examined; a search that reaches it has the front of those."""
    calls: int = 20_000
    """Most mappings timed by a model without `times`."""

    def __post_init__(self) -> None:
        for name in ("most", "calls"):
            if getattr(self, name) < 1:
                value = f"{name}={getattr(self, name)}"
                raise OptionError("pareto", value, "at least 1 mapping is timed", f"pareto:{name}=1000000")

    def declines(self, problem: Problem) -> str:
        """Always "": the search takes every problem, as `most` and `calls` limit it."""
        return ""

    def start(self, problem: Problem) -> ParetoSearch:
        """Begin a search."""
        return ParetoSearch(problem, self)


class _Nodes(NamedTuple):
    """n nodes, as arrays: element i belongs to node i. `tiling` are positions, `least` are lower bounds."""

    tiling: Numbers
    temporal: Numbers
    """Passes over groups, row tiles and column tiles, and steps along the pixels: shape (4, n)."""
    stationary: Numbers  # 1 if inputs are stationary, else 0
    least: Values

    def take(self, chosen: Numbers) -> _Nodes:
        """The nodes at these positions."""
        return _Nodes(self.tiling[chosen], self.temporal[:, chosen], self.stationary[chosen], self.least.take(chosen))


class ParetoSearch:
    """A running Pareto search."""

    at_once: ClassVar[int] = AT_ONCE

    def __init__(self, problem: Problem, plan: Pareto) -> None:
        self.problem, self.plan = problem, plan
        self.many = abilities(problem.model).many
        self.unported = unported(problem.device)
        self.front = ParetoFront()
        self.looked = self.timed = 0
        self.complete = False
        self.asked: Mappings | None = None
        self.waiting: Mappings | None = None  # the part of a chunk that is not asked for yet
        self.batches = self._batches()

    def ask(self, most: int) -> Mappings | Sequence[Mapping]:
        """The next mappings, at most `most`."""
        self.asked = None if self._spent() else self.waiting or next(self.batches, None)
        self.waiting = None
        if self.asked is None:
            return []
        left = most if self.many is not None else min(most, self.plan.calls - self.timed)
        if len(self.asked) > left:
            self.asked, self.waiting = self.asked.part(0, left), self.asked.part(left)
        return self.asked

    def _spent(self) -> bool:
        """Whether the time limit, or the limit of examined mappings or calls, is reached."""
        return (
            self.problem.watch.over(self.looked)
            or self.looked >= self.plan.most
            or (self.many is None and self.timed >= self.plan.calls)
        )

    def tell(self, timings: Timings | Sequence[Timing | None]) -> None:
        """Add the mappings that have a time to the front, with their energies and arrays."""
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
        """The result with the front of the timed mappings; of the whole mapspace once the search is complete."""
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
        """Chunks of mappings, in three rounds; the front of the earlier ones excludes later ones."""
        default_mapping(self.problem.workload, self.problem.device)  # raises FitError if no mapping fits
        known = forms(self.problem.workload, self.problem.device)
        kept: list[set[int]] = [set() for _ in range(len(known))]
        """Positions of the tilings of every form that the front did not cover in the first rounds."""
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
        """Mappings, by `look`, of the nodes of all forms, of the tilings at `places`."""
        for form in range(len(known)):
            if self._spent():
                return
            cut = tilings(self.problem.workload, self.problem.device, known[form : form + 1])
            for nodes in self._nodes(cut, places(form, cut)):
                kept[form].update(np.unique(nodes.tiling).tolist())
                yield from look(cut, nodes)

    def _nodes(self, cut: Tilings, places: Numbers) -> Iterator[_Nodes]:
        """The nodes of these tilings that the front does not cover: ranges of steps are tested first, then each one."""
        vectors, device = int(cut.tiles[PIXEL][0]), self.problem.device
        steps = _temporal_factors(vectors, device.arrays)
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
                    temporal = np.vstack([few[1 : 1 + PIXEL, some], exactly[some]])
                    yield _Nodes(few[0, some], temporal, few[-1, some], least)

    def _kinds(self, cut: Tilings, places: Numbers) -> Iterator[Numbers]:
        """Combinations of tiling, passes and order, one pass first; rows: position of the tiling, 3 passes, order."""
        device, ones = self.problem.device, np.ones(len(places), np.int64)
        yield np.stack([places, *(ones,) * PIXEL, 0 * ones])
        for place in places if device.array.write.during_inference else ():
            tiles = [int(count[place]) for count in cut.tiles[:PIXEL]]
            along = (np.union1d(_temporal_factors(count, device.arrays), count) for count in tiles)
            passes = np.stack([numbers.ravel() for numbers in np.meshgrid(*along, indexing="ij")])
            passes = passes[:, passes.prod(axis=0) > 1]
            ones = np.ones_like(passes[0])
            yield from (np.stack([place * ones, *passes, order * ones]) for order in (0, 1))

    def _promising(self, cut: Tilings) -> Numbers:
        """Positions of tilings that the front does not cover at some number of arrays, with work spread evenly."""
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
        """The pairs of a tiling and a range of arrays that the front does not cover."""
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
            temporal = np.stack([ones, ones, ones, ceil_div(work[tiling[few]], high[few])])
            least = self._least(cut[tiling[few]], temporal, 0 * ones, low[few], ones, spread=True)
            found.append(first + np.flatnonzero(~self.front.covers(least)))
        kept = np.concatenate(found)
        return tiling[kept], part[kept]

    def _open(self, cut: Tilings, kinds: Numbers, steps: Numbers, replicas: Numbers) -> tuple[Numbers, Values]:
        """Positions and bounds of nodes that fit and that the front does not cover; `replicas` are the least."""
        tiles, (tiling, *passes, stationary) = cut.tiles, kinds
        held = reduce(np.multiply, (ceil_div(tiles[axis][tiling], passes[axis]) for axis in range(PIXEL)))
        arrays = held * replicas
        able = np.flatnonzero((arrays <= self.problem.device.arrays) & (steps > stationary))
        temporal = np.vstack([np.stack(passes), steps])[:, able]
        least = self._least(cut[tiling[able]], temporal, stationary[able], arrays[able], stationary[able])
        found = np.flatnonzero(~self.front.covers(least))
        return able[found], least.take(found)

    def _least(
        self,
        cut: Tilings,
        temporal: Numbers,
        stationary: Numbers,
        arrays: Numbers,
        moved_once: Numbers,
        spread: bool = False,
    ) -> Values:
        """Lower bounds for these temporal factors and at least so many arrays; time and energy 0 without `times`."""
        if self.many is None or not len(cut):
            return Values(0 * arrays, 0 * arrays, arrays)
        self.looked += len(cut)
        device = self.problem.device
        ones = np.ones((len(TILE_AXES) * len(device.levels), len(cut)), np.int64)
        relaxed = _mappings(self.problem, np.vstack([_sizes(cut), stationary, temporal, ones]))
        timings = self.many.times(relaxed.using(arrays), self.unported if spread else device)
        once = _mappings(self.problem, np.vstack([_sizes(cut), moved_once, temporal, ones]))
        return Values(timings.total, least_energies(once, arrays, device, timings), arrays)

    def _some(self, cut: Tilings, nodes: _Nodes) -> Iterator[Numbers]:
        """A few mappings of every node: one for each of `ORDERS`."""
        seen: list[Numbers] = []
        for order in ORDERS:
            rows, able = self._filled(cut, nodes, order)
            for other in seen:
                able &= (rows != other).any(axis=0)
            seen.append(rows)
            yield self._uncovered(nodes, np.flatnonzero(able), rows[:, able])

    def _uncovered(self, nodes: _Nodes, places: Numbers, rows: Numbers) -> Numbers:
        """The mappings that the front does not cover, by the lower bounds of their nodes and their own arrays."""
        arrays = rows[-len(TILE_AXES) * len(self.problem.device.levels) :].prod(axis=0)
        least = nodes.least.take(places)._replace(arrays=arrays)
        return rows[:, ~self.front.covers(least)]

    def _filled(self, cut: Tilings, nodes: _Nodes, order: Sequence[int]) -> tuple[Numbers, Numbers]:
        """A mapping of every node, with levels filled from the inside outwards, and a mask of the legal ones."""
        left = np.stack([count[nodes.tiling] for count in cut.tiles])
        levels: list[Numbers] = []
        for level in reversed(self.problem.device.levels[1:]):
            factors, room = np.ones_like(left), np.full_like(left[0], level.count)
            for axis in order:
                factor = np.minimum(room, ceil_div(left[axis], nodes.temporal[axis]))
                factors[axis] = ceil_div(left[axis], ceil_div(left[axis], factor))
                room //= factors[axis]
            left = ceil_div(left, factors)
            levels.insert(0, factors)
        outer = ceil_div(left, nodes.temporal)
        able = (ceil_div(left, outer) == nodes.temporal).all(axis=0)
        able &= outer.prod(axis=0) <= self.problem.device.levels[0].count
        return np.vstack([_sizes(cut[nodes.tiling]), nodes.stationary, nodes.temporal, outer, *levels]), able

    def _all(self, cut: Tilings, nodes: _Nodes) -> Iterator[Numbers]:
        """All mappings of every node, without those of the first rounds."""
        seen = [self._filled(cut, nodes, order)[0] for order in ORDERS]
        device, sizes = self.problem.device, _sizes(cut)
        for tiling in np.unique(nodes.tiling):
            within = inner(device, tuple(int(count[tiling]) for count in cut.tiles))
            inside, factors = np.stack(within.inside), [row for level in within.factors for row in level]
            left = ceil_div(np.array([count[tiling] for count in cut.tiles])[:, None], inside)
            of_it = np.flatnonzero(nodes.tiling == tiling)
            at_once = max(1, AT_ONCE // left.shape[1])
            for first in range(0, len(of_it), at_once):
                if self._spent():
                    return
                some = of_it[first : first + at_once]
                self.looked += len(some) * left.shape[1]
                outer = ceil_div(left[:, None, :], nodes.temporal[:, some, None])
                able = (ceil_div(left[:, None, :], outer) == nodes.temporal[:, some, None]).all(axis=0)
                node, chosen = np.nonzero(able & (outer.prod(axis=0) <= device.levels[0].count))
                place = some[node]
                levels = np.stack([*outer[:, node, chosen], *(row[chosen] for row in factors)])
                same = np.repeat(sizes[:, [tiling]], len(place), axis=1)
                rows = np.vstack([same, nodes.stationary[place], nodes.temporal[:, place], levels])
                fresh = np.logical_and.reduce([(rows != other[:, place]).any(axis=0) for other in seen])
                yield self._uncovered(nodes, place[fresh], rows[:, fresh])


def _temporal_factors(tiles: int, most: int) -> Numbers:
    """All temporal factors of an axis with so many tiles, for spatial factors from 1 to `most`."""
    return np.unique(ceil_div(tiles, np.arange(1, min(tiles, most) + 1, dtype=np.int64)))


def _sizes(cut: Tilings) -> Numbers:
    """Windows, packed groups, word lines and filters of tilings: the first rows of `_rows`."""
    return np.stack([*cut.window, cut.packed, cut.word_lines, cut.filters])


def _rows(many: Mappings) -> Numbers:
    """A column for each mapping; the rows are sizes, order, temporal factors, and factors of the levels."""
    factors = [many.temporal, *(entry.factors for entry in many.levels)]
    along = [entry.along(axis) for entry in factors for axis in TILE_AXES]
    return np.stack([*many.window, many.packed, many.word_lines, many.filters, many.input_stationary, *along])


def _mappings(problem: Problem, rows: Numbers) -> Mappings:
    """The mappings of such columns: the inverse of `_rows`."""
    slides = len(problem.workload.slides)
    packed, word_lines, filters, stationary, *along = rows[slides:]
    temporal, *levels = (along[first : first + len(TILE_AXES)] for first in range(0, len(along), len(TILE_AXES)))
    cut = Tilings(tuple(rows[:slides]), packed, word_lines, filters, ())
    return mappings_of(problem.workload, problem.device, cut, levels, temporal, stationary)


def _chunks(found: Iterator[Numbers], most: int, pieces: int) -> Iterator[Numbers]:
    """The columns of `found` in growing chunks, from at most `pieces` pieces each."""
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
