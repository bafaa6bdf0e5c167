"""L0: the formula of the poster, in exact arithmetic.

Liao, Chen and Chung, "Extending TVM Auto-scheduler to Support Performance Evaluation with Timing Model" (TVM
conference poster): total_cycle = number_batch * cycle_batch + 6. With the numbers of ISAAC (Shafiee et al., ISCA 2016,
figure 4b) one batch takes 16 * 1 + 6 = 22 cycles: 16 input steps of one bit, and the 6 stages of the pipeline outside
the array (eDRAM read 1, conversion 1, shift-and-add 2, activation 1, write-back 1).

The formula has one PE, no time to write weights, and rounds once for all tiles; `docs/assumptions/` lists the
consequences.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import ClassVar

from cyclecast.device import Device
from cyclecast.mapping import Mapping
from cyclecast.timing._base import Bounds, Phase, Role, Timing
from cyclecast.timing._converters import most_cells


def number_of_batches(
    *,
    kernel_area: int,
    input_channels: int,
    output_channels: int,
    width: int,
    height: int,
    images: int,
    used_word_lines: int,
    filters_per_array: int,
    arrays_per_unit: int,
    units: int,
) -> int:
    """The poster's number_batch: how many batches of matrix-vector products one PE computes, one product per array.

    The arguments by the poster's names, all counts of at least 1: kernel_area is kernel_size^2; input_channels IC;
    output_channels OC; width W and height H of the input feature map over the stride (the size of the output, with the
    usual padding); images N; used_word_lines #used_WL of an array; filters_per_array #filters_for_MA; arrays_per_unit
    #MA in a CU; units #CU in a PE.
    """
    row_tiles = Fraction(kernel_area * input_channels, used_word_lines)
    column_tiles = Fraction(output_channels, filters_per_array)
    return ceil(row_tiles * column_tiles * width * height * images / (arrays_per_unit * units))


def total_cycles(*, batches: int, feature_map_bits: int, dac_bits: int, fill: int = 6) -> int:
    """The poster's total_cycle: batches x cycle_batch + 6, in cycles.

    cycle_batch is "feature map resolution / DAC resolution", in bits. The poster does not say how a fraction is
    rounded; here it is rounded up to whole input steps. fill is the poster's 6.
    """
    return batches * ceil(Fraction(feature_map_bits, dac_bits)) + fill


@dataclass(frozen=True, slots=True)
class Poster:
    """The poster's timing model. Of a mapping it uses the tile sizes only."""

    lawful: ClassVar[bool] = False
    """The law *tile* does not hold: the number of tiles is not rounded, so larger tiles are always faster (A10)."""

    def time(self, mapping: Mapping, device: Device) -> Timing:
        """All batches in sequence on one PE; the innermost two levels of the device are its CUs and arrays."""
        work = mapping.vectors * mapping.workload.groups * mapping.values * mapping.results
        compute = _cycles(work, mapping.packed * mapping.word_lines * mapping.filters, device)
        cycle = device.array.read
        return Timing(
            (Phase("compute", compute * cycle), Phase("fill", device.pipeline.fill * cycle, role=Role.FILL)), cycle
        )

    def bounds(self, mapping: Mapping, device: Device) -> Bounds:
        """Bounds for one PE without ports (A10).

        Lower: the largest tiles, on all arrays of the PE. Upper: the mapping's tiles in sequence on one array.
        """
        workload = mapping.workload
        cells = device.array.rows_per_weight * device.columns_per_weight
        most = most_cells(workload, device, device.array.rows, device.array.cols)
        least = _cycles(workload.macs * cells, most, device) + device.pipeline.fill
        serial = mapping.weight_tiles * mapping.vectors * device.input_steps + device.pipeline.fill
        return Bounds(least * device.array.read, "work", serial * device.array.read)


def _cycles(work: int, tile: int, device: Device) -> int:
    """Cycles of all batches, without fill: `work` multiplications, of which one array computes `tile` at once."""
    units, arrays = [1, *(level.count for level in device.levels)][-2:]
    batches = number_of_batches(
        kernel_area=1,
        input_channels=work,
        output_channels=1,
        width=1,
        height=1,
        images=1,
        used_word_lines=tile,
        filters_per_array=1,
        arrays_per_unit=arrays,
        units=units,
    )
    bits = sum(device.step_bits)
    return total_cycles(batches=batches, feature_map_bits=bits, dac_bits=device.array.dac_bits, fill=0)
