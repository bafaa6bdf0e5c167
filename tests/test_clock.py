"""The clock of the event simulation of placements: it keeps the order of SimPy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from typing import Any

import simpy
from hypothesis import given
from hypothesis import strategies as st

from cyclecast._clock import Clock, Process, Signal, Turns

SIGNALS, TURNS = 3, 2
Step = tuple[str, int, int]
"""What to do, with which one, how long or which number."""
Log = list[tuple[int, int, int]]
"""When which process had done which of its steps."""

STEPS = st.one_of(
    st.tuples(st.just("sleep"), st.just(0), st.integers(1, 3)),
    st.tuples(st.just("happen"), st.integers(0, SIGNALS - 1), st.just(0)),
    st.tuples(st.just("wait"), st.integers(0, SIGNALS - 1), st.integers(0, 3)),
    st.tuples(st.just("turn"), st.integers(0, TURNS - 1), st.integers(0, 3)),
)
SCRIPTS = st.lists(st.lists(STEPS, max_size=8), min_size=1, max_size=6)


def by_clock(scripts: list[list[Step]]) -> Log:
    clock, log = Clock(), Log()
    signals, turns = [Signal(clock) for _ in range(SIGNALS)], [Turns(clock) for _ in range(TURNS)]

    def process(name: int, script: list[Step]) -> Process:
        resume = yield
        for number, (what, which, value) in enumerate(script):
            if what == "sleep":
                clock.at(clock.now + value, resume)
                yield
            elif what == "happen":
                signals[which].happen()
            elif what == "wait" and signals[which].seen <= value:
                signals[which].wait(value, resume)
                yield
            elif what == "turn":
                turns[which].ask(resume)
                yield
                if value:
                    clock.at(clock.now + value, resume)
                    yield
                turns[which].leave()
            log.append((clock.now, name, number))
        yield

    clock.run([process(name, script) for name, script in enumerate(scripts)])
    return log


def by_simpy(scripts: list[list[Step]]) -> Log:
    env, log, happened = simpy.Environment(), Log(), Counter[int]()
    events = [[env.event() for _ in range(100)] for _ in range(SIGNALS)]
    turns = [simpy.Resource(env) for _ in range(TURNS)]

    def process(name: int, script: list[Step]) -> Generator[simpy.Event, Any, None]:
        for number, (what, which, value) in enumerate(script):
            if what == "sleep":
                yield env.timeout(value)
            elif what == "happen":
                events[which][happened[which]].succeed()
                happened[which] += 1
            elif what == "wait":
                yield events[which][value]
            elif what == "turn":
                turn = turns[which].request()
                yield turn
                if value:
                    yield env.timeout(value)
                turns[which].release(turn)
            log.append((int(env.now), name, number))

    for name, script in enumerate(scripts):
        env.process(process(name, script))
    env.run()
    return log


@given(SCRIPTS)
def test_the_order_is_that_of_simpy(scripts: list[list[Step]]) -> None:
    assert by_clock(scripts) == by_simpy(scripts)


def test_nobody_has_a_turn_before_who_asked_first() -> None:
    log = by_clock([[("turn", 0, 5)], [("sleep", 0, 1), ("turn", 0, 1)], [("turn", 0, 2)]])
    assert [(when, name) for when, name, number in log if number or name != 1] == [(5, 0), (7, 2), (8, 1)]
