"""The mapping of a workload: tile sizes, and a factor for each axis and level (`Mapping`).

In matrix-vector form a workload has four axes. The reduction is cut into *row tiles* of `word_lines` values, the
filters into *column tiles* of `filters`; one group's row tile and column tile together occupy one array. Then

* a *spatial* factor at a level is the number of the level's instances that work on that axis in parallel
  (along the pixel axis these are replicas: copies of the same weights);
* a *temporal* factor is the number of passes over weights, or of steps over pixels, that follow one another.

Factors need not divide the extents; the last tile, pass or step may be partly empty. Three options change the matrix
or the order of passes:

* a *window* of neighbouring outputs is computed from one input vector; for each of them there is a shifted copy of
  the filter (Rhe et al., VW-SDK, DATE 2022, arXiv:2112.11282);
* small groups share an array: `packed` groups lie on its diagonal, with word lines and columns of their own;
* an *input-stationary* order of passes writes all weights for every step along the pixels; then inputs and results
  need not move in every pass.

`Mapping` is one mapping; `Mappings` in `mapping/_batch.py` are many.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping as Mapped
from dataclasses import KW_ONLY, asdict, dataclass
from functools import reduce
from math import prod
from operator import mul
from typing import Literal, get_args

from cyclecast._integers import Whole, ceil_div
from cyclecast._notebook import html_table
from cyclecast.device import Device
from cyclecast.errors import FitError, MappingError
from cyclecast.network import Slide, Workload
from cyclecast.storage.reading import Json, loadable, read_as

TileAxis = Literal["group", "row", "column", "pixel"]
"""An axis of the matrix-vector form."""

TILE_AXES: tuple[TileAxis, ...] = get_args(TileAxis)


class AnyFactors:
    """Properties of a factor for each axis; the factors are numbers or arrays."""

    __slots__ = ()
    group: Whole
    row: Whole
    column: Whole
    pixel: Whole

    def along(self, axis: TileAxis) -> Whole:
        """The factor of one axis."""
        return getattr(self, axis)

    @property
    def product(self) -> Whole:
        """Product of all factors: number of instances of the level in use."""
        return _product(self.along(axis) for axis in TILE_AXES)


@loadable
@dataclass(frozen=True, slots=True)
class Factors(AnyFactors):
    """A factor for each axis, at one level or in time; at least 1, else `MappingError`."""

    group: int = 1
    row: int = 1
    column: int = 1
    pixel: int = 1

    def __post_init__(self) -> None:
        for axis in TILE_AXES:
            if getattr(self, axis) < 1:
                raise MappingError(f"factor {axis}", f"{getattr(self, axis)}", "factors are at least 1")


class AnyLevelFactors:
    """The spatial factors at one level, as numbers or arrays."""

    __slots__ = ()
    level: str
    factors: AnyFactors


@loadable
@dataclass(frozen=True, slots=True)
class LevelFactors(AnyLevelFactors):
    """The spatial factors at the named level."""

    level: str
    factors: Factors


class Windowed:
    """The matrix-vector form of a workload with a window, for one mapping or many."""

    __slots__ = ()
    workload: Workload
    window: tuple[Whole, ...]

    @property
    def outputs(self) -> Whole:
        """Number of outputs of a filter from one input vector: the size of the window."""
        return _product(self.window)

    @property
    def values(self) -> Whole:
        """Number of values in one input vector of a group: all inputs of the window's outputs."""
        beside = self.workload.reduction // prod(slide.taps for slide in self.workload.slides)
        return beside * _product(slide.elements(window) for slide, window in self._along_slides())

    @property
    def results(self) -> Whole:
        """Number of results of one input vector for a group: filters x outputs of the window."""
        return self.workload.filters * self.outputs

    @property
    def vectors(self) -> Whole:
        """Number of input vectors of a group: its pixels, or its windows, the last of which may be partly empty."""
        beside = self.workload.pixels // prod(slide.outputs for slide in self.workload.slides)
        return beside * _product(ceil_div(slide.outputs, window) for slide, window in self._along_slides())

    def _along_slides(self) -> Iterable[tuple[Slide, Whole]]:
        """Each slide with its window size; a `window` of () means size 1 everywhere."""
        slides = self.workload.slides
        return zip(slides, self.window or (1,) * len(slides), strict=True)


