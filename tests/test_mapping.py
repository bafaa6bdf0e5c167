from __future__ import annotations

import json
from math import ceil, prod
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cyclecast._integers import ceil_div
from cyclecast.device import Device
from cyclecast.errors import FitError, MappingError
from cyclecast.mapping import (
    TILE_AXES,
    Factors,
    LevelFactors,
    Mapping,
    Mappings,
    TileAxis,
    mapping_from_json,
    require_fit,
)
from cyclecast.mapspace import grant, requests
from cyclecast.network import Axis, Kind, Slide, Workload
from strategies import decisions, devices, matrix_vector, sketched_mappings

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


@given(sketched_mappings())
def test_laws_hold_for_whatever_is_granted(drawn: tuple[Mapping, Device]) -> None:
    granted, device = drawn
    require_fit(granted, device)
    assert 1 <= granted.word_lines <= min(granted.values, device.array.rows)
    assert 1 <= granted.filters <= min(granted.results, device.filters_per_array)
    for axis in TILE_AXES:
        covered = granted.temporal.along(axis) * granted.spatial(axis)
        assert covered - granted.spatial(axis) < granted.tiles(axis) <= covered
    assert granted.arrays == prod(granted.spatial(axis) for axis in TILE_AXES) <= device.arrays
    assert granted.weight_tiles * granted.replicas <= granted.passes * granted.arrays
    assert 0 < granted.utilisation(device) <= 1


@given(sketched_mappings())
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
        f"^mapping of small: {axis} axis: temporal factor {steps[axis] + more} with spatial factor {spatial}, "
        f"it must be {ceil(tiles / spatial)} for {tiles} tiles$"
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
    value: dict[str, Any] = SPREAD.to_json()
    value["temporal"]["row"] = 3
    with pytest.raises(MappingError, match="row axis: temporal factor 3"):
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


# A 3x3 kernel over 5 channels of 4 x 6 outputs, the second with stride 2; 2 filters in each of 3 groups.
SLID = Workload(
    "slid",
    (
        Axis("g", 3, Kind.GROUP),
        Axis("f", 2, Kind.FILTER),
        Axis("y", 4, Kind.PIXEL),
        Axis("x", 6, Kind.PIXEL),
        Axis("c", 5, Kind.REDUCTION),
        Axis("ky", 3, Kind.REDUCTION),
        Axis("kx", 3, Kind.REDUCTION),
    ),
    slides=(Slide("y", "ky", 4, 3), Slide("x", "kx", 6, 3, stride=2)),
)
ALONE = tuple(LevelFactors(name, ONE) for name in ("pe", "cu", "array"))


def windowed(window: tuple[int, ...], temporal: Factors, **said: Any) -> Mapping:
    return Mapping(SLID, 8, 2, ALONE, temporal, window=window, **said)


def test_a_window_makes_another_matrix() -> None:
    """3 x 2 outputs meet 5 x 5 elements of 5 channels; 2 x 3 windows cover 4 x 6 outputs."""
    found = windowed((3, 2), Factors(group=3, row=16, column=6, pixel=6))
    assert (found.outputs, found.values, found.results, found.vectors) == (6, 125, 12, 6)
    plain = windowed((), Factors(group=3, row=6, pixel=24))
    assert (plain.outputs, plain.values, plain.results, plain.vectors) == (1, 45, 2, 24)


@given(sketched_mappings())
def test_no_window_gives_fewer_outputs_or_takes_fewer_inputs(drawn: tuple[Mapping, Device]) -> None:
    m, workload = drawn[0], drawn[0].workload
    assert m.outputs * m.vectors >= workload.pixels
    assert m.results == workload.filters * m.outputs
    assert workload.reduction <= m.values <= workload.reduction * m.outputs
    assert m.values * m.vectors * workload.groups >= workload.inputs
    assert (m.outputs == 1) == (m.window == ())


