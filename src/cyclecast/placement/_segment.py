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

from cyclecast._integers import greatest, wide
from cyclecast.placement._pareto_mappings import ParetoMappings
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


class Row(NamedTuple):
    """The segments that begin with one operator: arrays of one element each."""

    ends: Any
    """The operator after the last one, ascending."""
    writes: Any
    computes: Any
    """For a batch [fs]."""
    periods: Any
    """[fs]"""


@dataclass(frozen=True, slots=True)
class CostTable:
    """The costs of segments, by the first operator; those that do not fit are not there."""

    rows: Sequence[Row]

    @classmethod
    def of(cls, operators: int, costs: Mapping[tuple[int, int], Cost]) -> CostTable:
        """From the costs of single segments, by the first operator and the one after the last."""
        rows = []
        for begin in range(operators):
            ends = sorted(end for first, end in costs if first == begin)
            values = [(end, *costs[begin, end]) for end in ends] or np.zeros((0, 4), np.int64)
            rows.append(Row(*np.array(values).T))
        return cls(rows)

    def __contains__(self, segment: tuple[int, int]) -> bool:
        return bool(np.isin(segment[1], self.rows[segment[0]].ends))

    def __getitem__(self, segment: tuple[int, int]) -> Cost:
        row = self.rows[segment[0]]
        place = int(np.searchsorted(row.ends, segment[1]))
        return Cost(int(row.writes[place]), int(row.computes[place]), int(row.periods[place]))

    def without(self, segment: tuple[int, int]) -> CostTable:
        """All the others."""
        rows, (begin, end) = list(self.rows), segment
        rows[begin] = Row(*(values[rows[begin].ends != end] for values in rows[begin]))
        return CostTable(rows)


def partition(operators: int, costs: CostTable) -> list[tuple[int, int]] | None:
    """The cut with the least sum of writing and computing; None where some operator fits in no segment."""
    least = np.full(operators + 1, NEVER, _kind(costs))
    least[0], cut = 0, np.zeros(operators + 1, np.int64)
    for begin, row in enumerate(costs.rows):
        if least[begin] < NEVER and len(row.ends):
            whole = least[begin] + row.writes + row.computes
            better = np.flatnonzero(whole < least[row.ends])
            least[row.ends[better]], cut[row.ends[better]] = whole[better], begin
    return _walked(cut.tolist(), operators) if least[-1] < NEVER else None


def _kind(costs: CostTable) -> Any:
    """Python's integers where some costs are, else 64 bits."""
    return object if any(row.computes.dtype == object for row in costs.rows) else np.int64


def _walked(cut: Sequence[int], end: int) -> list[tuple[int, int]]:
    found = []
    while end:
        found.append((cut[end], end))
        end = cut[end]
    return found[::-1]


def overlapped_partition(operators: int, costs: CostTable) -> list[tuple[int, int]] | None:
    """The cut with the least time where a segment is written while the one before it computes.

    For every operator, the segments that end before it are put in order of what they compute: those that compute longer
    than the next one is written, and those that do not.
    """
    size, kind = (operators, operators + 1), _kind(costs)
    ready, computes = np.full(size, NEVER, kind), np.zeros(size, kind)
    """Until a segment begins to compute, and what it computes, by its first operator and the one after its last."""
    before = np.full(size, -1, np.int64)
    """The first operator of the segment before it."""
    for begin, row in enumerate(costs.rows):
        if not len(row.ends):
            continue
        computes[begin, row.ends] = row.computes
        if begin == 0:
            ready[0, row.ends] = row.writes
            continue
        earlier = np.flatnonzero(ready[:begin, begin] < NEVER)
        if len(earlier):
            found = _best_before(ready[earlier, begin], computes[earlier, begin], row.writes)
            fits = found[0] < NEVER
            ready[begin, row.ends[fits]] = found[0][fits]
            before[begin, row.ends[fits]] = earlier[found[1][fits]]
    last = np.flatnonzero(ready[:, operators] < NEVER)
    if not len(last):
        return None
    whole = ready[last, operators] + computes[last, operators]
    begin, end = int(last[int(whole.argmin())]), operators
    segments = [(begin, end)]
    while before[begin, end] >= 0:
        begin, end = int(before[begin, end]), begin
        segments.append((begin, end))
    return segments[::-1]


