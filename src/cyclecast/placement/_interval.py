"""The shortest interval of a resident pipeline under a budget of arrays: exact, by search on the period."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cyclecast.placement._pareto_mappings import ParetoMappings


def arrays_for(options: Sequence[ParetoMappings], counts: Sequence[int], time: int) -> int | None:
    """Least number of arrays with which every workload takes at most `time` [fs]; None if one cannot."""
    total = 0
    for each, count in zip(options, counts, strict=True):
        place = each.within(time)
        if place is None:
            return None
        total += count * each.arrays[place]
    return total


def periods(options: Sequence[ParetoMappings], counts: Sequence[int], budget: int) -> list[int]:
    """All periods [fs] for which the workloads fit into `budget` arrays, shortest first.

    Only the times of the options are listed: between them, the number of arrays does not change. The first period is
    the shortest possible one: the number of arrays never grows with the period, so binary search finds it.
    """
    times: list[int] = np.unique(np.concatenate([np.asarray(each.times, np.int64) for each in options])).tolist()
    first, last = 0, len(times)
    while first < last:
        middle = (first + last) // 2
        needed = arrays_for(options, counts, times[middle])
        first, last = (first, middle) if needed is not None and needed <= budget else (middle + 1, last)
    return times[first:]


def work_bound(shares: Sequence[tuple[int, int]], budget: int) -> int:
    """Lower bound on the period [fs], if workloads could use fractions of arrays; 0 if they do not fit.

    `shares` has (fewest arrays, least arrays x time) over all mappings of each workload. In a period a workload needs
    at least the fewest arrays, and at least arrays x time / period.
    """
    if sum(arrays for arrays, _ in shares) > budget:
        return 0

    def fits(period: int) -> bool:
        return sum(max(arrays, -(-area // period)) for arrays, area in shares) <= budget

    first, last = 1, max((area for _, area in shares), default=1)
    while first < last:
        middle = (first + last) // 2
        first, last = (first, middle) if fits(middle) else (middle + 1, last)
    return first
