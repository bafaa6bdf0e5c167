"""The device's part of a kernel: the loops of a mapping as calls of the driver.

Each pass programs the arrays, then steps along the pixels. A step sends tiles of inputs, moves them down the levels,
starts all arrays, waits, and accumulates the sums on their way up. Padding is computed as zeros, as in the lowered
kernel, so every array of a step works for the time of a full tile.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from math import prod

from cyclecast.csource._text import CodeLines, Names, c_type, plain
from cyclecast.mapping import TILE_AXES, Mapping, TileAxis

INPUT_AXES: tuple[TileAxis, ...] = ("group", "row", "pixel")
"""Axes along which tiles of inputs differ; all columns share them."""
SUM_AXES: tuple[TileAxis, ...] = ("group", "column", "pixel")
"""Axes along which tiles of sums differ; row tiles are accumulated."""
MATRICES = ("device", "inputs", "weights", "results", "tile", "sums")
INDICES = (
    "group",
    "row_tile",
    "column_tile",
    "pixel",
    "step",
    "time_group",
    "time_row",
    "time_column",
    "line",
    "filter",
)

Digit = tuple[str, int]
"""A loop variable and its extent."""


class _Level:
    """A level of the mapping: the loops over its instances."""

    def __init__(self, name: str, place: str, position: int, mapping: Mapping) -> None:
        self.name, self.place = name, place
        factors = mapping.levels[position].factors
        self._factors: dict[TileAxis, int] = {axis: int(factors.along(axis)) for axis in TILE_AXES}
        several = sum(factor > 1 for factor in self._factors.values()) > 1
        self._variables = {axis: f"{name}_{axis}" if several else name for axis in TILE_AXES}
        self.several = several

    def count(self, axes: Sequence[TileAxis]) -> int:
        """Number of combinations of these axes."""
        return prod(self._factors[axis] for axis in axes)

    def digits(self, axes: Sequence[TileAxis]) -> list[Digit]:
        """A loop for each of these axes, including loops of extent 1."""
        return [(self._variables[axis], self._factors[axis]) for axis in axes]


def device_function(name: str, mapping: Mapping, kinds: tuple[str, str, str]) -> str:
    """The function `NAME_on_device` in C; `kinds` are the C types' names of inputs, weights and results.

    Its operands are matrices, padded to whole tiles: inputs group x pixel x row, weights group x row x column, results
    group x pixel x column.
    """
    return str(_Schedule(name, mapping, kinds).lines)


class _Schedule:
    def __init__(self, name: str, mapping: Mapping, kinds: tuple[str, str, str]) -> None:
        self.lines = CodeLines()
        self.mapping = mapping
        self.kinds = tuple(map(c_type, kinds))
        self.tile = mapping.packed * mapping.word_lines, mapping.packed * mapping.filters
        levels = [entry.level for entry in mapping.levels]
        digits = (f"{level}_{axis}" for level in levels for axis in TILE_AXES)
        names, places = Names(frozenset((*MATRICES, *INDICES, *digits))), level_names(levels)
        self.levels = [
            _Level(names.new(level), place, position, mapping)
            for position, (level, place) in enumerate(zip(levels, places, strict=True))
        ]
        self._name = name
        self._function()

    def _function(self) -> None:
        m, data, weights, results = self.mapping, *self.kinds
        self.lines.comment(f"{describe(m)}{self._legend()}")
        size = self._covered("group") * self._covered("pixel") * self._covered("column") * self.tile[1]
        passes = [(f"time_{axis}", m.temporal.along(axis)) for axis in ("group", "column", "row")]
        step = [("step", m.temporal.pixel)]
        with self.lines.function(
            f"static cyclecast_status {self._name}_on_device(cyclecast_device *device, const {data} *restrict inputs,",
            f"    const {weights} *restrict weights, {results} *restrict results, int32_t *restrict tile,",
            "    int64_t *restrict sums)",
        ):
            self.lines.add(f"memset(results, 0, {size} * sizeof *results);")
            with self._loops(step if m.input_stationary else []), self._loops(passes):
                self._program()
                with self._loops([] if m.input_stationary else step):
                    self._send()
                    self._down(0)
                    self.lines.add("TRY(cyclecast_wait(device));")
                    self._up(0)
                    self._receive()
            self.lines.add("return CYCLECAST_OK;")

    def _legend(self) -> str:
        """Meaning of the loops over instances of levels."""
        meaning = {"group": "groups", "row": "row tiles", "column": "column tiles", "pixel": "replicas"}
        found = [
            f"{variable}: {extent} {meaning[axis]}"
            for level in self.levels
            for axis, (variable, extent) in zip(TILE_AXES, level.digits(TILE_AXES), strict=True)
            if extent > 1
        ]
        return f" Side by side, {', '.join(found)}." if found else ""

    def _covered(self, axis: TileAxis) -> int:
        return int(self.mapping.spatial(axis) * self.mapping.temporal.along(axis))

    @contextmanager
    def _loops(self, digits: Sequence[Digit]) -> Iterator[None]:
        with ExitStack() as blocks:
            for variable, extent in digits:
                if extent > 1:
                    head = f"for (uint32_t {variable} = 0; {variable} < {extent}; ++{variable})"
                    blocks.enter_context(self.lines.block(head))
            yield

    def _along(self, axis: TileAxis) -> list[Digit]:
        """All loops along an axis, slowest first; together they number its tiles."""
        temporal = self.mapping.temporal.along(axis)
        spatial = [digit for level in self.levels for digit in level.digits((axis,))]
        if axis != "pixel":
            return [(f"time_{axis}", temporal), *spatial]
        return [("step", temporal), *spatial] if self.mapping.input_stationary else [*spatial, ("step", temporal)]

    def _declare(self, axes: Sequence[TileAxis]) -> dict[str, str]:
        """Declare the tile index along each axis; return its C name, or an empty text if there is only one tile."""
        found: dict[str, str] = {}
        for axis in axes:
            name = {"row": "row_tile", "column": "column_tile"}.get(axis, axis)
            number = numbered(self._along(axis))
            found[axis] = name if number != "0" else ""
            if number != "0":
                self.lines.add(f"const size_t {name} = {number};")
        return found

    def _index(self, parts: Sequence[tuple[str, int]], last: str) -> str:
        return " + ".join([*(f"{name} * {stride}" if stride > 1 else name for name, stride in parts if name), last])

    def _program(self) -> None:
        lines, filters = self.tile
        rows, columns = self._covered("row") * lines, self._covered("column") * filters
        size = f"{several(lines, 'word line')} x {several(filters, 'filter')}"
        self.lines.comment(f"Program every array with its tile of {size}.")
        with self._nodes(TILE_AXES):
            tiles = self._declare(("group", "row", "column"))
            place = ((tiles["group"], rows * columns), (tiles["row"], lines * columns))
            each_line = self.lines.block(f"for (size_t line = 0; line < {lines}; ++line)")
            with each_line, self.lines.block(f"for (size_t filter = 0; filter < {filters}; ++filter)"):
                index = self._index((*place, ("line", columns), (tiles["column"], filters)), "filter")
                self.lines.add(f"tile[line * {filters} + filter] = weights[{index}];")
            array = self._place(len(self.levels) - 1)
            self.lines.add(
                f"TRY(cyclecast_to_write(device, {array}));",
                f"TRY(cyclecast_program(device, {array}, tile, {lines}, {filters}));",
                f"TRY(cyclecast_to_read(device, {array}));",
            )
        self.lines.add("TRY(cyclecast_wait(device));")

    @contextmanager
    def _nodes(self, axes: Sequence[TileAxis]) -> Iterator[None]:
        """Context: loops over all instances, or over those that differ along the axes; always opens a scope."""
        with ExitStack() as blocks:
            if all(level.count(axes) == 1 for level in self.levels):
                blocks.enter_context(self.lines.block(""))
            for level in self.levels:
                blocks.enter_context(self._loops(level.digits(axes)))
                if level.several and tuple(axes) == TILE_AXES:
                    self.lines.add(f"const uint32_t {level.name} = {numbered(level.digits(TILE_AXES))};")
            yield

    def _send(self) -> None:
        lines = self.tile[0]
        rows = self._covered("row") * lines
        self.lines.comment(f"Send the tiles of inputs of this step, {several(lines, 'value')} each.")
        with self._nodes(INPUT_AXES):
            tiles = self._declare(INPUT_AXES)
            place = ((tiles["group"], self._covered("pixel") * rows), (tiles["pixel"], rows), (tiles["row"], lines))
            with self.lines.block(f"for (size_t line = 0; line < {lines}; ++line)"):
                self.lines.add(f"tile[line] = inputs[{self._index(place, 'line')}];")
            slot = numbered([digit for level in self.levels for digit in level.digits(INPUT_AXES)])
            self.lines.add(f"TRY(cyclecast_send(device, {slot}, tile, {lines}));")

    def _down(self, position: int) -> None:
        """Move tiles of inputs down to the instances of a level, and start the arrays."""
        level, place = self.levels[position], self._place(position)
        inner = prod(deeper.count(INPUT_AXES) for deeper in self.levels[position + 1 :])
        if position == 0:
            self.lines.comment("Hand them down, each to all that need it, and start the arrays.")
        with self._instances(level):
            slot = numbered(level.digits(INPUT_AXES), inner)
            if position == len(self.levels) - 1:
                self.lines.add(
                    f"TRY(cyclecast_stream(device, {place}, {slot}));", f"TRY(cyclecast_start(device, {place}));"
                )
                return
            self.lines.add(f"TRY(cyclecast_move(device, {place}, {slot}, {inner}));")
            self._down(position + 1)

    def _up(self, position: int) -> None:
        """Accumulate the sums of a level's instances in the node above."""
        level, place = self.levels[position], self._place(position)
        inner = prod(deeper.count(SUM_AXES) for deeper in self.levels[position + 1 :])
        if position == 0:
            self.lines.comment("Add up the sums of row tiles on their way.")
        with self._instances(level):
            if position < len(self.levels) - 1:
                self._up(position + 1)
            slot = numbered(level.digits(SUM_AXES), inner)
            self.lines.add(f"TRY(cyclecast_accumulate(device, {place}, {slot}, {inner}));")

    @contextmanager
    def _instances(self, level: _Level) -> Iterator[None]:
        with self._loops(level.digits(TILE_AXES)):
            if level.several:
                self.lines.add(f"const uint32_t {level.name} = {numbered(level.digits(TILE_AXES))};")
            yield

    def _receive(self) -> None:
        filters = self.tile[1]
        columns = self._covered("column") * filters
        self.lines.comment(f"Receive the tiles of sums, {filters} each; later passes over the rows add to them.")
        with self._nodes(SUM_AXES):
            tiles = self._declare(SUM_AXES)
            slot = numbered([digit for level in self.levels for digit in level.digits(SUM_AXES)])
            self.lines.add(f"TRY(cyclecast_receive(device, {slot}, sums, {filters}));")
            place = (
                (tiles["group"], self._covered("pixel") * columns), (tiles["pixel"], columns),
                (tiles["column"], filters),
            )  # fmt: skip
            with self.lines.block(f"for (size_t filter = 0; filter < {filters}; ++filter)"):
                self.lines.add(f"results[{self._index(place, 'filter')}] += ({self.kinds[2]})sums[filter];")

    def _place(self, position: int) -> str:
        indices = [level.name if level.count(TILE_AXES) > 1 else "0" for level in self.levels[: position + 1]]
        return f"at_{self.levels[position].place}({', '.join(indices)})"


