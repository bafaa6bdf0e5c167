"""The costs of a mapping on a device: elementary times, bytes through every port, and counts of events.

Every function takes one `Mapping` and returns a number, or n `Mappings` and returns an array of shape (n,). Times are
in femtoseconds. The assumptions A1 ... are those of `docs/assumptions/`.

The argument `level` is the position of a level, 0 the outermost; -1 is the whole device.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from cyclecast._integers import Whole, ceil_div, ceil_log2, in_steps, smaller
from cyclecast.device import Device
from cyclecast.mapping import TILE_AXES
from cyclecast.network import Workload
from cyclecast.storage.reading import Json, elements, members, text, whole
from cyclecast.timing._converters import (
    AnyMapping,
    column_phases,
    row_phases,
    used_columns,
    used_rows,
)
from cyclecast.units import Bandwidth


class Moved(NamedTuple):
    """Bytes through the ports of all instances of a level together."""

    level: str
    """The level's name; "" for the device itself."""
    inputs: Whole
    outputs: Whole
    """Results and partial sums that leave, and partial sums that later passes read back."""
    merged: Whole
    """Partial sums that instances of the level send to each other to be added up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Events:
    """Counts of the actions that cost energy, for one run of a mapped workload. Padding is not counted."""

    macs: Whole
    products: Whole
    """Matrix-vector products of single arrays."""
    conversions: Whole
    row_drives: Whole
    cell_reads: Whole
    cells: Whole
    """Cells that hold weights, summed over passes and replicas; with one pass they are written before the run."""
    cell_writes: Whole
    """Cells written during the run."""
    moved: tuple[Moved, ...]
    """Traffic of the device, then of every level, outermost first."""

    def to_json(self) -> dict[str, Json]:
        """Plain values for JSON; `events_from_json` is the inverse."""
        counts = {name: getattr(self, name) for name in self.__slots__ if name != "moved"}
        return counts | {"moved": [entry._asdict() for entry in self.moved]}


def events_from_json(value: object) -> Events:
    """Rebuild events from `Events.to_json`. Raises `ValueError` if a count is no whole number."""
    said = members(value)
    moved = tuple(
        Moved(text(entry["level"]), *(whole(entry[name]) for name in Moved._fields[1:]))
        for entry in map(members, elements(said["moved"]))
    )
    return Events(**{name: whole(said[name]) for name in Events.__slots__ if name != "moved"}, moved=moved)


def array_write_time(m: AnyMapping, device: Device) -> Whole:
    """Time to write an array: ceil(rows / write.rows) x ceil(columns / write.cols) x pulses x (pulse + verify) [fs]."""
    write = device.array.write
    blocks = ceil_div(used_rows(m, device), write.rows) * ceil_div(used_columns(m, device), write.cols)
    return blocks * (write.pulses * (write.pulse.femtoseconds + write.verify.femtoseconds))


def write_time(m: AnyMapping, device: Device) -> Whole:
    """Time to write all arrays in use in all passes, `m.turns` times [fs]; 0 if one pass holds all weights (A3)."""
    if np.all(m.passes == 1):
        return 0
    at_a_time = ceil_div(m.arrays, device.array.write.arrays) * array_write_time(m, device)
    return smaller(m.passes - 1, 1) * m.turns * m.passes * at_a_time


def merge_latency(m: AnyMapping, device: Device) -> Whole:
    """Time of the adder trees: ceil(log2(spatial row factor)) x `merge_hop`, summed over the levels (A21) [fs]."""
    return sum(
        ceil_log2(m.levels[position].factors.row) * level.merge_hop.femtoseconds
        for position, level in enumerate(device.levels)
        if level.merge_hop.femtoseconds
    )


def partial_sum_bits(m: AnyMapping) -> int:
    """Bits of a partial sum of the mapping's workload; see `sum_bits`."""
    return sum_bits(m.workload)


def sum_bits(workload: Workload) -> int:
    """Bits of an exact sum over the whole reduction: input bits + weight bits + ceil(log2(reduction))."""
    return workload.input_bits + workload.weight_bits + (workload.reduction - 1).bit_length()


def port_time(bandwidth: Bandwidth, moved: Whole) -> Whole:
    """Time of `moved` bytes through a port [fs]."""
    return in_steps(moved, 10**15, bandwidth.bytes_per_second)


def vectors(m: AnyMapping, level: int) -> Whole:
    """Input vectors of the busiest instance of the level in one pass; replicas without a pixel move nothing."""
    return smaller(m.temporal.pixel * m.inside(level, "pixel"), m.vectors)


def input_bits_per_vector(m: AnyMapping, level: int) -> Whole:
    """Bits of one input vector in an instance of the level, all its groups included, each value once (A5)."""
    values = smaller(m.inside(level, "row") * m.word_lines, m.values)
    return values * smaller(m.inside(level, "group") * m.packed, m.workload.groups) * m.workload.input_bits


def sums_per_vector(m: AnyMapping, level: int) -> Whole:
    """Partial sums out of an instance of the level for one input vector; row tiles inside it are added up (A6)."""
    values = smaller(m.inside(level, "column") * m.filters, m.results)
    return values * smaller(m.inside(level, "group") * m.packed, m.workload.groups)


def input_bytes(m: AnyMapping, level: int) -> Whole:
    """Bytes into the busiest instance of the level over all passes: in a pass, each input vector moves once (A5).

    Stationary inputs move once for all column passes (A34).
    """
    again = m.temporal.group * m.temporal.row * _unless_stationary(m, m.temporal.column)
    return ceil_div(again * vectors(m, level) * input_bits_per_vector(m, level), 8)


