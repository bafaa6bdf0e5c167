"""Many mappings of one workload as arrays of numbers, for searches that look at millions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Self

import numpy as np

from cyclecast._integers import Whole
from cyclecast.errors import MappingError
from cyclecast.mapping._mapping import (
    TILE_AXES,
    AnyFactors,
    AnyLevelFactors,
    Factors,
    LevelFactors,
    Mapping,
    TileAxis,
    Tiled,
)
from cyclecast.network import Workload


def _once(name: str) -> Whole:
    """A property of `Tiled` for many mappings: what is known of it, or the formula, computed once."""
    formula = getattr(Tiled, name).fget

    def known(mappings: Mappings) -> Whole:
        if name not in mappings._known:
            mappings._known[name] = formula(mappings)
        return mappings._known[name]

    return property(known)


@dataclass(frozen=True, slots=True)
class ManyFactors(AnyFactors):
    """A factor for each axis of every mapping: arrays of equal length."""

    group: Whole
    row: Whole
    column: Whole
    pixel: Whole


@dataclass(frozen=True, slots=True)
class ManyLevelFactors(AnyLevelFactors):
    """The spatial factors of every mapping at the named level."""

    level: str
    factors: ManyFactors


@dataclass(frozen=True, eq=False)
class Mappings(Tiled):
    """Many mappings of one workload, as arrays: element i of each is mapping i.

    The laws of `Mapping` hold for every one of them; they are checked when one is taken out.
    """

    workload: Workload
    word_lines: Whole
    filters: Whole
    levels: tuple[ManyLevelFactors, ...]
    temporal: ManyFactors
    _: KW_ONLY
    packed: Whole
    window: tuple[Whole, ...]
    """Along every slide of the workload."""
    input_stationary: Whole
    """0 or 1."""
    _known: dict[str, Whole] = field(default_factory=dict, init=False, repr=False)
    """What follows from the numbers, by the name of the property: computed before, or known otherwise."""
    _inside: dict[tuple[int, TileAxis], Whole] = field(default_factory=dict, init=False, repr=False)
    """The same of `inside`."""

    values = _once("values")
    results = _once("results")
    vectors = _once("vectors")
    arrays = _once("arrays")
    passes = _once("passes")
    turns = _once("turns")

    def inside(self, level: int, axis: TileAxis) -> Whole:
        """As for one mapping; kept, because many formulas ask for the same products."""
        if level + 1 == len(self.levels):
            return 1
        if (level, axis) not in self._inside:
            self._inside[level, axis] = self.levels[level + 1].factors.along(axis) * self.inside(level + 1, axis)
        return self._inside[level, axis]

    def using(self, arrays: Whole) -> Self:
        """These, with so many arrays in use: for bounds, which say nothing about the levels they are in."""
        found = replace(self)
        found._known["arrays"] = arrays
        return found

    @classmethod
    def of(cls, mappings: Sequence[Mapping]) -> Self:
        """The same mappings as arrays; there is at least one, and all are of one workload on one device."""
        first = mappings[0]
        if any(mapping.workload != first.workload for mapping in mappings):
            raise MappingError("mappings", "several workloads", "arrays hold mappings of one")

        def factors(found: Sequence[Factors]) -> ManyFactors:
            return ManyFactors(*(np.array([entry.along(axis) for entry in found]) for axis in TILE_AXES))

        return cls(
            first.workload,
            np.array([mapping.word_lines for mapping in mappings]),
            np.array([mapping.filters for mapping in mappings]),
            tuple(
                ManyLevelFactors(entry.level, factors([mapping.levels[position].factors for mapping in mappings]))
                for position, entry in enumerate(first.levels)
            ),
            factors([mapping.temporal for mapping in mappings]),
            packed=np.array([mapping.packed for mapping in mappings]),
            window=tuple(
                np.array([mapping.window[slide] if mapping.window else 1 for mapping in mappings])
                for slide in range(len(first.workload.slides))
            ),
            input_stationary=np.array([int(mapping.input_stationary) for mapping in mappings]),
        )

    @classmethod
    def joined(cls, parts: Sequence[Mappings]) -> Mappings:
        """All of these mappings of one workload on one device, of which there is at least one."""
        others = iter(zip(*(part._columns() for part in parts), strict=True))
        return parts[0]._each(lambda _: np.concatenate(next(others)))

    def _columns(self) -> list[Whole]:
        """All arrays, in the order of `_each`."""
        found: list[Whole] = []
        self._each(lambda numbers: found.append(numbers) or numbers)  # type: ignore[func-returns-value]
        return found

    def at_places(self, chosen: Whole) -> Mappings:
        """Those at these places."""
        return self._each(lambda numbers: numbers[chosen])

    def __len__(self) -> int:
        return len(self.word_lines)

    def __getitem__(self, position: int) -> Mapping:
        def factors(many: ManyFactors) -> Factors:
            return Factors(*(int(many.along(axis)[position]) for axis in TILE_AXES))

        window = tuple(int(sizes[position]) for sizes in self.window)
        return Mapping(
            self.workload,
            int(self.word_lines[position]),
            int(self.filters[position]),
            tuple(LevelFactors(entry.level, factors(entry.factors)) for entry in self.levels),
            factors(self.temporal),
            packed=int(self.packed[position]),
            window=window if max(window, default=1) > 1 else (),
            input_stationary=bool(self.input_stationary[position]),
        )

    def without(self, mapping: Mapping) -> Mappings:
        """All but this one."""
        window = mapping.window or (1,) * len(self.window)
        same = [numbers == size for numbers, size in zip(self.window, window, strict=True)]
        same += [getattr(self, name) == getattr(mapping, name) for name in ("word_lines", "filters", "packed")]
        same.append(self.input_stationary == mapping.input_stationary)
        for many, one in zip(self.levels, mapping.levels, strict=True):
            same += [many.factors.along(axis) == one.factors.along(axis) for axis in TILE_AXES]
        others = ~np.logical_and.reduce(same)
        return self if others.all() else self._each(lambda numbers: numbers[others])

    def part(self, first: int, last: int | None = None) -> Mappings:
        """Those from one place to before another, in their order."""
        return self._each(lambda numbers: numbers[first:last])

    def unlimited(self) -> Mappings:
        """The same as Python integers, which never overflow: exact where 64 bits are too few, and slow."""
        return self._each(lambda numbers: numbers.astype(object))

    def largest(self) -> Mappings:
        """One element, no mapping itself: the largest of every number, and of those that follow, as Python integers.

        Of a level's own factors only those along rows are the largest, which hops of merging depend on. What is inside
        a level counts for the others.
        """
        one = np.array([1], dtype=object)
        levels = (
            ManyLevelFactors(entry.level, ManyFactors(one, _largest(entry.factors.row), one, one))
            for entry in self.levels
        )
        temporal = ManyFactors(*(_largest(self.temporal.along(axis)) for axis in TILE_AXES))
        found = Mappings(
            self.workload,
            _largest(self.word_lines),
            _largest(self.filters),
            tuple(levels),
            temporal,
            packed=_largest(self.packed),
            window=(one,) * len(self.window),
            input_stationary=0,  # stationary inputs make less of bytes, and only `turns` more
        )
        places = [(level, axis) for axis in TILE_AXES for level in range(-1, len(self.levels) - 1)]
        found._inside.update({place: _largest(self.inside(*place)) for place in places})
        follows = ("values", "results", "vectors", "arrays", "passes", "turns")
        found._known.update({name: _largest(getattr(self, name)) for name in follows})
        return found

    def _each(self, change: Callable[[Whole], Whole]) -> Mappings:
        def factors(many: ManyFactors) -> ManyFactors:
            return ManyFactors(*(change(many.along(axis)) for axis in TILE_AXES))

        return Mappings(
            self.workload,
            change(self.word_lines),
            change(self.filters),
            tuple(ManyLevelFactors(entry.level, factors(entry.factors)) for entry in self.levels),
            factors(self.temporal),
            packed=change(self.packed),
            window=tuple(change(sizes) for sizes in self.window),
            input_stationary=change(self.input_stationary),
        )


def _largest(numbers: Whole) -> Whole:
    return np.array([int(np.max(numbers))], dtype=object)