def level_names(levels: Sequence[str]) -> list[str]:
    """Levels as C identifiers; the function `at_NAME` makes a place."""
    names = Names(frozenset(("place",)))
    return [names.new(level) for level in levels]


def numbered(digits: Sequence[Digit], scale: int = 1) -> str:
    """The mixed-radix number of the digits, slowest first, times `scale`, as a C expression; "0" without digits."""
    terms, stride = [], scale
    for variable, extent in reversed(digits):
        if extent > 1:
            terms.append(variable if stride == 1 else f"{variable} * {stride}")
            stride *= extent
    return " + ".join(reversed(terms)) or "0"


def describe(m: Mapping) -> str:
    """A mapping in words."""
    w = m.workload
    groups = f"{w.groups} groups of " if w.groups > 1 else ""
    order = ", all passes in every step" if m.input_stationary else ""
    replicas = f" {m.replicas} replicas of the weights work on different pixels." if m.replicas > 1 else ""
    window = f" {m.outputs} outputs of a filter from one input vector." if m.outputs > 1 else ""
    packed = f" {m.packed} groups share an array." if m.packed > 1 else ""
    return (
        f"{plain(w.name)}: {groups}{several(w.pixels, 'pixel')}, {several(w.reduction, 'value')} -> "
        f"{several(w.filters, 'filter')}, {w.input_bits}-bit inputs, {w.weight_bits}-bit weights. "
        f"Tiles of {several(m.word_lines, 'word line')} x {several(m.filters, 'filter')} on "
        f"{several(m.arrays, 'array')}; {several(m.passes, 'pass', 'passes')} of {several(m.temporal.pixel, 'step')}"
        f"{order}.{replicas}{window}{packed}"
    )


def several(count: int, one: str, many: str = "") -> str:
    """A count with its noun."""
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"