@pytest.mark.parametrize(
    "window", [(3,), (3, 2, 1), (5, 1), (1, 7), (0, 2), (1, 1)], ids=["few", "many", "y", "x", "none", "alone"]
)
def test_windows_are_those_of_the_slides(window: tuple[int, ...]) -> None:
    with pytest.raises(MappingError) as raised:
        windowed(window, ONE)
    possible = "possible along its slides are y: (1, 2, 3, 4), x: (1, 2, 3, 4, 5, 6)"
    assert str(raised.value) == f"mapping of slid: a window of {window} outputs, {possible}"


def test_a_workload_that_does_not_slide_has_no_windows() -> None:
    with pytest.raises(MappingError, match=r"a window of \(2,\) outputs, possible along its slides are none$"):
        Mapping(WORKLOAD, 8, 2, ALONE, ONE_BY_ONE, window=(2,))


@pytest.mark.parametrize(
    ("workload", "temporal", "what"),
    [
        (matrix_vector(8, 2, pixels=5), Factors(pixel=5), "1 passes of 5 steps"),
        (matrix_vector(24, 2), Factors(row=3), "3 passes of 1 steps"),
    ],
)
def test_an_order_takes_several_passes_and_steps(workload: Workload, temporal: Factors, what: str) -> None:
    expected = f"^mapping of small: {what}, input-stationary, both must be more than 1$"
    with pytest.raises(MappingError, match=expected):
        Mapping(workload, 8, 2, ALONE, temporal, input_stationary=True)


def test_every_pass_takes_its_turn_for_every_step_if_inputs_are_stationary() -> None:
    assert mapping().turns == 1
    assert Mapping(WORKLOAD, 8, 2, ALONE, ONE_BY_ONE, input_stationary=True).turns == 9


@pytest.mark.parametrize(("packed", "most"), [(0, 3), (4, 3)])
def test_no_more_groups_than_there_are_share_an_array(packed: int, most: int) -> None:
    with pytest.raises(MappingError, match=f"^mapping of small: packed: {packed}, 1 to {most} are possible$"):
        Mapping(WORKLOAD, 2, 1, ALONE, ONE_BY_ONE, packed=packed)


def test_packed_groups_need_rows_and_columns_of_their_own() -> None:
    small = matrix_vector(5, 1, groups=2)
    with pytest.raises(FitError, match="5 word lines of 2 groups, an array has 8"):
        require_fit(Mapping(small, 5, 1, ALONE, Factors(), packed=2), TINY)
    wide = matrix_vector(2, 2, groups=2)
    with pytest.raises(FitError, match="2 filters per array of 2 groups"):
        require_fit(Mapping(wide, 2, 2, ALONE, Factors(), packed=2), TINY)


def test_json_of_before_windows_and_orders() -> None:
    value: dict[str, Any] = SPREAD.to_json()
    for name in ("packed", "window", "input_stationary"):
        del value[name]
    del value["workload"]["slides"]
    assert mapping_from_json(value) == SPREAD


@given(devices(), st.data())
def test_many_mappings_are_each_as_alone(device: Device, data: st.DataObject) -> None:
    one, _ = data.draw(sketched_mappings(device))
    asked = data.draw(st.lists(decisions(device, one.workload), max_size=3))
    few = [one, *(grant(one.workload, device, each) for each in asked)]
    many = Mappings.of(few)
    for found in (many, many.unlimited()):
        assert [found[position] for position in range(len(few))] == few
        for name in ("outputs", "values", "results", "vectors", "arrays", "passes", "turns", "weight_tiles"):
            together = np.broadcast_to(getattr(found, name), len(few))
            assert list(together) == [getattr(each, name) for each in few], name


@given(devices(), st.data())
def test_what_is_granted_can_be_asked_for(device: Device, data: st.DataObject) -> None:
    granted, _ = data.draw(sketched_mappings(device))
    assert grant(granted.workload, device, requests(granted)) == granted
