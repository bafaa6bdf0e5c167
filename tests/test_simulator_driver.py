"""The behaviour model in C: the values of the one in Python, the cycles of the timing model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import strategies
from cyclecast.device import Device, Encoding, Inputs
from cyclecast.errors import BehaviourError
from cyclecast.mapping import Mapping
from cyclecast.simulator import Call, Crossbar, Driver, Operation, parameters
from cyclecast.timing import array_write_time, product_time

TINY = Device.load("tiny")


def one_product(device: Device, weights: Any, inputs: Any, *, fast: bool = False) -> tuple[Any, Driver]:
    """One product of the first array, its inputs sent down all levels and its sums up again; the open device."""
    driver = Driver.open(parameters(device, fast=fast))
    lines, filters = weights.shape
    array = (0,) * len(device.levels)
    driver.execute(Call(Operation.PROGRAM, array, count=lines, filters=filters, values=weights))
    driver.execute(Call(Operation.TO_READ, array))
    driver.execute(Call(Operation.SEND, count=lines, values=inputs))
    for depth in range(1, len(array)):
        driver.execute(Call(Operation.MOVE, array[:depth], count=1))
    for operation in (Operation.STREAM, Operation.START):
        driver.execute(Call(operation, array))
    driver.execute(Call(Operation.WAIT))
    for depth in range(len(array), 0, -1):
        driver.execute(Call(Operation.ACCUMULATE, array[:depth], count=1))
    return driver.execute(Call(Operation.RECEIVE, count=filters)), driver


def limits(bits: int, magnitudes: bool) -> tuple[int, int]:
    most = (1 << (bits - 1)) - 1
    return (-most if magnitudes and bits > 1 else -most - 1), most


def operands(device: Device, seed: int) -> tuple[Any, Any]:
    """Random weights and inputs of the whole range, on some word lines and filters."""
    random = np.random.default_rng(seed)
    shape = tuple(
        random.integers(1, 1 + min(most, 40)) for most in (device.word_lines_per_array, device.filters_per_array)
    )
    weights = limits(device.bits.weight, device.array.encoding is not Encoding.OFFSET)
    inputs = limits(device.bits.activation, device.array.inputs is Inputs.SIGN_MAGNITUDE)
    return (
        random.integers(*weights, shape, endpoint=True),
        random.integers(*inputs, shape[0], endpoint=True),
    )


def in_python(device: Device, weights: Any, inputs: Any) -> Any:
    array = Crossbar(device)
    array.write(weights)
    array.to_read()
    return array.multiply(inputs)


@pytest.mark.parametrize("name", Device.library())
@pytest.mark.parametrize("adc_bits", [None, 3, 5])
def test_library_devices_compute_what_the_model_in_python_does(name: str, adc_bits: int | None) -> None:
    device = Device.load(name)
    if adc_bits and not device.array.digital:
        device = device.vary("array.adc_bits", adc_bits)
    for seed in range(3):
        weights, inputs = operands(device, seed)
        expected = in_python(device, weights, inputs)
        for fast in (False, True):
            sums, driver = one_product(device, weights, inputs, fast=fast)
            driver.close()
            assert np.array_equal(sums, expected)


@given(strategies.devices(), st.integers(0, 2**32 - 1))
@settings(max_examples=60)
def test_any_device_computes_what_the_model_in_python_does(device: Device, seed: int) -> None:
    if device.bits.weight + device.bits.activation + device.array.cell_bits > 46 or device.array.cell_bits > 16:
        with pytest.raises(BehaviourError, match="it cannot be opened"):
            Driver.open(parameters(device))
        return
    weights, inputs = operands(device, seed)
    expected = in_python(device, weights, inputs)
    for fast in (False, True):
        sums, driver = one_product(device, weights, inputs, fast=fast)
        driver.close()
        assert np.array_equal(sums, expected)


@given(strategies.mappings(), st.booleans())
@settings(max_examples=100)
def test_a_product_takes_what_the_timing_model_says(drawn: tuple[Mapping, Device], fast: bool) -> None:
    mapping, device = drawn
    bits = device.bits.weight + device.bits.activation + device.array.cell_bits
    assume(bits <= 46 and device.array.cell_bits <= 16)
    tile = np.zeros((mapping.packed * mapping.word_lines, mapping.packed * mapping.filters), dtype=np.int64)
    _, driver = one_product(device, tile, np.zeros(len(tile)), fast=fast)
    assert driver.counters.compute_fs == product_time(mapping, device)
    assert driver.counters.write_fs == array_write_time(mapping, device)
    driver.close()


def test_a_lossless_fast_product_is_exact_and_a_lossy_one_is_not_fast() -> None:
    isaac = Device.load("isaac")
    weights, inputs = operands(isaac, 1)
    for device, exact in ((isaac, True), (isaac.vary("array.adc_bits", 4), False)):
        sums, driver = one_product(device, weights, inputs, fast=True)
        driver.close()
        assert np.array_equal(sums, inputs @ weights) == exact


def test_sums_of_row_tiles_add_up_on_their_way() -> None:
    """Two arrays of one node, the same slot of sums: what leaves the device is their sum."""
    array = (0,) * (len(TINY.levels) - 1)
    with Driver.open(parameters(TINY)) as driver:
        for last, factor in ((0, 1), (1, 3)):
            place = (*array, last)
            driver.execute(Call(Operation.PROGRAM, place, count=2, filters=1, values=np.array([factor, 0])))
            driver.execute(Call(Operation.TO_READ, place))
            driver.execute(Call(Operation.SEND, slot=last, count=2, values=np.array([10, 10])))
        for depth in range(1, len(TINY.levels)):
            driver.execute(Call(Operation.MOVE, array[:depth], count=2))
        for last in (0, 1):
            driver.execute(Call(Operation.STREAM, (*array, last), slot=last))
            driver.execute(Call(Operation.START, (*array, last)))
        driver.execute(Call(Operation.WAIT))
        for last in (0, 1):
            driver.execute(Call(Operation.ACCUMULATE, (*array, last), count=1))
        for depth in range(len(array), 0, -1):
            driver.execute(Call(Operation.ACCUMULATE, array[:depth], count=1))
        assert driver.execute(Call(Operation.RECEIVE, count=1)).tolist() == [40]
        assert driver.counters.products == 2
        assert driver.counters.inputs[len(TINY.levels)] == driver.counters.sums[len(TINY.levels)] == 2


def test_observers_see_calls_that_succeed_with_their_values() -> None:
    seen: list[Call] = []
    array = (0,) * len(TINY.levels)
    with Driver.open(parameters(TINY)) as driver:
        with driver.observed(seen.append):
            driver.execute(Call(Operation.BEGIN, name="a workload"))
            driver.execute(Call(Operation.PROGRAM, array, count=2, filters=1, values=np.array([5, -6])))
            with pytest.raises(BehaviourError, match="in the state WRITE"):
                driver.execute(Call(Operation.START, array))
        driver.execute(Call(Operation.TO_READ, array))
    assert [(call.operation, call.name) for call in seen] == [(Operation.BEGIN, "a workload"), (Operation.PROGRAM, "")]
    assert (seen[1].place, seen[1].values.tolist()) == (array, [5, -6])


def test_what_an_observer_raises_is_raised_at_the_end() -> None:
    def broken(call: Call) -> None:
        raise ZeroDivisionError

    def two_calls(driver: Driver) -> None:
        with driver.observed(broken):
            driver.execute(Call(Operation.WAIT))
            driver.execute(Call(Operation.WAIT))

    with Driver.open(parameters(TINY)) as driver, pytest.raises(ZeroDivisionError):
        two_calls(driver)


@pytest.mark.parametrize("operation", [Operation.SEND, Operation.PROGRAM])
def test_a_call_with_fewer_values_than_it_says_is_refused(operation: Operation) -> None:
    call = Call(operation, (0, 0, 0), count=4, filters=2, values=np.zeros(3))
    with Driver.open(parameters(TINY)) as driver, pytest.raises(BehaviourError, match="3 values, the call says"):
        driver.execute(call)


def test_a_closed_device_closes_again() -> None:
    driver = Driver.open(parameters(TINY))
    driver.close()
    driver.close()
    with pytest.raises(BehaviourError, match="it is closed"):
        driver.execute(Call(Operation.WAIT))


def test_the_fast_path_holds_the_largest_sum_of_wide_inputs() -> None:
    """2^31, one more than 32 bits hold."""
    device = Device.load("isaac16").vary_all({"bits.weight": 8, "array.rows": 512, "array.active_rows": 512})
    device = device.vary_all({"array.adc_bits": 12})
    weights, inputs = np.full((512, 1), -128), np.full(512, -(2**15))
    for fast in (False, True):
        sums, driver = one_product(device, weights, inputs, fast=fast)
        driver.close()
        assert sums.tolist() == [2**31]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("levels", 0), ("levels", 9), ("counts", (0, 1, 1)), ("counts", (2**20, 2, 1)), ("counts", (2**31, 2**31, 4)),
        ("rows", 0), ("rows", 2**31), ("columns", 65537), ("active_rows", 0), ("active_columns", 2**20),
        ("encoding", 3),
        ("weight_bits", 0), ("weight_bits", 33), ("input_bits", 33), ("cell_bits", 0), ("cell_bits", 17),
        ("adc_bits", 0), ("adcs", 0), ("adc_period_parts", 0), ("steps", 0), ("steps", 33), ("step_bits", (0,) * 8),
        ("step_bits", (9,) * 8), ("write_rows", 0), ("write_columns", 0), ("write_arrays", 0), ("cycle_fs", 0),
    ],
)  # fmt: skip
def test_parameters_that_make_no_device_are_refused(field: str, value: Any) -> None:
    with pytest.raises(BehaviourError, match="it cannot be opened"):
        Driver.open(dict(parameters(Device.load("isaac"))) | {field: value})
