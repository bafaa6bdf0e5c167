"""The best partition of a network into segments that are resident one after another, by dynamic programming.

A segment is a run of operators in the order of the program. Its weights are written, then a batch of images goes
through its pipeline, then the next segment is written. With one segment all weights are resident; with one segment per
operator the arrays are written layer by layer.
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
"""Number of periods that are tried for a segment."""
NEVER = int(np.iinfo(np.int64).max // 4)
"""A value longer than any time [fs]."""


class Cost(NamedTuple):
    """Times of a segment for a batch, and its period [fs]."""

    write: int
    compute: int
    period: int


class Row(NamedTuple):
    """The n segments that begin with one operator, as arrays of shape (n,)."""

    ends: Any
    """Position after the last operator, ascending."""
    writes: Any
    """Times to write the weights [fs]."""
    computes: Any
    """Times to compute a batch [fs]."""
    periods: Any
    """Periods [fs]."""


@dataclass(frozen=True, slots=True)
class CostTable:
    """The costs of all segments that fit, in one row per first operator.

    A segment is written as (position of its first operator, position after its last operator).
    """

    rows: Sequence[Row]

    @classmethod
    def of(cls, operators: int, costs: Mapping[tuple[int, int], Cost]) -> CostTable:
        """A table from the costs of single segments."""
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
        """The table without one segment."""
        rows, (begin, end) = list(self.rows), segment
        rows[begin] = Row(*(values[rows[begin].ends != end] for values in rows[begin]))
        return CostTable(rows)


def partition(operators: int, costs: CostTable) -> list[tuple[int, int]] | None:
    """The partition with the least sum of writing and computing; None if an operator fits into no segment."""
    least = np.full(operators + 1, NEVER, _kind(costs))
    least[0], cut = 0, np.zeros(operators + 1, np.int64)
    for begin, row in enumerate(costs.rows):
        if least[begin] < NEVER and len(row.ends):
            whole = least[begin] + row.writes + row.computes
            better = np.flatnonzero(whole < least[row.ends])
            least[row.ends[better]], cut[row.ends[better]] = whole[better], begin
    return _walked(cut.tolist(), operators) if least[-1] < NEVER else None


def _kind(costs: CostTable) -> Any:
    """The dtype of times: `object` if some costs are Python integers, else 64 bits."""
    return object if any(row.computes.dtype == object for row in costs.rows) else np.int64


def _walked(cut: Sequence[int], end: int) -> list[tuple[int, int]]:
    found = []
    while end:
        found.append((cut[end], end))
        end = cut[end]
    return found[::-1]


def overlapped_partition(operators: int, costs: CostTable) -> list[tuple[int, int]] | None:
    """The partition with the least time if a segment is written while the one before it computes; None as above.

    For every operator, the segments that end before it are sorted by computing time. This divides them into those that
    compute longer than the next segment is written, and the others; the best of both is found by binary search.
    """
    size, kind = (operators, operators + 1), _kind(costs)
    ready, computes = np.full(size, NEVER, kind), np.zeros(size, kind)
    """Start of the computing of a segment, and its computing time [fs], by segment."""
    before = np.full(size, -1, np.int64)
    """First operator of the segment before, by segment; -1 if there is none."""
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
    """For each writing time the least `ready + max(computes, write)`, and the first position that has it."""
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
    """For each n: the position of the least of the first n values in this order; of equal values the first position."""
    by_rank = np.argsort(values, kind="stable")
    rank = np.empty(len(values), np.int64)
    rank[by_rank] = np.arange(len(values))
    return by_rank[np.minimum.accumulate(rank[order])]


def overlapped_time(segments: Sequence[tuple[int, int]], costs: Mapping[tuple[int, int], Cost]) -> int:
    """Time of a batch [fs], if every segment but the first is written while the one before it computes."""
    chosen = [costs[segment] for segment in segments]
    hidden = sum(max(one.compute, other.write) for one, other in pairwise(chosen))
    return chosen[0].write + hidden + chosen[-1].compute


@dataclass(frozen=True, slots=True)
class SegmentOperator:
    """The mappings and times of an operator in a segment."""

    options: ParetoMappings | None
    """None for an operator on the host, or one whose weights do not fit at once (`alone`)."""
    write: int = 0
    """Time to write one array [fs]."""
    delay: int = 0
    """Time from a step's inputs to its results beside the step itself [fs]."""
    alone: Cost | None = None
    """Cost for one image of an operator with several passes, which is a segment by itself."""


