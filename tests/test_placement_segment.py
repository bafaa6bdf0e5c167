"""Cutting a network into segments: no other cut is better."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cyclecast.placement._pareto_mappings import ParetoMappings
from cyclecast.placement._pipeline import Needs
from cyclecast.placement._segment import (
    NEVER,
    Cost,
    CostTable,
    SegmentOperator,
    SegmentTimes,
    costs_of,
    each_alone,
    line_of,
    overlapped_partition,
    overlapped_time,
    partition,
    period_grid,
)
from placed import dense

Costs = dict[tuple[int, int], Cost]


@st.composite
def tables(draw: st.DrawFn) -> tuple[int, Costs]:
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


def cuts(count: int, costs: Costs, begin: int = 0) -> Iterator[list[tuple[int, int]]]:
    """All of them."""
    if begin == count:
        yield []
    for end in range(begin + 1, count + 1):
        if (begin, end) in costs:
            for rest in cuts(count, costs, end):
                yield [(begin, end), *rest]


@given(tables())
def test_no_cut_takes_less(case: tuple[int, Costs]) -> None:
    count, costs = case
    totals = [sum(costs[each].write + costs[each].compute for each in cut) for cut in cuts(count, costs)]
    found = partition(count, CostTable.of(count, costs))
    assert (found is None) == (not totals)
    if found:
        assert sum(costs[each].write + costs[each].compute for each in found) == min(totals)
        assert [0, *(end for _, end in found)] == [*(begin for begin, _ in found), count]


@given(tables())
def test_no_overlapped_cut_takes_less(case: tuple[int, Costs]) -> None:
    count, costs = case
    totals = [overlapped_time(cut, costs) for cut in cuts(count, costs)]
    found = overlapped_partition(count, CostTable.of(count, costs))
    assert (found is None) == (not totals)
    if found:
        assert overlapped_time(found, costs) == min(totals)
        assert all(one[1] == other[0] for one, other in pairwise(found))


def segments(table: CostTable) -> set[tuple[int, int]]:
    """All that fit."""
    return {(begin, end) for begin, row in enumerate(table.rows) for end in row.ends.tolist()}


def ways(*points: tuple[int, int]) -> SegmentOperator:
    arrays, times = zip(*points, strict=True)
    return SegmentOperator(
        ParetoMappings(workload=dense(1, 1), arrays=arrays, times=times, mappings=()), write=7, delay=3
    )


def test_costs_of_what_fits() -> None:
    parts = [ways((4, 100), (8, 50)), SegmentOperator(None), ways((4, 80))]
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
    parts = [ways((4, 100)), SegmentOperator(None, alone=Cost(500, 60, 60)), ways((4, 80))]
    found = costs_of(parts, [(), (), ()], budget=10, at_once=2, batch=2)
    assert found[1, 2] == Cost(500, 120, 60)
    assert segments(found) == {(0, 1), (1, 2), (2, 3)}


def test_each_alone_takes_the_host_along() -> None:
    alone = SegmentOperator(None, alone=Cost(1, 1, 1))
    assert each_alone([ways((1, 1)), SegmentOperator(None), ways((1, 1)), alone, SegmentOperator(None)]) == [
        (0, 2),
        (2, 3),
        (3, 4),
        (4, 5),
    ]


def one_by_one(
    parts: Sequence[SegmentOperator], needs: Sequence[Sequence[Needs]], budget: int, at_once: int, batch: int
) -> Costs:
    """`costs_of`, with every line of every segment computed, in Python's integers."""
    found: Costs = {}
    grid = period_grid([part.options for part in parts if part.options]).tolist()
    for begin in range(len(parts)):
        for end in range(begin + 1, len(parts) + 1):
            run = parts[begin:end]
            if any(part.alone for part in run):
                alone = parts[begin].alone
                if alone and end == begin + 1:
                    found[begin, end] = Cost(alone.write, batch * alone.compute, alone.compute)
                continue
            costs = [cost for period in grid if (cost := _at(parts, needs, begin, end, period, budget, at_once, batch))]
            if costs:
                found[begin, end] = min(costs, key=lambda cost: cost.write + cost.compute)
    return found


