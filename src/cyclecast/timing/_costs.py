"""What a mapping makes a device do: elementary times, bytes through every port, and counts of events.

Every function takes one `Mapping` or many (`Mappings`) and answers with a number or an array of them. Times are in
femtoseconds. The assumptions A1 ... are those of `docs/assumptions/`.

An *input step* is one DAC slice of the input; a *row phase* (*column phase*) one group of word lines (bit lines) that
are read at once; a *slot* one read of such a group with its conversions. A *level* is a position from the outermost, -1
the whole device.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import prod
from typing import NamedTuple

import numpy as np

from cyclecast._integers import Whole, ceil_div, ceil_log2, in_steps, larger, smaller
from cyclecast.device import Device
from cyclecast.mapping import TILE_AXES, Mapping, Mappings
from cyclecast.network import Workload
from cyclecast.storage.reading import Json, elements, members, text, whole
from cyclecast.units import Bandwidth

AnyMapping = Mapping | Mappings


class Moved(NamedTuple):
    """Bytes through the ports of all instances of a level together."""

    level: str
    """The level's name; "" for the device itself."""
    inputs: Whole
    outputs: Whole
    """Results and partial sums that leave, and partial sums that later passes read back."""
    merged: Whole
    """Partial sums that neighbouring instances hand to each other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Events:
    """How often a workload so mapped makes the device do what costs energy. Padding is not counted."""

    macs: Whole
    products: Whole
    """Matrix-vector products of single arrays."""
    conversions: Whole
    row_drives: Whole
    cell_reads: Whole
    cells: Whole
    """Cells that hold weights, replicas included, over all passes; written beforehand where one pass holds them."""
    cell_writes: Whole
    """Cells programmed while the workload runs."""
    moved: tuple[Moved, ...]
    """Of the device, then of every level, outermost first."""

    def to_json(self) -> dict[str, Json]:
        """Plain values for JSON; `events_from_json` is the inverse."""
        counts = {name: getattr(self, name) for name in self.__slots__ if name != "moved"}
        return counts | {"moved": [entry._asdict() for entry in self.moved]}


def events_from_json(value: object) -> Events:
    """Rebuild events from `Events.to_json`; `ValueError` where a count is none."""
    said = members(value)
    moved = tuple(
        Moved(text(entry["level"]), *(whole(entry[name]) for name in Moved._fields[1:]))
        for entry in map(members, elements(said["moved"]))
    )
    return Events(**{name: whole(said[name]) for name in Events.__slots__ if name != "moved"}, moved=moved)


class InputStep(NamedTuple):
    """Equal input steps of one activation."""

    times: int
    read: int
    """The time of a read, without conversions [fs]."""
    conversion_steps: int
    """What one conversion takes, in periods of the ADC."""


def steps(device: Device) -> tuple[InputStep, ...]:
    """The input steps of one activation, equal ones together (A20)."""
    each = each_step(device)
    return tuple(step._replace(times=each.count(step)) for step in dict.fromkeys(each))


def each_step(device: Device) -> tuple[InputStep, ...]:
    """The input steps of one activation, one after another (A20).

    A step of p bits reads for `read`, and `input_pulse` for each of 2^p - 1 pulses. A bit-serial ADC takes a period for
    each bit; with `adc_residue` it leaves out the bits of the steps before (Wan et al., Nature 2022, as modelled by
    Andrulis et al., "CiMLoop", ISPASS 2024).
    """
    array, found, applied = device.array, [], 0
    for bits in device.step_bits:
        read = array.read.femtoseconds + ((1 << bits) - 1) * array.input_pulse.femtoseconds
        resolved = max(0, array.adc_bits - applied) if array.adc_residue else array.adc_bits
        found.append(InputStep(1, read, resolved if array.adc_bit_serial else 1))
        applied += bits
    return tuple(found)


def used_rows(m: AnyMapping, device: Device) -> Whole:
    """Word lines of a full tile, those of all the groups in it."""
    return m.packed * m.word_lines * device.array.rows_per_weight


def used_columns(m: AnyMapping, device: Device) -> Whole:
    """Bit lines of a full tile, those of all the groups in it."""
    return m.packed * m.filters * device.columns_per_weight


def usable_rows(device: Device) -> int:
    """Word lines of an array that can hold weights."""
    return device.word_lines_per_array * device.array.rows_per_weight


def most_cells(workload: Workload, device: Device, rows: int, columns: int) -> int:
    """How many cells with weights that meet can lie on so many word lines and bit lines of an array.

    A bit line holds one output of a filter, a word line feeds no more results than its value takes part in.
    """
    tall, wide = min(rows, usable_rows(device)), min(columns, device.filters_per_array * device.columns_per_weight)
    fed = workload.filters * prod(ceil_div(slide.taps, slide.step) for slide in workload.slides)
    return int(
        min(
            tall * min(wide, fed * device.columns_per_weight),
            wide * min(tall, workload.reduction * device.array.rows_per_weight),
        )
    )


def row_phases(rows: Whole, device: Device) -> Whole:
    """Groups of word lines read one after another: ceil(rows / active rows)."""
    array = device.array
    if array.active_rows == array.rows:
        return 1
    return ceil_div(rows if array.skips_unused else array.rows, array.active_rows)


def column_phases(columns: Whole, device: Device) -> Whole:
    """Groups of bit lines read one after another: ceil(columns / active columns)."""
    array = device.array
    if array.active_cols == array.cols:
        return 1
    return ceil_div(columns if array.skips_unused else array.cols, array.active_cols)


def conversion_time(columns: Whole, device: Device, step: InputStep) -> Whole:
    """What the ADCs of an array need for the columns of one full phase, which they share; none if digital [fs]."""
    array = device.array
    if array.digital:
        return 0
    phase = smaller(columns, array.active_cols) if array.skips_unused else array.active_cols
    return in_steps(ceil_div(phase, array.adcs) * step.conversion_steps, 10**18, array.adc_rate.millihertz)


def slot_time(columns: Whole, device: Device, step: InputStep) -> Whole:
    """One read of a phase and its conversions [fs].

    Overlapped (Shafiee et al., ISAAC, ISCA 2016, figure 4b), a slot is the longer of read and conversion; otherwise
    (MNSIM 2.0, NeuroSim) their sum. Assumption A4.
    """
    conversion = conversion_time(columns, device, step)
    return larger(conversion, step.read) if device.array.adc_overlap else conversion + step.read


def product_time(m: AnyMapping, device: Device) -> Whole:
    """One matrix-vector product of a full tile: input steps x row phases x column phases x slot [fs]."""
    columns = used_columns(m, device)
    phases = row_phases(used_rows(m, device), device) * column_phases(columns, device)
    return phases * sum(step.times * slot_time(columns, device, step) for step in steps(device))


def array_write_time(m: AnyMapping, device: Device) -> Whole:
    """Programming one array: ceil(rows / at once) x ceil(columns / at once) x pulses x (pulse + verify) [fs]."""
    write = device.array.write
    turns = ceil_div(used_rows(m, device), write.rows) * ceil_div(used_columns(m, device), write.cols)
    return turns * (write.pulses * (write.pulse.femtoseconds + write.verify.femtoseconds))


def write_time(m: AnyMapping, device: Device) -> Whole:
    """Programming all arrays in use, for every pass and turn; nothing where one pass holds all weights (A3) [fs]."""
    if np.all(m.passes == 1):
        return 0
    at_a_time = ceil_div(m.arrays, device.array.write.arrays) * array_write_time(m, device)
    return smaller(m.passes - 1, 1) * m.turns * m.passes * at_a_time


def merge_latency(m: AnyMapping, device: Device) -> Whole:
    """Adding up partial sums in trees: ceil(log2(row tiles side by side)) hops at every level (A21) [fs]."""
    return sum(
        ceil_log2(m.levels[position].factors.row) * level.merge_hop.femtoseconds
        for position, level in enumerate(device.levels)
        if level.merge_hop.femtoseconds
    )


def partial_sum_bits(m: AnyMapping) -> int:
    """Bits of a sum over the whole reduction without loss: input + weight + log2 of the terms."""
    return sum_bits(m.workload)


def sum_bits(workload: Workload) -> int:
    """The same, of any mapping of the workload."""
    return workload.input_bits + workload.weight_bits + (workload.reduction - 1).bit_length()


def port_time(bandwidth: Bandwidth, moved: Whole) -> Whole:
    """To move so many bytes through a port [fs]."""
    return in_steps(moved, 10**15, bandwidth.bytes_per_second)


def vectors(m: AnyMapping, level: int) -> Whole:
    """Input vectors that the busiest instance of the level sees in one pass; replicas without a pixel move nothing."""
    return smaller(m.temporal.pixel * m.inside(level, "pixel"), m.vectors)


def input_bits_per_vector(m: AnyMapping, level: int) -> Whole:
    """Bits of the inputs that one instance of the level needs for one step along the pixels, once (A5)."""
    values = smaller(m.inside(level, "row") * m.word_lines, m.values)
    return values * smaller(m.inside(level, "group") * m.packed, m.workload.groups) * m.workload.input_bits


def sums_per_vector(m: AnyMapping, level: int) -> Whole:
    """Partial sums that leave one instance of the level for each vector, row tiles inside it added up (A6)."""
    values = smaller(m.inside(level, "column") * m.filters, m.results)
    return values * smaller(m.inside(level, "group") * m.packed, m.workload.groups)


def input_bytes(m: AnyMapping, level: int) -> Whole:
    """Bytes into the busiest instance of the level: each pass, every input vector that its arrays need, once (A5).

    Stationary inputs stay for all column tiles that follow (A34).
    """
    again = m.temporal.group * m.temporal.row * _unless_stationary(m, m.temporal.column)
    return ceil_div(again * vectors(m, level) * input_bits_per_vector(m, level), 8)


def output_bytes(m: AnyMapping, level: int) -> Whole:
    """Bytes out of the busiest instance of the level: sums over all the row tiles inside it (A6).

    They leave as wide as a partial sum; where row tiles also follow in time, each later pass reads them back first,
    unless inputs are stationary: then they leave when they are complete (A34).
    """
    moves = m.temporal.group * m.temporal.column * _unless_stationary(m, 2 * m.temporal.row - 1)
    return ceil_div(moves * vectors(m, level) * sums_per_vector(m, level) * partial_sum_bits(m), 8)


def _unless_stationary(m: AnyMapping, times: Whole) -> Whole:
    """So many times where weights are stationary, once where inputs are."""
    return times - m.input_stationary * (times - 1)


class PassKind(NamedTuple):
    """Passes that are alike."""

    inputs: int
    """How often every input is moved: once, or not at all where it is there already."""
    sums: int
    """How often every partial sum is moved: once, twice where it is read back first, or not at all where it stays."""
    steps: Whole
    """Along the pixels."""
    vectors: Whole
    """Input vectors of a group in all steps of all replicas."""
    times: Whole
    """How many there are; 0 for mappings that have none, where others have some."""


def kinds(m: AnyMapping) -> Iterator[PassKind]:
    """The passes of a mapping, equal ones together, that of the first pass first; only kinds that there are.

    Weights that stay take all their steps in one pass; every row pass but the first reads partial sums back. Inputs
    that stay give every step to all its passes: a column pass after the first finds them, sums leave with the last row
    pass, and replicas that have a pixel fewer do nothing in the last steps (A34).
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
    """All counts, exact: the last tile of an axis counts with what it holds."""
    workload, array = m.workload, device.array
    activations = m.vectors * device.input_steps
    column_turns = phased_columns = 0
    for groups, copies in _parts(workload.groups, m.packed):
        for filters, times in _parts(m.results, m.filters):
            columns = groups * filters * device.columns_per_weight
            column_turns = column_turns + copies * times * groups * column_phases(columns, device)
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
        row_drives=activations * m.values * array.rows_per_weight * column_turns,
        cell_reads=activations * matrix * block,
        cells=cells * m.replicas,
        cell_writes=cells * m.replicas * m.turns * smaller(m.passes - 1, 1),
        moved=tuple(_moved(m, device, level) for level in range(-1, len(device.levels))),
    )


def _parts(extent: Whole, size: Whole) -> Iterable[tuple[Whole, Whole]]:
    """An axis cut into tiles: the size of the full ones and how many there are, and the last one."""
    full = ceil_div(extent, size) - 1
    return (size, full), (extent - full * size, full * 0 + 1)


def _moved(m: AnyMapping, device: Device, level: int) -> Moved:
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
