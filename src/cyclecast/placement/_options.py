"""Ways to keep a workload in arrays: more replicas or a larger window take more arrays and less time."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cyclecast.bounding import factors_of, mappings_of
from cyclecast.device import Device
from cyclecast.enumeration import MOST_WAYS, Numbers, Tilings, forms, inner, inner_ways, tilings
from cyclecast.exact import ceil_div
from cyclecast.mapping import TILE_AXES, Mapping
from cyclecast.mappings import ManyFactors, Mappings
from cyclecast.timing import Timing, TimingModel
from cyclecast.work import product_time
from cyclecast.workload import Workload

ROW, PIXEL = TILE_AXES.index("row"), TILE_AXES.index("pixel")
ANY = 1 << 40
"""So many pixels that no factor is too large for them."""
MOST_EQUAL = 24
"""Ways to use the levels with equally few arrays, that are timed for a number of replicas."""
OUTSIDE = ("write", "fill", "drain")
"""Phases that a stage of a pipeline does not spend on every image: others run meanwhile."""


@dataclass(frozen=True, slots=True, eq=False)
class Options:
    """Mappings of one workload whose weights stay, fewest arrays first; every further one is shorter."""

    workload: Workload
    arrays: Sequence[int]
    """In use, ascending."""
    times: Sequence[int]
    """That every image keeps them busy, descending [fs]."""
    mappings: Sequence[Mapping]

    def __len__(self) -> int:
        return len(self.arrays)

    def within(self, time: int) -> int | None:
        """The place of the first that takes no longer, which has the fewest arrays; None if all do."""
        place = bisect_left(self.times, -time, key=lambda taken: -taken)
        return place if place < len(self.times) else None


def stage_time(timing: Timing) -> int:
    """What a timing keeps arrays and ports busy with one image after another [fs]."""
    return sum(phase.time.femtoseconds for phase in timing.phases if not phase.hidden and phase.name not in OUTSIDE)


def options(
    workload: Workload, device: Device, model: TimingModel, most: int, cut: Mapping | None = None
) -> Options | None:
    """Of all tilings, or that of one mapping (`cut`), what no other beats in arrays and time; None if none fits.

    At most so many arrays. Of every tiling, every number of replicas is looked at that takes fewer steps than one
    replica less, each with the factors that use the fewest arrays. Which tilings are worth it is decided by the time
    of a product alone; those that are kept are timed by the model.
    """
    if inner_ways(device) > MOST_WAYS:
        return None
    found = _tilings(workload, device, cut)
    chosen = _worthwhile(found, _product_times(workload, device, found), most)
    timed = [_timed(workload, device, model, found, tiling, replicas) for tiling, replicas in chosen]
    points = [point for points in timed for point in points if point[0] <= most]
    points.sort(key=lambda point: point[:2])
    kept: list[tuple[int, int, Mapping]] = []
    for arrays, time, mapping in points:
        if not kept or time < kept[-1][1]:
            kept.append((arrays, time, mapping))
    if not kept:
        return None
    return Options(workload, *(tuple(column) for column in zip(*kept, strict=True)))


def _tilings(workload: Workload, device: Device, cut: Mapping | None) -> Tilings:
    if cut is not None:
        window = cut.window or (1,) * len(workload.slides)
        tiles = (cut.tiles(axis) for axis in TILE_AXES)
        columns = (*window, cut.packed, cut.word_lines, cut.filters, *tiles)
        return Tilings.of([np.array([number], np.int64) for number in columns])
    every = forms(workload, device)
    parts = [tilings(workload, device, every[np.array([place])]) for place in range(len(every))]
    listed = [[*part.window, part.packed, part.word_lines, part.filters, *part.tiles] for part in parts]
    return Tilings.of([np.concatenate(column) for column in zip(*listed, strict=True)])


def _product_times(workload: Workload, device: Device, cut: Tilings) -> Numbers:
    ones = np.ones(len(cut), np.int64)
    alone = [ManyFactors(ones, ones, ones, ones)] * len(device.levels)
    mappings = mappings_of(workload, device, cut, alone, cut.tiles, 0 * ones, ones)
    return product_time(mappings, device) * ones


def _worthwhile(cut: Tilings, products: Numbers, most: int) -> Iterator[tuple[int, Numbers]]:
    """The tilings, each with its numbers of replicas, that no other is as good as, factors not looked at."""
    held, vectors = cut.tiles[0] * cut.tiles[1] * cut.tiles[2], cut.tiles[PIXEL]
    points = []
    for place in _undominated(held, vectors, products):
        replicas = int(min(vectors[place], most // held[place]))
        if replicas:
            steps = np.unique(ceil_div(vectors[place], np.arange(1, replicas + 1, dtype=np.int64)))
            needed = ceil_div(vectors[place], steps)
            points.append(np.array([held[place] * needed, steps * products[place], needed, 0 * needed + place]))
    if not points:
        return
    every = np.hstack(points)
    every = every[:, np.lexsort((every[1], every[0]))]
    before = np.concatenate([[np.iinfo(np.int64).max], np.minimum.accumulate(every[1])[:-1]])
    kept = every[:, every[1] < before]
    for place in np.unique(kept[3]):
        yield int(place), kept[2, kept[3] == place]


def _undominated(held: Numbers, vectors: Numbers, products: Numbers) -> list[int]:
    """The places of tilings that no other is as good as in everything; of equal ones the first."""
    order = np.lexsort((held, products, vectors))
    same = (np.diff(vectors[order]) == 0) & (np.diff(products[order]) == 0)
    least = order[np.concatenate([[True], ~same])]  # the fewest arrays for each number of vectors and time
    kept: list[int] = []
    for place in least.tolist():
        if not any(held[other] <= held[place] and products[other] <= products[place] for other in kept):
            kept.append(place)
    return kept


def _timed(
    workload: Workload, device: Device, model: TimingModel, cut: Tilings, tiling: int, replicas: Numbers
) -> list[tuple[int, int, Mapping]]:
    """Arrays, time and mapping for each number of replicas that the levels can hold: the factors that take least."""
    tiles = [int(count[tiling]) for count in cut.tiles]
    ways = inner(device, (*tiles[:PIXEL], ANY))  # of all numbers of replicas, each may be right for some
    way, wanted = _compact(tiles, np.stack(ways.inside), replicas, device, hasattr(model, "times"))
    if not len(way):
        return []
    ones = np.ones(len(way), np.int64)
    extents = [ceil_div(tiles[axis], ways.inside[axis][way]) for axis in range(PIXEL)]
    extents.append(ceil_div(wanted, ways.inside[PIXEL][way]))
    levels = [factors_of(extents), *(factors_of([factor[way] for factor in level]) for level in ways.factors)]
    turns = [ones, ones, ones, ceil_div(tiles[PIXEL], extents[PIXEL] * ways.inside[PIXEL][way])]
    found = mappings_of(workload, device, cut[np.full(len(way), tiling)], levels, turns, 0 * ones, ones)
    times, arrays = np.array(_times(model, found, device)), np.asarray(found.arrays)
    order = np.lexsort((times, arrays))
    before = np.concatenate([[np.iinfo(np.int64).max], np.minimum.accumulate(times[order])[:-1]])
    best = order[times[order] < before]
    return [(int(arrays[place]), int(times[place]), found[place]) for place in best]


def _compact(
    tiles: list[int], inside: Numbers, replicas: Numbers, device: Device, many: bool
) -> tuple[Numbers, Numbers]:
    """Ways to use the inner levels, and the replicas that each is for: those with the fewest arrays.

    Of equal ones, those that add up fewest partial sums outside come first, then those in the fewest instances of the
    outermost level; a model that times one mapping at a time gets only one.
    """
    outer = [ceil_div(tiles[axis], inside[axis]) for axis in range(PIXEL)]
    instances = np.multiply.reduce(outer)[:, None] * ceil_div(replicas[None, :], inside[PIXEL][:, None])
    never = np.iinfo(np.int64).max
    fits = instances <= device.levels[0].count
    arrays = np.where(fits, instances * np.multiply.reduce(inside)[:, None], never)
    least = fits & (arrays == arrays.min(axis=0))
    way, replica = np.nonzero(least)
    rank = np.lexsort((instances[way, replica], outer[ROW][way], replica))
    way, replica = way[rank], replica[rank]
    first = np.searchsorted(replica, replica)
    kept = np.arange(len(way)) - first < (MOST_EQUAL if many else 1)
    return way[kept], replicas[replica[kept]]


def _times(model: TimingModel, mappings: Mappings, device: Device) -> list[int]:
    many: Any = getattr(model, "times", None)
    if many is None:
        return [stage_time(model.time(mappings[place], device)) for place in range(len(mappings))]
    timings = many(mappings, device)
    outside = sum(timings.phases.get(name, 0) for name in OUTSIDE)
    return [int(time) for time in timings.total - outside]


def least_arrays(workload: Workload, device: Device) -> int:
    """The fewest arrays that hold all weights, wherever they are."""
    found = forms(workload, device)
    return int((found.tiles[0] * found.tiles[1] * found.tiles[2]).min())


def slower(options: Options, more: Callable[[Mapping], int]) -> Options:
    """The same mappings, each with so much more time; what then is no longer worth it is left out."""
    kept: list[tuple[int, int, Mapping]] = []
    for arrays, time, mapping in zip(options.arrays, options.times, options.mappings, strict=True):
        longer = time + more(mapping)
        if not kept or longer < kept[-1][1]:
            kept.append((arrays, longer, mapping))
    return Options(options.workload, *(tuple(column) for column in zip(*kept, strict=True)))
