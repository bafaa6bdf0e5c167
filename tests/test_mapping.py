from __future__ import annotations

import json
from math import ceil, prod
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cyclecast.device import Device
from cyclecast.errors import FitError, MappingError
from cyclecast.exact import ceil_div
from cyclecast.mapping import (
    TILE_AXES,
    Factors,
    LevelFactors,
    Mapping,
    TileAxis,
    mapping_from_json,
    require_fit,
)
from cyclecast.workload import Axis, Kind, Workload
from strategies import mappings

TINY = Device.load("tiny")
ONE = Factors()

# 20 reduction values, 5 filters, 9 pixels, 3 groups.
WORKLOAD = Workload(
    "small",
    (
        Axis("g", 3, Kind.GROUP),
        Axis("p", 9, Kind.PIXEL),
        Axis("f", 5, Kind.FILTER),
        Axis("k", 20, Kind.REDUCTION),
    ),
)
ONE_BY_ONE = Factors(group=3, row=3, column=3, pixel=9)


def mapping(
    pe: Factors = ONE,
    cu: Factors = ONE,
    array: Factors = ONE,
    temporal: Factors = ONE_BY_ONE,
    word_lines: int = 8,
    filters: int = 2,
    names: tuple[str, ...] = ("pe", "cu", "array"),
) -> Mapping:
    factors = dict(zip(("pe", "cu", "array"), (pe, cu, array), strict=True))
    levels = tuple(LevelFactors(name, factors.get(name, ONE)) for name in names)
    return Mapping(WORKLOAD, word_lines, filters, levels, temporal)


# 3 row tiles on 2 CUs, 3 column tiles on 2 arrays, 2 replicas: the last tile, pass and step are partly empty.
SPREAD = mapping(
    Factors(pixel=2), Factors(row=2), Factors(column=2), temporal=Factors(group=3, row=2, column=2, pixel=5)
)


@given(st.integers(), st.integers(min_value=1))
def test_ceil_div_rounds_up(dividend: int, divisor: int) -> None:
    quotient = ceil_div(dividend, divisor)
    assert (quotient - 1) * divisor < dividend <= quotient * divisor


def test_tiles_of_every_axis() -> None:
    assert {axis: SPREAD.tiles(axis) for axis in TILE_AXES} == {"group": 3, "row": 3, "column": 3, "pixel": 9}


def test_spatial_factors_multiply_over_the_levels() -> None:
    both = mapping(Factors(row=2), Factors(row=2), temporal=Factors(group=3, row=1, column=3, pixel=9))
    assert both.spatial("row") == 4
    assert both.spatial("column") == 1


def test_what_follows_from_the_factors() -> None:
    assert SPREAD.replicas == 2
    assert SPREAD.weight_tiles == 27
    assert SPREAD.arrays == 8
    assert SPREAD.passes == 12
    assert SPREAD.at("cu") == Factors(row=2)
    assert SPREAD.utilisation(TINY) == 27 * 2 / (8 * 12)


@given(mappings())
def test_laws_hold_for_whatever_is_granted(drawn: tuple[Mapping, Device]) -> None:
    granted, device = drawn
    require_fit(granted, device)
    assert 1 <= granted.word_lines <= min(granted.workload.reduction, device.array.rows)
    assert 1 <= granted.filters <= min(granted.workload.filters, device.filters_per_array)
    for axis in TILE_AXES:
        covered = granted.temporal.along(axis) * granted.spatial(axis)
        assert covered - granted.spatial(axis) < granted.tiles(axis) <= covered
    assert granted.arrays == prod(granted.spatial(axis) for axis in TILE_AXES) <= device.arrays
    assert granted.weight_tiles * granted.replicas <= granted.passes * granted.arrays
    assert 0 < granted.utilisation(device) <= 1


@given(mappings())
def test_json_round_trip(drawn: tuple[Mapping, Device]) -> None:
    granted, _ = drawn
    again = mapping_from_json(json.loads(json.dumps(granted.to_json())))
    assert again == granted
    assert again.workload.name == granted.workload.name  # which equality leaves out
    assert all(type(axis.kind) is Kind for axis in again.workload.axes)


@pytest.mark.parametrize("axis", TILE_AXES)
@pytest.mark.parametrize("more", [-1, 1])
def test_a_step_too_few_or_too_many_is_refused(axis: TileAxis, more: int) -> None:
    steps = {name: SPREAD.temporal.along(name) for name in TILE_AXES}
    wrong = Factors(**{**steps, axis: steps[axis] + more})
    tiles, spatial = SPREAD.tiles(axis), SPREAD.spatial(axis)
    expected = (
        f"^mapping of small: {axis} axis: {steps[axis] + more} temporal steps of {spatial} side by side, "
        f"{tiles} tiles take exactly {ceil(tiles / spatial)}$"
    )
    with pytest.raises(MappingError, match=expected):
        Mapping(WORKLOAD, 8, 2, SPREAD.levels, wrong)


@pytest.mark.parametrize(
    ("field", "size", "most"), [("word_lines", 0, 20), ("word_lines", 21, 20), ("filters", 0, 5), ("filters", 6, 5)]
)
def test_tiles_are_no_larger_than_their_axis(field: str, size: int, most: int) -> None:
    sizes: dict[str, Any] = {field: size}
    with pytest.raises(MappingError, match=f"^mapping of small: {field}: {size}, 1 to {most} are possible$"):
        mapping(**sizes)


@pytest.mark.parametrize("axis", TILE_AXES)
@pytest.mark.parametrize("factor", [0, -1])
def test_factors_are_at_least_1(axis: TileAxis, factor: int) -> None:
    with pytest.raises(MappingError, match=f"^factor {axis}: {factor}, factors are at least 1$"):
        Factors(**{axis: factor})


def test_from_json_checks_the_laws() -> None:
    value = SPREAD.to_json()
    value["temporal"]["row"] = 3
    with pytest.raises(MappingError, match="row axis: 3 temporal steps"):
        mapping_from_json(value)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (
            mapping(word_lines=20, temporal=Factors(group=3, row=1, column=3, pixel=9)),
            "small on tiny: 20 word lines, an array has 8; try a smaller row tile",
        ),
        (
            mapping(filters=3, temporal=Factors(group=3, row=3, column=2, pixel=9)),
            "small on tiny: 3 filters per array, 8 columns hold 2 of 4 columns each; try a smaller column tile",
        ),
        (
            mapping(cu=Factors(row=3), temporal=Factors(group=3, row=1, column=3, pixel=9)),
            "small on tiny: 3 at level cu, there are 2; try smaller factors",
        ),
        (
            mapping(array=Factors(row=2, column=2), temporal=Factors(group=3, row=2, column=2, pixel=9)),
            "small on tiny: 4 at level array, there are 2; try smaller factors",
        ),
        (
            mapping(names=("cu", "pe", "array")),
            "small on tiny: levels ['cu', 'pe', 'array'], the device has ['pe', 'cu', 'array']",
        ),
        (mapping(names=("pe", "cu")), "small on tiny: levels ['pe', 'cu'], the device has ['pe', 'cu', 'array']"),
    ],
    ids=["word lines", "filters", "level", "product", "order", "missing level"],
)
def test_more_than_the_device_has_is_refused(asked: Mapping, expected: str) -> None:
    with pytest.raises(FitError) as raised:
        require_fit(asked, TINY)
    assert str(raised.value) == expected


def test_exactly_what_the_device_has_fits() -> None:
    require_fit(SPREAD, TINY)
