"""L0: the formula of the poster, in exact arithmetic.

Liao, Chen and Chung, "Extending TVM Auto-scheduler to Support Performance Evaluation with Timing Model" (TVM
conference poster): total_cycle = number_batch * cycle_batch + 6. With the numbers of ISAAC (Shafiee et al., ISCA 2016,
figure 4b) one batch takes 16 * 1 + 6 = 22 cycles: 16 input steps of one bit, and the 6 stages of the pipeline outside
the array (eDRAM read 1, conversion 1, shift-and-add 2, activation 1, write-back 1).

The formula knows one PE, free weights and one rounding for everything; `docs/assumptions/` lists what follows.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import ClassVar

from cyclecast.device import Device
from cyclecast.mapping import Mapping
from cyclecast.timing._base import Bounds, Phase, Role, Timing
from cyclecast.timing._costs import most_cells


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
    """The poster's number_batch: how often one PE must be filled with matrix-vector products.

    kernel_area is kernel_size^2; input_channels IC and output_channels OC; width W and height H of the input feature
    map over the stride (the output's, with the usual padding); images N; used_word_lines #used_WL in an array;
    filters_per_array #filters_for_MA; arrays_per_unit #MA in a CU; units #CU in a PE. All are counts, at least 1.
    """
    row_tiles = Fraction(kernel_area * input_channels, used_word_lines)
    column_tiles = Fraction(output_channels, filters_per_array)
    return ceil(row_tiles * column_tiles * width * height * images / (arrays_per_unit * units))


def total_cycles(*, batches: int, feature_map_bits: int, dac_bits: int, fill: int = 6) -> int:
    """The poster's total_cycle: batches x cycle_batch + 6, in cycles.

    cycle_batch is "feature map resolution / DAC resolution", in bits over bits; where it is no integer the poster is
    silent, and a started input step counts. fill is the poster's 6.
    """
    return batches * ceil(Fraction(feature_map_bits, dac_bits)) + fill


@dataclass(frozen=True, slots=True)
class Poster:
    """The poster's timing model. It sees the tile sizes of a mapping and nothing else of it."""

    lawful: ClassVar[bool] = False
    """Larger tiles are faster even where there are as many of them: remainders are shared fractionally (A10)."""

    def time(self, mapping: Mapping, device: Device) -> Timing:
        """One batch after another on one PE; the innermost two levels are its CUs and their arrays."""
        work = mapping.vectors * mapping.workload.groups * mapping.values * mapping.results
        compute = _cycles(work, mapping.packed * mapping.word_lines * mapping.filters, device)
        cycle = device.array.read
        return Timing(
            (Phase("compute", compute * cycle), Phase("fill", device.pipeline.fill * cycle, role=Role.FILL)), cycle
        )

    def bounds(self, mapping: Mapping, device: Device) -> Bounds:
        """Of one PE without ports (A10): the largest tiles on all its arrays, and its tiles on one array in turn."""
        workload = mapping.workload
        cells = device.array.rows_per_weight * device.columns_per_weight
        most = most_cells(workload, device, device.array.rows, device.array.cols)
        least = _cycles(workload.macs * cells, most, device) + device.pipeline.fill
        serial = mapping.weight_tiles * mapping.vectors * device.input_steps + device.pipeline.fill
        return Bounds(least * device.array.read, "work", serial * device.array.read)


def _cycles(work: int, tile: int, device: Device) -> int:
    """The cycles of all batches, without the fill: so many multiplications, that many at once in an array."""
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
