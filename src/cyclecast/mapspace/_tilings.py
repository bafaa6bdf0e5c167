"""The mapspace as arrays, for searches that enumerate it.

A *tiling* is the window and the packed groups, word lines and filters of a tile. Factors say how many tiles use the
instances of each level. Of equivalent tilings (equal numbers of tiles along every axis) only the smallest is listed,
and of equivalent factors (equal temporal factors) only the smallest: less work in equal passes and steps is never
slower.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache, reduce
from itertools import product, takewhile
from math import prod
from typing import NamedTuple, Self

import numpy as np

from cyclecast._integers import Numbers, ceil_div
from cyclecast.device import Device, Level
from cyclecast.mapping import TILE_AXES, Factors, Form, LevelFactors, Mapping
from cyclecast.network import Workload
from cyclecast.units import Bandwidth

MOST_WAYS = 2_000_000
"""Most combinations of inner factors in a table (`Inner`)."""


def windows(workload: Workload, device: Device) -> list[tuple[int, ...]]:
    """The windows with at most as many outputs as an array has filters; first (), which is im2col.

    The values of a window may take several row tiles. Windows with more outputs are not in the mapspace: the results of
    one filter would take several column tiles.
    """
    wide = device.filters_per_array
    along = [(1, *takewhile(wide.__ge__, slide.windows)) for slide in workload.slides]
    return [(), *(window for window in product(*along) if 1 < prod(window) <= wide)]


@dataclass(frozen=True, slots=True)
class SketchSize:
    """Size of a sketch: the part of the mapspace that one set of rules opens."""

    rules: str
    """Names of the rules: `im2col`, `im2col+windows`, ..."""
    points: int
    """Number of combinations of decisions, legal or not."""
    legal: int
    """Number of combinations that fit into the arrays and levels, with any number of passes."""


@dataclass(frozen=True, slots=True)
class Tilings:
    """n tilings, as arrays of shape (n,): element i belongs to tiling i."""

    window: tuple[Numbers, ...]
    """Size of the window along every slide of the workload."""
    packed: Numbers
    word_lines: Numbers
    filters: Numbers
    tiles: tuple[Numbers, ...]
    """Number of tiles along every axis, in the order of `TILE_AXES`."""

    @classmethod
    def of(cls, columns: Sequence[Numbers]) -> Self:
        """Tilings from the arrays of all fields, in the order of `columns`."""
        slides = len(columns) - 3 - len(TILE_AXES)
        packed, word_lines, filters, *tiles = columns[slides:]
        return cls(tuple(columns[:slides]), packed, word_lines, filters, tuple(tiles))

    @classmethod
    def joined(cls, parts: Sequence[Tilings]) -> Tilings:
        """All tilings of the parts; there must be at least one part."""
        return cls.of([np.concatenate(numbers) for numbers in zip(*(part.columns for part in parts), strict=True)])

    @property
    def columns(self) -> tuple[Numbers, ...]:
        """The arrays of all fields, in the order of `of`."""
        return (*self.window, self.packed, self.word_lines, self.filters, *self.tiles)

    def __len__(self) -> int:
        return len(self.packed)

    def __getitem__(self, chosen: Numbers) -> Tilings:
        """The tilings at these positions."""
        return Tilings(
            tuple(sizes[chosen] for sizes in self.window),
            self.packed[chosen],
            self.word_lines[chosen],
            self.filters[chosen],
            tuple(count[chosen] for count in self.tiles),
        )


def forms(workload: Workload, device: Device) -> Tilings:
    """Every *form*, a window and a number of packed groups, as a relaxed tiling that bounds its tilings from below.

    The relaxed tiling has tiles of size 1, but only as many as with the largest size.
    """
    tall, wide = device.word_lines_per_array, device.filters_per_array
    each = smallest_sizes(workload.groups, min(workload.groups, tall, wide))
    sizes = [window or (1,) * len(workload.slides) for window in windows(workload, device)]
    window = tuple(np.repeat(np.array(sizes, np.int64), len(each), axis=0).T)
    form, packed = Form(workload, window), np.tile(each, len(sizes))
    ones = np.ones(len(packed), np.int64)
    values, results, vectors = form.values * ones, form.results * ones, form.vectors * ones
    rows = ceil_div(values, np.minimum(values, tall // packed))
    columns = ceil_div(results, np.minimum(results, wide // packed))
    return Tilings.of([*window, packed, ones, ones, ceil_div(workload.groups, packed), rows, columns, vectors])


def every_tiling(workload: Workload, device: Device) -> Tilings:
    """The tilings of all forms (`tilings` of each), one form after another."""
    every = forms(workload, device)
    form, packed = Form(workload, every.window), every.packed
    ones = np.ones(len(every), np.int64)
    values, results = form.values * ones, form.results * ones
    tall, wide = device.word_lines_per_array // packed, device.filters_per_array // packed
    lines = [smallest_sizes(*each) for each in zip(values.tolist(), np.minimum(values, tall).tolist(), strict=True)]
    filters = [smallest_sizes(*each) for each in zip(results.tolist(), np.minimum(results, wide).tolist(), strict=True)]
    many, few = [len(other) for other in filters], [len(one) for one in lines]
    counts = np.array(many, np.int64) * np.array(few, np.int64)

    def along_lines(numbers: list[Numbers]) -> Numbers:
        return np.concatenate([np.repeat(each, times) for each, times in zip(numbers, many, strict=True)])

    def along_filters(numbers: list[Numbers]) -> Numbers:
        return np.concatenate([np.tile(each, times) for each, times in zip(numbers, few, strict=True)])

    rows = [ceil_div(extent, sizes) for extent, sizes in zip(values.tolist(), lines, strict=True)]
    columns = [ceil_div(extent, sizes) for extent, sizes in zip(results.tolist(), filters, strict=True)]
    window = [np.repeat(sizes, counts) for sizes in every.window]
    packed, groups, vectors = (np.repeat(each, counts) for each in (every.packed, every.tiles[0], every.tiles[3]))
    sizes = along_lines(lines), along_filters(filters)
    return Tilings.of([*window, packed, *sizes, groups, along_lines(rows), along_filters(columns), vectors])


def tilings(workload: Workload, device: Device, form: Tilings, perfect: bool = False) -> Tilings:
    """All tilings of one form, the smallest of equivalent ones; `perfect`: only those without partly empty tiles."""
    packed = int(form.packed[0])
    window = tuple(int(size[0]) for size in form.window)
    shape, (lines, filters) = Form(workload, window), tile_sizes(workload, device, form)
    pairs = np.array(np.meshgrid(lines, filters, indexing="ij"), np.int64).reshape(2, -1)
    same = [np.full_like(pairs[0], number) for number in (*window, packed, form.tiles[0][0], shape.vectors)]
    cut = ceil_div(shape.values, pairs[0]), ceil_div(shape.results, pairs[1])
    found = Tilings.of([*same[:-2], *pairs, same[-2], *cut, same[-1]])
    if not perfect:
        return found
    whole = (pairs[0] * cut[0] == shape.values) & (pairs[1] * cut[1] == shape.results)
    whole &= bool(packed * form.tiles[0][0] == workload.groups and _divide(window, workload))
    return found[np.flatnonzero(whole)]


def tile_sizes(workload: Workload, device: Device, form: Tilings) -> tuple[Numbers, Numbers]:
    """The word lines, and the filters, of the tilings of one form, largest first."""
    packed, shape = int(form.packed[0]), Form(workload, tuple(int(size[0]) for size in form.window))
    tall, wide = device.word_lines_per_array // packed, device.filters_per_array // packed
    lines, filters = min(shape.values, tall), min(shape.results, wide)
    return smallest_sizes(shape.values, lines), smallest_sizes(shape.results, filters)


def _divide(window: tuple[int, ...], workload: Workload) -> bool:
    return all(slide.outputs % size == 0 for slide, size in zip(workload.slides, window, strict=True))


@lru_cache(maxsize=4096)
def smallest_sizes(extent: int, most: int) -> Numbers:
    """The smallest size for every number of tiles that sizes from 1 to `most` give; largest first, read-only."""
    counts = np.unique(ceil_div(extent, np.arange(1, most + 1, dtype=np.int64)))
    sizes = np.unique(ceil_div(extent, counts))[::-1]
    sizes.flags.writeable = False  # the cache shares it
    return sizes


class Inner(NamedTuple):
    """All combinations of factors of the inner levels (all but the outermost), as arrays of equal length."""

    factors: tuple[tuple[Numbers, ...], ...]
    """Factors by inner level, outermost first, and by axis."""
    inside: tuple[Numbers, ...]
    """Products of the factors over the inner levels, by axis."""


def resident_mapping(workload: Workload, device: Device) -> Mapping | None:
    """A mapping of one pass without replicas and windows; None if there is none.

    Only the largest tiles are tried: if smaller, and so more, tiles fit, the largest ones fit too.
    """
    tall, wide = device.word_lines_per_array, device.filters_per_array
    if inner_ways(device) > MOST_WAYS:
        return None
    for packed in smallest_sizes(workload.groups, min(workload.groups, tall, wide)).tolist():
        lines, filters = min(workload.reduction, tall // packed), min(workload.filters, wide // packed)
        extents = (workload.groups, packed), (workload.reduction, lines), (workload.filters, filters)
        tiles = tuple(ceil_div(extent, size) for extent, size in extents)
        within = inner(device, (*tiles, 1))
        outer = [ceil_div(count, inside) for count, inside in zip(tiles, within.inside, strict=False)]
        held = np.flatnonzero(np.multiply.reduce(outer) <= device.levels[0].count)
        if len(held):
            chosen = [[factor[held[0]] for factor in level] for level in ((*outer, within.inside[-1]), *within.factors)]
            levels = zip(device.levels, (Factors(*map(int, of)) for of in chosen), strict=True)
            bound = tuple(LevelFactors(level.name, factors) for level, factors in levels)
            return Mapping(workload, lines, filters, bound, Factors(pixel=workload.pixels), packed=packed)
    return None


def inner_ways(device: Device) -> int:
    """Upper bound on the number of combinations of inner factors."""
    return prod(count_combinations(level.count) for level in device.levels[1:])


def inner(device: Device, tiles: tuple[int, ...], perfect: bool = False) -> Inner:
    """All combinations of inner factors for these numbers of tiles, by axis; of equivalent factors the smallest.

    `perfect`: only factors that divide the tiles.
    """
    counts = tuple(level.count for level in device.levels[1:])
    factors = _joined(counts, tiles, perfect)
    inside = reduce(np.multiply, factors) if len(factors) else np.ones((len(tiles), 1), np.int64)
    return Inner(tuple(tuple(level) for level in factors), tuple(inside))


def outer_factors(inside: Sequence[Numbers], tiles: Sequence[int], passes: Sequence[int]) -> list[Numbers]:
    """The outermost level's factors for groups, row tiles and column tiles, for each combination of inner factors.

    `inside` are the products of the inner factors, `tiles` and `passes` numbers; all three by axis.
    """
    along = zip(tiles, inside, passes, strict=False)  # `tiles` and `inside` may also have the pixel axis
    return [ceil_div(ceil_div(count, inner), several) for count, inner, several in along]


@lru_cache(maxsize=4096)
def rooms_for_copies(
    counts: tuple[int, ...], tiles: tuple[int, ...], passes: tuple[int, ...], *, perfect: bool
) -> Numbers:
    """Rooms: for each level, outermost first, how many copies of the weights fit side by side at it.

    Shape (levels, n) for n different combinations of factors; n is 0 if no copy fits. `counts` are the instances of
    the levels; `tiles` and `passes` are those of groups, rows and columns.
    """
    factors = _joined(counts[1:], tiles, perfect)
    inner_rooms = np.array(counts[1:], np.int64)[:, None] // factors.prod(axis=1)
    outer = reduce(np.multiply, outer_factors(list(factors.prod(axis=0)), tiles, passes))
    rooms = np.vstack([counts[0] // outer, inner_rooms])
    different = sorted(set(zip(*rooms[:, rooms[0] > 0].tolist(), strict=True)))
    return np.array(different, np.int64).reshape(-1, len(counts)).T


def most_copies(counts: tuple[int, ...], rooms: Numbers, pixels: int, *, perfect: bool) -> int:
    """Most replicas that fit into `rooms` (of `rooms_for_copies`) and have a pixel each; 0 if none.

    `perfect`: only factors that divide the pixels.
    """
    chains = _chains(counts[1:], pixels, perfect)
    inside = chains.prod(axis=0)
    fits = (chains[:, None] <= rooms[1:, :, None]).all(axis=0)
    copies = np.minimum(rooms[0][:, None], ceil_div(pixels, inside)) * inside
    return int(copies.max(initial=0, where=fits))


@lru_cache(maxsize=256)
def _joined(counts: tuple[int, ...], tiles: tuple[int, ...], perfect: bool) -> Numbers:
    """Factors of inner levels, outermost first, along the axes of `tiles`: shape (levels, axes, combinations)."""
    along = _chains(counts, tiles[-1], perfect)
    if len(tiles) == 1:
        return along[:, None]
    before = _joined(counts, tiles[:-1], perfect)
    fits = np.ones((before.shape[-1], along.shape[-1]), bool)
    for level, count in enumerate(counts):
        room = count // reduce(np.multiply, before[level])
        fits &= along[level].astype(np.int32) <= room.astype(np.int32)[:, None]
    earlier, chain = np.divmod(np.flatnonzero(fits), along.shape[-1])
    joined = np.empty((len(counts), len(tiles), len(earlier)), np.int64)
    np.take(before, earlier, axis=2, out=joined[:, :-1], mode="clip")
    np.take(along, chain, axis=1, out=joined[:, -1], mode="clip")
    return joined


@lru_cache(maxsize=4096)
def _chains(counts: tuple[int, ...], tiles: int, perfect: bool) -> Numbers:
    """Factors of inner levels, outermost first, along one axis: shape (levels, combinations)."""
    allowed = divides if perfect else is_least
    chains, left = np.ones((0, 1), np.int64), np.array([tiles])
    for count in reversed(counts):
        factor = np.arange(1, count + 1)
        place, taken = np.nonzero(allowed(factor, left[:, None]) & (factor <= left[:, None]))
        chains = np.vstack([factor[taken][None, :], chains[:, place]])
        left = ceil_div(left[place], factor[taken])
    return chains


def unported(device: Device, limit: Bandwidth | None = None) -> Device:
    """The device with unlimited bandwidths, for lower bounds: with stationary inputs some passes move nothing.

    `limit` replaces each bandwidth, for models that read it.
    """

    def wide(port: Device | Level, names: Sequence[str]) -> dict[str, Bandwidth | None]:
        return {name: limit if getattr(port, name) else None for name in names}

    levels = tuple(level.model_copy(update=wide(level, (*PORTS, "merge_bandwidth"))) for level in device.levels)
    return device.model_copy(update=wide(device, PORTS) | {"levels": levels})


PORTS = ("input_bandwidth", "output_bandwidth")


def divides(factor: Numbers, tiles: Numbers) -> Numbers:
    """Whether the factor divides the tiles, so that all instances always have one."""
    return tiles % factor == 0


def is_least(factor: Numbers, tiles: Numbers) -> Numbers:
    """Whether every smaller factor would need more steps in time."""
    return (factor == 1) | (ceil_div(tiles, np.maximum(factor - 1, 1)) > ceil_div(tiles, factor))


@cache
def combinations(count: int) -> Numbers:
    """All factors (group, row, column, pixel) with a product of at most `count`: shape (combinations, 4)."""
    found = [
        (group, row, column, pixel)
        for group in range(1, count + 1)
        for row in range(1, count // group + 1)
        for column in range(1, count // (group * row) + 1)
        for pixel in range(1, count // (group * row * column) + 1)
    ]
    return np.array(found, np.int64).reshape(-1, len(TILE_AXES))


@cache
def count_combinations(count: int, axes: int = len(TILE_AXES)) -> int:
    """Number of combinations of `axes` factors, at least 1 each, with a product of at most `count`.

    Factors that leave an equal rest for the others are counted together, so a million instances take a moment.
    """
    if axes == 1:
        return count
    total, factor = 0, 1
    while factor <= count:
        left = count // factor
        last = count // left
        total += (last - factor + 1) * count_combinations(left, axes - 1)
        factor = last + 1
    return total


def sketches(workload: Workload, device: Device) -> tuple[SketchSize, ...]:
    """The size of the sketch of every set of rules.

    All values of a decision are counted: tile sizes up to an array, factors up to the instances of a level.
    """
    orders = 2 if device.array.write.during_inference else 1
    tall, wide = device.word_lines_per_array, device.filters_per_array
    factors = prod(level.count ** len(TILE_AXES) for level in device.levels)
    held = prod(count_combinations(level.count) for level in device.levels)
    found: dict[str, tuple[int, int]] = {}
    for window in windows(workload, device):
        form = Form(workload, window)
        lines, filters = min(form.values, tall), min(form.results, wide)
        for packed in range(1, min(workload.groups, tall, wide) + 1):
            fitting = min(form.values, tall // packed) * min(form.results, wide // packed)
            for stationary in range(orders):
                rules = ("im2col", *("windows",) * bool(window), *("pack",) * (packed > 1), *("order",) * stationary)
                points, legal = found.get("+".join(rules), (0, 0))
                found["+".join(rules)] = points + lines * filters * factors, legal + fitting * held
    return tuple(SketchSize(rules, points, legal) for rules, (points, legal) in found.items())
