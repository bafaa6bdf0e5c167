"""A schedule as the device sees it: a factor for each axis and level (`Mapping`).

In matrix-vector form a workload has four axes. The reduction is cut into *row tiles* of `word_lines` values, the
filters into *column tiles* of `filters`; one group's row tile and column tile together occupy one array. Then

* a *spatial* factor at a level says how many of the level's instances work on that axis side by side
  (along the pixel axis these are replicas: other copies of the same weights);
* a *temporal* factor says how many follow one another: passes over weights, steps over pixels.

Factors need not divide the extents; the last tile, pass or step may be partly empty.
"""

from __future__ import annotations

from collections.abc import Mapping as Mapped
from dataclasses import asdict, dataclass
from math import prod
from typing import Any, Literal, get_args

from cyclecast.device import Device
from cyclecast.errors import FitError, MappingError
from cyclecast.workload import Axis, Kind, Workload

TileAxis = Literal["group", "row", "column", "pixel"]
"""The axes of the matrix-vector form, as factors count them."""

TILE_AXES: tuple[TileAxis, ...] = get_args(TileAxis)


def ceil_div(dividend: int, divisor: int) -> int:
    """The quotient rounded up, exact."""
    return -(-dividend // divisor)


@dataclass(frozen=True, slots=True)
class Factors:
    """A factor for each axis, at one level or in time."""

    group: int = 1
    row: int = 1
    column: int = 1
    pixel: int = 1

    def __post_init__(self) -> None:
        for axis in TILE_AXES:
            if getattr(self, axis) < 1:
                raise MappingError(f"factor {axis}", f"{getattr(self, axis)}", "factors are at least 1")

    def along(self, axis: TileAxis) -> int:
        """The factor of one axis."""
        return int(getattr(self, axis))

    @property
    def product(self) -> int:
        """How many instances of the level are in use."""
        return self.group * self.row * self.column * self.pixel


@dataclass(frozen=True, slots=True)
class LevelFactors:
    """The spatial factors at the named level."""

    level: str
    factors: Factors


@dataclass(frozen=True, slots=True)
class Mapping:
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

    def __post_init__(self) -> None:
        for what, size, extent in (
            ("word_lines", self.word_lines, self.workload.reduction),
            ("filters", self.filters, self.workload.filters),
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

    def tiles(self, axis: TileAxis) -> int:
        """How many tiles the axis has; along the group and pixel axes a tile is one group or pixel."""
        match axis:
            case "group":
                return self.workload.groups
            case "row":
                return ceil_div(self.workload.reduction, self.word_lines)
            case "column":
                return ceil_div(self.workload.filters, self.filters)
            case _:
                return self.workload.pixels

    def spatial(self, axis: TileAxis) -> int:
        """How many tiles of the axis are worked on side by side, over all levels."""
        return prod(level.factors.along(axis) for level in self.levels)

    def at(self, level: str) -> Factors:
        """The factors at the named level."""
        for entry in self.levels:
            if entry.level == level:
                return entry.factors
        names = ", ".join(entry.level for entry in self.levels)
        raise MappingError(f"mapping of {self.workload.name}", f"no level '{level}'", f"there are {names}")

    @property
    def replicas(self) -> int:
        """Copies of the weights that work on different pixels."""
        return self.spatial("pixel")

    @property
    def weight_tiles(self) -> int:
        """Arrays that one copy of all weights fills."""
        return self.tiles("group") * self.tiles("row") * self.tiles("column")

    @property
    def arrays(self) -> int:
        """Arrays in use at one time, replicas included."""
        return prod(level.factors.product for level in self.levels)

    @property
    def passes(self) -> int:
        """How often the arrays are written until every weight has had its turn; 1 means resident weights."""
        return self.temporal.group * self.temporal.row * self.temporal.column

    def utilisation(self, device: Device) -> float:
        """The share of the device's arrays in use, averaged over the passes; 0 to 1."""
        return self.weight_tiles * self.replicas / (device.arrays * self.passes)

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON; `mapping_from_json` is the inverse."""
        return asdict(self)


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
    )


def require_fit(mapping: Mapping, device: Device) -> None:
    """Raise `FitError` where the mapping asks for more than the device has."""
    where = f"{mapping.workload.name} on {device.name}"
    if mapping.word_lines > device.array.rows:
        raise FitError(
            where, f"{mapping.word_lines} word lines", f"an array has {device.array.rows}", "a smaller row tile"
        )
    if mapping.filters > device.filters_per_array:
        raise FitError(
            where,
            f"{mapping.filters} filters per array",
            f"{device.array.cols} columns hold {device.filters_per_array} of {device.slices} slices each",
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
