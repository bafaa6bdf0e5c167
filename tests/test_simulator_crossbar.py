from __future__ import annotations

from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cyclecast.device import Device, Encoding, Inputs
from cyclecast.errors import BehaviourError
from cyclecast.mapping import TILE_AXES
from cyclecast.mapspace import grant
from cyclecast.simulator import Chip, Crossbar, State
from cyclecast.timing import events
from strategies import decisions, devices, workloads

TINY = Device.load("tiny")  # 8 rows, 2 filters, 8-bit values


def integers(*rows: Any) -> Any:
    return np.array(rows if len(rows) > 1 else rows[0], dtype=np.int64)


def written(device: Device, weights: Any) -> Crossbar:
    array = Crossbar(device)
    array.write(weights)
    array.to_read()
    return array


def with_adc_bits(device: Device, bits: int) -> Device:
    """The device with such converters, if it has any."""
    return device if device.array.digital else device.vary("array.adc_bits", max(1, bits))


def lossless(device: Device) -> Device:
    return with_adc_bits(device, device.array.lossless_adc_bits)


def limits(device: Device) -> tuple[tuple[int, int], tuple[int, int]]:
    """The least and the largest weight, and the least and the largest input."""
    found = []
    for bits, magnitude in (
        (device.bits.weight, device.array.encoding is not Encoding.OFFSET),
        (device.bits.activation, device.array.inputs is Inputs.SIGN_MAGNITUDE),
    ):
        most = (1 << (bits - 1)) - 1
        found.append((-most if magnitude and bits > 1 else -most - 1, most))
    return found[0], found[1]


def values(least: int, most: int) -> st.SearchStrategy[int]:
    """Any value between the two, the extremes more often."""
    return st.sampled_from([least, most, 0]) | st.integers(least, most)


def arithmetic(
    inputs: Inputs, encoding: Encoding, active_rows: int, cell_bits: int, dac_bits: int, saves: bool
) -> dict[str, object]:
    """Fields of a device that decide what its arrays add up."""
    return {
        "array.active_rows": active_rows,
        "array.cell_bits": cell_bits,
        "array.dac_bits": dac_bits,
        "array.adc_saves_bit": saves,
        "array.inputs": inputs.value,
        "array.encoding": encoding.value,
    }


@st.composite
def operands(draw: st.DrawFn, device: Device) -> tuple[Any, Any]:
    """Weights that fit the array and inputs that fit the weights: all alike in every column, or drawn one by one."""
    lines = draw(st.integers(1, device.word_lines_per_array))
    filters = draw(st.integers(1, min(device.filters_per_array, 4)))
    seed = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    drawn = []
    for (least, most), shape in zip(limits(device), ((lines, filters), (lines,)), strict=True):
        chosen = draw(st.lists(values(least, most), min_size=1, max_size=4))
        drawn.append(seed.choice(integers([chosen])[0], size=shape))
    return drawn[0], drawn[1]


@given(st.data())
def test_products_are_exact_with_lossless_converters(data: st.DataObject) -> None:
    device = lossless(data.draw(devices()))
    weights, inputs = data.draw(operands(device))
    assert (written(device, weights).multiply(inputs) == inputs @ weights).all()


@pytest.mark.parametrize("saves", [False, True])
@pytest.mark.parametrize("dac_bits", [1, 2, 3, 8])
@pytest.mark.parametrize("cell_bits", [1, 2, 3, 8])
@pytest.mark.parametrize("active_rows", [2, 3, 8])
@pytest.mark.parametrize("encoding", Encoding)
@pytest.mark.parametrize("inputs", Inputs)
def test_every_device_keeps_the_extremes(
    inputs: Inputs, encoding: Encoding, active_rows: int, cell_bits: int, dac_bits: int, saves: bool
) -> None:
    device = lossless(
        TINY.vary_all({"array.cols": 16, **arithmetic(inputs, encoding, active_rows, cell_bits, dac_bits, saves)})
    )
    half = device.word_lines_per_array // 2
    (least_weight, _), (least, _) = limits(device)
    for weight, first, value in product([least_weight, 127, -1, 0], [least_weight, 127, 0], [least, 127, -1]):
        # Different weights in the first rows: no row phase may rely on the others for its sum to be small.
        weights = integers(*[[weight]] * half, *[[first]] * half)
        expected = half * value * (weight + first)
        assert written(device, weights).multiply(integers([value] * 2 * half)).tolist() == [expected]


