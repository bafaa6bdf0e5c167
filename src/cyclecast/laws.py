"""Does a timing model keep the laws that lower bounds rest on? A sample of mappings tells, before and after a search.

The laws are those of `TimingModel`. Before a search, mappings are drawn from the sets that the search would split, and
each is compared with the bounds that would leave it out, and with mappings of the same turns that have more to do: a
larger tile, another instance at work. After a search, mappings that it left out are timed: near the best, and drawn.
The seed decides which; nothing else does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from cyclecast.bounding import Floor, extents
from cyclecast.device import Device
from cyclecast.enumeration import Numbers, Tilings, forms, inner_ways, tilings
from cyclecast.exact import ceil_div
from cyclecast.mapping import TILE_AXES, Mapping, mapping_text
from cyclecast.mappings import ManyFactors, ManyLevelFactors, Mappings
from cyclecast.nodes import Nodes, Splitter, columns_of
from cyclecast.timing import Refusal, TimingModel, Timings, asked, asked_many
from cyclecast.units import Time, short_time
from cyclecast.workload import Workload

NEVER = 2**200
"""Longer than any time [fs]."""
DRAWN, DRAWN_ALONE = 400, 60
"""Mappings in a sample; of a model that times one mapping at a time."""
FORMS, TILINGS = 8, 24
"""Forms, and tilings of all of them, that a sample is drawn from."""
WAYS = 200_000
"""Ways to use the inner levels that a sample looks at."""
ONLY = np.zeros(1, np.int64)
AGAIN = 8
"""Mappings that are timed twice, alone."""
ROUND = (8, 16, 32, 64, 128)
"""Sizes of which the multiples are often special to a model, besides the powers of two."""


class Breach(NamedTuple):
    """A law that is broken."""

    reason: str
    differs: str = ""
    """The mapping that has two times, and both; "" where the law is another."""


class _NoFloor(Floor):
    """Bounds that leave nothing out."""

    def times(self, cut: Tilings, passes: Any, stationary: Numbers, steps: Numbers, arrays: Numbers) -> Numbers:
        return 0 * steps

    def spread(self, cut: Tilings) -> Numbers:
        return np.zeros(len(cut), np.int64)

    def alone(
        self, device: Device, cut: Tilings, passes: Any, stationary: Numbers, steps: Numbers, arrays: Numbers
    ) -> Numbers:
        return 0 * steps


@dataclass(slots=True)
class Sample:
    """Mappings of one workload that a search would look at or leave out."""

    workload: Workload
    device: Device
    model: TimingModel
    seed: int

    @property
    def _at_once(self) -> bool:
        return hasattr(self.model, "times")

    def breach(self) -> Breach | None:
        """The first law that the sample breaks, if any."""
        random = np.random.default_rng(self.seed)
        nodes, mappings = self._drawn(random, DRAWN if self._at_once else DRAWN_ALONE)
        times = self._times(mappings)
        known = np.flatnonzero(times < NEVER)
        for found in (
            self._two_times(mappings, times),
            self._below_a_bound(nodes[known], _take(mappings, known), times[known]),
            self._slower_with_less(_take(mappings, known), times[known], random),
        ):
            if found:
                return found
        return None

    def better(self, than: int, best: Mapping) -> tuple[Mapping, int] | None:
        """A mapping that is shorter than so many femtoseconds, near the best one or drawn, if there is one here."""
        random = np.random.default_rng(self.seed + 1)
        drawn = self._drawn(random, DRAWN if self._at_once else DRAWN_ALONE)[1]
        near = self._legal(_near(Mappings.of([best]), self.device, random))
        parts = [near, drawn, *(more for _, _, more in self._with_more(drawn, random))]
        for part in parts:
            times = self._times(part)
            if len(times) and int(times.min()) < than:
                place = int(np.argmin(times))
                return part[place], int(times[place])
        return None

    def _times(self, mappings: Mappings) -> Numbers:
        """The times as Python integers [fs]; `NEVER` where the model has none."""
        if self._at_once and len(mappings):
            found = asked_many(self.model, mappings, self.device)
            if isinstance(found, Timings):
                total = found.total.astype(object)
                return total if found.refused is None else np.where(found.refused, NEVER, total)
        return np.array([self._time(mappings[place]) for place in range(len(mappings))], object)

    def _time(self, mapping: Mapping, device: Device | None = None) -> int:
        found = asked(self.model, mapping, device or self.device)
        return NEVER if isinstance(found, Refusal) else found.total.femtoseconds

    def _bound(self, mapping: Mapping, device: Device) -> int:
        return self._time(mapping, device) % NEVER

    def _drawn(self, random: np.random.Generator, count: int) -> tuple[Nodes, Mappings]:
        """Some mappings, and the exact node of each."""
        known = forms(self.workload, self.device)
        several = max(3, min(TILINGS, WAYS // inner_ways(self.device)))
        places = random.choice(len(known), min(len(known), FORMS, several), replace=False)
        cuts = [self._held(tilings(self.workload, self.device, known[place : place + 1])) for place in places]
        each = max(1, several // len(cuts))
        cut = Tilings.joined([of[random.choice(len(of), min(len(of), each), replace=False)] for of in cuts])
        splitter = Splitter(self.device, _NoFloor(self.workload, self.device, self.model, self._bound))
        kinds = splitter.passes(splitter.whole(cut), NEVER)
        weight = np.where(kinds.passes.max(axis=0) == 1, max(1, len(kinds) // len(cut)), 1)
        share = weight / max(1, weight.sum())
        some = random.choice(len(kinds), min(len(kinds), count), replace=False, p=share) if len(kinds) else ONLY[:0]
        placed = splitter.placed(kinds[np.sort(some)])
        share = np.where(random.random(len(placed)) < 1 / 2, 1.0, random.random(len(placed)))
        replicas = np.floor(placed.few * (placed.many / np.maximum(placed.few, 1)) ** share).astype(np.int64)
        replicas = ceil_div(placed.cut.tiles[-1], ceil_div(placed.cut.tiles[-1], np.maximum(replicas, 1)))
        exact = replace(placed, few=replicas, many=replicas)
        found: list[tuple[Numbers, Numbers]] = [
            (places[some], factors[:, some])
            for places, factors in splitter.mappings(exact)
            if len(places)
            for some in [random.choice(len(places), min(len(places), 2 * len(np.unique(places))), replace=False)]
        ]
        if not found:
            return exact[:0], columns_of(self.workload, self.device, exact[:0], _no_factors(self.device))
        places = np.concatenate([of for of, _ in found])
        factors = np.hstack([of for _, of in found])
        chosen = random.choice(len(places), min(len(places), count), replace=False)
        nodes = exact[places[chosen]]
        return nodes, columns_of(self.workload, self.device, nodes, factors[:, chosen])

    def _held(self, cut: Tilings) -> Tilings:
        """The tilings that the device can hold, in several passes if it writes during inference."""
        if self.device.array.write.during_inference:
            return cut
        return cut[np.flatnonzero(cut.tiles[0] * cut.tiles[1] * cut.tiles[2] <= self.device.arrays)]

    def _two_times(self, mappings: Mappings, times: Numbers) -> Breach | None:
        for place in range(0, len(mappings), max(1, len(mappings) // AGAIN)):
            again = self._time(mappings[place])
            if again != times[place]:
                text = f"{mapping_text(mappings[place])} takes {_short(times[place])} and {_short(again)}"
                return Breach(f"the timing model gives one mapping two times: {text}", text)
        return None

    def _below_a_bound(self, nodes: Nodes, mappings: Mappings, times: Numbers) -> Breach | None:
        """Bounds that would leave out mappings that are shorter."""
        floor = Floor(self.workload, self.device, self.model, self._bound)
        cut, steps, arrays = nodes.cut, nodes.steps(nodes.few), nodes.held * nodes.few
        ones = np.ones_like(steps)
        alone = floor.times(cut, nodes.passes, nodes.stationary, steps, arrays)
        fewest = np.maximum(
            ceil_div(cut.tiles[-1], np.maximum(self.device.arrays // nodes.held, 1)), 1 + nodes.stationary
        )
        several = nodes.passes.max(axis=0) > 1
        once = floor.alone(
            floor.free, cut, (ones, ones, ones), 0 * ones, ceil_div(_work(cut), self.device.arrays), ones
        )
        bounds = {
            "no mapping is faster than one of its arrays alone": alone,
            "fewer steps are never slower": floor.times(cut, nodes.passes, nodes.stationary, fewest, nodes.held),
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
        """The lower bound that the model states, the same for all mappings."""
        stated = getattr(self.model, "bounds", None)
        bound = stated(mappings[0], self.device).lower.femtoseconds if stated and len(mappings) else 0
        return np.full(len(mappings), bound, object)

    def _two_passes(self, floor: Floor, nodes: Nodes) -> Numbers:
        ones, least = np.ones_like(nodes.few), np.full(len(nodes), NEVER, object)
        for axis in range(len(nodes.passes)):
            passes = tuple(ones + (other == axis) for other in range(len(nodes.passes)))
            for order in (0 * ones, ones):
                found = floor.alone(self.device, nodes.cut, passes, order, 1 + order, ones)
                least = np.where((found < least) & (nodes.cut.tiles[axis] > 1), found, least)
        return np.where(least < NEVER, least, 0)

    def _slower_with_less(self, mappings: Mappings, times: Numbers, random: np.random.Generator) -> Breach | None:
        """Mappings with more to do in the same turns that are shorter."""
        for law, places, more in self._with_more(mappings, random):
            other = self._times(more)
            below = np.flatnonzero(other < times[places])
            if len(below):
                place = below[0]
                less = f"{mapping_text(mappings[places[place]])} takes {_short(times[places[place]])}"
                return Breach(f"{_BREAKS} '{law}': {less}, {mapping_text(more[place])} takes {_short(other[place])}")
        return None

    def _with_more(self, mappings: Mappings, random: np.random.Generator) -> Iterator[tuple[str, Numbers, Mappings]]:
        """Mappings of the same turns with larger tiles, and with more instances at work, and which they come from."""
        everything = np.arange(len(mappings))
        for name, larger in _larger_tiles(mappings, self.device, random, thorough=self._at_once):
            more = _sized(mappings, name, larger)
            places = everything[(larger > getattr(mappings, name)) & self._same_turns(more)]
            yield "a larger tile is never faster", places, _take(more, places)
        for more in _more_instances(mappings, random, thorough=self._at_once):
            places = everything[self._same_turns(more)]
            yield "more instances at work are never faster", places, _take(more, places)

    def _same_turns(self, mappings: Mappings) -> Numbers:
        """Which are legal as they are."""
        return _fits(mappings, self.device) & np.logical_and.reduce(
            [
                mappings.temporal.along(axis) == ceil_div(mappings.tiles(axis), mappings.spatial(axis))
                for axis in TILE_AXES
            ]
        )

    def _legal(self, mappings: Mappings) -> Mappings:
        """Those that the device can hold, with the turns that they take."""
        turns = ManyFactors(*(ceil_div(mappings.tiles(axis), mappings.spatial(axis)) for axis in TILE_AXES))
        turned = replace(mappings, temporal=turns)
        order = mappings.input_stationary * (turned.passes > 1) * (turns.pixel > 1)
        turned = replace(turned, input_stationary=order)
        able = _fits(turned, self.device)
        if not self.device.array.write.during_inference:
            able &= turned.passes == 1
        return _take(turned, np.flatnonzero(able))


_BREAKS = "the timing model breaks the law"


def _short(femtoseconds: int) -> str:
    return short_time(Time(int(femtoseconds))) if femtoseconds < NEVER else "no time"


def _no_factors(device: Device) -> Numbers:
    return np.zeros((len(TILE_AXES) * len(device.levels), 0), np.int64)


def _form(cut: Tilings, workload: Workload, device: Device) -> Tilings:
    """The least tiles of the same window and packed groups, and as few as with the largest."""
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


def _larger_tiles(
    m: Mappings, device: Device, random: np.random.Generator, thorough: bool
) -> Iterator[tuple[str, Numbers]]:
    """Larger tiles of which there are as many: the largest, round ones, and any."""
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
        steps = ROUND if thorough else random.choice(ROUND, 1).tolist()
        chosen = [largest, np.minimum(size + 1, largest)]
        chosen += [np.minimum(ceil_div(size + 1, step) * step, largest) for step in steps]
        chosen += [np.minimum(2 ** np.ceil(np.log2(size + 1)).astype(np.int64), largest)]
        chosen += [size + np.floor(random.random(len(size)) * (largest - size + 1)).astype(np.int64)] * thorough
        yield from ((name, np.maximum(sizes, size)) for sizes in chosen)


def _more_instances(m: Mappings, random: np.random.Generator, thorough: bool) -> Iterator[Mappings]:
    """One more instance along one axis of one level, or all that do no more turns."""
    places = [(level, axis) for level in range(len(m.levels)) for axis in TILE_AXES]
    chosen = places if thorough else [places[place] for place in random.choice(len(places), 2, replace=False)]
    for level, axis in chosen:
        factor = m.levels[level].factors.along(axis)
        yield _changed(m, level, axis, factor + 1)
        if thorough:
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
    """The neighbours of one mapping: other sizes of its tiles and factors of its levels, whatever the turns."""
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
