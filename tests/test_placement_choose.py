"""The choice among plans by simulation."""

from __future__ import annotations

from cyclecast.placement import Check, Segment
from cyclecast.placement._choose import choose
from cyclecast.placement._plan import Plan
from cyclecast.units import Time


def plan(interval: int, arrays: int = 1) -> Plan:
    """A pipeline of nothing."""
    segment = Segment(stages=(), write=Time(0), period=Time(interval), latency=Time(interval), limits=())
    return Plan(segments=(segment,), interval=Time(interval), latency=Time(interval), energy=None, arrays=arrays)


def check(interval: int, blocked: tuple[int, ...] = ()) -> Check:
    return Check(Time(interval), Time(interval), (), (), blocked)


def chosen(*simulated: tuple[int, Check]) -> list[int]:
    """Closed forms of the plans in the order of the choice, each given with its simulation."""
    checks = dict(simulated)
    plans = [plan(closed) for closed in checks]
    seen = choose(plans, "interval", lambda each: (each, checks[each.interval.femtoseconds]), lambda _: [])
    return [each.plan.interval.femtoseconds for each in seen]


def test_a_simulation_that_agrees_is_enough() -> None:
    assert chosen((100, check(104)), (120, check(120))) == [100]


def test_the_simulation_has_the_last_word() -> None:
    assert chosen((100, check(160)), (120, check(121)), (200, check(200))) == [120, 100]


def test_what_blocks_comes_last() -> None:
    assert chosen((100, check(0, (3,))), (300, check(310)))[0] == 300


def test_nothing_is_hidden_where_all_block() -> None:
    assert chosen((100, check(0, (3,))), (300, check(0, (4,))))[0] == 100


def test_longer_plans_are_not_simulated_in_vain() -> None:
    looked: list[int] = []

    def look(each: Plan) -> tuple[Plan, Check]:
        looked.append(each.interval.femtoseconds)
        return each, check(110)

    choose([plan(100), plan(110), plan(111)], "interval", look, lambda _: [])
    assert looked == [100]
