"""Sets of mappings (*nodes*) as columns of numbers: their lower bounds, how they split, and the mappings in them.

A node is a tiling and what is decided besides, in three stages:

1. `WHOLE`: nothing but the tiling; it splits into all passes over groups, row tiles and column tiles, and both orders;
2. `OPEN`: the passes, their order and a range of replicas, of which some may find no place in the levels of the device;
3. `PLACED`: the same after the replicas without a place are taken away; it splits into smaller ranges.

A node of one number of replicas that is placed is *exact*. Its mappings differ in where the tiles lie.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial, reduce

import numpy as np

from cyclecast._integers import ceil_div
from cyclecast.device import Device
from cyclecast.mapping import TILE_AXES, Mappings
from cyclecast.mapspace import (
    Inner,
    Numbers,
    Tilings,
    divides,
    inner,
    mappings_of,
    most_copies,
    outer_factors,
    rooms_for_copies,
)
from cyclecast.network import Workload
from cyclecast.search._relaxation import Relaxation

GROUP, ROW, COLUMN, PIXEL = range(len(TILE_AXES))
AXES = len(TILE_AXES)
WHOLE, OPEN, PLACED = range(3)
AT_ONCE = 1 << 18
"""Combinations of nodes and ways to use the inner levels that are looked at together: what bounds memory."""
WHOLE_AT_ONCE = 64
"""Tilings of which all passes are made together."""
PIECES = 8
"""Into which a range of replicas is cut."""


@dataclass(frozen=True, slots=True)
class Nodes:
    """Element i of each array is node i."""

    cut: Tilings
    passes: Numbers
    """Over groups, row tiles and column tiles: three rows."""
    stationary: Numbers
    """Whether inputs are: 0 or 1."""
    few: Numbers
    """The fewest replicas."""
    many: Numbers
    """The most replicas."""
    stage: Numbers
    lower: Numbers
    """No mapping of the node is shorter [fs]."""

    def __len__(self) -> int:
        return len(self.stage)

    def __getitem__(self, chosen: Numbers) -> Nodes:
        """Those at these places."""
        return Nodes(
            self.cut[chosen],
            self.passes[:, chosen],
            self.stationary[chosen],
            self.few[chosen],
            self.many[chosen],
            self.stage[chosen],
            self.lower[chosen],
        )

    @classmethod
    def joined(cls, parts: Iterable[Nodes]) -> Nodes:
        """All of these, of which there is at least one."""
        found = list(parts)
        if len(found) == 1:
            return found[0]
        rest = ("stationary", "few", "many", "stage", "lower")
        return cls(
            Tilings.joined([part.cut for part in found]),
            np.concatenate([part.passes for part in found], axis=1),
            *(np.concatenate([getattr(part, name) for part in found]) for name in rest),
        )

    @property
    def keys(self) -> list[tuple[int, ...]]:
        """The decisions that tell exact nodes apart."""
        sizes = (*self.cut.window, self.cut.packed, self.cut.word_lines, self.cut.filters)
        return list(map(tuple, np.stack([*sizes, *self.passes, self.stationary, self.few]).T.tolist()))

    @property
    def held(self) -> Numbers:
        """The arrays that one copy of the weights of a pass takes, at least."""
        return reduce(np.multiply, (ceil_div(self.cut.tiles[axis], self.passes[axis]) for axis in range(PIXEL)))

    def steps(self, replicas: Numbers) -> Numbers:
        """The steps along the pixels with so many replicas."""
        return ceil_div(self.cut.tiles[PIXEL], replicas)

    @property
    def exact(self) -> Numbers:
        """Whether there is one number of replicas, and it may have a place."""
        return (self.stage == PLACED) & (self.few == self.many)


class OverTime(Exception):
    """The time of the search is over."""


class Splitter:
    """Splits nodes of one problem into smaller ones; raises `OverTime` as soon as `over` says so."""

    def __init__(
        self,
        device: Device,
        floor: Relaxation,
        over: Callable[[], bool] = lambda: False,
        *,
        im2col: bool = False,
        perfect: bool = False,
    ) -> None:
        self.device, self.floor, self.over, self.im2col, self.perfect = device, floor, over, im2col, perfect
        self.inner = lru_cache(maxsize=64)(partial(inner, device, perfect=perfect))

    def whole(self, cut: Tilings) -> Nodes:
        """Every tiling as one node."""
        ones = np.ones(len(cut), np.int64)
        passes = np.stack([ones, ones, ones])
        return Nodes(cut, passes, 0 * ones, ones, ones, 0 * ones + WHOLE, self.floor.spread(cut))

    def split(self, nodes: Nodes, best: int) -> Nodes:
        """The parts of these nodes that may be better than the best time so far; exact nodes have none."""
        stages = [np.flatnonzero(nodes.stage == stage) for stage in (WHOLE, OPEN, PLACED)]
        pieces = np.split(stages[WHOLE], range(WHOLE_AT_ONCE, len(stages[WHOLE]), WHOLE_AT_ONCE))
        split = (
            *(self.passes(nodes[some], best) for some in pieces),
            self.placed(nodes[stages[OPEN]]),
            *self.ranges(nodes[stages[PLACED]]),
        )
        parts = Nodes.joined(split)
        return parts[np.flatnonzero(parts.lower < best)]

    def full(self, nodes: Nodes) -> Nodes:
        """Exact nodes of one pass with as many replicas as find a place."""
        nodes = self.placed(self.passes(nodes, 0))
        few = nodes.many
        lower = self.floor.times(nodes.cut, nodes.passes, nodes.stationary, nodes.steps(few), nodes.held * few)
        return Nodes(nodes.cut, nodes.passes, nodes.stationary, few, few, nodes.stage, lower)

    def passes(self, nodes: Nodes, best: int) -> Nodes:
        """All passes of these tilings: one, where the device holds all weights at once, and several if they gain."""
        self._require_time()
        places = np.arange(len(nodes))
        kinds = [np.stack([places, *(np.ones_like(places),) * PIXEL, 0 * places])]
        if best and self.device.array.write.during_inference:
            orders = 1 if self.im2col else 2
            kinds += [_several(nodes.cut, place, orders) for place in places[self._gains(nodes.cut, best)]]
        place, *passes, stationary = np.hstack(kinds)
        cut = nodes.cut[place]
        ones = np.ones_like(place)
        made = Nodes(cut, np.stack(passes), stationary, ones, ones, ones * OPEN, nodes.lower[place])
        most = np.minimum(self.device.arrays // made.held, cut.tiles[PIXEL] - stationary)
        return self._bounded(Nodes(cut, made.passes, stationary, ones, most, made.stage, made.lower))

    def _require_time(self) -> None:
        if self.over():
            raise OverTime

    def _gains(self, cut: Tilings, best: int) -> Numbers:
        """Which tilings may be better with more than one pass: with two, along the axis where that costs least."""
        gains = np.zeros(len(cut), bool)
        some = np.flatnonzero(self.floor.rewritten(cut) < best)
        if not len(some):
            return gains
        cut, ones = cut[some], np.ones(len(some), np.int64)
        for axis in range(PIXEL):
            passes = tuple(ones + (other == axis) for other in range(PIXEL))
            for stationary in (0 * ones, ones):
                found = self.floor.alone(self.device, cut, passes, stationary, 1 + stationary, ones)
                gains[some] |= (found < best) & (cut.tiles[axis] > 1)
        return gains

    def _bounded(self, nodes: Nodes) -> Nodes:
        """Those that hold any number of replicas, each range without equal steps at its ends, with their bounds."""
        steps = nodes.steps(nodes.few)
        fewest = ceil_div(nodes.cut.tiles[PIXEL], steps)
        more = ceil_div(nodes.cut.tiles[PIXEL], np.maximum(steps - 1, 1))
        few = np.where(nodes.few == fewest, nodes.few, np.where(steps > 1, more, nodes.many + 1))
        kept = np.flatnonzero(few <= nodes.many)
        nodes, few = nodes[kept], few[kept]
        many = np.maximum(ceil_div(nodes.cut.tiles[PIXEL], nodes.steps(nodes.many)), few)
        lower = self.floor.times(nodes.cut, nodes.passes, nodes.stationary, nodes.steps(many), nodes.held * few)
        lower = np.maximum(lower, nodes.lower)
        return Nodes(nodes.cut, nodes.passes, nodes.stationary, few, many, nodes.stage, lower)

    def ranges(self, nodes: Nodes) -> Iterator[Nodes]:
        """Smaller ranges of replicas, each of them with as many times more."""
        nodes = nodes[np.flatnonzero(nodes.few < nodes.many)]
        pieces = PIECES if self.floor.many is not None else 2
        edges = nodes.few[:, None] * ((nodes.many + 1) / nodes.few)[:, None] ** (np.arange(pieces + 1) / pieces)
        edges = np.maximum.accumulate(edges.astype(np.int64), axis=1)
        edges[:, 0], edges[:, -1] = nodes.few, nodes.many + 1
        edges[:, 1] = np.maximum(edges[:, 1], nodes.few + 1)
        edges = np.maximum.accumulate(edges, axis=1)
        place, piece = np.nonzero(edges[:, :-1] < edges[:, 1:])
        few, many = edges[place, piece], edges[place, piece + 1] - 1
        some = nodes[place]
        yield self._bounded(Nodes(some.cut, some.passes, some.stationary, few, many, some.stage, some.lower))

    def placed(self, nodes: Nodes) -> Nodes:
        """The nodes with as many replicas as find a place in the levels, without those of which no copy finds one."""
        most, counts = np.zeros(len(nodes), np.int64), tuple(level.count for level in self.device.levels)
        for places, tiles, passes in self._alike(nodes, PIXEL):
            pixels = nodes.cut.tiles[PIXEL][places]
            rooms = rooms_for_copies(counts, tiles, passes, perfect=self.perfect)
            for count in np.unique(pixels).tolist():
                most[places[pixels == count]] = most_copies(counts, rooms, count, perfect=self.perfect)
        many = np.minimum(nodes.many, most)
        stage = np.full_like(nodes.stage, PLACED)
        return self._bounded(Nodes(nodes.cut, nodes.passes, nodes.stationary, nodes.few, many, stage, nodes.lower))

    def mappings(self, nodes: Nodes) -> Iterator[tuple[Numbers, Numbers]]:
        """Of exact nodes: places of nodes, and a column of factors for each mapping, level by level."""
        for places, ways, outer in self._ways(nodes):
            first, room = nodes[places[:1]], self.device.levels[0].count // reduce(np.multiply, outer)
            tiles, passes = [int(count[0]) for count in first.cut.tiles], first.passes[:, 0]
            left = [ceil_div(tiles[axis], ways.inside[axis]) for axis in range(AXES)]
            able = [ceil_div(left[axis], outer[axis]) == passes[axis] for axis in range(PIXEL)]
            able += [divides(outer[axis], left[axis]) for axis in range(PIXEL) if self.perfect]
            able.append(room > 0)
            kept = np.flatnonzero(np.logical_and.reduce(able))
            room, pixels = room[kept], left[PIXEL][kept]
            for some in self._chunks(places, len(kept)):
                steps = nodes.steps(nodes.few)[some][:, None]
                replicas = ceil_div(pixels, steps)
                fits = (replicas <= room) & (ceil_div(pixels, replicas) == steps)
                if self.perfect:
                    fits &= divides(replicas, pixels)
                node, place = np.nonzero(fits)
                way = kept[place]
                levels = [factor[way] for level in ways.factors for factor in level]
                yield some[node], np.stack([*(factor[way] for factor in outer), replicas[node, place], *levels])

    def _chunks(self, places: Numbers, ways: int) -> Iterator[Numbers]:
        """These places, as many at once as memory allows."""
        at_once = max(1, AT_ONCE // max(1, ways))
        for first in range(0, len(places), at_once):
            self._require_time()
            yield places[first : first + at_once]

    def _ways(self, nodes: Nodes) -> Iterator[tuple[Numbers, Inner, list[Numbers]]]:
        """Nodes with as many tiles along every axis and as many passes, by their places.

        With each: the ways to use the inner levels, and the outermost level's factors for groups, row tiles and column
        tiles, one for each way.
        """
        for places, tiles, passes in self._alike(nodes, AXES):
            ways = self.inner(tiles)
            yield places, ways, outer_factors(ways.inside, tiles, passes)

    def _alike(self, nodes: Nodes, axes: int) -> Iterator[tuple[Numbers, tuple[int, ...], tuple[int, ...]]]:
        """Nodes with as many tiles along so many axes and as many passes, by their places; those tiles and passes."""
        alike = np.vstack([*nodes.cut.tiles[:axes], nodes.passes])
        order = np.lexsort(alike)
        ends = np.flatnonzero((np.diff(alike[:, order]) != 0).any(axis=0)) + 1
        for places in np.split(order, ends) if len(order) else []:
            self._require_time()
            numbers = alike[:, places[0]].tolist()
            yield places, tuple(numbers[:axes]), tuple(numbers[axes:])


def columns_of(workload: Workload, device: Device, nodes: Nodes, factors: Numbers) -> Mappings:
    """The mappings of exact nodes, with a column of factors for each, level by level."""
    turns = (*nodes.passes, nodes.steps(nodes.few))
    levels = [factors[first : first + AXES] for first in range(0, len(factors), AXES)]
    return mappings_of(workload, device, nodes.cut, levels, turns, nodes.stationary)


def _several(cut: Tilings, place: int, orders: int) -> Numbers:
    """All passes of one tiling but the single one, weight-stationary and, of two orders, input-stationary.

    Columns: the place of the tiling, the passes, the order.
    """
    turns = [np.unique(ceil_div(int(count[place]), np.arange(1, int(count[place]) + 1))) for count in cut.tiles[:PIXEL]]
    passes = np.stack([numbers.ravel() for numbers in np.meshgrid(*turns, indexing="ij")])
    passes = passes[:, passes.prod(axis=0) > 1]
    ones = np.ones_like(passes[0])
    several = range(orders if int(cut.tiles[PIXEL][place]) > 1 else 1)
    return np.hstack([np.stack([place * ones, *passes, order * ones]) for order in several])
