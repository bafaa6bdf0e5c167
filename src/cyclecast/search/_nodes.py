"""Nodes of branch and bound, as arrays: their lower bounds, how they split, and the mappings in them.

A node is a set of mappings of one tiling. It has one of three stages:

1. `WHOLE`: only the tiling is decided; it splits into all passes over groups, row tiles and column tiles, and orders;
2. `OPEN`: passes, order and a range of replicas are decided; some of the replicas may not fit into the levels;
3. `PLACED`: the same, but the largest number of replicas fits; it splits into smaller ranges.

A placed node with one number of replicas is *exact*. Its mappings differ only in the factors of the levels.
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
"""Most pairs of a node and a combination of inner factors that are computed together; it limits memory."""
WHOLE_AT_ONCE = 64
"""Tilings that are split into passes together."""
PIECES = 8
"""Parts into which a range of replicas is split."""


@dataclass(frozen=True, slots=True)
class Nodes:
    """n nodes, as arrays of shape (n,) unless said otherwise: element i belongs to node i."""

    cut: Tilings
    passes: Numbers
    """Passes over groups, row tiles and column tiles: shape (3, n)."""
    stationary: Numbers
    """1 if inputs are stationary, else 0."""
    few: Numbers
    """Least number of replicas."""
    many: Numbers
    """Largest number of replicas."""
    stage: Numbers
    """`WHOLE`, `OPEN` or `PLACED`."""
    lower: Numbers
    """Lower bound on the time of all mappings of the node [fs]."""

    def __len__(self) -> int:
        return len(self.stage)

    def __getitem__(self, chosen: Numbers) -> Nodes:
        """The nodes at these positions."""
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
        """All nodes of the parts; there must be at least one part."""
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
        """A key for each exact node: its decisions."""
        sizes = (*self.cut.window, self.cut.packed, self.cut.word_lines, self.cut.filters)
        return list(map(tuple, np.stack([*sizes, *self.passes, self.stationary, self.few]).T.tolist()))

    @property
    def held(self) -> Numbers:
        """Least number of arrays for one copy of the weights of a pass."""
        return reduce(np.multiply, (ceil_div(self.cut.tiles[axis], self.passes[axis]) for axis in range(PIXEL)))

    def steps(self, replicas: Numbers) -> Numbers:
        """Number of steps along the pixels with `replicas` replicas."""
        return ceil_div(self.cut.tiles[PIXEL], replicas)

    @property
    def exact(self) -> Numbers:
        """Mask of the exact nodes."""
        return (self.stage == PLACED) & (self.few == self.many)


class OverTime(Exception):
    """The time limit of the search is reached."""


class Splitter:
    """Splits the nodes of one problem into smaller ones; raises `OverTime` when `over` returns True."""

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
        """One node of stage `WHOLE` for every tiling."""
        ones = np.ones(len(cut), np.int64)
        passes = np.stack([ones, ones, ones])
        return Nodes(cut, passes, 0 * ones, ones, ones, 0 * ones + WHOLE, self.floor.spread(cut))

    def split(self, nodes: Nodes, best: int) -> Nodes:
        """The parts of the nodes whose lower bound is below the best time so far [fs]; exact nodes have no parts."""
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
        """For every tiling the exact node of one pass with the largest number of replicas that fits."""
        nodes = self.placed(self.passes(nodes, 0))
        few = nodes.many
        lower = self.floor.times(nodes.cut, nodes.passes, nodes.stationary, nodes.steps(few), nodes.held * few)
        return Nodes(nodes.cut, nodes.passes, nodes.stationary, few, few, nodes.stage, lower)

    def passes(self, nodes: Nodes, best: int) -> Nodes:
        """Nodes of stage `OPEN`: one pass if the device can hold all weights, several passes if they may be shorter.

        `best` is the best time so far [fs]; 0 for one pass only.
        """
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
        """Mask of the tilings that may be shorter than `best` with several passes: bounds for two passes on an axis."""
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
        """The nodes with at least one number of replicas, with narrowed ranges and new lower bounds.

        Of the numbers of replicas with an equal number of steps, a range begins and ends with the smallest.
        """
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
        """The nodes split into smaller ranges of replicas, of about equal ratio between their ends."""
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
        """The nodes with only as many replicas as fit into the levels; nodes of which no copy fits are left out."""
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
        """The mappings of exact nodes, as (positions of their nodes, factors), m mappings at a time.

        The factors have shape (levels x axes, m), the outermost level first.
        """
        for places, within, outer in self._factors(nodes):
            first, room = nodes[places[:1]], self.device.levels[0].count // reduce(np.multiply, outer)
            tiles, passes = [int(count[0]) for count in first.cut.tiles], first.passes[:, 0]
            left = [ceil_div(tiles[axis], within.inside[axis]) for axis in range(AXES)]
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
                chosen = kept[place]
                levels = [factor[chosen] for level in within.factors for factor in level]
                yield some[node], np.stack([*(factor[chosen] for factor in outer), replicas[node, place], *levels])

    def _chunks(self, places: Numbers, combinations: int) -> Iterator[Numbers]:
        """The positions in chunks, so that `combinations` for each of them fit into memory."""
        at_once = max(1, AT_ONCE // max(1, combinations))
        for first in range(0, len(places), at_once):
            self._require_time()
            yield places[first : first + at_once]

    def _factors(self, nodes: Nodes) -> Iterator[tuple[Numbers, Inner, list[Numbers]]]:
        """The positions of nodes with equal tiles and passes, and the factors of the levels for them.

        These are all combinations of inner factors, and for each combination the outermost level's factors for groups,
        row tiles and column tiles.
        """
        for places, tiles, passes in self._alike(nodes, AXES):
            within = self.inner(tiles)
            yield places, within, outer_factors(within.inside, tiles, passes)

    def _alike(self, nodes: Nodes, axes: int) -> Iterator[tuple[Numbers, tuple[int, ...], tuple[int, ...]]]:
        """The positions of nodes with equal tiles along the first `axes` axes and equal passes; these tiles, passes."""
        alike = np.vstack([*nodes.cut.tiles[:axes], nodes.passes])
        order = np.lexsort(alike)
        ends = np.flatnonzero((np.diff(alike[:, order]) != 0).any(axis=0)) + 1
        for places in np.split(order, ends) if len(order) else []:
            self._require_time()
            numbers = alike[:, places[0]].tolist()
            yield places, tuple(numbers[:axes]), tuple(numbers[axes:])


def columns_of(workload: Workload, device: Device, nodes: Nodes, factors: Numbers) -> Mappings:
    """The mappings of exact nodes; `factors` has shape (levels x axes, mappings), the outermost level first."""
    temporal = (*nodes.passes, nodes.steps(nodes.few))
    levels = [factors[first : first + AXES] for first in range(0, len(factors), AXES)]
    return mappings_of(workload, device, nodes.cut, levels, temporal, nodes.stationary)


def _several(cut: Tilings, place: int, orders: int) -> Numbers:
    """All combinations of more than one pass of one tiling: weight-stationary and, for two orders, input-stationary.

    Rows of the result: position of the tiling, passes over groups, row tiles and column tiles, order.
    """
    along = [np.unique(ceil_div(int(count[place]), np.arange(1, int(count[place]) + 1))) for count in cut.tiles[:PIXEL]]
    passes = np.stack([numbers.ravel() for numbers in np.meshgrid(*along, indexing="ij")])
    passes = passes[:, passes.prod(axis=0) > 1]
    ones = np.ones_like(passes[0])
    several = range(orders if int(cut.tiles[PIXEL][place]) > 1 else 1)
    return np.hstack([np.stack([place * ones, *passes, order * ones]) for order in several])
