"""From decisions to mappings: the values on offer for every decision (`choices`), and the granted mapping (`grant`).

A decision about a level is a *request*: the largest factor for row tiles, column tiles, groups or replicas.
The granted factor is capped by the tiles that are left and by the instances of the level that are left, level by level
from the arrays outwards and axis by axis in the order group, row, column, pixel. So every combination of decisions
is legal, and every mapping that leaves no granted instance without a tile is reached by asking for exactly its
factors (`requests`). Windows, packing and stationary inputs are granted where they are asked for and possible.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from collections.abc import Mapping as Mapped
from dataclasses import dataclass
from itertools import product

from cyclecast._integers import ceil_div
from cyclecast.device import Device
from cyclecast.errors import FitError
from cyclecast.mapping import TILE_AXES, Factors, Form, LevelFactors, Mapping, TileAxis
from cyclecast.network import Slide, Workload

Decisions = Mapped[str, int]
"""Values by decision name: `word_lines`, `filters`, and `LEVEL.AXIS` for every level and axis.

Sketches may add `window.AXIS` for every slide, `packed`, and `input_stationary` (0 or 1).
"""

WORD_LINES = "word_lines"
FILTERS = "filters"
WINDOW = "window."
"""Prefix of the names of decisions about windows."""
PACKED = "packed"
INPUT_STATIONARY = "input_stationary"
WINDOWS = "windows"
"""Name of the sketch rule that opens `window.AXIS`."""
PACK = "pack"
"""Name of the sketch rule that opens `packed`."""
ORDER = "order"
"""Name of the sketch rule that opens `input_stationary`."""
WINDOW_ODDS = 1 << 20
"""Weight of a window of size 1 in a draw; size n has this weight divided by n."""
MOST_SIZES = 12
"""Most tile sizes on offer per axis: the largest among balanced sizes and powers of two."""
EVERY_FACTOR_UP_TO = 12
"""Up to this value all factors are on offer; above it those that cut the level evenly."""


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision about the factor of one axis at one level of the device."""

    level: str
    axis: TileAxis

    @property
    def name(self) -> str:
        """The name in MetaSchedule's traces and in JSON: `LEVEL.AXIS`."""
        return f"{self.level}.{self.axis}"

    @staticmethod
    def of(name: str) -> Decision | None:
        """The decision of this name; None for a decision about no level: a tile size, a window, the order."""
        level, _, last = name.rpartition(".")
        axis = next((axis for axis in TILE_AXES if axis == last), None)
        return Decision(level, axis) if level and axis and not name.startswith(WINDOW) else None


def window_name(slide: Slide) -> str:
    """Name of the decision about the window along this slide."""
    return WINDOW + slide.pixel


