"""A schedule as the device sees it: a factor for each axis and level (`Mapping`).

In matrix-vector form a workload has four axes. The reduction is cut into *row tiles* of `word_lines` values, the
filters into *column tiles* of `filters`; one group's row tile and column tile together occupy one array. Then

* a *spatial* factor at a level says how many of the level's instances work on that axis side by side
  (along the pixel axis these are replicas: other copies of the same weights);
* a *temporal* factor says how many follow one another: passes over weights, steps over pixels.

Factors need not divide the extents; the last tile, pass or step may be partly empty. Groups that are small can share an
array: `packed` of them lie on its diagonal, each with word lines and columns of its own.

`Mapping` is one schedule, `Mappings` are many of one workload as arrays of numbers, for searches that look at millions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from collections.abc import Mapping as Mapped
from dataclasses import asdict, dataclass, field
from functools import cached_property, reduce
from operator import mul
from typing import Any, Literal, Self, get_args

import numpy as np

from cyclecast.device import Device
from cyclecast.errors import FitError, MappingError
from cyclecast.exact import Whole, ceil_div
from cyclecast.workload import Axis, Kind, Workload

TileAxis = Literal["group", "row", "column", "pixel"]
"""The axes of the matrix-vector form, as factors count them."""

TILE_AXES: tuple[TileAxis, ...] = get_args(TileAxis)


class _Factors:
    """What follows from a factor for each axis, numbers or arrays of them."""

    __slots__ = ()

    def along(self, axis: TileAxis) -> Whole:
        """The factor of one axis."""
        return getattr(self, axis)

    @property
    def product(self) -> Whole:
        """How many instances of the level are in use."""
        return _product(self.along(axis) for axis in TILE_AXES)


@dataclass(frozen=True, slots=True)
class Factors(_Factors):
    """A factor for each axis, at one level or in time."""

    group: int = 1
    row: int = 1
    column: int = 1
    pixel: int = 1

    def __post_init__(self) -> None:
        for axis in TILE_AXES:
            if getattr(self, axis) < 1:
                raise MappingError(f"factor {axis}", f"{getattr(self, axis)}", "factors are at least 1")


@dataclass(frozen=True, slots=True)
class LevelFactors:
    """The spatial factors at the named level."""

    level: str
    factors: Factors


class _Tiled:
    """What follows from tile sizes and factors, for one mapping or many: numbers, or arrays of them."""

    __slots__ = ()
    workload: Workload
    word_lines: Whole
    filters: Whole
    packed: Whole
    levels: Any
    temporal: Any

    def tiles(self, axis: TileAxis) -> Whole:
        """How many tiles the axis has; a tile is one pixel along the pixel axis, and `packed` groups along theirs."""
        match axis:
            case "group":
                return ceil_div(self.workload.groups, self.packed)
            case "row":
                return ceil_div(self.workload.reduction, self.word_lines)
            case "column":
                return ceil_div(self.workload.filters, self.filters)
            case _:
                return self.workload.pixels

    def spatial(self, axis: TileAxis) -> Whole:
        """How many tiles of the axis are worked on side by side, over all levels."""
        return self.inside(-1, axis)

    def inside(self, level: int, axis: TileAxis) -> Whole:
        """How many tiles of the axis one instance of a level works on side by side; of level -1, the device."""
        return _product(entry.factors.along(axis) for entry in self.levels[level + 1 :])

    @property
    def replicas(self) -> Whole:
        """Copies of the weights that work on different pixels."""
        return self.spatial("pixel")

    @property
    def weight_tiles(self) -> Whole:
        """Arrays that one copy of all weights fills."""
        return self.tiles("group") * self.tiles("row") * self.tiles("column")

    @property
    def arrays(self) -> Whole:
        """Arrays in use at one time, replicas included."""
        return _product(entry.factors.product for entry in self.levels)

    @property
    def passes(self) -> Whole:
        """How often the arrays are written until every weight has had its turn; 1 means resident weights."""
        return self.temporal.group * self.temporal.row * self.temporal.column


@dataclass(frozen=True, slots=True)
class Mapping(_Tiled):
    """Where and when each part of a workload is computed.

    Laws, checked on construction (`MappingError`): tiles are no larger than their axis; along every axis, spatial
    and temporal factors together cover the tiles; and one temporal step fewer would not.
    """

    workload: Workload
    word_lines: int
    """Reduction values per array: the poster's #used_WL."""
    filters: int
    """Filters per array: the poster's #filters_for_MA."""
    levels: tuple[LevelFactors, ...]
    """Spatial factors, outermost level first."""
    temporal: Factors
    """Passes over groups, row tiles and column tiles; steps over pixels."""
    packed: int = 1
    """Groups that share an array, on its diagonal: each takes `word_lines` rows and `filters` columns of its own."""

    def __post_init__(self) -> None:
        for what, size, extent in (
            ("word_lines", self.word_lines, self.workload.reduction),
            ("filters", self.filters, self.workload.filters),
            ("packed", self.packed, self.workload.groups),
        ):
            if not 1 <= size <= extent:
                raise MappingError(f"mapping of {self.workload.name}: {what}", f"{size}", f"1 to {extent} are possible")
        for axis in TILE_AXES:
            tiles, spatial = self.tiles(axis), self.spatial(axis)
            if self.temporal.along(axis) != ceil_div(tiles, spatial):
                raise MappingError(
                    f"mapping of {self.workload.name}: {axis} axis",
                    f"{self.temporal.along(axis)} temporal steps of {spatial} side by side",
                    f"{tiles} tiles take exactly {ceil_div(tiles, spatial)}",
                )

    def at(self, level: str) -> Factors:
        """The factors at the named level."""
        for entry in self.levels:
            if entry.level == level:
                return entry.factors
        names = ", ".join(entry.level for entry in self.levels)
        raise MappingError(f"mapping of {self.workload.name}", f"no level '{level}'", f"there are {names}")

    def utilisation(self, device: Device) -> float:
        """The share of the device's arrays in use, averaged over the passes; 0 to 1."""
        return float(self.weight_tiles * self.replicas / (device.arrays * self.passes))

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON; `mapping_from_json` is the inverse."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class ManyFactors(_Factors):
    """A factor for each axis of every mapping: arrays of equal length."""

    group: Whole
    row: Whole
    column: Whole
    pixel: Whole


