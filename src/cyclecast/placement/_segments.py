"""The best way to cut a network into parts that are resident one after another: dynamic programming.

A part (segment) is a run of operators in the order of the program. Its weights are written, then a batch of images goes
through its pipeline, then the next part takes its place. One segment is residency, one for each operator is
re-programming layer by layer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from cyclecast.placement._options import Options
from cyclecast.placement._pipeline import Needs

GRID = 48
"""Periods that are tried for a segment."""
NEVER = int(np.iinfo(np.int64).max // 4)
"""Longer than anything [fs]."""


class Cost(NamedTuple):
    """What a segment takes for a batch [fs], and the period that it then has."""

    write: int
    compute: int
    period: int


Table = Mapping[tuple[int, int], Cost]
"""By the first operator and the one after the last; those that do not fit are not there."""


def partition(operators: int, costs: Table) -> list[tuple[int, int]] | None:
    """The cut with the least sum of writing and computing; None where some operator fits in no segment."""
    least, cut = [0] + [NEVER] * operators, [0] * (operators + 1)
    for end in range(1, operators + 1):
        for begin in range(end):
            cost = costs.get((begin, end))
            if cost and least[begin] + cost.write + cost.compute < least[end]:
                least[end], cut[end] = least[begin] + cost.write + cost.compute, begin
    return _walked(cut, operators) if least[-1] < NEVER else None


def _walked(cut: Sequence[int], end: int) -> list[tuple[int, int]]:
    found = []
    while end:
        found.append((cut[end], end))
        end = cut[end]
    return found[::-1]


def overlapped_partition(operators: int, costs: Table) -> list[tuple[int, int]] | None:
    """The cut with the least time where a segment is written while the one before it computes."""
    ending: dict[int, list[tuple[int, int]]] = {}
    for begin, end in sorted(costs):
        ending.setdefault(end, []).append((begin, end))
    least: dict[tuple[int, int], int] = {}
    """Until the last segment begins to compute, by the last segment."""
    before: dict[tuple[int, int], tuple[int, int]] = {}
    for segment in sorted(costs, key=lambda each: each[1]):
        write = costs[segment].write
        if segment[0] == 0:
            least[segment] = write
        for earlier in ending.get(segment[0], ()):
            if earlier in least:
                ready = least[earlier] + max(costs[earlier].compute, write)
                if ready < least.get(segment, NEVER):
                    least[segment], before[segment] = ready, earlier
    last = [segment for segment in ending.get(operators, ()) if segment in least]
    if not last:
        return None
    segment = min(last, key=lambda each: least[each] + costs[each].compute)
    found = [segment]
    while found[-1] in before:
        found.append(before[found[-1]])
    return found[::-1]


def overlapped_time(segments: Sequence[tuple[int, int]], costs: Table) -> int:
    """All segments of a batch, each but the first written while the one before it computes [fs]."""
    chosen = [costs[segment] for segment in segments]
    hidden = sum(max(one.compute, other.write) for one, other in pairwise(chosen))
    return chosen[0].write + hidden + chosen[-1].compute


@dataclass(frozen=True, slots=True)
class Part:
    """An operator as segments see it."""

    options: Options | None
    """None where the host does it, or where its weights never fit at once (`alone`)."""
    write: int = 0
    """Programming one array [fs]."""
    delay: int = 0
    """From a step's inputs to its results beside the step [fs]."""
    alone: Cost | None = None
    """Of one image, if its weights take turns in the arrays: it is a segment by itself."""


def costs_of(
    parts: Sequence[Part], needs: Sequence[Sequence[Needs]], budget: int, at_once: int, batch: int
) -> dict[tuple[int, int], Cost]:
    """The cost of every segment that fits: of all periods on a grid, that with the least sum for so many images.

    `at_once` arrays are written at the same time.
    """
    found: dict[tuple[int, int], Cost] = {}
    grid = period_grid([part.options for part in parts if part.options])
    held, times = zip(*(_held(part, grid) for part in parts), strict=True)
    for begin in range(len(parts)):
        arrays, longest, slowest = np.zeros_like(grid), np.zeros_like(grid), 0
        starts: dict[int, Any] = {}
        ends: dict[int, Any] = {}
        latest = np.zeros_like(grid)
        for place in range(begin, len(parts)):
            part = parts[place]
            if part.alone:
                if place == begin:
                    found[begin, place + 1] = _alone(part.alone, batch)
                break
            arrays = np.minimum(arrays + held[place], NEVER)
            if arrays.min() > budget:
                break
            longest, slowest = np.maximum(longest, times[place]), max(slowest, part.write)
            starts[place], ends[place] = line_of(part.delay, times[place], needs[place], starts, ends)
            latest = np.maximum(latest, ends[place])
            write = -(-arrays // at_once) * slowest
            fits = np.flatnonzero(arrays <= budget)
            rest = _times(batch - 1, longest[fits])
            least = int((write[fits] + latest[fits] + rest).argmin())
            best = int(fits[least])
            found[begin, place + 1] = Cost(int(write[best]), int(latest[best]) + int(rest[least]), int(grid[best]))
    return found


def _times(factor: int, values: Any) -> Any:
    """The products, as Python's integers where 64 bits are too few for what is added to them."""
    return factor * (values.astype(object) if factor * int(values.max()) > NEVER // 4 else values)


def _alone(cost: Cost, batch: int) -> Cost:
    """Weights that take turns are written once for a batch, too."""
    return Cost(cost.write, batch * cost.compute, cost.compute)


def period_grid(options: Sequence[Options], points: int = GRID) -> Any:
    """Some of the times that the options take, evenly spread over their orders of magnitude."""
    if not options:
        return np.zeros(1, np.int64)
    times = np.unique(np.concatenate([np.asarray(each.times, np.int64) for each in options]))
    wanted = np.geomspace(times[0], times[-1], points)
    return times[np.unique(np.minimum(np.searchsorted(times, wanted * (1 - 1e-12)), len(times) - 1))]


def _held(part: Part, grid: Any) -> tuple[Any, Any]:
    """Arrays and time of an operator at every period; more than any budget where it cannot keep up."""
    if part.options is None:
        return np.zeros_like(grid), np.zeros_like(grid)
    places = [part.options.within(int(period)) for period in grid]
    arrays = [NEVER // 2**20 if place is None else part.options.arrays[place] for place in places]
    times = [part.options.times[0 if place is None else place] for place in places]
    return np.array(arrays, np.int64), np.array(times, np.int64)


def line_of(
    delay: int, times: Any, needs: Sequence[Needs], starts: Mapping[int, Any], ends: Mapping[int, Any]
) -> tuple[Any, Any]:
    """Start and end of an operator for each of its times, shape (n,), as in `lines_of`; steps are short [fs]."""
    start: Any = 0 * times
    late = start
    for need in needs:
        if need.source in starts:
            first, last = starts[need.source], ends[need.source]
            for position, (before, share) in enumerate(need.points):
                there = first + ((last - first) * share).astype(np.int64)
                start = np.maximum(start, there) if not position else start
                late = np.maximum(late, there + ((1 - before) * times).astype(np.int64))
    return start + delay, np.maximum(start + times, late) + delay


def each_alone(parts: Sequence[Part]) -> list[tuple[int, int]]:
    """A segment for every operator on arrays."""
    found: list[tuple[int, int]] = []
    for place, part in enumerate(parts):
        on_host = part.options is None and part.alone is None
        if found and on_host and parts[found[-1][0]].alone is None:
            found[-1] = (found[-1][0], place + 1)
        else:
            found.append((place, place + 1))
    return found
