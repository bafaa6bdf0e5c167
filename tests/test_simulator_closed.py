"""Closed devices, numbers that C would wrap, and the memory of the mock device."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import c_projects
from cyclecast.device import Device
from cyclecast.errors import BehaviourError
from cyclecast.simulator import (
    DRIVER_FILES,
    Call,
    Crossbar,
    Driver,
    Operation,
    compile_library,
    driver_source,
    parameters,
)

TINY = Device.load("tiny")
PARAMETERS = parameters(TINY)
ARRAY = (0,) * len(TINY.levels)
ONE = np.ones(1, dtype=np.int64)


def program(value: Any) -> Call:
    return Call(Operation.PROGRAM, ARRAY, count=1, filters=1, values=np.array([value]))


def observe(driver: Driver) -> None:
    with driver.observed(print):
        pass


@pytest.mark.parametrize(
    "use",
    [lambda driver: driver.counters, lambda driver: driver.message, lambda driver: driver.handle, observe,
     lambda driver: driver.execute(Call(Operation.WAIT))],
)  # fmt: skip
def test_a_closed_device_is_used_no_more(use: Callable[[Driver], Any]) -> None:
    driver = Driver.open(PARAMETERS)
    driver.close()
    with pytest.raises(BehaviourError, match=r"^device: it is closed; try Driver\.open$"):
        use(driver)


def test_a_device_may_be_closed_while_it_is_observed_but_not_by_its_observer() -> None:
    driver = Driver.open(PARAMETERS)
    with driver.observed(print):
        driver.close()
    refused: list[str] = []

    def closes(call: Call) -> None:
        try:
            driver.close()
        except BehaviourError as error:
            refused.append(str(error))

    with Driver.open(PARAMETERS) as driver, driver.observed(closes):
        driver.execute(Call(Operation.WAIT))
    assert refused == ["device: it cannot be closed by its observer, a call is under way"]


def test_an_observer_goes_on_after_one_inside_it() -> None:
    outer: list[Operation] = []
    inner: list[Operation] = []
    with Driver.open(PARAMETERS) as driver, driver.observed(lambda call: outer.append(call.operation)):
        with driver.observed(lambda call: inner.append(call.operation)):
            driver.execute(Call(Operation.WAIT))
        driver.execute(Call(Operation.BEGIN, name="x"))
    assert (outer, inner) == ([Operation.BEGIN], [Operation.WAIT])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (Call(Operation.SEND, slot=2**32, count=1, values=ONE), "slot is 4294967296"),
        (Call(Operation.SEND, slot=-1, count=1, values=ONE), "slot is -1"),
        (Call(Operation.SEND, slot=True, count=1, values=ONE), "slot is True"),
        (Call(Operation.SEND, count=2**32 + 1, values=ONE), "count is 4294967297"),
        (Call(Operation.SEND, count=1.0, values=ONE), "count is 1.0"),  # type: ignore[arg-type] # that is the test
        (Call(Operation.MOVE, (2**32,), count=1), "an index is 4294967296"),
        (Call(Operation.MOVE, (0,) * 9, count=1), "a place of another kind, it must be a tuple of at most 8"),
        (Call(Operation.PROGRAM, ARRAY, filters=2**32 + 1, count=1, values=ONE), "filters is 4294967297"),
        (Call(Operation.BEGIN, name="a\0b"), "name is 'a"),
        (Call(Operation.BEGIN, name="\ud800"), "name is '"),
    ],
)
def test_numbers_that_c_cannot_hold_are_refused_by_name(call: Call, words: str) -> None:
    with Driver.open(PARAMETERS) as driver, pytest.raises(BehaviourError) as caught:
        driver.execute(call)
    assert words in str(caught.value)


@pytest.mark.parametrize("value", [1.9, 2**32 + 1, 2.0**40, np.nan, np.inf, "1", 1j, None, np.uint64(2**63)])
def test_weights_that_are_no_integers_are_refused(value: Any) -> None:
    with Driver.open(PARAMETERS) as driver:
        with pytest.raises(BehaviourError):
            driver.execute(program(value))
        assert driver.counters.programs == 0


@pytest.mark.parametrize("value", [5, 5.0, np.int8(5), np.uint64(5), np.float32(5)])
def test_whole_numbers_of_any_type_are_weights(value: Any) -> None:
    with Driver.open(PARAMETERS) as driver:
        driver.execute(program(value))
        assert driver.counters.programs == 1


def test_more_sums_than_a_tile_has_are_refused_before_there_is_room_for_them() -> None:
    with Driver.open(PARAMETERS) as driver, pytest.raises(BehaviourError, match="count is 4294967295, it must be"):
        driver.execute(Call(Operation.RECEIVE, count=2**32 - 1))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"rows": 2**32 + 8}, "parameter rows is 4294967304; it must be an integer from 0 to 2^32 - 1"),
        ({"rows": -1}, "parameter rows is -1"),
        ({"rows": 8.5}, "parameter rows is 8.5"),
        ({"rows": "8"}, "parameter rows is 8"),
        ({"rows": True}, "parameter rows is True"),
        ({"rows": (8,)}, "parameter rows is no number"),
        ({"counts": 4}, "parameter counts is one number"),
        ({"counts": (1,) * 9}, "parameter counts is a list of 9 numbers; it must have 8 at most"),
        ({"step_read_fs": (2**64,)}, "parameter step_read_fs is 18446744073709551616"),
        ({"lines": 1}, "parameter lines is unknown"),
    ],
)
def test_parameters_that_c_cannot_hold_are_refused_by_name(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(BehaviourError) as caught:
        Driver.open({**PARAMETERS, **changed})
    assert str(caught.value).startswith(f"device: it cannot be opened, {words}")


def test_a_parameter_that_is_missing_is_named() -> None:
    given = {name: value for name, value in PARAMETERS.items() if name != "adcs"}
    with pytest.raises(BehaviourError, match="parameter adcs is missing"):
        Driver.open(given)


def test_the_model_in_python_takes_no_fractions_either() -> None:
    array = Crossbar(TINY)
    with pytest.raises(BehaviourError, match="weights that are no integers"):
        array.write(np.array([[1.9]]))
    with pytest.raises(BehaviourError, match=r"weights of shape \(1,\)"):
        array.write(ONE)


def test_a_device_keeps_to_its_memory() -> None:
    with pytest.raises(BehaviourError, match="its memory does not suffice"):
        Driver.open(PARAMETERS, most_bytes=1000)
    with pytest.raises(BehaviourError, match="most_bytes is -1; it must be an integer"):
        Driver.open(PARAMETERS, most_bytes=-1)
    Driver.open(PARAMETERS, most_bytes=100_000).close()


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The mock of a tiny device behind its windows."""
    c_projects.needs("cc")
    folder = tmp_path_factory.mktemp("mock")
    for name in DRIVER_FILES:
        (folder / name).write_text(driver_source(name), encoding="utf-8")
    header = '#include "cyclecast_device.h"\nextern const cyclecast_parameters network_device;\n'
    (folder / "network.h").write_text(header, encoding="utf-8")
    fields = [
        f".{name} = {{{', '.join(map(str, value))}}}" if isinstance(value, tuple) else f".{name} = {value}"
        for name, value in PARAMETERS.items()
    ]
    text = f'#include "network.h"\nconst cyclecast_parameters network_device = {{{", ".join(fields)}}};\n'
    (folder / "device.c").write_text(text, encoding="utf-8")
    compile_library(
        sorted(folder.glob("*.c")), folder / "mock.so", folder, ["-DCYCLECAST_BEHIND_WINDOWS", "-Wno-overflow"]
    )
    return ctypes.CDLL(str(folder / "mock.so"))


RESET, OPERATION, SLOT, COUNT, FILTERS, DATA, STATUS = 0, 1, 2, 3, 4, 5, 1
OK, RANGE = 0, 1


def answered(window: Any, operation: Operation) -> int:
    window.cyclecast_window_write(OPERATION, int(operation))
    return int(window.cyclecast_window_read(STATUS))


def test_the_mock_allocates_no_more_than_a_tile_has(window: Any) -> None:
    window.cyclecast_window_write(RESET, 0)
    window.cyclecast_window_write(COUNT, 2**32 - 1)
    assert answered(window, Operation.RECEIVE) == RANGE
    window.cyclecast_window_write(COUNT, 1)
    for _ in range(TINY.array.rows * TINY.array.cols + 1):
        window.cyclecast_window_write(DATA, 1)
    assert answered(window, Operation.SEND) == RANGE
    window.cyclecast_window_write(DATA, 1)
    assert answered(window, Operation.SEND) == OK
