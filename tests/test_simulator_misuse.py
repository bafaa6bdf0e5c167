"""Calls that a device cannot follow: each gives an error with a reason, and changes nothing."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import c_projects
from cyclecast.device import Device
from cyclecast.errors import BehaviourError
from cyclecast.simulator import (
    REFERENCE,
    Call,
    Driver,
    Operation,
    compile_library,
    driver_source,
    load_library,
    parameters,
)

TINY = Device.load("tiny")
PARAMETERS = parameters(TINY)
COUNTS = tuple(level.count for level in TINY.levels)
LINES, FILTERS = TINY.word_lines_per_array, TINY.filters_per_array
ARRAYS = int(np.prod(COUNTS))
SEQUENCES = 1000
TOO_LARGE = (128, -129, 2**31 - 1, -(2**31))
"""For 8 bits."""
SANITIZED = ("-g", "-fsanitize=undefined", "-fno-sanitize-recover=all")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The reference driver with checks for undefined behaviour: it ends the process where there is any."""
    c_projects.needs("gcc")
    folder = tmp_path_factory.mktemp("driver")
    for name in REFERENCE:
        (folder / name).write_text(driver_source(name), encoding="utf-8")
    compile_library(sorted(folder.glob("*.c")), folder / "driver.so", folder, SANITIZED)
    return load_library(folder / "driver.so")


def place(draw: random.Random, depth: int = len(COUNTS)) -> tuple[int, ...]:
    return tuple(draw.randrange(count) for count in COUNTS[:depth])


def program(draw: random.Random, array: tuple[int, ...], lines: int, filters: int) -> Call:
    values = np.array([draw.randint(-8, 7) for _ in range(lines * filters)])
    return Call(Operation.PROGRAM, array, count=lines, filters=filters, values=values)


def ready(draw: random.Random, array: tuple[int, ...], lines: int, filters: int) -> Iterator[Call]:
    """Everything up to the start of a product of this array, in slot 0 of all nodes."""
    yield Call(Operation.TO_WRITE, array)
    yield program(draw, array, lines, filters)
    yield Call(Operation.TO_READ, array)
    yield Call(Operation.SEND, count=lines, values=np.array([draw.randint(-8, 7) for _ in range(lines)]))
    for depth in range(1, len(COUNTS)):
        yield Call(Operation.MOVE, array[:depth], count=1)
    yield Call(Operation.STREAM, array)


def finished(array: tuple[int, ...], filters: int) -> Iterator[Call]:
    """From the start of the product to its sums on the host."""
    yield Call(Operation.START, array)
    yield Call(Operation.WAIT)
    for depth in range(len(array), 0, -1):
        yield Call(Operation.ACCUMULATE, array[:depth], count=1)
    yield Call(Operation.RECEIVE, count=filters)


Case = tuple[list[Call], Call]
"""Calls that are right, and then one that is wrong."""


def outside(draw: random.Random, array: tuple[int, ...]) -> tuple[int, ...]:
    level = draw.randrange(len(array))
    wrong = draw.choice((COUNTS[level], COUNTS[level] + draw.randrange(1, 1000), 2**32 - 1))
    return (*array[:level], wrong, *array[level + 1 :])


def wrong_places(draw: random.Random, array: tuple[int, ...]) -> list[Call]:
    node = place(draw, draw.randrange(1, len(COUNTS)))
    shallow, deep = array[: draw.randrange(len(array))], (*array, 0)
    on_arrays = (Operation.TO_WRITE, Operation.TO_READ, Operation.PROGRAM, Operation.STREAM, Operation.START)
    return [
        Call(draw.choice(on_arrays), outside(draw, array), count=1, filters=1, values=np.ones(1)),
        Call(draw.choice(on_arrays), draw.choice((shallow, deep)), count=1, filters=1, values=np.ones(1)),
        Call(Operation.MOVE, outside(draw, node), count=1),
        Call(Operation.MOVE, draw.choice((array, ())), count=1),
        Call(Operation.ACCUMULATE, draw.choice((outside(draw, array), (), deep)), count=1),
    ]


def wrong_sizes(draw: random.Random, array: tuple[int, ...]) -> list[Call]:
    node = place(draw, draw.randrange(1, len(COUNTS)))
    much = draw.choice((ARRAYS, ARRAYS + draw.randrange(1000), 2**32 - 1))
    lines = draw.choice((0, LINES + 1, LINES + draw.randrange(1, 100)))
    filters = draw.choice((0, FILTERS + 1, FILTERS + draw.randrange(1, 100)))
    return [
        Call(Operation.SEND, slot=much, count=1, values=np.ones(1)),
        Call(Operation.SEND, count=lines, values=np.zeros(max(1, lines))),
        Call(Operation.SEND, count=2, values=np.array([0, draw.choice(TOO_LARGE)])),
        Call(Operation.MOVE, node, slot=draw.choice((0, much)), count=much),
        Call(Operation.MOVE, node, slot=1, count=0),
        Call(Operation.STREAM, array, slot=much),
        Call(Operation.RECEIVE, slot=much, count=1),
        program(draw, array, 1, filters),
        program(draw, array, lines, 1),
        Call(Operation.PROGRAM, array, count=1, filters=2, values=np.array([0, draw.choice(TOO_LARGE)])),
    ]