@dataclass(frozen=True, slots=True)
class Form(Windowed):
    """The matrix-vector form of a workload with a window, without tiles."""

    workload: Workload
    window: tuple[int, ...] = ()


class Tiled(Windowed):
    """Properties that follow from tile sizes and factors, for one mapping (numbers) or many (arrays)."""

    __slots__ = ()
    word_lines: Whole
    filters: Whole
    packed: Whole
    input_stationary: Whole
    levels: tuple[AnyLevelFactors, ...]
    temporal: AnyFactors

    def tiles(self, axis: TileAxis) -> Whole:
        """Number of tiles along an axis; a tile has `packed` groups, and along the pixel axis one input vector."""
        match axis:
            case "group":
                return ceil_div(self.workload.groups, self.packed)
            case "row":
                return ceil_div(self.values, self.word_lines)
            case "column":
                return ceil_div(self.results, self.filters)
            case _:
                return self.vectors

    def spatial(self, axis: TileAxis) -> Whole:
        """Product of the spatial factors of an axis over all levels: tiles worked on in parallel."""
        return self.inside(-1, axis)

    def inside(self, level: int, axis: TileAxis) -> Whole:
        """Product of the factors of an axis inside one instance of a level; level -1 is the whole device."""
        return _product(entry.factors.along(axis) for entry in self.levels[level + 1 :])

    @property
    def replicas(self) -> Whole:
        """Number of copies of the weights, which work on different pixels."""
        return self.spatial("pixel")

    @property
    def weight_tiles(self) -> Whole:
        """Number of tiles of one copy of all weights; each fills an array."""
        return self.tiles("group") * self.tiles("row") * self.tiles("column")

    @property
    def arrays(self) -> Whole:
        """Number of arrays in use at the same time, replicas included."""
        return _product(entry.factors.product for entry in self.levels)

    @property
    def passes(self) -> Whole:
        """Number of passes over all weights: writings of the arrays; 1 means resident weights."""
        return self.temporal.group * self.temporal.row * self.temporal.column

    @property
    def turns(self) -> Whole:
        """Number of repeats of every pass: 1, or the steps along the pixels if inputs are stationary."""
        return 1 + self.input_stationary * (self.temporal.pixel - 1)


