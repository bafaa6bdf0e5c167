"""Bounds on time: a lower bound for all mappings of a workload, and an upper bound for one mapping.

The lower bound is a roofline (Williams et al., CACM 2009, doi:10.1145/1498765.1498785): the longest of three times.
These are the reads and conversions of all cells, spread over all arrays; the distinct bytes through the ports; and the
writing of all weights if no mapping holds them at once. It depends on the workload and the device, not on the mapping.
The upper bound is the time of the mapping on a device that does one thing at a time.
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
from cyclecast.timing._converters import (
    InputStep,
    column_phases,
    conversion_time,
    most_cells,
    row_phases,
    steps,
    usable_rows,
    used_columns,
    used_rows,
)
from cyclecast.timing._costs import (
    array_write_time,
    input_bits_per_vector,
    merge_latency,
    partial_sum_bits,
    port_time,
    sums_per_vector,
)
from cyclecast.units import Bandwidth, Time


def bounds(mapping: Mapping, device: Device) -> Bounds:
    """Bounds for a timing model of the whole device: arrays, ports and writing (A30, A31)."""
    workload = mapping.workload
    found = {"work": work_time(workload, device)}
    found |= dict(_bandwidth(workload, partial_sum_bits(mapping), device))
    found["write"] = _writing(workload, device)
    longest = max(found, key=found.__getitem__)
    return Bounds(Time(found[longest]), longest, Time(serial_time(mapping, device)))


def work_time(workload: Workload, device: Device) -> int:
    """Lower bound on reads and conversions: all arrays busy and as full as possible, plus the pipeline's fill [fs]."""
    reads, rounds = _reads(workload, device)
    fill = device.pipeline.fill * device.array.read.femtoseconds
    return fill + sum(step.times * _steps_of(step, reads, rounds, device) for step in steps(device))


def serial_time(mapping: Mapping, device: Device) -> int:
    """Time if all arrays, steps, transfers and merges follow one another [fs]."""
    tiles = mapping.passes * mapping.arrays
    written = mapping.turns * tiles * array_write_time(mapping, device) if mapping.passes > 1 else 0
    columns = used_columns(mapping, device)
    phases = row_phases(used_rows(mapping, device), device) * column_phases(columns, device)
    product = phases * sum(step.times * (step.read + conversion_time(columns, device, step)) for step in steps(device))
    fill = device.pipeline.fill * device.array.read.femtoseconds + merge_latency(mapping, device)
    return int(written + tiles * mapping.temporal.pixel * (product + fill + _moving(mapping, device)))


def _moving(m: Mapping, device: Device) -> int:
    """Transfers and merges of one step through one instance of every level, one after another [fs]."""
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
    """Lower bounds for one input step of all pixels, summed over all arrays: reads, and rounds of the ADCs.

    In a round every ADC of an array converts once. A bit line adds up at most the cells of its group, and a word line
    feeds at most the results of its value. An array that does not skip unused lines takes all its phases, whatever it
    holds. If windows are possible, one read may serve several pixels.
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


def _steps_of(step: InputStep, reads: int, rounds: int, device: Device) -> int:
    """Lower bound on the time of reads and rounds, spread evenly over all arrays [fs].

    It is the longest of the busiest array's whole reads, its whole rounds, and the average over the arrays.
    """
    array = device.array
    one = Fraction(0 if array.digital else step.conversion_steps * 10**18, array.adc_rate.millihertz)
    busiest: int = ceil_div(reads, device.arrays)
    converting: Fraction = ceil_div(rounds, device.arrays) * one
    if array.adc_overlap:
        return max(busiest * step.read, ceil(converting))
    average = (reads * step.read + rounds * one) / device.arrays
    return max(ceil(busiest * (step.read + one)), ceil(converting), ceil(average))


def _bandwidth(workload: Workload, sum_bits: int, device: Device) -> Iterator[tuple[str, int]]:
    """Lower bound of every port: each distinct input and result byte once, spread over the instances [fs]."""
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
    """Time of the bits through the ports of all instances at once [fs]; 0 for an unlimited port."""
    return int(port_time(port, ceil_div(bits, 8 * instances))) if port else 0


def _writing(workload: Workload, device: Device) -> int:
    """Time to write every cell once [fs]; 0 if all weights may fit into the arrays at once."""
    array, write = device.array, device.array.write
    cells = workload.weights * array.rows_per_weight * device.columns_per_weight
    if cells <= device.arrays * most_cells(workload, device, array.rows, array.cols):
        return 0
    at_once = min(write.rows, array.rows) * min(write.cols, array.cols) * min(write.arrays, device.arrays)
    return int(ceil_div(cells, at_once)) * write.pulses * (write.pulse.femtoseconds + write.verify.femtoseconds)
