from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cyclecast.device import Device
from cyclecast.errors import BehaviourError
from cyclecast.simulator import Array, State
from strategies import devices

TINY = Device.load("tiny")  # 8 rows, 2 filters, 8-bit values


def integers(*rows: Any) -> Any:
    return np.array(rows if len(rows) > 1 else rows[0], dtype=np.int64)


def written(device: Device, weights: Any) -> Array:
    array = Array(device)
    array.write(weights)
    array.to_read()
    return array


def lossless(device: Device) -> Device:
    return device.vary("array.adc_bits", device.array.lossless_adc_bits)


def values(bits: int) -> st.SearchStrategy[int]:
    """Any value of that many bits, the extremes more often."""
    least, most = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    return st.sampled_from([least, most, 0]) | st.integers(least, most)


@st.composite
def operands(draw: st.DrawFn, device: Device) -> tuple[Any, Any]:
    """Weights that fit the array and inputs that fit the weights: all alike in every column, or drawn one by one."""
    lines = draw(st.integers(1, device.array.rows))
    filters = draw(st.integers(1, min(device.filters_per_array, 4)))
    seed = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    drawn = []
    for bits, shape in ((device.bits.weight, (lines, filters)), (device.bits.activation, (lines,))):
        chosen = draw(st.lists(values(bits), min_size=1, max_size=4))
        drawn.append(seed.choice(integers([chosen])[0], size=shape))
    return drawn[0], drawn[1]


@given(st.data())
def test_products_are_exact_with_lossless_converters(data: st.DataObject) -> None:
    device = lossless(data.draw(devices()))
    weights, inputs = data.draw(operands(device))
    assert (written(device, weights).multiply(inputs) == inputs @ weights).all()


