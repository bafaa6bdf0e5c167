from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cyclecast.device import Bits, Device
from cyclecast.errors import FitError
from cyclecast.mapping import TILE_AXES, Factors, LevelFactors, Mapping, TileAxis, require_fit
from cyclecast.mapspace import (
    FILTERS,
    PACK,
    PACKED,
    WINDOWS,
    WORD_LINES,
    Decision,
    can_pack,
    choices,
    default_mapping,
    grant,
    odds,
    requests,
)
from cyclecast.network import Axis, Kind, Slide, Workload
from strategies import decision_names, decisions, devices, mappings, matrix_vector, workloads

ISAAC = Device.load("isaac")
TINY = Device.load("tiny")


@given(st.data())
def test_any_integers_are_granted_legally(data: st.DataObject) -> None:
    device = data.draw(devices())
    workload = data.draw(workloads(bits=device.bits))
    asked = data.draw(decisions(device))
    granted = grant(workload, device, asked)  # a `Mapping` checks its laws
    require_fit(granted, device)
    got = requests(granted)
    assert all(got[name] <= max(1, value) for name, value in asked.items())


@given(mappings())
def test_requests_are_granted_as_the_mapping_again(drawn: tuple[Mapping, Device]) -> None:
    mapping, device = drawn
    asked = requests(mapping)
    assert sorted(asked) == sorted(decision_names(device))
    assert grant(mapping.workload, device, asked) == mapping