@pytest.mark.parametrize("saves", [False, True])
@pytest.mark.parametrize("dac_bits", [1, 2, 3])
@pytest.mark.parametrize("cell_bits", [1, 2])
@pytest.mark.parametrize("active_rows", [4, 5])
@pytest.mark.parametrize("encoding", Encoding)
@pytest.mark.parametrize("inputs", Inputs)
def test_one_bit_less_than_lossless_loses_something(
    inputs: Inputs, encoding: Encoding, active_rows: int, cell_bits: int, dac_bits: int, saves: bool
) -> None:
    device = TINY.vary_all(
        {
            "bits.activation": dac_bits + (inputs is Inputs.SIGN_MAGNITUDE),
            "bits.weight": cell_bits + (encoding is not Encoding.OFFSET),
            "array.rows": 10,
            "array.cols": 10**5,
            **arithmetic(inputs, encoding, active_rows, cell_bits, dac_bits, saves),
        }
    )
    (least_weight, most_weight), (least, most) = limits(device)
    weights = integers(*product(range(least_weight, most_weight + 1), repeat=active_rows)).T  # a filter for each
    exact = written(lossless(device), weights)
    fewer = written(with_adc_bits(device, device.array.lossless_adc_bits - 1), weights)
    lost = False
    for value in (least, most, -1):
        operand = integers([value] * active_rows)
        assert (exact.multiply(operand) == operand @ weights).all()
        lost = lost or bool((fewer.multiply(operand) != operand @ weights).any())
    assert lost


@given(st.data())
def test_a_digital_array_never_saturates(data: st.DataObject) -> None:
    said: dict[str, Any] = data.draw(devices()).to_json()
    said["array"] = {name: value for name, value in said["array"].items() if not name.startswith("adc")}
    device = Device.from_json(said | {"array": said["array"] | {"digital": True}})
    weights, inputs = data.draw(operands(device))
    assert (written(device, weights).multiply(inputs) == inputs @ weights).all()


def test_a_digital_array_adds_up_more_than_32_bits() -> None:
    said: dict[str, Any] = TINY.to_json() | {"bits": {"activation": 16, "weight": 16}}
    said["array"] = {name: value for name, value in said["array"].items() if not name.startswith("adc")}
    said["array"] |= {"digital": True, "cell_bits": 16, "dac_bits": 16}
    array = written(Device.from_json(said), integers([[32767]] * 8))
    assert array.device.array.largest_sum > 2**32
    assert array.multiply(integers([32767] * 8)).tolist() == [8 * 32767**2]


@pytest.mark.parametrize("encoding", Encoding)
@pytest.mark.parametrize("inputs", Inputs)
def test_one_bit_holds_minus_one_and_zero(inputs: Inputs, encoding: Encoding) -> None:
    changes = {"array.inputs": inputs.value, "array.encoding": encoding.value}
    device = lossless(TINY.vary_all({"bits.activation": 1, "bits.weight": 1, **changes}))
    for weight, value in product([-1, 0], repeat=2):
        assert written(device, integers([[weight]] * 4)).multiply(integers([value] * 4)).tolist() == [
            4 * weight * value
        ]


@given(st.data())
def test_columns_read_at_once_change_no_value(data: st.DataObject) -> None:
    device = data.draw(devices())
    other = device.vary("array.active_cols", data.draw(st.integers(1, device.array.cols)))
    weights, inputs = data.draw(operands(device))
    assert (written(device, weights).multiply(inputs) == written(other, weights).multiply(inputs)).all()


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
    fewer = with_adc_bits(device, data.draw(st.integers(1, device.array.lossless_adc_bits)))
    weights, inputs = data.draw(operands(device))
    if fewer.array.largest_sum < 2 ** (fewer.array.adc_bits - fewer.array.signed_sums):
        assert (written(fewer, weights).multiply(inputs) == inputs @ weights).all()


@given(st.data())
def test_more_adc_bits_than_lossless_change_nothing(data: st.DataObject) -> None:
    device = lossless(data.draw(devices()))
    weights, inputs = data.draw(operands(device))
    expected = written(device, weights).multiply(inputs)
    assert (written(with_adc_bits(device, 32), weights).multiply(inputs) == expected).all()