def costs_of(
    parts: Sequence[SegmentOperator], needs: Sequence[Sequence[Needs]], budget: int, at_once: int, batch: int
) -> CostTable:
    """The costs of all segments that fit into `budget` arrays, each at its best period on a grid.

    The best period has the least sum of writing and computing for `batch` images. `at_once` is the number of arrays
    that are written at the same time.
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
    """By operator: the end of the longest segment that begins with it. `arrays` is summed over the operators before."""
    ends, end, limit = [], 0, [*(place for place, part in enumerate(parts) if part.alone), len(parts)]
    for begin in range(len(parts)):
        end = max(begin, end)
        limit = limit[1:] if limit[0] < begin else limit
        while end < limit[0] and (arrays[end + 1] - arrays[begin]).min() <= budget:
            end += 1
        ends.append(end)
    return ends


class SegmentTimes:
    """Start and end of every operator of a segment, reused from the segment that begins one operator earlier.

    A later begin only shifts the times of an operator, if it shifts the times of all earlier operators with results
    still needed by an equal amount. From that operator on, the known times are reused.
    """

    def __init__(self, parts: Sequence[SegmentOperator], needs: Sequence[Sequence[Needs]], times: Any) -> None:
        self.parts, self.needs, self.times = parts, needs, times
        count = len(parts)
        self.starts, self.ends = np.zeros_like(times), np.zeros_like(times)
        """Times of the last segment: shape (operators, periods) [fs]."""
        self.end = 0
        """Position after the last operator of that segment."""
        self.last = list(range(count))
        """By operator: the last operator that needs its results, or itself."""
        sources = [[need.source for need in each] for each in needs]
        for place, each in enumerate(sources):
            for source in each:
                self.last[source] = place
        nearest = [max(each, default=-1) for each in sources]
        self.nearest = np.minimum.accumulate(np.array([*nearest, count])[::-1])[::-1].tolist()
        """By operator: the least last source of it and all operators after it."""
        first = [min(each, default=count) for each in sources]
        self.oldest = np.minimum.accumulate(np.array([*first, count])[::-1])[::-1].tolist()
        """By operator: the first source of it and all operators after it."""
        self.computed = 0
        """Number of computed operators, for tests."""

    def latest(self, begin: int, end: int) -> Any:
        """Latencies of the segments from `begin` to each operator before `end`: shape (segments, periods) [fs].

        It must be called for increasing `begin`, with `end` never falling.
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
        """Compute start and end of one operator from those of its sources."""
        delay, times, needs = self.parts[place].delay, self.times[place], self.needs[place]
        starts[place], ends[place] = line_of(delay, times, needs, starts, ends)
        self.computed += 1

    def _shift(self, begin: int, place: int, starts: Mapping[int, Any], ends: Mapping[int, Any]) -> Any:
        """Shift of the known times of all operators from `place` on [fs]; None if they must be computed."""
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
    """factor x values, as Python integers if a sum of them may exceed 64 bits."""
    return factor * (wide(values) if factor * greatest(values) > NEVER // 4 else values)


def _alone(begin: int, cost: Cost, batch: int) -> Row:
    """The segment of one operator with several passes; `write` counts once per batch."""
    write, compute = np.array([cost.write], np.int64), np.array([cost.compute], np.int64)
    return Row(np.array([begin + 1]), write, _times(batch, compute), compute)


def period_grid(options: Sequence[ParetoMappings], points: int = GRID) -> Any:
    """At most `points` of the options' times [fs], evenly spread on a logarithmic scale."""
    if not options:
        return np.zeros(1, np.int64)
    times = np.unique(np.concatenate([np.asarray(each.times, np.int64) for each in options]))
    wanted = np.geomspace(times[0], times[-1], points)
    return times[np.unique(np.minimum(np.searchsorted(times, wanted * (1 - 1e-12)), len(times) - 1))]


def _held(part: SegmentOperator, grid: Any) -> tuple[Any, Any]:
    """Arrays and time of an operator for every period of the grid; arrays beyond every budget if it is too slow."""
    if part.options is None:
        return np.zeros_like(grid), np.zeros_like(grid)
    places = [part.options.within(int(period)) for period in grid]
    arrays = [NEVER // 2**20 if place is None else part.options.arrays[place] for place in places]
    times = [part.options.times[0 if place is None else place] for place in places]
    return np.array(arrays, np.int64), np.array(times, np.int64)


def line_of(
    delay: int, times: Any, needs: Sequence[Needs], starts: Mapping[int, Any], ends: Mapping[int, Any]
) -> tuple[Any, Any]:
    """Start and end of an operator for n times: shape (n,) [fs]. As `lines_of`, but steps are infinitely short."""
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
    """The partition with one segment for every operator on arrays; operators on the host join a segment."""
    found: list[tuple[int, int]] = []
    for place, part in enumerate(parts):
        on_host = part.options is None and part.alone is None
        if found and on_host and parts[found[-1][0]].alone is None:
            found[-1] = (found[-1][0], place + 1)
        else:
            found.append((place, place + 1))
    return found