@pytest.mark.parametrize("saves", [False, True])
@pytest.mark.parametrize("dac_bits", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("cell_bits", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("active_rows", [1, 3, 8])
def test_every_device_keeps_the_extremes(active_rows: int, cell_bits: int, dac_bits: int, saves: bool) -> None:
    changes: dict[str, object] = {
        "array.active_rows": active_rows,
        "array.cell_bits": cell_bits,
        "array.dac_bits": dac_bits,
        "array.adc_saves_bit": saves,
    }
    device = lossless(TINY.vary_all({**changes, "array.adc_bits": 32}))
    extremes = [-128, 127, -1, 0]
    for weight in extremes:
        for first in extremes:
            for value in extremes:
                # Different weights in the first rows: no row phase may rely on the others for its sum to be small.
                weights = integers([[weight]] * 4 + [[first]] * 4)
                inputs = integers([value] * 8)
                expected = 4 * value * (weight + first)
                assert written(device, weights).multiply(inputs).tolist() == [expected]


@given(st.data())
def test_activations_count_products(data: st.DataObject) -> None:
    array = written(TINY, integers([[1, 2]] * 8))
    times = data.draw(st.integers(0, 5))
    for _ in range(times):
        array.multiply(integers([1] * 8))
    assert array.activations == times


def test_too_few_adc_bits_saturate_the_column() -> None:
    # Cells of 1-bit weights hold weight + 1: 8 rows of weight 0 and inputs of -1 drive 8 cells of 1 at once.
    device = TINY.vary_all(
        {
            "bits.activation": 1,
            "bits.weight": 1,
            "array.cell_bits": 1,
            "array.adc_saves_bit": False,
            "array.adc_bits": 2,
        }
    )
    assert device.array.lossless_adc_bits == 4
    weights, inputs = integers([[0]] * 8), integers([-1] * 8)
    # The column gives 3 instead of 8; the unit column counts 8 inputs: -(3 - 8).
    assert written(device, weights).multiply(inputs).tolist() == [5]
    assert written(lossless(device), weights).multiply(inputs).tolist() == [0]


@given(st.data())
def test_too_few_adc_bits_change_nothing_while_sums_are_small(data: st.DataObject) -> None:
    device = lossless(data.draw(devices()))
    fewer = device.vary("array.adc_bits", data.draw(st.integers(1, device.array.lossless_adc_bits)))
    weights, inputs = data.draw(operands(device))
    most = fewer.array.active_rows * (2**fewer.array.dac_bits - 1) * (2**fewer.array.cell_bits - 1)
    if most < 2**fewer.array.adc_bits:
        assert (written(fewer, weights).multiply(inputs) == inputs @ weights).all()


@given(st.data())
def test_more_adc_bits_than_lossless_change_nothing(data: st.DataObject) -> None:
    device = lossless(data.draw(devices()))
    weights, inputs = data.draw(operands(device))
    expected = written(device, weights).multiply(inputs)
    assert (written(device.vary("array.adc_bits", 32), weights).multiply(inputs) == expected).all()


def test_an_array_starts_ready_to_write() -> None:
    assert Array(TINY).state is State.WRITE
    assert Array(TINY).activations == 0


def test_states_follow_the_calls() -> None:
    array = Array(TINY)
    states = []
    for call in (partial(array.write, integers([[1]] * 8)), array.to_read, array.to_write):
        call()
        states.append(array.state)
    assert states == [State.WRITE, State.READ, State.WRITE]


def test_what_was_written_stays_until_it_is_overwritten() -> None:
    array = written(TINY, integers([[1]] * 8))
    array.to_write()
    array.to_read()
    assert array.multiply(integers([1] * 8)).tolist() == [8]
    array.to_write()
    array.write(integers([[2, 3]] * 4))
    array.to_read()
    assert array.multiply(integers([1] * 4)).tolist() == [8, 12]


def unwritten() -> Array:
    return Array(TINY, "array 7")


def ready_to_write() -> Array:
    array = unwritten()
    array.write(integers([[1]] * 8))
    return array


def ready_to_read() -> Array:
    array = ready_to_write()
    array.to_read()
    return array


ONES = integers([1] * 8)


@pytest.mark.parametrize(
    ("array", "method", "arguments", "expected"),
    [
        (unwritten, "to_read", (), "a read, the array has not been written; try write its weights first"),
        (unwritten, "multiply", (ONES,), "a read, the array is in the state write; try to_read() first"),
        (ready_to_write, "multiply", (ONES,), "a read, the array is in the state write; try to_read() first"),
        (
            ready_to_read,
            "write",
            (integers([[1]] * 8),),
            "a write, the array is in the state read; try to_write() first",
        ),
        (unwritten, "write", (np.ones((9, 2), int),), "9 x 2 weights, the array holds 8 x 2; try smaller tiles"),
        (unwritten, "write", (np.ones((8, 3), int),), "8 x 3 weights, the array holds 8 x 2; try smaller tiles"),
        (ready_to_read, "multiply", (np.ones(7, int),), "an input of shape (7,), there are 8 word lines"),
        (ready_to_read, "multiply", (np.ones((8, 1), int),), "an input of shape (8, 1), there are 8 word lines"),
        (
            unwritten,
            "write",
            (integers([[1], [128]]),),
            "weights from 1 to 128, 8 bits hold -128 to 127; try values quantised to the device's bits",
        ),
        (
            unwritten,
            "write",
            (integers([[-129], [1]]),),
            "weights from -129 to 1, 8 bits hold -128 to 127; try values quantised to the device's bits",
        ),
        (
            ready_to_read,
            "multiply",
            (128 * ONES,),
            "inputs from 128 to 128, 8 bits hold -128 to 127; try values quantised to the device's bits",
        ),
        (
            ready_to_read,
            "multiply",
            (-129 * ONES,),
            "inputs from -129 to -129, 8 bits hold -128 to 127; try values quantised to the device's bits",
        ),
    ],
)
def test_wrong_use_is_refused_and_changes_nothing(array: Any, method: str, arguments: Any, expected: str) -> None:
    used = array()
    state = used.state
    with pytest.raises(BehaviourError) as raised:
        getattr(used, method)(*arguments)
    assert str(raised.value) == f"array 7: {expected}"
    assert used.state is state
    assert used.activations == 0