def test_a_pair_of_word_lines_subtracts_before_the_converter() -> None:
    # 7 + 7 + 7 - 7: the bit line sums up to 14, where two columns give 21 and 7.
    rows = TINY.vary_all({"array.encoding": "differential_rows", "array.cell_bits": 3, "array.adc_saves_bit": False})
    columns = rows.vary_all({"array.encoding": "differential_columns", "array.cols": 16})
    weights, inputs = integers([7], [7], [7], [-7]), integers([1] * 4)
    assert written(rows.vary("array.adc_bits", 5), weights).multiply(inputs).tolist() == [14]
    assert written(columns.vary("array.adc_bits", 4), weights).multiply(inputs).tolist() == [15 - 7]
    assert written(rows.vary("array.adc_bits", 3), weights).multiply(inputs).tolist() == [3]  # one bit is the sign
    assert written(columns.vary("array.adc_bits", 3), weights).multiply(inputs).tolist() == [7 - 7]


def test_the_most_negative_value_has_no_magnitude() -> None:
    inputs = written(TINY.vary("array.inputs", "sign_magnitude"), integers([[1]] * 8))
    with pytest.raises(BehaviourError, match="inputs from -128 to -128, 8 bits of sign and magnitude hold -127 to 127"):
        inputs.multiply(integers([-128] * 8))
    assert inputs.multiply(integers([-127] * 8)).tolist() == [8 * -127]
    with pytest.raises(BehaviourError, match="weights from -128 to 1, 8 bits of sign and magnitude hold -127 to 127"):
        Crossbar(TINY.vary("array.encoding", "differential_rows")).write(integers([[-128], [1]]))
    two_bits = TINY.vary_all({"bits.weight": 2, "array.encoding": "differential_columns"})
    with pytest.raises(BehaviourError, match="weights from -2 to 1, 2 bits of sign and magnitude hold -1 to 1"):
        Crossbar(two_bits).write(integers([[-2], [1]]))


def test_a_pair_of_word_lines_holds_one_row_of_weights() -> None:
    array = Crossbar(TINY.vary("array.encoding", "differential_rows"))
    with pytest.raises(BehaviourError, match="5 x 1 weights, the array holds 4 x 2; try smaller tiles"):
        array.write(integers([[1]] * 5))


@given(st.data())
def test_the_arrays_are_read_as_often_as_the_events_say(data: st.DataObject) -> None:
    device = lossless(data.draw(devices()))
    workload = data.draw(workloads(bits=device.bits, largest=3))
    mapping = grant(workload, device, data.draw(decisions(device)))
    rng = np.random.default_rng(0)
    (least_weight, most_weight), (least, most) = limits(device)
    shape = (workload.groups, workload.reduction, workload.filters)
    pixels = min(workload.pixels, 3)
    weights = rng.integers(least_weight, most_weight + 1, shape)
    inputs = rng.integers(least, most + 1, (pixels, workload.groups, workload.reduction))
    results, chip = np.zeros((pixels, workload.groups, workload.filters), dtype=np.int64), Chip(device)
    for address, (tile, row, column) in enumerate(product(*(range(mapping.tiles(axis)) for axis in TILE_AXES[:3]))):
        groups = range(workload.groups)[tile * mapping.packed : (tile + 1) * mapping.packed]
        rows = range(workload.reduction)[row * mapping.word_lines : (row + 1) * mapping.word_lines]
        filters = range(workload.filters)[column * mapping.filters : (column + 1) * mapping.filters]
        stored = np.zeros((len(groups), len(rows), len(groups), len(filters)), dtype=np.int64)
        for place, group in enumerate(groups):  # each on the diagonal
            stored[place, :, place] = weights[group][np.ix_(rows, filters)]
        chip.program(address, stored.reshape(len(groups) * len(rows), -1))
        for pixel in range(pixels):
            found = chip.multiply(address, inputs[pixel][np.ix_(groups, rows)].reshape(-1))
            results[pixel][np.ix_(groups, filters)] += found.reshape(len(groups), -1)
    assert (results == np.einsum("pgk,gkf->pgf", inputs, weights)).all()
    assert chip.activations * workload.pixels == events(mapping, device).products * pixels


def test_an_array_starts_ready_to_write() -> None:
    assert Crossbar(TINY).state is State.WRITE
    assert Crossbar(TINY).activations == 0


def test_states_follow_the_calls() -> None:
    array = Crossbar(TINY)
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


def unwritten() -> Crossbar:
    return Crossbar(TINY, "array 7")


def ready_to_write() -> Crossbar:
    array = unwritten()
    array.write(integers([[1]] * 8))
    return array


def ready_to_read() -> Crossbar:
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
