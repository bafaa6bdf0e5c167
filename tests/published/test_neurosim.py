"""ADC cycles of NeuroSim for its own VGG-8 (Peng et al., "DNN+NeuroSim", IEDM 2019; V1.4 with its default settings).

The counts were printed by the tool. They are exact: a layer takes (H-k+1)(W-k+1) pixels without padding x 8 input bits
x 8 columns that share an ADC x as many turns as 128 rows take, and NeuroSim divides them by the layer's speed-up.
"""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

import pytest

from cyclecast._integers import ceil_div
from cyclecast.device import Device
from cyclecast.mapping import Mapping
from cyclecast.mapspace import default_mapping
from cyclecast.timing import Analytical
from strategies import matrix_vector, unlimited


class Layer(NamedTuple):
    """Input extents, input channels, kernel, output channels; NeuroSim's speed-up, and its ADC cycles with 128 rows."""

    height: int
    width: int
    input_channels: int
    kernel: int
    output_channels: int
    speed_up: int
    cycles: int


VGG8 = [
    Layer(32, 32, 3, 3, 128, 16, 3600),
    Layer(32, 32, 128, 3, 128, 16, 3600),
    Layer(16, 16, 128, 3, 256, 4, 3136),
    Layer(16, 16, 256, 3, 256, 4, 3136),
    Layer(8, 8, 256, 3, 512, 2, 1152),
    Layer(8, 8, 512, 3, 512, 1, 2304),
    Layer(1, 1, 8192, 1, 1024, 1, 64),
    Layer(1, 1, 1024, 1, 10, 8, 8),
]

SUBARRAYS = unlimited(Device.load("tiny")).vary_all(
    {
        "levels.pe.count": 1,
        "levels.cu.count": 1,
        "array.rows": 128,
        "array.cols": 128,
        "array.cell_bits": 1,
        "array.adcs": 16,
        "array.active_cols": 16,
        "array.adc_overlap": False,
        "array.skips_unused": False,
        "array.read": "1 ns",
        "array.adc_rate": "1 GHz",
        "pipeline.fill": 0,
    }
)
"""Subarrays of 128 x 128 1-bit cells. Eight columns share an ADC and are read in turn: one clock senses and converts,
here 1 ns and 1 ns. All rows and columns take their turn, used or not."""
CLOCK = 2 * 10**6
"""A clock [fs]."""


def one_copy(layer: Layer, rows_at_once: int) -> tuple[Mapping, Device]:
    """The layer's weights, once, each tile in a subarray of its own, all at work side by side."""
    pixels = (layer.height - layer.kernel + 1) * (layer.width - layer.kernel + 1)
    workload = matrix_vector(layer.kernel**2 * layer.input_channels, layer.output_channels, pixels)
    tiles = ceil_div(workload.reduction, 128) * ceil_div(workload.filters, 16)
    device = SUBARRAYS.vary_all({"array.active_rows": rows_at_once, "levels.array.count": tiles})
    return default_mapping(workload, device), device


@pytest.mark.parametrize("layer", VGG8, ids=str)
@pytest.mark.parametrize(("rows_at_once", "turns"), [(128, 1), (32, 4)])
def test_adc_cycles(layer: Layer, rows_at_once: int, turns: int) -> None:
    """Exact. NeuroSim's speed-up divides the time of one copy, a fully connected layer's single pixel, too.

    Replicas of whole pixels, as a mapping has them, could not be 8 times as fast as one for that last layer; so the
    time is that of one copy, and NeuroSim's own division follows.
    """
    mapping, device = one_copy(layer, rows_at_once)
    assert (mapping.replicas, mapping.passes) == (1, 1)
    cycles = Fraction(Analytical().time(mapping, device).total.femtoseconds, CLOCK)
    assert cycles / layer.speed_up == layer.cycles * turns