def choices(workload: Workload, device: Device, opened: Collection[str] = ()) -> dict[str, tuple[int, ...]]:
    """The values on offer for every decision, in ascending order, at least one; decisions in the order of `grant`.

    The decisions are those of im2col and of the sketch rules in `opened`: `WINDOWS`, `PACK`. With windows, tile sizes
    are on offer for the values and results of every window; with packed groups, they leave room for two groups on the
    diagonal of an array. Raises `FitError` if the bits differ from the device's.
    """
    require_bits(workload, device)
    windows = window_choices(workload, device) if WINDOWS in opened else {}
    packs = PACK in opened and can_pack(workload, device)
    sizes = product(*(windows.get(window_name(slide), (1,)) for slide in workload.slides))
    forms = [Form(workload, window) for window in sizes]
    room = 2 if packs else 1
    word_lines = _sizes_of_all({int(form.values) for form in forms}, device.word_lines_per_array // room)
    filters = _sizes_of_all({int(form.results) for form in forms}, device.filters_per_array // room)
    offers = {**windows, WORD_LINES: word_lines, FILTERS: filters}
    if packs:
        diagonal = min(device.word_lines_per_array // word_lines[0], device.filters_per_array // filters[0])
        offers[PACKED] = _factors(min(workload.groups, diagonal), diagonal)[1:]
    most: dict[TileAxis, int] = {
        "group": workload.groups,
        "row": max(ceil_div(int(form.values), word_lines[0]) for form in forms),
        "column": max(ceil_div(int(form.results), filters[0]) for form in forms),
        "pixel": workload.pixels,
    }
    for level in reversed(device.levels):
        for axis in TILE_AXES:
            offers[Decision(level.name, axis).name] = _factors(min(level.count, most[axis]), level.count)
    return offers


def odds(decision: str, values: Sequence[int], device: Device) -> list[int]:
    """Weights with which the values on offer are drawn, in the same order.

    A tile size has twice the weight of the next smaller one, as the fewest tiles are often the best. A factor of the
    outermost level has its own value as weight: a request for too much is granted what is left. Factors of the inner
    levels have equal weights, as any of them may be part of the best mapping. The weight of a window falls with its
    size: many large windows need more arrays than there are, or leave most of each array without weights.
    """
    if decision.startswith(WINDOW):
        return [WINDOW_ODDS // size for size in values]
    if decision in (WORD_LINES, FILTERS):
        return [1 << place for place in range(len(values))]
    if decision == INPUT_STATIONARY:
        return [1] * len(values)
    about = Decision.of(decision)
    outermost = about is None or about.level == device.levels[0].name
    return list(values) if outermost else [1] * len(values)


def window_choices(workload: Workload, device: Device) -> dict[str, tuple[int, ...]]:
    """The window sizes on offer along every slide, by decision name; {} if there are no windows.

    A window has at most as many outputs as an array has filters. Of sizes that cover the outputs in an equal number of
    steps only the smallest is on offer; of these at most `MOST_SIZES`, the smallest.
    """
    offers = {}
    for slide in workload.slides:
        even = {ceil_div(slide.outputs, ceil_div(slide.outputs, size)) for size in slide.windows}
        room = min(device.filters_per_array, slide.outputs)
        fit = (size for size in even if size in slide.windows and size <= room)
        offers[window_name(slide)] = (1, *sorted(fit)[: MOST_SIZES - 1])
    return offers if any(len(sizes) > 1 for sizes in offers.values()) else {}


def can_pack(workload: Workload, device: Device) -> bool:
    """Whether an array has room for two groups on its diagonal."""
    return workload.groups > 1 and min(device.word_lines_per_array, device.filters_per_array) > 1


def grant(workload: Workload, device: Device, decisions: Decisions) -> Mapping:
    """The mapping that the device grants for the decisions; it is legal for the levels and the array.

    The default of a size or factor is the largest value, that of a window or packed groups is 1, that of the order is
    weight-stationary. The mapping may need several passes; `require_fit` tells whether the device can do them.
    """
    window = _window(workload, decisions)
    form = Form(workload, window)
    word_lines = _capped(decisions, WORD_LINES, min(form.values, device.word_lines_per_array))
    filters = _capped(decisions, FILTERS, min(form.results, device.filters_per_array))
    diagonal = min(device.word_lines_per_array // word_lines, device.filters_per_array // filters)
    packed = _capped({PACKED: 1} | dict(decisions), PACKED, min(workload.groups, diagonal))
    left: dict[TileAxis, int] = {
        "group": ceil_div(workload.groups, packed),
        "row": ceil_div(form.values, word_lines),
        "column": ceil_div(form.results, filters),
        "pixel": form.vectors,
    }
    levels: list[LevelFactors] = []
    for level in reversed(device.levels):
        room = level.count
        granted: dict[TileAxis, int] = {}
        for axis in TILE_AXES:
            granted[axis] = _capped(decisions, Decision(level.name, axis).name, min(room, left[axis]))
            room //= granted[axis]
            left[axis] = ceil_div(left[axis], granted[axis])
        levels.insert(0, LevelFactors(level.name, Factors(**granted)))
    several = left["group"] * left["row"] * left["column"] > 1 < left["pixel"]
    stationary = several and decisions.get(INPUT_STATIONARY, 0) > 0
    return Mapping(
        workload, word_lines, filters, tuple(levels), Factors(**left),
        packed=packed, window=window, input_stationary=stationary,
    )  # fmt: skip


def requests(mapping: Mapping) -> dict[str, int]:
    """The decisions for which `grant` gives this mapping."""
    asked = {WORD_LINES: mapping.word_lines, FILTERS: mapping.filters}
    for entry in reversed(mapping.levels):
        asked |= {Decision(entry.level, axis).name: entry.factors.along(axis) for axis in TILE_AXES}
    asked |= {window_name(slide): size for slide, size in zip(mapping.workload.slides, mapping.window, strict=False)}
    if mapping.packed > 1:
        asked[PACKED] = mapping.packed
    if mapping.input_stationary:
        asked[INPUT_STATIONARY] = 1
    return asked


def require_bits(workload: Workload, device: Device) -> None:
    """Raise `FitError` if the workload's activation or weight bits differ from the device's."""
    for what, have, want in (
        ("activation", workload.input_bits, device.bits.activation),
        ("weight", workload.weight_bits, device.bits.weight),
    ):
        if have != want:
            raise FitError(
                f"{workload.name} on {device.name}",
                f"{have}-bit {what}s",
                f"the device takes {want} bits",
                f"bits.{what}: {have} in the device file, or cc.load(source, device)",
            )


def _window(workload: Workload, decisions: Decisions) -> tuple[int, ...]:
    sizes = [
        _capped({window_name(slide): 1} | dict(decisions), window_name(slide), slide.outputs)
        for slide in workload.slides
    ]
    legal = tuple(size if size in slide.windows else 1 for size, slide in zip(sizes, workload.slides, strict=True))
    return legal if max(legal, default=1) > 1 else ()


def _capped(decisions: Decisions, name: str, bound: int) -> int:
    return max(1, min(decisions.get(name, bound), bound))


def _sizes(extent: int, bound: int) -> tuple[int, ...]:
    """Tile sizes: those that cut the extent evenly into the fewest tiles, one more, two more ..., and powers of two."""
    fewest = ceil_div(extent, bound)
    balanced = {min(bound, extent)} | {ceil_div(extent, fewest + more) for more in range(MOST_SIZES)}
    powers = {1 << power for power in range(min(bound, extent).bit_length())}
    largest = sorted(balanced | {power for power in powers if power * 4 >= min(bound, extent)})
    return tuple(largest[-MOST_SIZES:])


def _sizes_of_all(extents: Collection[int], bound: int) -> tuple[int, ...]:
    """Tile sizes for several extents: the largest of each extent, the fewer the more extents there are."""
    each = MOST_SIZES if len(extents) == 1 else max(2, 2 * MOST_SIZES // len(extents))
    return tuple(sorted({size for extent in extents for size in _sizes(extent, bound)[-each:]}))


def _factors(bound: int, count: int) -> tuple[int, ...]:
    """Factors up to the bound: all small ones, those that cut the level evenly, and the bound itself."""
    small = range(1, min(bound, EVERY_FACTOR_UP_TO) + 1)
    even = {count // parts for parts in range(1, count // EVERY_FACTOR_UP_TO + 1)} | {bound}
    return tuple(sorted(set(small) | {factor for factor in even if factor <= bound}))
