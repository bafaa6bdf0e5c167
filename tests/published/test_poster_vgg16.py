"""VGG-16 on ISAAC with 16 bits, as the two timing models see it.

L0 is the formula of Liao, Chen and Chung, "Extending TVM Auto-scheduler to Support Performance Evaluation with Timing
Model"; the device's numbers are those of Shafiee et al., ISCA 2016. Neither publishes cycles of VGG-16: the tables
below were worked out from the formulas, apart from this code.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import product
from math import prod
from typing import NamedTuple

import pytest

from cyclecast.device import Device
from cyclecast.mapping import Mapping
from cyclecast.mapspace import grant
from cyclecast.network import Axis, Kind, Workload
from cyclecast.timing import Analytical, Poster, number_of_batches, total_cycles
from cyclecast.timing._converters import slot_time, steps
from cyclecast.units import Time
from strategies import unlimited

ISAAC16 = Device.load("isaac16")
ONE_PE = unlimited(ISAAC16.vary("levels.pe.count", 1))
"""One PE, weights written for free, inputs and outputs without limit: what L0 takes for granted."""


class Layer(NamedTuple):
    """A layer of VGG-16 and what is expected of it; L1 is for mappings that use each array fully."""

    name: str
    occurrences: int
    kernel: int
    input_channels: int
    output_channels: int
    size: int
    batches: int
    l0_cycles: int
    tiles: int
    replicas: int
    passes: int
    l1_cycles: int


LAYERS = [
    Layer("conv1_1", 1, 3, 3, 64, 224, 441, 7062, 4, 24, 1, 33462),
    Layer("conv1_2", 1, 3, 64, 64, 224, 9408, 150534, 20, 4, 1, 200710),
    Layer("conv2_1", 1, 3, 64, 128, 112, 4704, 75270, 40, 2, 1, 100358),
    Layer("conv2_2", 1, 3, 128, 128, 112, 9408, 150534, 72, 1, 1, 200710),
    Layer("conv3_1", 1, 3, 128, 256, 56, 4704, 75270, 144, 1, 2, 100364),
    Layer("conv3_2", 2, 3, 256, 256, 56, 9408, 150534, 288, 1, 3, 150546),
    Layer("conv4_1", 1, 3, 256, 512, 28, 4704, 75270, 576, 1, 6, 75300),
    Layer("conv4_2", 2, 3, 512, 512, 28, 9408, 150534, 1152, 1, 12, 150600),
    Layer("conv5_1", 3, 3, 512, 512, 14, 2352, 37638, 1152, 1, 12, 37704),
    Layer("fc6", 1, 7, 512, 4096, 1, 523, 8374, 50176, 1, 528, 11616),
    Layer("fc7", 1, 1, 4096, 4096, 1, 86, 1382, 8192, 1, 86, 1892),
    Layer("fc8", 1, 1, 4096, 1000, 1, 21, 342, 2016, 1, 21, 462),
]
"""fc6 has 196 x 256 tiles. Packed one after another they would take 523 passes over 96 arrays (and 11506 cycles), but
a mapping takes rows x columns of tiles at once, and no such rectangle on 12 CUs of 8 arrays needs fewer than 528."""

all_layers = pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.name)


def workload(layer: Layer) -> Workload:
    axes = (
        Axis("height", layer.size, Kind.PIXEL),
        Axis("width", layer.size, Kind.PIXEL),
        Axis("output_channel", layer.output_channels, Kind.FILTER),
        Axis("input_channel", layer.input_channels, Kind.REDUCTION),
        Axis("kernel_height", layer.kernel, Kind.REDUCTION),
        Axis("kernel_width", layer.kernel, Kind.REDUCTION),
    )
    return Workload(layer.name, axes, input_bits=16, weight_bits=16)


def batches(layer: Layer) -> int:
    return number_of_batches(
        kernel_area=layer.kernel**2,
        input_channels=layer.input_channels,
        output_channels=layer.output_channels,
        width=layer.size,
        height=layer.size,
        images=1,
        used_word_lines=128,
        filters_per_array=16,
        arrays_per_unit=8,
        units=12,
    )


def l0_cycles(layer: Layer) -> int:
    return total_cycles(batches=batches(layer), feature_map_bits=16, dac_bits=1)


@all_layers
def test_l0_by_the_formula(layer: Layer) -> None:
    assert batches(layer) == layer.batches
    assert l0_cycles(layer) == layer.l0_cycles


@all_layers
def test_l0_of_a_mapping(layer: Layer) -> None:
    # On all 168 PEs: the formula knows only one. conv1_1 has 27 values for 128 word lines, which the formula shares.
    mapping = grant(workload(layer), ISAAC16, {})
    if layer.name == "conv1_1":
        assert mapping.word_lines == 27
        assert Poster().time(mapping, ISAAC16).cycles == -(-4 * 224 * 224 // 96) * 16 + 6
    else:
        assert Poster().time(mapping, ISAAC16).cycles == layer.l0_cycles


def test_l0_of_the_network() -> None:
    assert sum(layer.occurrences * l0_cycles(layer) for layer in LAYERS) == 1259088
    assert sum(layer.occurrences for layer in LAYERS) == 16


def factors(count: int) -> list[tuple[int, ...]]:
    """Row tiles, column tiles and replicas that a level of so many instances can take."""
    return [chosen for chosen in product(range(1, count + 1), repeat=3) if prod(chosen) <= count]


def all_mappings(layer: Layer) -> Iterator[Mapping]:
    """Every binding of full arrays to the CUs and arrays of one PE."""
    axes = ("row", "column", "pixel")
    for cu, array in product(factors(12), factors(8)):
        asked = {f"cu.{axis}": factor for axis, factor in zip(axes, cu, strict=True)}
        asked |= {f"array.{axis}": factor for axis, factor in zip(axes, array, strict=True)}
        yield grant(workload(layer), ONE_PE, asked)


@cache
def best(layer: Layer) -> Mapping:
    """Of the mappings with the fewest passes, which write the weights least often, the fastest."""
    return min(all_mappings(layer), key=lambda mapping: (mapping.passes, Analytical().time(mapping, ONE_PE).total))


@all_layers
def test_l1_of_the_best_mapping_with_the_fewest_passes(layer: Layer) -> None:
    mapping = best(layer)
    assert mapping.weight_tiles == layer.tiles
    assert mapping.replicas == layer.replicas
    assert mapping.passes == layer.passes
    assert Analytical().time(mapping, ONE_PE).cycles == layer.l1_cycles


@all_layers
def test_l1_follows_from_tiles_replicas_and_passes(layer: Layer) -> None:
    steps = -(-(layer.size**2) // layer.replicas)
    assert layer.l1_cycles == layer.passes * (steps * 16 + 6)
    assert layer.passes >= -(-layer.tiles // 96)
    assert (layer.passes > -(-layer.tiles // 96)) == (layer.name == "fc6")


def test_fc6_cannot_be_packed_into_523_passes() -> None:
    fc6 = next(layer for layer in LAYERS if layer.name == "fc6")
    assert best(fc6).passes >= -(-50176 // 96) == 523


def test_l1_of_the_network() -> None:
    packed = 1440168  # with fc6 in 523 passes
    cycles = [layer.occurrences * Analytical().time(best(layer), ONE_PE).cycles for layer in LAYERS]
    assert sum(cycles) == packed + (528 - 523) * (16 + 6)


@pytest.mark.parametrize("model", [Poster(), Analytical()])
def test_one_tile_and_one_pixel_take_22_cycles(model: Poster | Analytical) -> None:
    one = Workload("one", (Axis("k", 128, Kind.REDUCTION), Axis("f", 16, Kind.FILTER)), 16, 16)
    mapping = grant(one, ONE_PE, {})
    assert (mapping.weight_tiles, mapping.arrays) == (1, 1)
    timing = model.time(mapping, ONE_PE)
    # L0 shares the tile among 96 arrays and rounds up to one batch: 22 cycles all the same.
    assert timing.cycles == 22  # Shafiee et al., Fig. 4b
    assert timing.total == Time.parse("2.2 us")


def test_isaac_as_published() -> None:
    assert ISAAC16.arrays == 16128  # Table I: 168 x 12 x 8
    assert ISAAC16.filters_per_array == 16
    assert ISAAC16.input_steps == 16
    assert ISAAC16.array.lossless_adc_bits == 8  # with flipped columns
    assert ISAAC16.vary("array.adc_saves_bit", False).array.lossless_adc_bits == 9
    assert slot_time(ISAAC16.array.cols, ISAAC16, steps(ISAAC16)[0]) == Time.parse("100 ns").femtoseconds


def test_isaac_at_its_peak_is_within_1_percent() -> None:
    # 16128 arrays of 128 x 16 MACs in 16 reads; Tables I and IV: 478.95 GOPS/s/mm2 on 85.4 mm2.
    operations = 2 * ISAAC16.arrays * ISAAC16.array.rows * ISAAC16.filters_per_array
    seconds = (ISAAC16.input_steps * ISAAC16.array.read).seconds
    assert operations / seconds == pytest.approx(478.95e9 * 85.4, rel=0.01)


def test_one_conversion_for_each_mac() -> None:
    conversions = ISAAC16.input_steps * ISAAC16.filters_per_array * ISAAC16.slices
    assert conversions == ISAAC16.array.rows * ISAAC16.filters_per_array