def _at(
    parts: Sequence[SegmentOperator], needs: Sequence[Sequence[Needs]], begin: int, end: int, period: int,
    budget: int, at_once: int, batch: int
) -> Cost | None:  # fmt: skip
    starts: dict[int, Any] = {}
    ends: dict[int, Any] = {}
    arrays, longest = 0, 0
    for place in range(begin, end):
        ways_ = parts[place].options
        at = ways_.within(period) if ways_ else None
        if ways_ and at is None:
            return None
        time = ways_.times[at or 0] if ways_ else 0
        arrays, longest = arrays + (ways_.arrays[at or 0] if ways_ else 0), max(longest, time)
        taken = line_of(parts[place].delay, np.array([time]), needs[place], starts, ends)
        starts[place], ends[place] = taken
    if arrays > budget:
        return None
    write = -(-arrays // at_once) * max(part.write for part in parts[begin:end])
    latest = max(int(end_[0]) for end_ in ends.values())
    return Cost(write, latest + (batch - 1) * longest, period)


POINTS = ((0.0, 0.1), (0.3, 0.5), (0.9, 1.0)), ((0.0, 1.0),), ((0.0, 0.02), (0.97, 1.0))


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[SegmentOperator], list[list[Needs]]]:
    """Operators with a few ways each; some on the host, some alone; edges forward."""
    parts, needs = list[SegmentOperator](), list[list[Needs]]()
    for place in range(draw(st.integers(1, 9))):
        kind = draw(st.integers(0, 9))
        times = sorted(draw(st.sets(st.integers(1, 40), min_size=1, max_size=3)), reverse=True)
        steps = [draw(st.integers(1, 3)) for _ in times]
        arrays = [sum(steps[: count + 1]) for count in range(len(times))]
        options = ParetoMappings(workload=dense(1, 1), arrays=arrays, times=[100 * time for time in times], mappings=())
        part = SegmentOperator(options, draw(st.integers(0, 9)), draw(st.integers(0, 50)))
        parts.append(
            SegmentOperator(None) if kind == 0 else SegmentOperator(None, alone=Cost(5, 7, 7)) if kind == 1 else part
        )
        sources = draw(st.sets(st.integers(max(0, place - 4), place - 1), max_size=3)) if place else set()
        needs.append([Needs(source, draw(st.sampled_from(POINTS)), 10, 3) for source in sorted(sources)])
    return parts, needs


@given(graphs(), st.integers(1, 30), st.integers(1, 4), st.sampled_from([1, 5, 2**31 - 1]))
def test_segments_cost_what_they_cost_one_by_one(
    graph: tuple[list[SegmentOperator], list[list[Needs]]], budget: int, at_once: int, batch: int
) -> None:
    found, wanted = costs_of(*graph, budget, at_once, batch), one_by_one(*graph, budget, at_once, batch)
    assert {segment: found[segment] for segment in segments(found)} == wanted
    assert all(segment in found for segment in wanted)


def chain(count: int, seed: int = 0) -> tuple[list[SegmentOperator], list[list[Needs]], Any]:
    """Operators one after another that take about as long, and their times at two periods."""
    times = np.random.default_rng(seed).integers(900, 1000, (count, 2))
    parts = [
        SegmentOperator(ParetoMappings(workload=dense(1, 1), arrays=(1,), times=(int(time),), mappings=()), 1, 5)
        for time in times[:, 0]
    ]
    return parts, [[Needs(place - 1, POINTS[0], 10, 3)] if place else [] for place in range(count)], times


@pytest.mark.parametrize("identical", [True, False])
def test_lines_are_computed_in_proportion_to_operators(identical: bool) -> None:
    """Where all operators fit together there are n^2 / 2 segments, but not as many lines."""
    computed = []
    for count in (100, 200):
        parts, needs, times = chain(count)
        lines = SegmentTimes(parts, needs, 0 * times + 900 if identical else times)
        for begin in range(count):
            lines.latest(begin, count)
        computed.append(lines.computed)
    assert computed[1] <= 2.4 * computed[0]
    assert computed[1] <= 20 * 200


def test_a_long_chain_that_fits_is_one_segment() -> None:
    parts, needs, _ = chain(600)
    found = costs_of(parts, needs, 600, 1, 1)
    assert partition(600, found) == [(0, 600)]
    assert len(overlapped_partition(600, found.without((0, 600))) or ()) >= 2
    assert NEVER > found[0, 600].compute > found[1, 600].compute
