"""The shortest interval under a budget is the shortest that there is."""

from __future__ import annotations

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from cyclecast.placement._interval import arrays_for, periods, work_bound
from cyclecast.placement._pareto_mappings import ParetoMappings
from placed import dense


def least_period(options: list[ParetoMappings], counts: list[int], budget: int) -> int | None:
    return next(iter(periods(options, counts, budget)), None)


@st.composite
def staircases(draw: st.DrawFn) -> ParetoMappings:
    """Ascending arrays with descending times."""
    count = draw(st.integers(1, 5))
    arrays = sorted(draw(st.lists(st.integers(1, 40), min_size=count, max_size=count, unique=True)))
    times = sorted(draw(st.lists(st.integers(1, 60), min_size=count, max_size=count, unique=True)), reverse=True)
    return ParetoMappings(workload=dense(1, 1), arrays=arrays, times=times, mappings=())


@given(st.lists(st.tuples(staircases(), st.integers(1, 3)), min_size=1, max_size=4), st.integers(1, 160))
def test_no_choice_has_a_shorter_interval(network: list[tuple[ParetoMappings, int]], budget: int) -> None:
    options, counts = [each for each, _ in network], [count for _, count in network]
    choices = product(*(range(len(each)) for each in options))
    fitting = [
        max(each.times[at] for each, at in zip(options, choice, strict=True))
        for choice in choices
        if sum(n * each.arrays[at] for each, at, n in zip(options, choice, counts, strict=True)) <= budget
    ]
    assert least_period(options, counts, budget) == min(fitting, default=None)


@given(st.lists(staircases(), min_size=1, max_size=4), st.integers(1, 160))
def test_no_period_is_below_the_work_bound(options: list[ParetoMappings], budget: int) -> None:
    shares = [(each.arrays[0], min(a * t for a, t in zip(each.arrays, each.times, strict=True))) for each in options]
    period = least_period(options, [1] * len(options), budget)
    assert period is None or work_bound(shares, budget) <= period


def test_the_work_bound_is_met_where_parts_fit() -> None:
    ways = ParetoMappings(workload=dense(1, 1), arrays=(1, 2, 5, 10), times=(100, 50, 20, 10), mappings=())
    assert work_bound([(1, 100)], 10) == least_period([ways], [1], 10) == 10
    assert work_bound([(1, 100), (8, 8)], 10) == least_period(
        [ways, ParetoMappings(workload=dense(1, 1), arrays=(8,), times=(1,), mappings=())], [1, 1], 10
    )


@given(st.lists(staircases(), min_size=1, max_size=4), st.integers(1, 160))
def test_periods_fit_and_shorter_ones_do_not(options: list[ParetoMappings], budget: int) -> None:
    counts = [1] * len(options)
    fitting = periods(options, counts, budget)
    for time in {time for each in options for time in each.times}:
        needed = arrays_for(options, counts, time)
        assert (time in fitting) == (needed is not None and needed <= budget)
