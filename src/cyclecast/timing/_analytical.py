"""L1: quantised tiles, every level of the device, capacity and passes.

The assumptions A1 ... are those of `docs/assumptions.md`. Symbols: an *input step* is one DAC slice of the input, a
*row phase* one group of word lines that are read at once, a *slot* the time of one of either with its conversions.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod

from cyclecast.device import Device
from cyclecast.mapping import Mapping, TileAxis, ceil_div
from cyclecast.timing._base import Phase, Timing
from cyclecast.units import Bandwidth, Time


@dataclass(frozen=True, slots=True)
class Analytical:
    """The analytical timing model: write + max(compute, input, output) + fill."""

    def time(self, mapping: Mapping, device: Device) -> Timing:
        """The timing of the mapping; phases `write`, `compute`, `input`, `output` and `fill`."""
        cycle = device.array.read
        levels = list(enumerate(device.levels))
        side_by_side = [
            Phase("compute", mapping.passes * mapping.temporal.pixel * matrix_vector_time(mapping, device)),
            Phase("input", _slowest((level.input_bandwidth, input_bytes(mapping, i)) for i, level in levels)),
            Phase("output", _slowest((level.output_bandwidth, output_bytes(mapping, i)) for i, level in levels)),
        ]
        longest = max(side_by_side, key=lambda phase: phase.time)
        return Timing(
            (
                Phase("write", write_time(mapping, device)),
                *(Phase(phase.name, phase.time, hidden=phase is not longest) for phase in side_by_side),
                Phase("fill", mapping.passes * device.pipeline.fill * cycle),
            ),
            cycle,
        )


def slot_time(used_columns: int, device: Device) -> Time:
    """One read of an array and the conversion of its used columns.

    The ADCs of an array share its columns. Overlapped (ISAAC, figure 4b), a slot is the longer of read and
    conversion; otherwise (MNSIM 2.0, NeuroSim) their sum. Assumption A4.
    """
    array = device.array
    conversion = array.adc_rate.time(ceil_div(used_columns, array.adcs))
    return max(array.read, conversion) if array.adc_overlap else array.read + conversion


def matrix_vector_time(mapping: Mapping, device: Device) -> Time:
    """One matrix-vector product: input steps x row phases x slot (the initiation interval of a full pipeline)."""
    row_phases = ceil_div(mapping.word_lines, device.array.active_rows)
    return device.input_steps * row_phases * slot_time(mapping.filters * device.slices, device)


def write_time(mapping: Mapping, device: Device) -> Time:
    """Writing all arrays in use once per pass; nothing where one pass holds all weights, written beforehand (A3).

    An array takes ceil(word lines / rows at once) x ceil(columns / columns at once) x pulses x (pulse + verify).
    """
    if mapping.passes == 1:
        return Time(0)
    write = device.array.write
    pulses = ceil_div(mapping.word_lines, write.rows) * ceil_div(mapping.filters * device.slices, write.cols)
    turns = ceil_div(mapping.arrays, write.arrays)
    return mapping.passes * turns * pulses * write.pulses * (write.pulse + write.verify)


def partial_sum_bits(mapping: Mapping) -> int:
    """Bits of a sum over the whole reduction without loss: input + weight + log2 of the terms."""
    workload = mapping.workload
    return workload.input_bits + workload.weight_bits + (workload.reduction - 1).bit_length()


def input_bytes(mapping: Mapping, level: int) -> int:
    """Bytes into one instance of the level: each pass, every input vector that its arrays need, once (A5)."""
    values = min(_inside(mapping, level, "row") * mapping.word_lines, mapping.workload.reduction)
    values *= min(_inside(mapping, level, "group"), mapping.workload.groups)
    return ceil_div(mapping.passes * _vectors(mapping, level) * values * mapping.workload.input_bits, 8)


def output_bytes(mapping: Mapping, level: int) -> int:
    """Bytes out of one instance of the level: sums over all the row tiles inside it (A6).

    They leave as wide as a partial sum; where row tiles also follow in time, each later pass reads them back first.
    """
    values = min(_inside(mapping, level, "column") * mapping.filters, mapping.workload.filters)
    values *= min(_inside(mapping, level, "group"), mapping.workload.groups)
    vectors = mapping.temporal.group * mapping.temporal.column * _vectors(mapping, level)
    moves = 2 * mapping.temporal.row - 1
    return ceil_div(vectors * values * moves * partial_sum_bits(mapping), 8)


def _vectors(mapping: Mapping, level: int) -> int:
    """Input vectors that the busiest instance of the level sees in one pass; replicas without a pixel move nothing."""
    return min(mapping.temporal.pixel * _inside(mapping, level, "pixel"), mapping.workload.pixels)


def _inside(mapping: Mapping, level: int, axis: TileAxis) -> int:
    """How many tiles of the axis one instance of the level works on side by side."""
    return prod(entry.factors.along(axis) for entry in mapping.levels[level + 1 :])


def _slowest(ports: Iterable[tuple[Bandwidth | None, int]]) -> Time:
    """The time of the port that takes longest; a level without a stated bandwidth never limits."""
    return max((bandwidth.time(moved) for bandwidth, moved in ports if bandwidth is not None), default=Time(0))
