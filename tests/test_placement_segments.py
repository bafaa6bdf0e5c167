"""Cutting a network into segments: no other cut is better."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from cyclecast.placement._options import Options
from cyclecast.placement._segments import (
    Cost,
    Part,
    Table,
    costs_of,
    each_alone,
    overlapped_partition,
    overlapped_time,
    partition,
)
from placed import dense


@st.composite
def tables(draw: st.DrawFn) -> tuple[int, Table]:
    """Costs of the segments of a few operators; some do not fit."""
    count = draw(st.integers(1, 6))
    times = st.integers(0, 50)
    costs = {
        (begin, end): Cost(draw(times), draw(times), 1)
        for begin in range(count)
        for end in range(begin + 1, count + 1)
        if draw(st.integers(0, 4))
    }
    return count, costs


def cuts(count: int, costs: Table, begin: int = 0) -> Iterator[list[tuple[int, int]]]:
    """All of them."""
    if begin == count:
        yield []
    for end in range(begin + 1, count + 1):
        if (begin, end) in costs:
            for rest in cuts(count, costs, end):
                yield [(begin, end), *rest]


@given(tables())
def test_no_cut_takes_less(case: tuple[int, Table]) -> None:
    count, costs = case
    totals = [sum(costs[each].write + costs[each].compute for each in cut) for cut in cuts(count, costs)]
    found = partition(count, costs)
    assert (found is None) == (not totals)
    if found:
        assert sum(costs[each].write + costs[each].compute for each in found) == min(totals)
        assert [0, *(end for _, end in found)] == [*(begin for begin, _ in found), count]


@given(tables())
def test_no_overlapped_cut_takes_less(case: tuple[int, Table]) -> None:
    count, costs = case
    totals = [overlapped_time(cut, costs) for cut in cuts(count, costs)]
    found = overlapped_partition(count, costs)
    assert (found is None) == (not totals)
    if found:
        assert overlapped_time(found, costs) == min(totals)
        assert all(one[1] == other[0] for one, other in pairwise(found))


def ways(*points: tuple[int, int]) -> Part:
    arrays, times = zip(*points, strict=True)
    return Part(Options(dense(1, 1), arrays, times, ()), write=7, delay=3)


def test_costs_of_what_fits() -> None:
    parts = [ways((4, 100), (8, 50)), Part(None), ways((4, 80))]
    found = costs_of(parts, [(), (), ()], budget=10, at_once=2, batch=1)
    assert found[0, 1] == Cost(4 * 7, 50 + 3, 50)  # eight arrays, two at a time
    assert found[0, 3] == Cost(4 * 7, 100 + 3, 100)  # four and four, side by side
    assert found[1, 2] == Cost(0, 0, 50)
    assert found[2, 3] == Cost(2 * 7, 80 + 3, 80)


def test_a_batch_is_worth_writing_more() -> None:
    slow = ways((4, 100), (40, 10))
    one, many = (costs_of([slow], [()], budget=40, at_once=1, batch=batch)[0, 1] for batch in (1, 10))
    assert one.period == 100
    assert many == Cost(40 * 7, 10 + 3 + 9 * 10, 10)


def test_a_batch_of_any_size_is_exact() -> None:
    """Times of milliseconds and 2^31 images are beyond 64 bits."""
    slow, batch = ways((10, 10**13), (40, 10**12)), 2**31 - 1
    assert costs_of([slow], [()], budget=40, at_once=1, batch=batch)[0, 1] == Cost(280, 3 + batch * 10**12, 10**12)
    assert costs_of([slow], [()], budget=39, at_once=1, batch=batch)[0, 1] == Cost(70, 3 + batch * 10**13, 10**13)


def test_weights_that_take_turns_are_a_segment_by_themselves() -> None:
    parts = [ways((4, 100)), Part(None, alone=Cost(500, 60, 60)), ways((4, 80))]
    found = costs_of(parts, [(), (), ()], budget=10, at_once=2, batch=2)
    assert found[1, 2] == Cost(500, 120, 60)
    assert set(found) == {(0, 1), (1, 2), (2, 3)}


def test_each_alone_takes_the_host_along() -> None:
    alone = Part(None, alone=Cost(1, 1, 1))
    assert each_alone([ways((1, 1)), Part(None), ways((1, 1)), alone, Part(None)]) == [(0, 2), (2, 3), (3, 4), (4, 5)]
