from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cyclecast.device import Device
from cyclecast.mapping import Mapping
from cyclecast.mapspace import grant, requests
from cyclecast.timing import Phase, Poster, Role, number_of_batches, total_cycles
from cyclecast.units import Time
from strategies import mappings, matrix_vector

ISAAC16 = Device.load("isaac16")
TINY = Device.load("tiny")


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, 1),
        ({"kernel_area": 9}, 9),
        ({"input_channels": 129}, 2),
        ({"output_channels": 40}, 3),  # 2.5 column tiles
        ({"width": 5, "height": 7}, 35),
        ({"images": 3}, 3),
        ({"used_word_lines": 64}, 2),
        ({"filters_per_array": 8}, 2),
        ({"width": 96, "arrays_per_unit": 8}, 12),
        ({"width": 97, "arrays_per_unit": 8, "units": 12}, 2),
        ({"width": 96, "arrays_per_unit": 8, "units": 12}, 1),
    ],
)
def test_number_of_batches_by_hand(changed: dict[str, int], expected: int) -> None:
    one = dict.fromkeys(("kernel_area", "width", "height", "images", "arrays_per_unit", "units"), 1)
    full = one | {"input_channels": 128, "output_channels": 16, "used_word_lines": 128, "filters_per_array": 16}
    assert number_of_batches(**(full | changed)) == expected


def test_remainders_are_shared_and_rounded_once() -> None:
    # 1.5 row tiles x 1.5 column tiles x 4 pixels = 9 products, not 2 x 2 x 4.
    batches = number_of_batches(
        kernel_area=1,
        input_channels=192,
        output_channels=24,
        width=4,
        height=1,
        images=1,
        used_word_lines=128,
        filters_per_array=16,
        arrays_per_unit=1,
        units=1,
    )
    assert batches == 9


def test_arithmetic_is_exact() -> None:
    sizes = {"kernel_area": 9, "input_channels": 7, "output_channels": 30, "width": 14, "height": 14, "images": 1}
    arrays = {"used_word_lines": 98, "filters_per_array": 10, "arrays_per_unit": 2, "units": 7}
    assert 9 * 7 * 30 * 14 * 14 == 27 * (98 * 10 * 2 * 7)
    assert ((9 * 7) / 98) * (30 / 10) * 14 * 14 / (2 * 7) > 27  # in floating point
    assert number_of_batches(**sizes, **arrays) == 27


@pytest.mark.parametrize(
    ("batches", "feature_map_bits", "dac_bits", "fill", "expected"),
    [(1, 16, 1, 6, 22), (100, 16, 1, 6, 1606), (1, 16, 3, 6, 12), (1, 16, 16, 6, 7), (5, 8, 2, 0, 20), (1, 1, 4, 6, 7)],
)
def test_total_cycles_by_hand(batches: int, feature_map_bits: int, dac_bits: int, fill: int, expected: int) -> None:
    cycles = total_cycles(batches=batches, feature_map_bits=feature_map_bits, dac_bits=dac_bits, fill=fill)
    assert cycles == expected


def test_the_poster_adds_6() -> None:
    assert total_cycles(batches=0, feature_map_bits=16, dac_bits=1) == 6


@given(st.integers(min_value=1, max_value=1000))
def test_n_full_batches_of_isaac_take_16_n_plus_6_cycles(batches: int) -> None:
    # One tile of 128 x 16 weights, and as many pixels as one PE's 96 arrays take in n rounds.
    mapping = grant(matrix_vector(128, 16, pixels=96 * batches, bits=16), ISAAC16, {})
    timing = Poster().time(mapping, ISAAC16)
    assert timing.cycles == 16 * batches + 6
    assert timing.phases == (
        Phase("compute", 16 * batches * Time.parse("100 ns")),
        Phase("fill", Time.parse("600 ns"), role=Role.FILL),
    )


def test_the_innermost_two_levels_are_units_and_their_arrays() -> None:
    mapping = grant(matrix_vector(8, 2, pixels=12), TINY, {})
    assert Poster().time(mapping, TINY).cycles == 3 * 8 + 6  # 2 CUs x 2 arrays
    assert Poster().time(mapping, TINY.vary("levels.pe.count", 9)).cycles == 3 * 8 + 6
    assert Poster().time(mapping, TINY.vary("levels.cu.count", 3)).cycles == 2 * 8 + 6
    assert Poster().time(mapping, TINY.vary("levels.array.count", 12)).cycles == 1 * 8 + 6


def test_a_device_of_one_level_is_one_unit() -> None:
    said = TINY.to_json()
    said["levels"] = [{"name": "array", "count": 3}]
    single = Device.from_json(said)
    mapping = grant(matrix_vector(8, 2, pixels=12), single, {})
    assert Poster().time(mapping, single).cycles == 4 * 8 + 6


@given(mappings())
def test_it_sees_the_tile_sizes_and_nothing_else_of_a_mapping(drawn: tuple[Mapping, Device]) -> None:
    mapping, device = drawn
    sizes = {"word_lines": mapping.word_lines, "filters": mapping.filters}
    spread = grant(mapping.workload, device, sizes)
    alone = grant(mapping.workload, device, {**dict.fromkeys(requests(mapping), 1), **sizes})
    expected = Poster().time(mapping, device)
    assert Poster().time(spread, device) == expected
    assert Poster().time(alone, device) == expected


@given(mappings())
def test_groups_count_as_filters(drawn: tuple[Mapping, Device]) -> None:
    mapping, device = drawn
    workload = mapping.workload
    flat = matrix_vector(workload.reduction, workload.groups * workload.filters, workload.pixels)
    asked = {"word_lines": mapping.word_lines, "filters": mapping.filters}
    same = grant(replace(flat, input_bits=workload.input_bits, weight_bits=workload.weight_bits), device, asked)
    assert Poster().time(same, device) == Poster().time(mapping, device)


@given(mappings(), st.integers(min_value=1, max_value=5))
def test_cycles_follow_the_read(drawn: tuple[Mapping, Device], factor: int) -> None:
    mapping, device = drawn
    slower = device.vary("array.read", str(factor * device.array.read))
    before, after = Poster().time(mapping, device), Poster().time(mapping, slower)
    assert after.cycles == before.cycles
    assert after.total == factor * before.total