def _best_before(ready: Any, computes: Any, writes: Any) -> tuple[Any, Any]:
    """For each time of writing the least `ready + max(computes, write)`, and the place of the first that has it."""
    order = np.argsort(computes, kind="stable")
    longer = np.searchsorted(computes[order], writes, "right")
    hidden, shown = _least(ready, order), _least(ready + computes, order[::-1])
    some, others = longer > 0, longer < len(order)
    one = hidden[np.maximum(longer - 1, 0)]
    other = shown[np.maximum(len(order) - longer - 1, 0)]
    first = np.where(some, ready[one] + writes, NEVER)
    second = np.where(others, ready[other] + computes[other], NEVER)
    taken = (first < second) | ((first == second) & (one < other))
    return np.where(taken, first, second), np.where(taken, one, other)


def _least(values: Any, order: Any) -> Any:
    """The place of the least of the first values in this order, for so many of them: of equal ones the first place."""
    by_rank = np.argsort(values, kind="stable")
    rank = np.empty(len(values), np.int64)
    rank[by_rank] = np.arange(len(values))
    return by_rank[np.minimum.accumulate(rank[order])]


def overlapped_time(segments: Sequence[tuple[int, int]], costs: Mapping[tuple[int, int], Cost]) -> int:
    """All segments of a batch, each but the first written while the one before it computes [fs]."""
    chosen = [costs[segment] for segment in segments]
    hidden = sum(max(one.compute, other.write) for one, other in pairwise(chosen))
    return chosen[0].write + hidden + chosen[-1].compute


@dataclass(frozen=True, slots=True)
class SegmentOperator:
    """An operator as segments see it."""

    options: ParetoMappings | None
    """None where the host does it, or where its weights never fit at once (`alone`)."""
    write: int = 0
    """Programming one array [fs]."""
    delay: int = 0
    """From a step's inputs to its results beside the step [fs]."""
    alone: Cost | None = None
    """Of one image, if its weights take turns in the arrays: it is a segment by itself."""


