"""Weights that several arrays of the behaviour model share, and columns at the limit of the converters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import c_projects
from cyclecast.device import Device, Encoding, Inputs
from cyclecast.errors import BehaviourError
from cyclecast.simulator import (
    REFERENCE,
    Call,
    Crossbar,
    Driver,
    Operation,
    compile_library,
    driver_source,
    load_library,
    parameters,
)

ISAAC = Device.load("isaac").vary("levels.pe.count", 1)
PLACES = [(0, cu, array) for cu in (0, 1, 11) for array in (0, 1, 7)]
LINES, FILTERS = ISAAC.word_lines_per_array, ISAAC.filters_per_array


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The reference driver with checks for undefined behaviour: it ends the process where there is any."""
    c_projects.needs("gcc")
    folder = tmp_path_factory.mktemp("driver")
    for name in REFERENCE:
        (folder / name).write_text(driver_source(name), encoding="utf-8")
    checks = ("-g", "-fsanitize=undefined", "-fno-sanitize-recover=all")
    compile_library(sorted(folder.glob("*.c")), folder / "driver.so", folder, checks)
    return load_library(folder / "driver.so")


def program(driver: Driver, place: tuple[int, ...], weights: Any) -> None:
    lines, filters = weights.shape
    driver.execute(Call(Operation.TO_WRITE, place))
    driver.execute(Call(Operation.PROGRAM, place, count=lines, filters=filters, values=weights))
    driver.execute(Call(Operation.TO_READ, place))


def program_all(driver: Driver, tiles: Sequence[Any]) -> None:
    for place, tile in zip(PLACES, tiles, strict=True):
        program(driver, place, tile)


def product(driver: Driver, place: tuple[int, ...], inputs: Any, filters: int) -> Any:
    """What the weights at a place make of inputs, read on the host."""
    driver.execute(Call(Operation.SEND, count=len(inputs), values=inputs))
    for depth in range(1, len(place)):
        driver.execute(Call(Operation.MOVE, place[:depth], count=1))
    for operation in (Operation.STREAM, Operation.START):
        driver.execute(Call(operation, place))
    driver.execute(Call(Operation.WAIT))
    for depth in range(len(place), 0, -1):
        driver.execute(Call(Operation.ACCUMULATE, place[:depth], count=1))
    return driver.execute(Call(Operation.RECEIVE, count=filters))


def in_python(device: Device, weights: Any, inputs: Any) -> Any:
    array = Crossbar(device)
    array.write(weights)
    array.to_read()
    return array.multiply(inputs)


def same_hash(weights: Any) -> Any:
    """Other weights with the sums, and sums of sums, that a tile is found by: 1, -2, 1 in places of equal distance."""
    other = weights.copy()
    other[:3, 0] += (1, -2, 1)
    return other


step = st.tuples(st.integers(0, 8), st.integers(0, 4))
"""A place, and which weights to write there before a product."""


@given(st.lists(step, min_size=1, max_size=12), st.sampled_from([None, 4, 6]), st.booleans(), st.integers(0, 99))
@settings(max_examples=40)
def test_every_place_has_the_weights_that_it_was_given_last(
    library: Any, steps: list[tuple[int, int]], adc_bits: int | None, fast: bool, seed: int
) -> None:
    device = ISAAC.vary("array.adc_bits", adc_bits) if adc_bits else ISAAC
    random = np.random.default_rng(seed)
    first = random.integers(-100, 100, (3, 8))
    changed = first.copy()
    changed[2, 7] += 1
    contents = [first, changed, same_hash(first), first.reshape(8, 3), random.integers(-128, 128, (70, 20))]
    held: dict[tuple[int, ...], Any] = {}
    with Driver.open(parameters(device, fast=fast), library) as driver:
        for place, content in steps:
            held[PLACES[place]] = contents[content]
            program(driver, PLACES[place], contents[content])
            for at, weights in held.items():
                inputs = random.integers(-128, 128, len(weights))
                assert np.array_equal(product(driver, at, inputs, weights.shape[1]), in_python(device, weights, inputs))
        assert driver.counters.programs == len(steps)


@pytest.mark.parametrize("fast", [False, True])
def test_replicas_take_no_more_memory_than_one_and_what_is_replaced_is_given_back(fast: bool) -> None:
    """A limit that holds a few tiles: replicas of one fit everywhere, other weights at every place do not."""
    random = np.random.default_rng(0)
    tiles = [random.integers(-128, 128, (LINES, FILTERS)) for _ in PLACES]
    inputs = random.integers(-128, 128, LINES)
    with Driver.open(parameters(ISAAC, fast=fast), most_bytes=180_000) as driver:
        for _ in range(3):
            for tile in tiles:
                program_all(driver, [tile] * len(PLACES))
                assert np.array_equal(product(driver, PLACES[-1], inputs, FILTERS), inputs @ tile)
        before = product(driver, PLACES[-1], inputs, FILTERS)
        with pytest.raises(BehaviourError, match="there is no memory left"):
            program_all(driver, tiles)
        after = product(driver, PLACES[-1], inputs, FILTERS)
    assert np.array_equal(before, inputs @ tiles[-1])
    assert np.array_equal(after, before)


