"""What no mapping of a workload can be faster than, and what this one cannot be slower than.

The lower bound is a roofline (Williams et al., CACM 2009, doi:10.1145/1498765.1498785): the longest of what all arrays
together need for the cells and conversions of the workload, what its distinct bytes need through the ports, and what
its weights need to be written where no mapping holds them all. It knows the workload and the device, not the mapping.
The upper bound is that of a device which does one thing at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from math import ceil

from cyclecast._integers import ceil_div, ceil_log2
from cyclecast.device import Device, Level
from cyclecast.mapping import Mapping
from cyclecast.network import Workload
from cyclecast.timing._base import Bounds
from cyclecast.timing._costs import (
    InputStep,
    array_write_time,
    column_phases,
    conversion_time,
    input_bits_per_vector,
    merge_latency,
    most_cells,
    partial_sum_bits,
    port_time,
    row_phases,
    steps,
    sums_per_vector,
    usable_rows,
    used_columns,
    used_rows,
)
from cyclecast.units import Bandwidth, Time


def bounds(mapping: Mapping, device: Device) -> Bounds:
    """The bounds of a timing that knows the whole device: its arrays, its ports, and writing (A30, A31)."""
    workload = mapping.workload
    found = {"work": work_time(workload, device)}
    found |= dict(_bandwidth(workload, partial_sum_bits(mapping), device))
    found["write"] = _writing(workload, device)
    longest = max(found, key=found.__getitem__)
    return Bounds(Time(found[longest]), longest, Time(serial_time(mapping, device)))


def work_time(workload: Workload, device: Device) -> int:
    """All arrays, always as full as can be, and the cycles before the first read and after the last [fs]."""
    reads, turns = _reads(workload, device)
    fill = device.pipeline.fill * device.array.read.femtoseconds
    return fill + sum(step.times * _steps_of(step, reads, turns, device) for step in steps(device))


def serial_time(mapping: Mapping, device: Device) -> int:
    """Every array of every step, with all that it moves and merges, after the one before [fs]."""
    turns = mapping.passes * mapping.arrays
    written = mapping.turns * turns * array_write_time(mapping, device) if mapping.passes > 1 else 0
    columns = used_columns(mapping, device)
    phases = row_phases(used_rows(mapping, device), device) * column_phases(columns, device)
    product = phases * sum(step.times * (step.read + conversion_time(columns, device, step)) for step in steps(device))
    fill = device.pipeline.fill * device.array.read.femtoseconds + merge_latency(mapping, device)
    return int(written + turns * mapping.temporal.pixel * (product + fill + _moving(mapping, device)))


def _moving(m: Mapping, device: Device) -> int:
    """What one step moves through one port of every level, one transfer after another [fs]."""
    total = 0
    ports: tuple[Device | Level, ...] = (device, *device.levels)
    for level, port in enumerate(ports, -1):
        sums = ceil_div(sums_per_vector(m, level) * partial_sum_bits(m), 8)
        vector = 0
        if port.input_bandwidth:
            vector += port_time(port.input_bandwidth, ceil_div(input_bits_per_vector(m, level), 8))
        if port.output_bandwidth:
            vector += 2 * port_time(port.output_bandwidth, sums)  # read back, and written
        if isinstance(port, Level) and port.merge_bandwidth:
            vector += ceil_log2(m.levels[level].factors.row) * port_time(port.merge_bandwidth, sums)
        total += m.inside(level, "pixel") * vector
    return int(total)


def _reads(workload: Workload, device: Device) -> tuple[int, int]:
    """The fewest reads for one input step of all pixels, and the fewest turns of the ADCs, in all arrays together.

    A bit line adds up no more cells than its group has, and a word line feeds no more. An array that skips nothing
    takes all its phases for whatever is in it. Where windows are possible, a read may serve several pixels.
    """
    array = device.array
    cells = workload.weights * array.rows_per_weight * device.columns_per_weight
    vectors, pixels = (1, workload.pixels) if workload.slides else (workload.pixels, 1)
    if array.skips_unused:
        most = most_cells(workload, device, array.active_rows, array.active_cols)
        rows = min(array.active_rows, usable_rows(device), workload.reduction * array.rows_per_weight)
        reads = vectors * ceil_div(pixels * cells, most)
        return reads, max(reads, vectors * ceil_div(ceil_div(pixels * cells, rows), array.adcs))
    products = vectors * ceil_div(pixels * cells, most_cells(workload, device, array.rows, array.cols))
    columns = column_phases(array.cols, device)
    reads = device.arrays * ceil_div(products, device.arrays) * row_phases(array.rows, device) * columns
    return reads, reads * ceil_div(array.active_cols, array.adcs)


def _steps_of(step: InputStep, reads: int, turns: int, device: Device) -> int:
    """So many reads and turns, spread over all arrays [fs]: whole ones of the busiest array, or their average."""
    array = device.array
    turn = Fraction(0 if array.digital else step.conversion_steps * 10**18, array.adc_rate.millihertz)
    busiest: int = ceil_div(reads, device.arrays)
    converting: Fraction = ceil_div(turns, device.arrays) * turn
    if array.adc_overlap:
        return max(busiest * step.read, ceil(converting))
    average = (reads * step.read + turns * turn) / device.arrays
    return max(ceil(busiest * (step.read + turn)), ceil(converting), ceil(average))


def _bandwidth(workload: Workload, sum_bits: int, device: Device) -> Iterator[tuple[str, int]]:
    """Every input byte in and every result byte out once, spread over all ports of a level [fs]."""
    inputs = workload.inputs * workload.input_bits
    results = workload.pixels * workload.groups * workload.filters * sum_bits
    instances = 1
    yield "device input", _through(device.input_bandwidth, inputs, instances)
    yield "device output", _through(device.output_bandwidth, results, instances)
    for level in device.levels:
        instances *= level.count
        into = _through(level.input_bandwidth, inputs, instances)
        out = _through(level.output_bandwidth, results, instances)
        yield f"{level.name} input", into
        yield f"{level.name} output", out
        if level.shared_port:
            yield f"{level.name} port", into + out


def _through(port: Bandwidth | None, bits: int, instances: int) -> int:
    return int(port_time(port, ceil_div(bits, 8 * instances))) if port else 0


def _writing(workload: Workload, device: Device) -> int:
    """Programming every cell once, where no mapping holds all weights at a time; else nothing [fs]."""
    array, write = device.array, device.array.write
    cells = workload.weights * array.rows_per_weight * device.columns_per_weight
    if cells <= device.arrays * most_cells(workload, device, array.rows, array.cols):
        return 0
    at_once = min(write.rows, array.rows) * min(write.cols, array.cols) * min(write.arrays, device.arrays)
    return int(ceil_div(cells, at_once)) * write.pulses * (write.pulse.femtoseconds + write.verify.femtoseconds)
