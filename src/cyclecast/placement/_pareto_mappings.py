"""The Pareto mappings of a workload with resident weights: with more replicas or a larger window, time falls."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from math import isqrt

import numpy as np

from cyclecast._integers import ceil_div
from cyclecast.device import Device
from cyclecast.mapping import TILE_AXES, Mapping, Mappings
from cyclecast.mapspace import (
    MOST_WAYS,
    Inner,
    Numbers,
    Tilings,
    every_tiling,
    forms,
    inner,
    inner_ways,
    mappings_of,
    undominated,
)
from cyclecast.network import Workload
from cyclecast.placement._staircase import NEVER, Staircase
from cyclecast.timing import Analytical, Role, Timing, TimingModel, abilities, array_write_time, product_time

ROW, PIXEL = TILE_AXES.index("row"), TILE_AXES.index("pixel")
ANY = 1 << 40
"""A number of pixels for which no factor is too large."""
MOST_EQUAL = 24
"""Most combinations of factors with equally few arrays that are timed first for a number of replicas."""
MOST_TIMED = 400_000
"""Most mappings of one workload that are timed; if more are needed, the front is not proven."""
AT_ONCE = 1 << 14
"""Mappings that are timed at once."""
MOST_IN_VAIN = 16
"""Number of tilings found not open, one by one, after which all others are tested together."""
MOST_LOOKED_AT = 1 << 19
"""Most pairs of tiling and replicas that are tested together; it limits memory."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ParetoMappings:
    """The Pareto mappings of one workload with resident weights in arrays and time, fewest arrays first."""

    workload: Workload
    arrays: Sequence[int]
    """Arrays in use, ascending."""
    times: Sequence[int]
    """Time for which one image occupies arrays and ports, descending [fs]."""
    mappings: Sequence[Mapping]
    fewest: int = 0
    """Lower bound on the arrays of every mapping with resident weights."""
    least_time: int = 0
    """Lower bound on the time of every mapping with resident weights, in the mapspace or not [fs]; 0 if unknown."""
    least_work: int = 0
    """Lower bound on arrays x time of every such mapping [fs]; 0 if unknown."""

    def __len__(self) -> int:
        return len(self.arrays)

    def within(self, time: int) -> int | None:
        """Position of the mapping with the fewest arrays that takes at most `time` [fs]; None if there is none."""
        place = bisect_left(self.times, -time, key=lambda taken: -taken)
        return place if place < len(self.times) else None


def stage_time(timing: Timing) -> int:
    """Time for which one image occupies arrays and ports in a pipeline [fs]."""
    return timing.of(Role.BUSY).femtoseconds


def pareto_mappings(
    workload: Workload, device: Device, model: TimingModel, most: int, cut: Mapping | None = None, written: bool = False
) -> ParetoMappings | None:
    """The Pareto front of arrays and time over all mappings with resident weights; None if there is none.

    `most` is the largest number of arrays. With `cut`, only the tiles of that mapping are used. `written`: one operand
    is computed, and its writing counts as time. With the analytical model the front is exact. A mapping needs at least
    arrays of one copy x replicas, and steps x the time of a product. First the tilings on the front of these bounds are
    timed, then all tilings whose bounds the found front does not dominate, with all factors. With other models only the
    first are timed, and nothing is proven.
    """
    if inner_ways(device) > MOST_WAYS:
        return None
    search = _MappingSearch(
        workload=workload, device=device, model=model, cut=_tilings(workload, device, cut), most=most, written=written
    )
    proven = search.run()
    front = search.front
    if not len(front):
        return None
    fewest, least_time, least_work = search.least(proven)
    return ParetoMappings(
        workload=workload,
        arrays=front.arrays.tolist(),
        times=front.times.tolist(),
        mappings=tuple(front.payloads),
        fewest=fewest,
        least_time=least_time,
        least_work=least_work,
    )


def replicated(workload: Workload, device: Device, model: TimingModel, cut: Mapping, replicas: int) -> Mapping | None:
    """A mapping with the tiles of `cut` and at least `replicas` replicas: the fewest arrays, then the least time.

    None if it does not fit.
    """
    search = _MappingSearch(
        workload=workload,
        device=device,
        model=model,
        cut=_tilings(workload, device, cut),
        most=device.arrays,
        written=False,
    )
    search.expand(0, np.array([replicas], np.int64), few=True)
    return search.front.payloads[0] if len(search.front) else None