@loadable
@dataclass(frozen=True, slots=True)
class Mapping(Tiled):
    """A mapping of a workload to the arrays of a device and to time.

    Laws, checked on construction (`MappingError`): a tile is not larger than its axis; along every axis the temporal
    factor is ceil(tiles / product of the spatial factors). `require_fit` checks the limits of a device.
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
    _: KW_ONLY
    packed: int = 1
    """Number of groups on the diagonal of an array, each with `word_lines` rows and `filters` columns of its own."""
    window: tuple[int, ...] = ()
    """Number of outputs of the window along every slide of the workload; () if it is 1 everywhere."""
    input_stationary: bool = False
    """Whether every step along the pixels has all passes; only with several passes and several steps."""

    def __post_init__(self) -> None:
        self._require_window()
        for what, size, extent in (
            ("word_lines", self.word_lines, self.values),
            ("filters", self.filters, self.results),
            ("packed", self.packed, self.workload.groups),
        ):
            if not 1 <= size <= extent:
                raise MappingError(f"mapping of {self.workload.name}: {what}", f"{size}", f"1 to {extent} are possible")
        for axis in TILE_AXES:
            tiles, spatial = self.tiles(axis), self.spatial(axis)
            if self.temporal.along(axis) != ceil_div(tiles, spatial):
                raise MappingError(
                    f"mapping of {self.workload.name}: {axis} axis",
                    f"temporal factor {self.temporal.along(axis)} with spatial factor {spatial}",
                    f"it must be {ceil_div(tiles, spatial)} for {tiles} tiles",
                )

        if self.input_stationary and (self.passes == 1 or self.temporal.pixel == 1):
            what = f"{self.passes} passes of {self.temporal.pixel} steps, input-stationary"
            raise MappingError(f"mapping of {self.workload.name}", what, "both must be more than 1")

    def __repr__(self) -> str:
        return f"<mapping of {self.workload.name}: {mapping_text(self)}>"

    def _repr_html_(self) -> str:
        every = [*((entry.level, entry.factors) for entry in self.levels), ("time", self.temporal)]
        rows = [(name, *(str(factors.along(axis)) for axis in TILE_AXES)) for name, factors in every]
        return html_table(repr(self)[1:-1], ("level", *TILE_AXES), rows)

    def _require_window(self) -> None:
        slides = self.workload.slides
        each = zip(self.window, slides, strict=False)
        fits = len(self.window) == len(slides) and all(size == 1 or size in slide.windows for size, slide in each)
        if self.window and not (fits and self.outputs > 1):
            possible = ", ".join(f"{slide.pixel}: {(1, *slide.windows)}" for slide in slides) or "none"
            what = f"a window of {self.window} outputs"
            raise MappingError(f"mapping of {self.workload.name}", what, f"possible along its slides are {possible}")

    def at(self, level: str) -> Factors:
        """The factors at the named level. Raises `MappingError` for an unknown level."""
        for entry in self.levels:
            if entry.level == level:
                return entry.factors
        names = ", ".join(entry.level for entry in self.levels)
        raise MappingError(f"mapping of {self.workload.name}", f"no level '{level}'", f"there are {names}")

    def utilisation(self, device: Device) -> float:
        """Share of the device's arrays in use, averaged over the passes, from 0 to 1."""
        return float(self.weight_tiles * self.replicas / (device.arrays * self.passes))

    def to_json(self) -> dict[str, Json]:
        """Plain values for JSON; `mapping_from_json` is the inverse."""
        return asdict(self)


def _product(numbers: Iterable[Whole]) -> Whole:
    return reduce(mul, numbers, 1)


def mapping_from_json(value: object) -> Mapping:
    """Rebuild a mapping from `Mapping.to_json`. Raises `MappingError` for a broken law, `ValueError` for others."""
    return read_as(Mapping, value)


def mappings_from_json(value: object) -> dict[str, Mapping]:
    """Rebuild mappings by kernel, as in `mappings.json`. Raises `MappingError` for other values and broken laws."""
    where = "mappings"
    if not isinstance(value, Mapped) or not value:
        raise MappingError(where, f"a {type(value).__name__}", "an object of mappings by kernel is needed")
    found = {}
    for kernel, each in value.items():
        try:
            found[str(kernel)] = mapping_from_json(each)
        except MappingError:
            raise
        except ValueError as error:
            raise MappingError(f"mapping of '{kernel}'", "it is not in the form of mappings.json", str(error)) from None
    return found


def require_fit(mapping: Mapping, device: Device) -> None:
    """Raise `FitError` if the mapping does not fit the device: its arrays, levels, or writing during inference."""
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


MARKS = {"group": "g", "row": "r", "column": "c", "pixel": "p"}
"""The letter of each axis in `mapping_text`."""


def mapping_text(mapping: Mapping) -> str:
    """A mapping as one line: window, tile, packed groups, factors above 1 from the arrays outwards, order."""
    parts = ["x".join(map(str, mapping.window)) + " window"] if mapping.window else []
    parts.append(f"{mapping.word_lines}x{mapping.filters}")
    if mapping.packed > 1:
        parts.append(f"{mapping.packed} packed")
    for name, factors in [*((e.level, e.factors) for e in reversed(mapping.levels)), ("time", mapping.temporal)]:
        above_one = [f"{MARKS[axis]}{factors.along(axis)}" for axis in TILE_AXES if factors.along(axis) > 1]
        if above_one:
            parts.append(f"{name} {' '.join(above_one)}")
    if mapping.input_stationary:
        parts.append("input-stationary")
    return " | ".join(parts)
