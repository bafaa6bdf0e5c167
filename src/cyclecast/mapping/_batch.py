"""Many mappings of one workload as arrays, for searches that time millions."""

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
    """A cached property of `Tiled` for many mappings: the value in `_known`, else the formula."""
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
    """n mappings of one workload, as arrays of shape (n,): element i belongs to mapping i.

    The laws of `Mapping` must hold for every mapping; they are checked only when one is taken out by its index.
    """

    workload: Workload
    word_lines: Whole
    filters: Whole
    levels: tuple[ManyLevelFactors, ...]
    temporal: ManyFactors
    _: KW_ONLY
    packed: Whole
    window: tuple[Whole, ...]
    """Sizes along every slide of the workload."""
    input_stationary: Whole
    """0 or 1."""
    _known: dict[str, Whole] = field(default_factory=dict, init=False, repr=False)
    """Cache of properties, by name; `using` and `largest` set values of their own."""
    _inside: dict[tuple[int, TileAxis], Whole] = field(default_factory=dict, init=False, repr=False)
    """Cache of `inside`."""

    values = _once("values")
    results = _once("results")
    vectors = _once("vectors")
    arrays = _once("arrays")
    passes = _once("passes")
    turns = _once("turns")

    def inside(self, level: int, axis: TileAxis) -> Whole:
        """As `Tiled.inside`; cached, because many formulas use the same products."""
        if level + 1 == len(self.levels):
            return 1
        if (level, axis) not in self._inside:
            self._inside[level, axis] = self.levels[level + 1].factors.along(axis) * self.inside(level + 1, axis)
        return self._inside[level, axis]

    def using(self, arrays: Whole) -> Self:
        """The same mappings with `arrays` arrays in use, whatever their levels say: for lower bounds."""
        found = replace(self)
        found._known["arrays"] = arrays
        return found

    @classmethod
    def of(cls, mappings: Sequence[Mapping]) -> Self:
        """The mappings as arrays: at least one, all of one workload on one device. Raises `MappingError`."""
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
        """All mappings of the parts: at least one part, all of one workload on one device."""
        others = iter(zip(*(part._columns() for part in parts), strict=True))
        return parts[0]._each(lambda _: np.concatenate(next(others)))

    def _columns(self) -> list[Whole]:
        """All arrays, in the order of `_each`."""
        found: list[Whole] = []
        self._each(lambda numbers: found.append(numbers) or numbers)  # type: ignore[func-returns-value]
        return found

    def at_places(self, chosen: Whole) -> Mappings:
        """The mappings at these positions."""
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
        """The mappings without this one."""
        window = mapping.window or (1,) * len(self.window)
        same = [numbers == size for numbers, size in zip(self.window, window, strict=True)]
        same += [getattr(self, name) == getattr(mapping, name) for name in ("word_lines", "filters", "packed")]
        same.append(self.input_stationary == mapping.input_stationary)
        for many, one in zip(self.levels, mapping.levels, strict=True):
            same += [many.factors.along(axis) == one.factors.along(axis) for axis in TILE_AXES]
        others = ~np.logical_and.reduce(same)
        return self if others.all() else self._each(lambda numbers: numbers[others])

    def part(self, first: int, last: int | None = None) -> Mappings:
        """The mappings from position `first` to before `last`."""
        return self._each(lambda numbers: numbers[first:last])

    def unlimited(self) -> Mappings:
        """The same mappings in Python integers: they never overflow, but are slow."""
        return self._each(lambda numbers: numbers.astype(object))

    def largest(self) -> Mappings:
        """The maximum of every number and property, as Python integers: one element, which is no legal mapping.

        Of the factors of a level only the row factor is kept, which merging depends on; the others are 1. Formulas use
        the products inside a level (`inside`) instead.
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
            input_stationary=0,  # stationary inputs move fewer bytes; only `turns` is larger
        )
        places = [(level, axis) for axis in TILE_AXES for level in range(-1, len(self.levels) - 1)]
        found._inside.update({place: _largest(self.inside(*place)) for place in places})
        follows = ("values", "results", "vectors", "arrays", "passes", "turns")
        found._known.update({name: _largest(getattr(self, name)) for name in follows})
        return found

    def _each(self, change: Callable[[Whole], Whole]) -> Mappings:
        """The mappings with every array changed by a function."""

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