def _tilings(workload: Workload, device: Device, cut: Mapping | None) -> Tilings:
    if cut is not None:
        window = cut.window or (1,) * len(workload.slides)
        tiles = (cut.tiles(axis) for axis in TILE_AXES)
        columns = (*window, cut.packed, cut.word_lines, cut.filters, *tiles)
        return Tilings.of([np.array([number], np.int64) for number in columns])
    return every_tiling(workload, device)


def _product_times(workload: Workload, device: Device, cut: Tilings) -> Numbers:
    return product_time(_one_by_one(workload, device, cut), device) * np.ones(len(cut), np.int64)


def _write_times(workload: Workload, device: Device, cut: Tilings) -> Numbers:
    return array_write_time(_one_by_one(workload, device, cut), device) * np.ones(len(cut), np.int64)


def _one_by_one(workload: Workload, device: Device, cut: Tilings) -> Mappings:
    """Mappings with all tiles in one array, one after another."""
    ones = np.ones(len(cut), np.int64)
    alone = [(ones,) * len(TILE_AXES)] * len(device.levels)
    return mappings_of(workload, device, cut, alone, cut.tiles, 0 * ones, ones)


@dataclass(slots=True, kw_only=True)
class _MappingSearch:
    """The search for the Pareto mappings of one workload."""

    workload: Workload
    device: Device
    model: TimingModel
    cut: Tilings
    most: int
    """Most arrays of a mapping; tilings that need more are left out of `cut`."""
    written: bool
    """Whether the time includes the writing of a computed operand."""
    held: Numbers = field(init=False)
    """Arrays of one copy of the weights, by tiling."""
    vectors: Numbers = field(init=False)
    """Steps without replicas, by tiling."""
    products: Numbers = field(init=False)
    """Lower bound on the time of one step, by tiling [fs]."""
    writes: Numbers = field(init=False)
    """Time to write one array, by tiling; 0 if it does not count [fs]."""
    front: Staircase = field(init=False)
    timed: int = 0

    def __post_init__(self) -> None:
        held = self.cut.tiles[0] * self.cut.tiles[1] * self.cut.tiles[2]
        self.cut = self.cut[np.flatnonzero(held <= self.most)]
        self.held = self.cut.tiles[0] * self.cut.tiles[1] * self.cut.tiles[2]
        self.vectors = self.cut.tiles[PIXEL]
        self.products = _product_times(self.workload, self.device, self.cut)
        self.writes = _write_times(self.workload, self.device, self.cut) if self.written else 0 * self.held
        self.front = Staircase(self.most)

    def run(self) -> bool:
        """Find the front; return whether it is exact."""
        for tiling, replicas in _worthwhile(self.cut, self.products, self.most):
            self.expand(tiling, replicas, few=True)
        if not isinstance(self.model, Analytical):
            return False  # no bounds are known for other models
        whole = self.held * self.vectors * self.products
        left = np.flatnonzero(self.front.most_work(self.held, self.products) >= whole)
        left = self._left(left[np.argsort(whole[left], kind="stable")])
        at = in_vain = 0
        while at < len(left):
            tiling, at = int(left[at]), at + 1
            replicas = self._open(tiling)
            in_vain = 0 if len(replicas) else in_vain + 1
            if len(replicas) and not self.expand(tiling, replicas):
                return False
            if in_vain == MOST_IN_VAIN:
                left, at, in_vain = self._left(left[at:]), 0, 0
        return True

    def least(self, proven: bool) -> tuple[int, int, int]:
        """Lower bounds on arrays, time [fs] and arrays x time [fs] of every mapping with resident weights."""
        if proven:
            points = list(zip(self.front.arrays.tolist(), self.front.times.tolist(), strict=True))
            return points[0][0], points[-1][1], min(arrays * time for arrays, time in points)
        held, vectors, products = self.held, self.vectors, self.products
        if not isinstance(self.model, Analytical):
            return int(held.min()), 0, 0
        times = products * ceil_div(vectors, np.minimum(self.most // held, vectors))
        return int(held.min()), int(times.min()), int((held * vectors * products).min())

    def _left(self, tilings: Numbers) -> Numbers:
        """The tilings that may be on the front with some number of replicas, many tested together.

        The front only gets better, so a tiling that is not open now is never open again.
        """
        is_open = np.zeros(len(tilings), bool)
        for vectors in np.unique(self.vectors[tilings]).tolist():
            same = np.flatnonzero(self.vectors[tilings] == vectors)
            replicas, steps = _replicas(vectors, 1, self.most)
            for some in np.array_split(same, 1 + len(same) * len(replicas) // MOST_LOOKED_AT):
                chosen = tilings[some][:, None]
                arrays = self.held[chosen] * replicas
                is_open[some] = ((arrays <= self.most) & self._is_open(chosen, arrays, steps)).any(axis=1)
        return tilings[is_open]

    def _open(self, tiling: int) -> Numbers:
        """The numbers of replicas with which a tiling may be on the front."""
        replicas, steps = _replicas(int(self.vectors[tiling]), int(self.held[tiling]), self.most)
        return replicas[self._is_open(tiling, self.held[tiling] * replicas, steps)]

    def _is_open(self, tiling: int | Numbers, arrays: Numbers, steps: Numbers) -> Numbers:
        times = steps * self.products[tiling]
        if self.written:
            times = times + ceil_div(arrays, self.device.array.write.arrays) * self.writes[tiling]
        return self.front.is_open(arrays, times)

    def expand(self, tiling: int, replicas: Numbers, few: bool = False) -> bool:
        """Time the mappings of a tiling that may be on the front; False if they are too many.

        First those with the fewest arrays for each number of replicas, then (unless `few`) all others that are open.
        """
        tiles = [int(count[tiling]) for count in self.cut.tiles]
        within = inner(self.device, (*tiles[:PIXEL], ANY))  # factors for any number of replicas
        arrays = _arrays(tiles, within, replicas, self.device, self.most)
        steps = np.broadcast_to(ceil_div(tiles[PIXEL], replicas), arrays.shape)
        if isinstance(self.model, Analytical):
            arrays[~self._is_open(tiling, arrays, steps)] = NEVER
        chosen, replica = _compact(tiles, within, arrays, abilities(self.model).many is not None)
        self._time(tiling, within, chosen, replicas[replica])
        if few:
            return True
        arrays[chosen, replica] = NEVER
        arrays[~self._is_open(tiling, arrays, steps)] = NEVER
        chosen, replica = np.nonzero(arrays < NEVER)
        if self.timed + len(chosen) > MOST_TIMED:
            return False
        for first in range(0, len(chosen), AT_ONCE):
            some = slice(first, first + AT_ONCE)
            self._time(tiling, within, chosen[some], replicas[replica[some]])
        return True

    def _time(self, tiling: int, within: Inner, chosen: Numbers, wanted: Numbers) -> None:
        """Time `wanted` replicas with each of the `chosen` inner factors; keep the mappings on the front."""
        if not len(chosen):
            return
        self.timed += len(chosen)
        tiles, ones = [int(count[tiling]) for count in self.cut.tiles], np.ones(len(chosen), np.int64)
        extents = [ceil_div(tiles[axis], within.inside[axis][chosen]) for axis in range(PIXEL)]
        extents.append(ceil_div(wanted, within.inside[PIXEL][chosen]))
        levels = [extents, *([factor[chosen] for factor in level] for level in within.factors)]
        temporal = [ones, ones, ones, ceil_div(tiles[PIXEL], extents[PIXEL] * within.inside[PIXEL][chosen])]
        one = self.cut[np.full(len(chosen), tiling)]
        found = mappings_of(self.workload, self.device, one, levels, temporal, 0 * ones, ones)
        times, arrays = np.array(_times(self.model, found, self.device)), np.asarray(found.arrays)
        if self.written:
            times = times + ceil_div(arrays, self.device.array.write.arrays) * array_write_time(found, self.device)
        better = np.flatnonzero((arrays <= self.most) & self.front.is_open(arrays, times))
        order = better[np.lexsort((times[better], arrays[better]))]
        before = np.concatenate([[NEVER], np.minimum.accumulate(times[order])])[:-1]
        best = order[times[order] < before]
        self.front.add([(int(arrays[place]), int(times[place]), found[place]) for place in best])


def _replicas(vectors: int, held: int, most: int) -> tuple[Numbers, Numbers]:
    """All numbers of replicas that take fewer steps than one replica less, and their steps, most steps last.

    The replicas fit into `most` arrays, with `held` arrays each.
    """
    replicas, steps = _every_number(vectors)
    first = int(np.searchsorted(-replicas, -(most // held)))
    return replicas[first:], steps[first:]


@lru_cache(maxsize=64)
def _every_number(vectors: int) -> tuple[Numbers, Numbers]:
    """The same without a limit of arrays; cached."""
    few = np.arange(1, min(vectors, isqrt(vectors) + 1) + 1, dtype=np.int64)
    steps = np.unique(np.concatenate([few, ceil_div(vectors, few)]))
    replicas = ceil_div(vectors, steps)
    own = ceil_div(vectors, replicas) == steps
    return replicas[own], steps[own]


def _arrays(tiles: list[int], within: Inner, replicas: Numbers, device: Device, most: int) -> Numbers:
    """Arrays in use for every combination of inner factors and number of replicas: shape (combinations, replicas).

    `NEVER` if the outermost level has too few instances, or if they are more than `most`.
    """
    inside = np.stack(within.inside)
    outer = np.multiply.reduce([ceil_div(tiles[axis], inside[axis]) for axis in range(PIXEL)])
    instances = outer[:, None] * ceil_div(replicas[None, :], inside[PIXEL][:, None])
    arrays = instances * np.multiply.reduce(inside)[:, None]
    return np.where((instances <= device.levels[0].count) & (arrays <= most), arrays, NEVER)


def _compact(tiles: list[int], within: Inner, arrays: Numbers, many: bool) -> tuple[Numbers, Numbers]:
    """The combinations with the fewest arrays for every number of replicas, as positions along both axes of `arrays`.

    Equal ones are sorted by the row factor of the outermost level, then by its instances in use; at most `MOST_EQUAL`
    are kept, or one for a model that times one mapping at a time (`many` is False).
    """
    chosen, replica = np.nonzero((arrays < NEVER) & (arrays == arrays.min(axis=0, initial=NEVER)))
    rows = ceil_div(tiles[ROW], within.inside[ROW])
    instances = arrays[chosen, replica] // np.multiply.reduce(within.inside)[chosen]
    rank = np.lexsort((instances, rows[chosen], replica))
    chosen, replica = chosen[rank], replica[rank]
    kept = np.arange(len(chosen)) - np.searchsorted(replica, replica) < (MOST_EQUAL if many else 1)
    return chosen[kept], replica[kept]


def _worthwhile(cut: Tilings, products: Numbers, most: int) -> Iterator[tuple[int, Numbers]]:
    """The tilings and numbers of replicas on the Pareto front of the lower bounds on arrays and time."""
    held, vectors = cut.tiles[0] * cut.tiles[1] * cut.tiles[2], cut.tiles[PIXEL]
    points = []
    for place in undominated(vectors, products, held):
        needed, steps = _replicas(int(vectors[place]), int(held[place]), most)
        points.append(np.array([held[place] * needed, steps * products[place], needed, 0 * needed + place]))
    if not points:
        return
    every = np.hstack(points)
    every = every[:, np.lexsort((every[1], every[0]))]
    before = np.concatenate([[np.iinfo(np.int64).max], np.minimum.accumulate(every[1])[:-1]])
    kept = every[:, every[1] < before]
    for place in np.unique(kept[3]):
        yield int(place), kept[2, kept[3] == place]


def _times(model: TimingModel, mappings: Mappings, device: Device) -> list[int]:
    many = abilities(model).many
    if many is None:
        return [stage_time(model.time(mappings[place], device)) for place in range(len(mappings))]
    timings = many.times(mappings, device)
    outside = sum(timings.of(role) for role in (Role.WRITE, Role.FILL, Role.ENDS))
    return [int(time) for time in timings.total - outside]


def least_arrays(workload: Workload, device: Device) -> int:
    """Lower bound on the arrays that hold all weights: the fewest tiles of any form."""
    found = forms(workload, device)
    return int((found.tiles[0] * found.tiles[1] * found.tiles[2]).min())