def costs_of(
    parts: Sequence[SegmentOperator], needs: Sequence[Sequence[Needs]], budget: int, at_once: int, batch: int
) -> CostTable:
    """The cost of every segment that fits: of all periods on a grid, that with the least sum for so many images.

    `at_once` arrays are written at the same time.
    """
    grid = period_grid([part.options for part in parts if part.options])
    known: dict[int, tuple[Any, Any]] = {}
    for part in parts:
        if id(part.options) not in known:
            known[id(part.options)] = _held(part, grid)
    held, times = (np.stack(each) for each in zip(*(known[id(part.options)] for part in parts), strict=True))
    arrays = np.concatenate([np.zeros_like(held[:1]), np.cumsum(held, axis=0)])
    writes = np.array([part.write for part in parts], np.int64)
    ends, lines, rows = _ends(parts, arrays, budget), SegmentTimes(parts, needs, times), list[Row]()
    for begin, end in enumerate(ends):
        alone = parts[begin].alone
        if alone:
            rows.append(_alone(begin, alone, batch))
            continue
        taken, longest = arrays[begin + 1 : end + 1] - arrays[begin], np.maximum.accumulate(times[begin:end])
        write = -(-taken // at_once) * np.maximum.accumulate(writes[begin:end])[:, None]
        latest, fits = lines.latest(begin, end), taken <= budget
        rest = _times(batch - 1, np.where(fits, longest, 0))
        whole = np.where(fits, write + latest + rest, 2 * NEVER if rest.dtype != object else batch * NEVER)
        best = whole.argmin(axis=1) if len(whole) else np.zeros(0, np.int64)
        every = np.arange(end - begin)
        computes = latest[every, best] + rest[every, best]
        rows.append(Row(begin + 1 + every, write[every, best], computes, grid[best]))
    return CostTable(rows)


def _ends(parts: Sequence[SegmentOperator], arrays: Any, budget: int) -> list[int]:
    """For every operator, where the longest segment that begins with it ends; `arrays` of all before every operator."""
    ends, end, limit = [], 0, [*(place for place, part in enumerate(parts) if part.alone), len(parts)]
    for begin in range(len(parts)):
        end = max(begin, end)
        limit = limit[1:] if limit[0] < begin else limit
        while end < limit[0] and (arrays[end + 1] - arrays[begin]).min() <= budget:
            end += 1
        ends.append(end)
    return ends


class SegmentTimes:
    """When every operator of a segment starts and ends, from segments that begin with one operator to the next.

    A segment that begins one operator later is the same at another time, as soon as all operators that others still
    wait for are the same at another time: from there on, nothing is computed anew.
    """

    def __init__(self, parts: Sequence[SegmentOperator], needs: Sequence[Sequence[Needs]], times: Any) -> None:
        self.parts, self.needs, self.times = parts, needs, times
        count = len(parts)
        self.starts, self.ends = np.zeros_like(times), np.zeros_like(times)
        """Of the segment looked at last, shape (operators, periods) [fs]."""
        self.end = 0
        """End of that segment, as a place in the network."""
        self.last = list(range(count))
        """The last operator that waits for each, or itself."""
        sources = [[need.source for need in each] for each in needs]
        for place, each in enumerate(sources):
            for source in each:
                self.last[source] = place
        nearest = [max(each, default=-1) for each in sources]
        self.nearest = np.minimum.accumulate(np.array([*nearest, count])[::-1])[::-1].tolist()
        """Of each operator and all after it, the least of their last sources."""
        first = [min(each, default=count) for each in sources]
        self.oldest = np.minimum.accumulate(np.array([*first, count])[::-1])[::-1].tolist()
        """Of each operator and all after it, their first source."""
        self.computed = 0
        """Lines that were computed."""

    def latest(self, begin: int, end: int) -> Any:
        """The end of the segment from `begin` to each operator before `end`, shape (operators, periods) [fs].

        To be called for one `begin` after the other, with ends that do not fall.
        """
        shift = 0 * self.times[begin]
        starts: dict[int, Any] = {}
        ends: dict[int, Any] = {}
        for place in range(begin, end):
            self._compute(place, starts, ends)
            found = self._shift(begin, place + 1, starts, ends)
            if found is not None:
                shift = found
                break
        for place, start in starts.items():
            self.starts[place], self.ends[place] = start + shift, ends[place] + shift
        for place in range(max(begin + len(starts), self.end), end):
            sources = [need.source for need in self.needs[place] if need.source >= begin]
            starts = {each: self.starts[each] - shift for each in sources}
            ends = {each: self.ends[each] - shift for each in sources}
            self._compute(place, starts, ends)
            self.starts[place], self.ends[place] = starts[place] + shift, ends[place] + shift
        self.end = max(begin, end)
        return np.maximum.accumulate(self.ends[begin:end], axis=0) - shift

    def _compute(self, place: int, starts: dict[int, Any], ends: dict[int, Any]) -> None:
        """Start and end of one operator, from those of its sources."""
        delay, times, needs = self.parts[place].delay, self.times[place], self.needs[place]
        starts[place], ends[place] = line_of(delay, times, needs, starts, ends)
        self.computed += 1

    def _shift(self, begin: int, place: int, starts: Mapping[int, Any], ends: Mapping[int, Any]) -> Any:
        """Delay of all operators from `place` on in the segment before; None where it is not known."""
        if not 0 < begin < place < self.end or self.last[begin - 1] >= place or self.nearest[place] < begin:
            return None
        live = [each for each in range(max(begin, self.oldest[place]), place) if self.last[each] >= place]
        shift = self.starts[live[0]] - starts[live[0]]
        for each in live:
            for known, found in ((self.starts, starts), (self.ends, ends)):
                if not np.array_equal(known[each] - found[each], shift):
                    return None
        return shift


def _times(factor: int, values: Any) -> Any:
    """The products, as Python's integers where 64 bits are too few for what is added to them."""
    return factor * (wide(values) if factor * greatest(values) > NEVER // 4 else values)


def _alone(begin: int, cost: Cost, batch: int) -> Row:
    """Weights that take turns are written once for a batch, too."""
    write, compute = np.array([cost.write], np.int64), np.array([cost.compute], np.int64)
    return Row(np.array([begin + 1]), write, _times(batch, compute), compute)


def period_grid(options: Sequence[ParetoMappings], points: int = GRID) -> Any:
    """Some of the times that the options take, evenly spread over their orders of magnitude."""
    if not options:
        return np.zeros(1, np.int64)
    times = np.unique(np.concatenate([np.asarray(each.times, np.int64) for each in options]))
    wanted = np.geomspace(times[0], times[-1], points)
    return times[np.unique(np.minimum(np.searchsorted(times, wanted * (1 - 1e-12)), len(times) - 1))]


def _held(part: SegmentOperator, grid: Any) -> tuple[Any, Any]:
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


def each_alone(parts: Sequence[SegmentOperator]) -> list[tuple[int, int]]:
    """A segment for every operator on arrays."""
    found: list[tuple[int, int]] = []
    for place, part in enumerate(parts):
        on_host = part.options is None and part.alone is None
        if found and on_host and parts[found[-1][0]].alone is None:
            found[-1] = (found[-1][0], place + 1)
        else:
            found.append((place, place + 1))
    return found
