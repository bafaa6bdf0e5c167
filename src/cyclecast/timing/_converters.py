"""Reads of an array and conversions by the ADCs that its columns share: the time of one product.

An *input step* is one DAC slice of the input. A *row phase* (*column phase*) is one group of word lines (bit lines)
that are read at once. A *slot* is one read of such a group and its conversions. Times are in femtoseconds.
"""

from __future__ import annotations

from math import prod
from typing import NamedTuple

from cyclecast._integers import Whole, ceil_div, in_steps, larger, smaller
from cyclecast.device import Device
from cyclecast.mapping import Mapping, Mappings
from cyclecast.network import Workload

AnyMapping = Mapping | Mappings


class InputStep(NamedTuple):
    """Equal input steps of one activation."""

    times: int
    """Number of steps."""
    read: int
    """Time of a read, without conversions [fs]."""
    conversion_steps: int
    """Time of one conversion, in periods of the ADC."""


def steps(device: Device) -> tuple[InputStep, ...]:
    """The input steps of one activation, with equal steps counted together (A20)."""
    each = each_step(device)
    return tuple(step._replace(times=each.count(step)) for step in dict.fromkeys(each))


def each_step(device: Device) -> tuple[InputStep, ...]:
    """The input steps of one activation, in order; `times` is 1 (A20).

    The read of a step of p bits takes `read` + (2^p - 1) x `input_pulse`. A conversion of a bit-serial ADC takes one
    period per bit; with `adc_residue` the ADC leaves out the bits of the steps before (Wan et al., Nature 2022, as
    modelled by Andrulis et al., "CiMLoop", ISPASS 2024).
    """
    array, found, applied = device.array, [], 0
    for bits in device.step_bits:
        read = array.read.femtoseconds + ((1 << bits) - 1) * array.input_pulse.femtoseconds
        resolved = max(0, array.adc_bits - applied) if array.adc_residue else array.adc_bits
        found.append(InputStep(1, read, resolved if array.adc_bit_serial else 1))
        applied += bits
    return tuple(found)


def used_rows(m: AnyMapping, device: Device) -> Whole:
    """Word lines of a full tile, all its packed groups included."""
    return m.packed * m.word_lines * device.array.rows_per_weight


def used_columns(m: AnyMapping, device: Device) -> Whole:
    """Bit lines of a full tile, all its packed groups included."""
    return m.packed * m.filters * device.columns_per_weight


def usable_rows(device: Device) -> int:
    """Word lines of an array that can hold weights."""
    return device.word_lines_per_array * device.array.rows_per_weight


def most_cells(workload: Workload, device: Device, rows: int, columns: int) -> int:
    """Upper bound on the cells with weights on the crossings of `rows` word lines and `columns` bit lines of an array.

    A bit line belongs to one output of a filter, so it has at most `reduction` weights. A word line carries one value,
    so it has at most the weights of the results that use the value.
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
    """Row phases of a product: ceil(rows / active rows), of all rows of the array unless it skips unused ones."""
    array = device.array
    if array.active_rows == array.rows:
        return 1
    return ceil_div(rows if array.skips_unused else array.rows, array.active_rows)


def column_phases(columns: Whole, device: Device) -> Whole:
    """Column phases of a product: ceil(columns / active columns), of all columns unless the array skips unused ones."""
    array = device.array
    if array.active_cols == array.cols:
        return 1
    return ceil_div(columns if array.skips_unused else array.cols, array.active_cols)


def conversion_time(columns: Whole, device: Device, step: InputStep) -> Whole:
    """Time of an array's ADCs to convert the columns of one full column phase [fs]; 0 for a digital array."""
    array = device.array
    if array.digital:
        return 0
    phase = smaller(columns, array.active_cols) if array.skips_unused else array.active_cols
    return in_steps(ceil_div(phase, array.adcs) * step.conversion_steps, 10**18, array.adc_rate.millihertz)


def slot_time(columns: Whole, device: Device, step: InputStep) -> Whole:
    """Time of a slot, one read and its conversions [fs] (A4).

    If reads and conversions overlap (Shafiee et al., ISAAC, ISCA 2016, figure 4b), the longer of both; else their sum
    (MNSIM 2.0, NeuroSim).
    """
    conversion = conversion_time(columns, device, step)
    return larger(conversion, step.read) if device.array.adc_overlap else conversion + step.read


def product_time(m: AnyMapping, device: Device) -> Whole:
    """Time of a matrix-vector product of a full tile: input steps x row phases x column phases x slot [fs]."""
    columns = used_columns(m, device)
    phases = row_phases(used_rows(m, device), device) * column_phases(columns, device)
    return phases * sum(step.times * slot_time(columns, device, step) for step in steps(device))
