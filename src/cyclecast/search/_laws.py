"""Tests of the laws of `TimingModel`, which lower bounds assume, on a sample of mappings before and after a search.

Before a search, mappings are drawn from the nodes that the search would split. The time of each is compared with the
lower bounds of its node, and with mappings of equal temporal factors that have more work: a larger tile, or one more
instance in use. After a search, excluded mappings are timed: neighbours of the best one, and drawn ones. The sample is
deterministic for a seed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from cyclecast._integers import ceil_div
from cyclecast.device import Device
from cyclecast.mapping import TILE_AXES, ManyFactors, ManyLevelFactors, Mapping, Mappings, mapping_text
from cyclecast.mapspace import Numbers, Tilings, forms, mappings_of, tilings
from cyclecast.network import Workload
from cyclecast.search._nodes import Nodes
from cyclecast.search._relaxation import Relaxation, extents
from cyclecast.timing import Failure, TimingModel, Timings, abilities, asked, asked_many
from cyclecast.units import Time, short_time

NEVER = 2**200
"""A value longer than any time [fs]."""
DRAWN, DRAWN_ALONE, BOUNDED_ALONE = 2000, 300, 50
"""Mappings in a sample; the same if the model times one mapping at a time; those of the latter compared with bounds."""
FORMS = 12
"""Forms that a sample is drawn from, besides the first."""
CLIMBS = 12
"""Most steps of `Sample.promising` from a mapping to its best neighbour."""
AGAIN = 8
"""Mappings that are timed a second time, alone."""
ROUND = (8, 16, 32, 64, 128)
"""Step sizes: multiples of them may be special to a model, as may be powers of two."""


class Breach(NamedTuple):
    """A broken law."""

    reason: str
    differs: str = ""
    """The mapping that has two times, with both times; "" if another law is broken."""


@dataclass(slots=True)
class Sample:
    """A sample of the mappings of one workload, both timed and excluded ones."""

    workload: Workload
    device: Device
    model: TimingModel
    seed: int

    @property
    def _at_once(self) -> bool:
        return abilities(self.model).many is not None

    def breach(self) -> Breach | None:
        """The first law that the sample breaks; None if it breaks none."""
        random = np.random.default_rng(self.seed)
        nodes, mappings = self._drawn(random)
        times = self._times(mappings)
        known = np.flatnonzero(times < NEVER)
        few = known if self._at_once else known[:BOUNDED_ALONE]
        return (
            self._two_times(mappings, times)
            or self._slower_with_less(_take(mappings, known), times[known], random)
            or self._below_a_bound(nodes[few], _take(mappings, few), times[few])
        )

    def promising(self) -> Mapping | None:
        """A short mapping, found by hill climbing from the shortest drawn one; None if no drawn mapping has a time."""
        random = np.random.default_rng(self.seed)
        part, best, least = self._drawn(random)[1], None, NEVER
        for _ in range(1 + CLIMBS):
            times = self._times(part)
            if not len(times) or int(times.min()) >= least:
                break
            place = int(np.argmin(times))
            best, least = part[place], int(times[place])
            part = self._legal(_near(Mappings.of([best]), self.device, random))
        return best

    def better(self, than: int, best: Mapping) -> tuple[Mapping, int] | None:
        """A mapping shorter than `than` [fs] and its time, among the neighbours of the best one and drawn ones.

        None if the sample has none.
        """
        random = np.random.default_rng(self.seed + 1)
        drawn = self._drawn(random)[1]
        near = self._legal(_near(Mappings.of([best]), self.device, random))
        parts = [near, drawn, *(more for _, _, more in self._with_more(drawn, random))]
        for part in parts:
            times = self._times(part)
            if len(times) and int(times.min()) < than:
                place = int(np.argmin(times))
                return part[place], int(times[place])
        return None

    def _times(self, mappings: Mappings) -> Numbers:
        """The times as Python integers [fs]; `NEVER` for a mapping that the model cannot time."""
        many = abilities(self.model).many
        if many is not None and len(mappings):
            found = asked_many(many, mappings, self.device)
            if isinstance(found, Timings):
                total = found.total.astype(object)
                return total if found.refused is None else np.where(found.refused, NEVER, total)
        return np.array([self._time(mappings[place]) for place in range(len(mappings))], object)

    def _time(self, mapping: Mapping, device: Device | None = None) -> int:
        found = asked(self.model, mapping, device or self.device)
        return NEVER if isinstance(found, Failure) else found.total.femtoseconds

    def _bound(self, mapping: Mapping, device: Device) -> int:
        """The time of a relaxed mapping [fs]; 0 if the model cannot time it."""
        return self._time(mapping, device) % NEVER

    def _drawn(self, random: np.random.Generator) -> tuple[Nodes, Mappings]:
        """Mappings of listed tilings with random factors, and for each mapping its exact node."""
        count = DRAWN if self._at_once else DRAWN_ALONE
        known = forms(self.workload, self.device)
        chosen = {0, *random.choice(len(known), min(len(known), FORMS), replace=False).tolist()}
        cuts = [self._held(tilings(self.workload, self.device, known[place : place + 1])) for place in sorted(chosen)]
        each = [2 * count, *(2 * count // FORMS for _ in cuts[1:])]
        cut = Tilings.joined([_few_tiles(of, most, random) for of, most in zip(cuts, each, strict=True)])
        cut = cut[random.permutation(len(cut))]
        mappings = self._legal(self._filled(cut, random))
        mappings = mappings.at_places(np.arange(min(len(mappings), count)))
        temporal = mappings.temporal
        cut = _cut(mappings)
        replicas = ceil_div(cut.tiles[-1], temporal.pixel)
        passes = np.stack([temporal.group, temporal.row, temporal.column])
        return Nodes(cut, passes, mappings.input_stationary, replicas, replicas, 0 * replicas, 0 * replicas), mappings

    def _filled(self, cut: Tilings, random: np.random.Generator) -> Mappings:
        """A mapping of every tiling with random factors, drawn from the inside outwards.

        A factor is 1, as large as possible, or in between.
        """
        left, levels = list(cut.tiles), list[list[Numbers]]()
        for level in reversed(self.device.levels):
            room, factors = np.full(len(cut), level.count), list[Numbers](left)
            outermost = level is self.device.levels[0]
            for axis in (*random.permutation(len(TILE_AXES) - 1).tolist(), len(TILE_AXES) - 1):
                most = np.minimum(room, left[axis])
                share = random.random(len(cut)) * random.integers(0, 2, len(cut))
                share = np.where(random.random(len(cut)) < (3 / 4 if outermost else 1 / 4), 1.0, share)
                factor = np.maximum(np.floor(most**share), 1).astype(np.int64)
                factors[axis], room = factor, room // factor
                left[axis] = ceil_div(left[axis], factor)
            levels.insert(0, factors)
        order = random.integers(0, 2, len(cut))
        return mappings_of(self.workload, self.device, cut, levels, left, order)

    def _held(self, cut: Tilings) -> Tilings:
        """The tilings that the device can hold: all of them if it can write during inference."""
        if self.device.array.write.during_inference:
            return cut
        return cut[np.flatnonzero(cut.tiles[0] * cut.tiles[1] * cut.tiles[2] <= self.device.arrays)]

    def _two_times(self, mappings: Mappings, times: Numbers) -> Breach | None:
        """A mapping whose time differs when it is timed again, alone."""
        for place in range(0, len(mappings), max(1, len(mappings) // AGAIN)):
            again = self._time(mappings[place])
            if again != times[place]:
                text = f"{mapping_text(mappings[place])} takes {_short(times[place])} and {_short(again)}"
                return Breach(f"the timing model gives one mapping two times: {text}", text)
        return None

    def _below_a_bound(self, nodes: Nodes, mappings: Mappings, times: Numbers) -> Breach | None:
        """A mapping that is shorter than a lower bound of its node."""
        floor = Relaxation(self.workload, self.device, self.model, self._bound)
        cut, steps, arrays = nodes.cut, nodes.steps(nodes.few), nodes.held * nodes.few
        ones = np.ones_like(steps)
        alone = floor.times(cut, nodes.passes, nodes.stationary, steps, arrays)
        fewest = np.maximum(
            ceil_div(cut.tiles[-1], np.maximum(self.device.arrays // nodes.held, 1)), 1 + nodes.stationary
        )
        fewer = np.maximum(steps - 1, fewest)
        several = nodes.passes.max(axis=0) > 1
        once = floor.alone(
            floor.free, cut, (ones, ones, ones), 0 * ones, ceil_div(_work(cut), self.device.arrays), ones
        )
        bounds = {
            "no mapping is faster than one of its arrays alone": alone,
            "fewer steps are never slower": floor.times(cut, nodes.passes, nodes.stationary, fewest, nodes.held),
            "one step fewer is never slower": floor.times(cut, nodes.passes, nodes.stationary, fewer, nodes.held),
            "several passes are never faster than one of as many steps": once,
            "fewer passes are never slower": np.where(several, self._two_passes(floor, nodes), 0),
            "tiles spread over all arrays evenly are never slower": floor.spread(cut),
            "smaller and fewer tiles are never slower": floor.spread(_form(cut, self.workload, self.device)),
            "no mapping is faster than the model's own bound": self._stated(mappings),
        }
        for law, bound in bounds.items():
            below = np.flatnonzero(times < bound)
            if len(below):
                place = below[0]
                found = f"{mapping_text(mappings[place])} takes {_short(times[place])}"
                return Breach(f"{_BREAKS} '{law}': {found}, its bound {_short(bound[place])}")
        return None

    def _stated(self, mappings: Mappings) -> Numbers:
        """The lower bound that the model itself gives [fs], repeated for every mapping; 0 if it gives none."""
        stated = abilities(self.model).bounded
        bound = stated.bounds(mappings[0], self.device).lower.femtoseconds if stated and len(mappings) else 0
        return np.full(len(mappings), bound, object)

    def _two_passes(self, floor: Relaxation, nodes: Nodes) -> Numbers:
        """Lower bound of the mappings with two or more passes [fs]: two passes along the cheapest axis and order."""
        ones, least = np.ones_like(nodes.few), np.full(len(nodes), NEVER, object)
        for axis in range(len(nodes.passes)):
            passes = tuple(ones + (other == axis) for other in range(len(nodes.passes)))
            for order in (0 * ones, ones):
                found = floor.alone(self.device, nodes.cut, passes, order, 1 + order, ones)
                least = np.where((found < least) & (nodes.cut.tiles[axis] > 1), found, least)
        return np.where(least < NEVER, least, 0)

    def _slower_with_less(self, mappings: Mappings, times: Numbers, random: np.random.Generator) -> Breach | None:
        """A mapping that is slower than one with more work and equal temporal factors."""
        for law, places, more in self._with_more(mappings, random):
            other = self._times(more)
            below = np.flatnonzero(other < times[places])
            if len(below):
                place = below[0]
                less = f"{mapping_text(mappings[places[place]])} takes {_short(times[places[place]])}"
                return Breach(f"{_BREAKS} '{law}': {less}, {mapping_text(more[place])} takes {_short(other[place])}")
        return None

    def _with_more(self, mappings: Mappings, random: np.random.Generator) -> Iterator[tuple[str, Numbers, Mappings]]:
        """Changes of the mappings to more work with equal temporal factors, as (law, positions, changed mappings).

        The work is larger tiles or more instances. If the model times one mapping at a time, every mapping is changed
        once for each law, else by all changes.
        """
        tiles, instances = "a larger tile is never faster", "more instances at work are never faster"
        larger = [_sized(mappings, name, sizes) for name, sizes in _larger_tiles(mappings, self.device, random)]
        for law, found in ((tiles, larger), (instances, list(_more_instances(mappings)))):
            if not found or not len(mappings):
                continue
            able = np.array([self._same_temporal(more) & _differ(more, mappings) for more in found])
            if not self._at_once:
                chosen = np.argmax(able * random.random(able.shape), axis=0)
                able &= np.arange(len(found))[:, None] == chosen
            for more, places in zip(found, map(np.flatnonzero, able), strict=True):
                if len(places):
                    yield law, places, more.at_places(places)

    def _same_temporal(self, mappings: Mappings) -> Numbers:
        """Mask of the mappings that fit the device and whose temporal factors are the right ones."""
        return _fits(mappings, self.device) & np.logical_and.reduce(
            [
                mappings.temporal.along(axis) == ceil_div(mappings.tiles(axis), mappings.spatial(axis))
                for axis in TILE_AXES
            ]
        )

    def _legal(self, mappings: Mappings) -> Mappings:
        """The mappings that the device can hold, with temporal factors computed from their tiles and levels."""
        temporal = ManyFactors(*(ceil_div(mappings.tiles(axis), mappings.spatial(axis)) for axis in TILE_AXES))
        found = replace(mappings, temporal=temporal)
        order = mappings.input_stationary * (found.passes > 1) * (temporal.pixel > 1)
        found = replace(found, input_stationary=order)
        able = _fits(found, self.device)
        if not self.device.array.write.during_inference:
            able &= found.passes == 1
        return _take(found, np.flatnonzero(able))


_BREAKS = "the timing model breaks the law"


def _short(femtoseconds: int) -> str:
    return short_time(Time(int(femtoseconds))) if femtoseconds < NEVER else "no time"


def _few_tiles(cut: Tilings, most: int, random: np.random.Generator) -> Tilings:
    """`most` of these tilings, drawn with repetition; a tiling with few tiles is drawn more often."""
    order = np.argsort(cut.tiles[0] * cut.tiles[1] * cut.tiles[2], kind="stable")
    return cut[order[np.floor(len(cut) * random.random(most if len(cut) else 0) ** 2).astype(np.int64)]]


def _cut(mappings: Mappings) -> Tilings:
    """The tilings of the mappings."""
    ones = np.ones_like(mappings.word_lines)
    tiles = tuple(mappings.tiles(axis) * ones for axis in TILE_AXES)
    return Tilings(mappings.window, mappings.packed, mappings.word_lines, mappings.filters, tiles)


def _form(cut: Tilings, workload: Workload, device: Device) -> Tilings:
    """A relaxed tiling of the same window and packed groups: tiles of size 1, as few as with the largest size."""
    ones = np.ones(len(cut), np.int64)
    groups, _, _, vectors = cut.tiles
    values, results, *_ = extents(cut, workload)
    sizes = (values, device.word_lines_per_array), (results, device.filters_per_array)
    fewest = (ceil_div(extent, np.minimum(extent, most // cut.packed)) for extent, most in sizes)
    return Tilings(cut.window, cut.packed, ones, ones, (groups, *fewest, vectors))


def _work(cut: Tilings) -> Numbers:
    return cut.tiles[0] * cut.tiles[1] * cut.tiles[2] * cut.tiles[3]


def _take(mappings: Mappings, places: Numbers) -> Mappings:
    return mappings.at_places(places)


def _fits(mappings: Mappings, device: Device) -> Numbers:
    able = mappings.packed * mappings.word_lines <= device.word_lines_per_array
    able &= mappings.packed * mappings.filters <= device.filters_per_array
    for level, entry in zip(device.levels, mappings.levels, strict=True):
        able &= entry.factors.product <= level.count
    return able


def _differ(one: Mappings, other: Mappings) -> Numbers:
    """Mask of the mappings whose sizes or factors differ."""
    pairs = [(getattr(one, name), getattr(other, name)) for name in ("word_lines", "filters", "packed")]
    for mine, others in zip(one.levels, other.levels, strict=True):
        pairs += [(mine.factors.along(axis), others.factors.along(axis)) for axis in TILE_AXES]
    return np.logical_or.reduce([mine != others for mine, others in pairs])


def _larger_tiles(m: Mappings, device: Device, random: np.random.Generator) -> Iterator[tuple[str, Numbers]]:
    """Larger tile sizes with an equal number of tiles, as (name of the size, sizes): largest, round and random ones."""
    tall, wide = device.word_lines_per_array, device.filters_per_array
    ones = np.ones_like(m.word_lines)
    room = {
        "word_lines": (m.values * ones, tall // m.packed),
        "filters": (m.results * ones, wide // m.packed),
        "packed": (m.workload.groups * ones, np.minimum(tall // m.word_lines, wide // m.filters)),
    }
    for name, (extent, most) in room.items():
        size = getattr(m, name)
        count = ceil_div(extent, size)
        largest = np.where(count == 1, extent, ceil_div(extent, np.maximum(count - 1, 1)) - 1)
        largest = np.minimum(largest, most)
        if not len(size) or (largest <= size).all():
            continue
        chosen = [largest, np.minimum(size + 1, largest)]
        chosen += [np.minimum(ceil_div(size + 1, step) * step, largest) for step in ROUND]
        chosen += [np.minimum(2 ** np.ceil(np.log2(size + 1)).astype(np.int64), largest)]
        chosen += [size + np.floor(random.random(len(size)) * (largest - size + 1)).astype(np.int64)]
        yield from ((name, np.maximum(sizes, size)) for sizes in chosen)


def _more_instances(m: Mappings) -> Iterator[Mappings]:
    """The mappings with one factor of one level increased by one, or doubled."""
    for level, axis in product(range(len(m.levels)), TILE_AXES):
        factor = m.levels[level].factors.along(axis)
        yield _changed(m, level, axis, factor + 1)
        yield _changed(m, level, axis, 2 * factor)


def _sized(m: Mappings, name: str, sizes: Numbers) -> Mappings:
    changes: Any = {name: sizes}
    return replace(m, **changes)


def _changed(m: Mappings, level: int, axis: str, factor: Numbers) -> Mappings:
    entry = m.levels[level]
    factors = ManyFactors(*(factor if name == axis else entry.factors.along(name) for name in TILE_AXES))
    levels = list(m.levels)
    levels[level] = ManyLevelFactors(entry.level, factors)
    return replace(m, levels=tuple(levels))


def _near(one: Mappings, device: Device, random: np.random.Generator) -> Mappings:
    """The neighbours of one mapping: one tile size or one factor changed; the temporal factors are not adapted."""
    found = [one]
    whole = {"word_lines": one.values, "filters": one.results, "packed": one.workload.groups + 0 * one.packed}
    for name, extent in whole.items():
        size, most = int(getattr(one, name)[0]), int(np.max(extent))
        sizes = {size + by for by in (-2, -1, 1, 2)} | {2**power for power in range(most.bit_length())}
        sizes |= {step * (size // step + by) for step in ROUND for by in (-1, 0, 1, 2)}
        sizes |= {ceil_div(most, count) for count in range(1, 17)}
        sizes |= set(random.integers(1, most + 1, 8).tolist())
        found += [_sized(one, name, np.array([of])) for of in sorted(sizes) if 1 <= of <= most and of != size]
    for level in range(len(one.levels)):
        for axis in TILE_AXES:
            factor = int(one.levels[level].factors.along(axis)[0])
            others = {factor - 1, factor + 1, factor // 2, 2 * factor, 1, device.levels[level].count} - {factor, 0}
            found += [_changed(one, level, axis, np.array([of])) for of in sorted(others)]
    return Mappings.joined(found)