@dataclass(frozen=True, slots=True)
class ManyLevelFactors:
    """The spatial factors of every mapping at the named level."""

    level: str
    factors: ManyFactors


@dataclass(frozen=True, eq=False)
class Mappings(_Tiled):
    """Many mappings of one workload, as arrays: element i of each is mapping i.

    The laws of `Mapping` hold for every one of them; they are checked when one is taken out.
    """

    workload: Workload
    word_lines: Whole
    filters: Whole
    levels: tuple[ManyLevelFactors, ...]
    temporal: ManyFactors
    packed: Whole
    _inside: dict[tuple[int, TileAxis], Whole] = field(default_factory=dict, init=False, repr=False)

    def inside(self, level: int, axis: TileAxis) -> Whole:
        """As for one mapping; kept, because many formulas ask for the same products."""
        if level + 1 == len(self.levels):
            return 1
        if (level, axis) not in self._inside:
            self._inside[level, axis] = self.levels[level + 1].factors.along(axis) * self.inside(level + 1, axis)
        return self._inside[level, axis]

    @cached_property
    def arrays(self) -> Whole:
        """Arrays in use at one time, replicas included."""
        return self.spatial("group") * self.spatial("row") * self.spatial("column") * self.spatial("pixel")

    @cached_property
    def passes(self) -> Whole:
        """How often the arrays are written until every weight has had its turn; 1 means resident weights."""
        return self.temporal.group * self.temporal.row * self.temporal.column

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
            np.array([mapping.packed for mapping in mappings]),
        )

    def __len__(self) -> int:
        return len(self.word_lines)

    def __getitem__(self, position: int) -> Mapping:
        def factors(many: ManyFactors) -> Factors:
            return Factors(*(int(many.along(axis)[position]) for axis in TILE_AXES))

        return Mapping(
            self.workload,
            int(self.word_lines[position]),
            int(self.filters[position]),
            tuple(LevelFactors(entry.level, factors(entry.factors)) for entry in self.levels),
            factors(self.temporal),
            int(self.packed[position]),
        )

    def unlimited(self) -> Mappings:
        """The same as Python integers, which never overflow: exact where 64 bits are too few, and slow."""
        return self._each(lambda numbers: numbers.astype(object))

    def largest(self) -> Mappings:
        """One element, no mapping itself: the largest of every number, and of those that follow, as Python integers."""
        found = self._each(_largest)
        for axis in TILE_AXES:
            for level in range(-1, len(self.levels) - 1):
                found._inside[level, axis] = _largest(self.inside(level, axis))
        vars(found).update(arrays=_largest(self.arrays), passes=_largest(self.passes))
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
            change(self.packed),
        )


def _largest(numbers: Whole) -> Whole:
    return np.array([int(numbers.max())], dtype=object)


def _product(numbers: Any) -> Whole:
    return reduce(mul, numbers, 1)


def mapping_from_json(value: Mapped[str, Any]) -> Mapping:
    """Rebuild a mapping from `Mapping.to_json`; a broken law raises `MappingError`."""
    workload = value["workload"]
    axes = tuple(Axis(axis["name"], axis["extent"], Kind(axis["kind"])) for axis in workload["axes"])
    return Mapping(
        workload=Workload(workload["name"], axes, workload["input_bits"], workload["weight_bits"]),
        word_lines=value["word_lines"],
        filters=value["filters"],
        levels=tuple(LevelFactors(entry["level"], Factors(**entry["factors"])) for entry in value["levels"]),
        temporal=Factors(**value["temporal"]),
        packed=value.get("packed", 1),
    )


def require_fit(mapping: Mapping, device: Device) -> None:
    """Raise `FitError` where the mapping asks for more than the device has."""
    where = f"{mapping.workload.name} on {device.name}"
    packed = f" of {mapping.packed} groups" if mapping.packed > 1 else ""
    if mapping.packed * mapping.word_lines > device.word_lines_per_array:
        raise FitError(
            where,
            f"{mapping.word_lines} word lines{packed}",
            f"an array has {device.word_lines_per_array}",
            "a smaller row tile",
        )
    if mapping.packed * mapping.filters > device.filters_per_array:
        raise FitError(
            where,
            f"{mapping.filters} filters per array{packed}",
            f"{device.array.cols} columns hold {device.filters_per_array} of {device.columns_per_weight} columns each",
            "a smaller column tile",
        )
    names = tuple(level.name for level in device.levels)
    if tuple(entry.level for entry in mapping.levels) != names:
        raise FitError(where, f"levels {[entry.level for entry in mapping.levels]}", f"the device has {list(names)}")
    for level, entry in zip(device.levels, mapping.levels, strict=True):
        if entry.factors.product > level.count:
            raise FitError(
                where, f"{entry.factors.product} at level {level.name}", f"there are {level.count}", "smaller factors"
            )
    if mapping.passes > 1 and not device.array.write.during_inference:
        raise FitError(
            where,
            f"{mapping.weight_tiles} arrays for the weights, in {mapping.passes} passes",
            f"the device has {device.arrays} arrays and writes none during inference",
            "array.write.during_inference: true, more instances of a level, or fewer bits",
        )
