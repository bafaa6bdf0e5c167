"""The shortest interval of a resident pipeline under a budget of arrays: exact, by search on the period."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cyclecast.placement._pareto_mappings import ParetoMappings


def arrays_for(options: Sequence[ParetoMappings], counts: Sequence[int], time: int) -> int | None:
    """The fewest arrays with which no workload takes longer than this [fs]; None where one always does."""
    total = 0
    for each, count in zip(options, counts, strict=True):
        place = each.within(time)
        if place is None:
            return None
        total += count * each.arrays[place]
    return total


def periods(options: Sequence[ParetoMappings], counts: Sequence[int], budget: int) -> list[int]:
    """Every period at which some workload can do with fewer arrays, shortest first, for which all fit the budget.

    The first is the least that there is: fewer arrays never make a workload faster, so the arrays needed fall with the
    period, and the least period is one that some workload takes.
    """
    times: list[int] = np.unique(np.concatenate([np.asarray(each.times, np.int64) for each in options])).tolist()
    first, last = 0, len(times)
    while first < last:
        middle = (first + last) // 2
        needed = arrays_for(options, counts, times[middle])
        first, last = (first, middle) if needed is not None and needed <= budget else (middle + 1, last)
    return times[first:]


def work_bound(shares: Sequence[tuple[int, int]], budget: int) -> int:
    """No period is shorter [fs], whatever parts of arrays a workload could have; 0 where nothing fits anyway.

    `shares`: for each workload the fewest arrays that hold it, and the least arrays x time of any of its ways. In a
    period it takes the larger of the two, the second over the period.
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