def output_bytes(m: AnyMapping, level: int) -> Whole:
    """Bytes of partial sums out of the busiest instance of the level over all passes (A6).

    Row tiles inside the instance are added up before. Every row pass but the first reads its sums back first, unless
    inputs are stationary: then only complete sums leave (A34).
    """
    moves = m.temporal.group * m.temporal.column * _unless_stationary(m, 2 * m.temporal.row - 1)
    return ceil_div(moves * vectors(m, level) * sums_per_vector(m, level) * partial_sum_bits(m), 8)


def _unless_stationary(m: AnyMapping, times: Whole) -> Whole:
    """`times` if weights are stationary, 1 if inputs are."""
    return times - m.input_stationary * (times - 1)


class PassKind(NamedTuple):
    """Equal passes of a mapping."""

    inputs: int
    """Moves of every input: 1, or 0 if the inputs stay from the pass before."""
    sums: int
    """Moves of every partial sum: 1; 2 if it is read back first; 0 if it stays in the device."""
    steps: Whole
    """Steps along the pixels."""
    vectors: Whole
    """Input vectors of a group, over all steps and replicas."""
    times: Whole
    """Number of such passes; among many mappings it may be 0 for some."""


def kinds(m: AnyMapping) -> Iterator[PassKind]:
    """The kinds of passes of a mapping, the kind of the first pass first; kinds without passes are left out.

    With stationary weights a pass takes all steps along the pixels; every row pass but the first reads partial sums
    back. With stationary inputs every step has passes of its own (A34): all column passes but the first find the inputs
    in place, sums leave with the last row pass, and replicas that have a pixel less are idle in the last steps.
    """
    group, row, column, pixel = (m.temporal.along(axis) for axis in TILE_AXES)
    if np.all(m.passes == 1):
        return iter((PassKind(1, 1, pixel, m.vectors, 1),))
    stays, moves = 1 - m.input_stationary, m.input_stationary
    found = [
        PassKind(1, 1, pixel, m.vectors, stays * group * column),
        PassKind(1, 2, pixel, m.vectors, stays * group * column * (row - 1)),
    ]
    if np.any(moves):
        at_once = m.vectors // pixel
        many = m.vectors - pixel * at_once
        for vectors, steps_ in ((at_once + 1, many), (at_once, pixel - many)):
            each = moves * group * steps_
            found += [
                PassKind(1, 0, 1, vectors, each * (row - 1)),
                PassKind(1, 1, 1, vectors, each),
                PassKind(0, 0, 1, vectors, each * (row - 1) * (column - 1)),
                PassKind(0, 1, 1, vectors, each * (column - 1)),
            ]
    return (kind for kind in found if np.any(kind.times))


def events(m: AnyMapping, device: Device) -> Events:
    """Exact counts of all events: the last tile along an axis counts with its real size."""
    workload, array = m.workload, device.array
    activations = m.vectors * device.input_steps
    drives = phased_columns = 0
    for groups, copies in _parts(workload.groups, m.packed):
        for filters, times in _parts(m.results, m.filters):
            columns = groups * filters * device.columns_per_weight
            drives = drives + copies * times * groups * column_phases(columns, device)
        columns = groups * m.results * device.columns_per_weight
        columns = columns if array.skips_unused else m.tiles("column") * array.cols
        for values, times in _parts(m.values, m.word_lines):
            rows = groups * values * array.rows_per_weight
            phased_columns = phased_columns + copies * times * row_phases(rows, device) * columns
    cells = workload.weights * m.outputs * array.rows_per_weight * device.columns_per_weight
    block = sum(copies * groups * groups for groups, copies in _parts(workload.groups, m.packed))
    matrix = m.values * m.results * array.rows_per_weight * device.columns_per_weight
    return Events(
        macs=workload.macs,
        products=m.vectors * m.weight_tiles,
        conversions=activations * phased_columns,
        row_drives=activations * m.values * array.rows_per_weight * drives,
        cell_reads=activations * matrix * block,
        cells=cells * m.replicas,
        cell_writes=cells * m.replicas * m.turns * smaller(m.passes - 1, 1),
        moved=tuple(_moved(m, device, level) for level in range(-1, len(device.levels))),
    )


def _parts(extent: Whole, size: Whole) -> Iterable[tuple[Whole, Whole]]:
    """An axis cut into tiles, as (size, number): the full tiles but the last, then the last tile."""
    full = ceil_div(extent, size) - 1
    return (size, full), (extent - full * size, full * 0 + 1)


def _moved(m: AnyMapping, device: Device, level: int) -> Moved:
    """Traffic of all instances of the level together over all passes (A5, A6, A34)."""
    workload = m.workload
    columns = ceil_div(m.tiles("column"), m.inside(level, "column"))
    columns_at_once = smaller(columns, ceil_div(m.spatial("column"), m.inside(level, "column")))
    copies = columns - m.input_stationary * (columns - columns_at_once)
    sums = ceil_div(m.tiles("row"), m.inside(level, "row"))
    side_by_side = smaller(sums, ceil_div(m.spatial("row"), m.inside(level, "row")))
    inputs = m.vectors * workload.groups * m.values * workload.input_bits
    outputs = workload.pixels * workload.groups * workload.filters * partial_sum_bits(m)
    moves = 2 * sums - side_by_side
    moves = moves - m.input_stationary * (moves - side_by_side)
    merged = sums - ceil_div(m.tiles("row"), m.inside(level - 1, "row")) if level >= 0 else sums * 0
    return Moved(
        device.levels[level].name if level >= 0 else "",
        ceil_div(inputs * copies, 8),
        ceil_div(outputs * moves, 8),
        ceil_div(outputs * merged, 8),
    )