def wrong_turns(draw: random.Random, array: tuple[int, ...]) -> list[Case]:
    lines, filters = draw.randrange(1, LINES), draw.randrange(1, FILTERS + 1)
    loaded = list(ready(draw, array, lines, filters))
    started = [*loaded, Call(Operation.START, array)]
    done = [*started, Call(Operation.WAIT)]
    parent = array[:-1]
    return [
        ([], Call(Operation.TO_READ, array)),
        ([], Call(Operation.STREAM, array)),
        ([], Call(Operation.START, array)),
        ([], Call(Operation.RECEIVE, count=filters)),
        ([], Call(Operation.MOVE, parent[:1], slot=ARRAYS - 1, count=1)),
        ([], Call(Operation.ACCUMULATE, array, count=1)),
        ([], Call(Operation.ACCUMULATE, parent, count=1)),
        (loaded[:3], program(draw, array, 1, 1)),
        (loaded[:3], Call(Operation.START, array)),
        (loaded[:2], Call(Operation.START, array)),
        ([*loaded, Call(Operation.TO_WRITE, array)], Call(Operation.START, array)),
        ([*loaded[:3], Call(Operation.SEND, count=lines + 1, values=np.zeros(lines + 1)), *loaded[4:-1]], loaded[-1]),
        *((started, Call(operation, array)) for operation in (Operation.START, Operation.STREAM, Operation.TO_WRITE)),
        (started, Call(Operation.ACCUMULATE, array, count=1)),
        (done, Call(Operation.START, array)),
        (done, Call(Operation.ACCUMULATE, array, count=2)),
        ([*done, Call(Operation.ACCUMULATE, array, count=1)], Call(Operation.ACCUMULATE, array, count=1)),
        ([*loaded, *finished(array, filters)], Call(Operation.RECEIVE, count=filters)),
        ([*loaded, *list(finished(array, filters))[:-1]], Call(Operation.RECEIVE, count=filters + 1)),
    ]


def case(seed: int) -> Case:
    """A sequence of calls that are right, after what another array has done, and a wrong one."""
    draw = random.Random(seed)
    array, other = place(draw), place(draw)
    other = other if other != array else tuple((index + 1) % count for index, count in zip(array, COUNTS, strict=True))
    before: list[Call] = []
    if draw.random() < 0.5:
        filters = draw.randrange(1, FILTERS + 1)
        before += [*ready(draw, other, draw.randrange(1, LINES), filters), *finished(other, filters)]
    kinds: list[Callable[..., list[Any]]] = [wrong_places, wrong_sizes, wrong_turns]
    kind = draw.choice(kinds)
    chosen = draw.choice(kind(draw, array))
    return ([*before, *chosen[0]], chosen[1]) if isinstance(chosen, tuple) else (before, chosen)


def state(driver: Driver, seed: int) -> list[Any]:
    """All that can be seen of a device: its counters, then what it does with the calls that come next."""
    draw = random.Random(seed)
    calls = [Call(Operation.WAIT), *(Call(Operation.RECEIVE, count=filters) for filters in range(1, FILTERS + 1))]
    for _ in range(3):
        array, filters = place(draw), draw.randrange(1, FILTERS + 1)
        calls += [Call(Operation.ACCUMULATE, array[:depth], count=1) for depth in range(len(array), 0, -1)]
        calls += [*ready(draw, array, draw.randrange(1, LINES), filters), *finished(array, filters)]
    return [driver.counters, *(answered(driver, call) for call in calls), driver.counters]


def answered(driver: Driver, call: Call) -> Any:
    try:
        return driver.execute(call).tolist()
    except BehaviourError as error:
        return str(error)


@pytest.mark.parametrize("block", range(10))
def test_wrong_calls_are_errors_that_change_nothing(library: Any, block: int) -> None:
    for seed in range(block * SEQUENCES // 10, (block + 1) * SEQUENCES // 10):
        before, wrong = case(seed)
        with Driver.open(PARAMETERS, library) as driver, Driver.open(PARAMETERS, library) as twin:
            for call in before:
                assert driver.execute(call).tolist() == twin.execute(call).tolist()
            for _ in range(2):
                with pytest.raises(BehaviourError) as caught:
                    driver.execute(wrong)
            assert caught.value.bound, f"seed {seed}: an error without a reason"
            assert state(driver, seed) == state(twin, seed), f"seed {seed}: {wrong} left something behind"


def test_a_call_that_there_is_not_is_an_error(library: Any) -> None:
    class Other:
        name = "OTHER"

        def __index__(self) -> int:
            return 11

    call = Call(Operation.WAIT, (0,) * len(COUNTS))
    object.__setattr__(call, "operation", Other())
    with Driver.open(PARAMETERS, library) as driver, pytest.raises(BehaviourError, match="a call that there is not"):
        driver.execute(call)