@pytest.mark.parametrize("rows", [1, 7, 8, 9, 63, 64, 65, 85, 86, 127, 128, 129, 255, 256, 300])
@pytest.mark.parametrize("cell_bits", [1, 4, 5])
def test_any_number_of_word_lines_and_columns_adds_up(library: Any, rows: int, cell_bits: int) -> None:
    """Also where all inputs and cells are as large as can be, and columns are no whole number of words."""
    changes = {"array.rows": 300, "array.active_rows": 300, "array.cols": 70, "array.cell_bits": cell_bits}
    device = ISAAC.vary_all({**changes, "array.adc_bits": 14, "array.adc_saves_bit": False})
    random = np.random.default_rng(rows)
    filters = int(random.integers(1, device.filters_per_array + 1))
    for weights in (np.full((rows, filters), 127), random.integers(-128, 128, (rows, filters))):
        for inputs in (np.full(rows, -1), random.integers(-128, 128, rows)):
            with Driver.open(parameters(device), library) as driver:
                program(driver, PLACES[0], weights)
                assert np.array_equal(product(driver, PLACES[0], inputs, filters), inputs @ weights)


@pytest.mark.parametrize("saves", [False, True])
@pytest.mark.parametrize("dac_bits", [1, 2])
@pytest.mark.parametrize("encoding", Encoding)
@pytest.mark.parametrize("inputs", Inputs)
def test_columns_at_the_edge_are_cut_off_and_no_other(
    library: Any, inputs: Inputs, encoding: Encoding, dac_bits: int, saves: bool
) -> None:
    """Filters have a column with 1 to 16 cells of 1, for weights of either sign; converters tell some of the sums."""
    rows = 32 if encoding is Encoding.DIFFERENTIAL_ROWS else 16
    changes: dict[str, Any] = {
        "array.rows": rows,
        "array.active_rows": rows,
        "array.cols": 256,
        "array.adc_saves_bit": saves,
    }
    changes |= {"array.dac_bits": dac_bits, "array.encoding": encoding, "array.inputs": inputs, "array.adc_bits": 4}
    device = ISAAC.vary_all(changes)
    lines, filters = 16, 32
    is_offset = encoding is Encoding.OFFSET
    sign = np.where(np.arange(filters) % 2 == 0, 1, 1 if is_offset else -1)
    weights = (-128 if is_offset else 0) + sign * (np.arange(lines)[:, None] <= np.arange(filters) // 2)
    lossy = set()
    for value in (127, -1, -127):
        streamed = np.full(lines, value)
        expected = in_python(device, weights, streamed)
        lossy |= set(np.flatnonzero(expected != streamed @ weights).tolist())
        for fast in (False, True):
            with Driver.open(parameters(device, fast=fast), library) as driver:
                program(driver, PLACES[0], weights)
                assert np.array_equal(product(driver, PLACES[0], streamed, filters), expected)
    assert 0 not in lossy
    assert lossy or saves


@pytest.mark.parametrize("encoding", Encoding)
@pytest.mark.parametrize("adc_bits", [4, 5, 6, 7])
@pytest.mark.parametrize("active", [128, 50, 3])
def test_a_product_partly_at_once_is_that_of_all_bits(
    library: Any, encoding: Encoding, adc_bits: int, active: int
) -> None:
    """Weights of a network are mostly small: high slices cannot saturate, low ones can, in some row phases."""
    device = ISAAC.vary_all(
        {"array.encoding": encoding, "array.adc_bits": adc_bits, "array.active_rows": active, "bits.activation": 9}
    )
    random = np.random.default_rng(adc_bits)
    shape = (device.word_lines_per_array - 1, device.filters_per_array)
    weights = np.clip(random.normal(0, 20, shape).astype(int), -127, 127)
    weights[:, ::3] //= 8
    streamed = random.integers(-256, 256, shape[0])
    for fast in (False, True):
        with Driver.open(parameters(device, fast=fast), library) as driver:
            program(driver, PLACES[0], weights)
            found = product(driver, PLACES[0], streamed, shape[1])
            assert np.array_equal(found, in_python(device, weights, streamed))