@given(mappings())
def test_a_granted_instance_is_never_without_a_tile(drawn: tuple[Mapping, Device]) -> None:
    mapping, _ = drawn
    for axis in TILE_AXES:
        left = mapping.tiles(axis)
        for entry in reversed(mapping.levels):
            assert entry.factors.along(axis) <= left
            left = -(-left // entry.factors.along(axis))


@given(st.data())
def test_offers_are_ascending_and_never_empty(data: st.DataObject) -> None:
    device = data.draw(devices())
    offers = choices(data.draw(workloads(bits=device.bits)), device)
    assert sorted(offers) == sorted(decision_names(device))
    for values in offers.values():
        assert values[0] >= 1
        assert all(one < next_ for one, next_ in pairwise(values))


@given(st.data())
def test_every_value_on_offer_can_be_had(data: st.DataObject) -> None:
    device = data.draw(devices())
    workload = data.draw(workloads(bits=device.bits))
    offers = choices(workload, device)
    least = {name: values[0] for name, values in offers.items()}
    for name, values in offers.items():
        for value in values:
            assert requests(grant(workload, device, {**least, name: value}))[name] == value


@given(st.data())
def test_offers_hold_the_bounds_and_every_small_factor(data: st.DataObject) -> None:
    device = data.draw(devices())
    workload = data.draw(workloads(bits=device.bits))
    offers = choices(workload, device)
    assert offers["word_lines"][-1] == min(workload.reduction, device.word_lines_per_array)
    assert offers["filters"][-1] == min(workload.filters, device.filters_per_array)
    for level in device.levels:  # at most 6 instances: every number of replicas is on offer
        most = min(level.count, workload.pixels)
        assert offers[Decision(level.name, "pixel").name] == tuple(range(1, most + 1))


@given(st.data())
def test_what_is_opened_offers_windows_and_packs_that_can_be_had(data: st.DataObject) -> None:
    device = data.draw(devices())
    workload = data.draw(workloads(bits=device.bits))
    opened = data.draw(st.sets(st.sampled_from([WINDOWS, PACK])))
    offers = choices(workload, device, opened)
    for values in offers.values():
        assert values[0] >= 1
        assert all(one < next_ for one, next_ in pairwise(values))
    least = {name: values[0] for name, values in offers.items()}
    for name, values in offers.items():
        for value in values if name == PACKED or name.startswith("window.") else ():
            granted = requests(grant(workload, device, {**least, name: value}))
            assert granted.get(name, 1) == value
    assert (PACKED in offers) == (PACK in opened and can_pack(workload, device))
    assert any(name.startswith("window.") for name in offers) <= (WINDOWS in opened)
    require_fit(grant(workload, device, {name: values[-1] for name, values in offers.items()}), device)


def test_opened_sizes_cut_windows_evenly_and_leave_room_for_two_groups() -> None:
    # a 3x3 kernel on 8x8 images: windows of 2 meet 4x3 values, of 3 5x3 and so on
    slides = (Slide("y", "ky", 6, 3), Slide("x", "kx", 6, 3))
    axes = [("g", 20, Kind.GROUP), ("y", 6, Kind.PIXEL), ("x", 6, Kind.PIXEL)]
    axes += [("ky", 3, Kind.REDUCTION), ("kx", 3, Kind.REDUCTION), ("f", 2, Kind.FILTER)]
    workload = Workload("slid", tuple(Axis(*axis) for axis in axes), slides=slides)
    offers = choices(workload, ISAAC, (WINDOWS, PACK))
    assert offers["window.y"] == offers["window.x"] == (1, 2, 3, 6)
    assert {9, 12, 15, 16, 20, 24, 25, 40, 64} <= set(offers[WORD_LINES])  # on 128 lines, two of at most 64
    assert max(offers[FILTERS]) == 16
    assert offers[PACKED] == (*range(2, 13), 16)
    assert not {"window.y", "window.x", PACKED} & choices(workload, ISAAC).keys()


def test_offers_beyond_12_cut_the_level_evenly_and_hold_the_bound() -> None:
    offers = choices(matrix_vector(1, 1, pixels=100), ISAAC)
    assert offers["pe.pixel"] == (*range(1, 13), 14, 15, 16, 18, 21, 24, 28, 33, 42, 56, 84, 100)
    assert offers["cu.pixel"] == tuple(range(1, 13))
    odd = choices(matrix_vector(1, 1, pixels=30), ISAAC.vary("levels.pe.count", 35))
    assert odd["pe.pixel"] == (*range(1, 13), 17, 30)


def test_tile_sizes_cut_evenly_or_are_powers_of_two() -> None:
    # 300 values on 128 lines are 3 tiles of 100, 4 of 75, 5 of 60 ...; 64 and 32 are powers, 128 fills the array
    sizes = choices(matrix_vector(300, 1), ISAAC)["word_lines"]
    assert sizes == (28, 30, 32, 34, 38, 43, 50, 60, 64, 75, 100, 128)


@given(st.data())
def test_the_default_mapping_is_legal_and_full(data: st.DataObject) -> None:
    device = data.draw(devices())
    workload = data.draw(workloads(bits=device.bits))
    mapping = default_mapping(workload, device)
    require_fit(mapping, device)
    assert mapping.word_lines == min(workload.reduction, device.word_lines_per_array)
    assert mapping.filters == min(workload.filters, device.filters_per_array)


def test_the_default_mapping_fills_from_the_inside_outwards() -> None:
    # 12 values are 2 row tiles, 3 filters 2 column tiles; 4 of 8 arrays hold the weights once, so 2 replicas.
    mapping = default_mapping(matrix_vector(12, 3, pixels=5), TINY)
    assert mapping.levels == (
        LevelFactors("pe", Factors(pixel=2)),
        LevelFactors("cu", Factors(column=2)),
        LevelFactors("array", Factors(row=2)),
    )
    assert mapping.temporal == Factors(pixel=3)


@pytest.mark.parametrize(
    ("axis", "expected"),
    [("group", Factors(group=2)), ("row", Factors(row=2)), ("column", Factors(column=2)), ("pixel", Factors(pixel=2))],
)
def test_axes_are_served_in_order(axis: TileAxis, expected: Factors) -> None:
    order = TILE_AXES[TILE_AXES.index(axis) :]
    asked = {Decision("array", name).name: 2 if name in order else 1 for name in TILE_AXES}
    granted = grant(matrix_vector(80, 20, pixels=9, groups=9), TINY, asked)
    assert granted.at("array") == expected


@pytest.mark.parametrize("value", [0, -1, -(10**9)])
def test_requests_below_1_are_granted_1(value: int) -> None:
    granted = grant(matrix_vector(80, 20, pixels=9), TINY, dict.fromkeys(decision_names(TINY), value))
    assert set(requests(granted).values()) == {1}


@pytest.mark.parametrize(
    ("bits", "expected"),
    [
        (
            Bits(activation=4, weight=8),
            "small on tiny: 4-bit activations, the device takes 8 bits; "
            "try bits.activation: 4 in the device file, or cc.load(source, device)",
        ),
        (
            Bits(activation=8, weight=16),
            "small on tiny: 16-bit weights, the device takes 8 bits; "
            "try bits.weight: 16 in the device file, or cc.load(source, device)",
        ),
    ],
)
def test_other_bits_than_the_device_takes_are_refused(bits: Bits, expected: str) -> None:
    workload = Workload("small", matrix_vector(4, 4).axes, bits.activation, bits.weight)
    for ask in (choices, default_mapping):
        with pytest.raises(FitError) as raised:
            ask(workload, TINY)
        assert str(raised.value) == expected


@pytest.mark.parametrize(
    ("workload", "levels", "array", "packed"),
    [
        (matrix_vector(1, 1, pixels=2, groups=4), {"pe": 1, "cu": 1, "array": 2}, (4, 4), 4),
        (matrix_vector(9, 4), {"pe": 3, "cu": 2, "array": 1}, (3, 2), 1),
    ],
    ids=["packed", "row tiles outside, column tiles inside"],
)
def test_what_can_be_resident_is_where_nothing_is_written_again(
    workload: Workload, levels: dict[str, int], array: tuple[int, int], packed: int
) -> None:
    sizes = {"array.rows": array[0], "array.active_rows": array[0], "array.cols": 4 * array[1]}
    said: dict[str, Any] = {f"levels.{name}.count": count for name, count in levels.items()} | sizes
    device = TINY.vary_all(said | {"array.write.during_inference": False})
    mapping = default_mapping(workload, device)
    assert (mapping.passes, mapping.packed) == (1, packed)


def test_small_windows_and_large_outermost_factors_are_drawn_more_often() -> None:
    windows = odds("window.x", (1, 2, 4, 12), ISAAC)
    assert [windows[0] // weight for weight in windows] == [1, 2, 4, 12]
    assert odds("pe.pixel", (1, 2, 84, 168), ISAAC) == [1, 2, 84, 168]
    assert odds("cu.pixel", (1, 2, 12), ISAAC) == [1, 1, 1]
