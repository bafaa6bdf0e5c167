from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cyclecast.device import Device
from cyclecast.errors import BehaviourError
from cyclecast.simulator import Chip, State

TINY = Device.load("tiny")
ONES = np.ones(8, dtype=np.int64)


def weights(value: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    return np.full((8, 2), value, dtype=np.int64)


@given(st.dictionaries(st.integers(0, 2**63), st.integers(-128, 127), min_size=1, max_size=5))
def test_every_address_has_its_own_weights(values: dict[int, int]) -> None:
    chip = Chip(TINY)
    for address, value in values.items():
        chip.program(address, weights(value))
    assert {address: chip.multiply(address, ONES).tolist() for address in values} == {
        address: [8 * value, 8 * value] for address, value in values.items()
    }
    assert chip.activations == len(chip.arrays) == len(values)


def test_the_same_address_is_the_same_array() -> None:
    chip = Chip(TINY)
    chip.program(5, weights(1))
    chip.multiply(5, ONES)
    chip.program(5, weights(3))
    assert chip.multiply(5, ONES).tolist() == [24, 24]
    assert len(chip.arrays) == 1
    assert chip.activations == 2


def test_a_programmed_array_is_ready_to_read() -> None:
    chip = Chip(TINY)
    chip.program(0, weights(1))
    assert chip.arrays[0].state is State.READ


def test_a_read_where_nothing_was_written_is_refused() -> None:
    chip = Chip(TINY)
    chip.program(0, weights(1))
    with pytest.raises(BehaviourError, match=r"^chip: a read, no array has been written there; try program the array"):
        chip.multiply(1, ONES)


def test_arrays_are_numbered_in_the_order_of_writing() -> None:
    chip = Chip(TINY)
    chip.program(900, weights(1))
    with pytest.raises(BehaviourError, match=r"^array 1: weights from 200 to 200"):
        chip.program(17, weights(200))
