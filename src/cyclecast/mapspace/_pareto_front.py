"""Pareto fronts of points in time, energy and arrays.

A point *dominates* another if it is no worse in all three values; of equal points the first one dominates the others.
"""

from __future__ import annotations

from bisect import bisect_right
from math import prod
from typing import NamedTuple

import numpy as np

from cyclecast._integers import Numbers, fits, greatest, narrow

THRESHOLDS = 512
"""Most times, and most numbers of arrays, in the lookup table of a front."""


class Values(NamedTuple):
    """Values of n points, as arrays of shape (n,): those of mapping i, or lower bounds of node i."""

    time: Numbers
    """Times [fs]."""
    energy: Numbers
    """Energies [aJ]."""
    arrays: Numbers
    """Numbers of arrays."""

    def take(self, chosen: Numbers) -> Values:
        """The values at these positions."""
        return Values(*(numbers[chosen] for numbers in self))


class ParetoFront:
    """The points that no other point dominates, sorted by time, and a table to look them up."""

    def __init__(self) -> None:
        self.values = Values(*(np.zeros(0, np.int64) for _ in Values._fields))
        self.rows: Numbers = None
        """Column i describes member i: shape (rows, members); None for an empty front."""

    def add(self, values: Values, rows: Numbers) -> None:
        """Add the points that no member dominates; remove the members that they dominate.

        `rows` has a column for each point.
        """
        fresh = np.flatnonzero(~self.covers(values))
        if not len(fresh):
            return
        before = len(self.values.time)
        both = Values(*(np.concatenate(pair) for pair in zip(self.values, values.take(fresh), strict=True)))
        kept = np.array(undominated(*both), np.int64)
        everything = rows[:, fresh] if before == 0 else np.hstack([self.rows, rows[:, fresh]])
        self.values, self.rows = Values(*map(narrow, both.take(kept))), everything[:, kept]
        self._index()

    def covers(self, values: Values) -> Numbers:
        """Mask of the points that some member dominates. It may miss a point, but never has one too many."""
        if not len(self.values.time):
            return np.zeros(len(values.time), bool)
        time = np.searchsorted(self.times, values.time, side="right")
        arrays = np.searchsorted(self.arrays, values.arrays, side="right")
        least = self.least[time, arrays]
        return np.asarray((least <= values.energy) & (least < self.never), bool)

    def _index(self) -> None:
        """Build the table: the least energy of the members up to a time and a number of arrays, at some thresholds."""
        time, energy, arrays = self.values
        self.times, self.arrays = _thresholds(time), _thresholds(arrays)
        self.never = int(energy.max()) + 1
        self.least = np.full((len(self.times) + 1, len(self.arrays) + 1), self.never, energy.dtype)
        place = np.searchsorted(self.times, time) + 1, np.searchsorted(self.arrays, arrays) + 1
        np.minimum.at(self.least, place, energy)
        self.least = np.minimum.accumulate(np.minimum.accumulate(self.least, axis=0), axis=1)


def _thresholds(numbers: Numbers) -> Numbers:
    """At most `THRESHOLDS` of the numbers, sorted, with the greatest one."""
    found = np.unique(numbers)
    return found[np.unique(np.linspace(0, len(found) - 1, min(len(found), THRESHOLDS)).astype(np.int64))]


def undominated(first: Numbers, second: Numbers, third: Numbers) -> list[int]:
    """Positions of the points that no other point dominates, sorted by the first coordinate; the first of equal points.

    The three arrays have shape (n,). The points are swept by the first coordinate, over a Pareto front of the other
    two: O(n log n). Only the order of the numbers counts, so ranks replace them if products could overflow.
    """
    a, b, c = first, second, third
    size = greatest(third) + 1
    wide = any(numbers.dtype == object for numbers in (first, second, third))
    if wide or not fits(size * max(greatest(second), len(first))):
        a, b, c = (np.unique(numbers, return_inverse=True)[1] for numbers in (first, second, third))
        size = len(first) + 1
    order = _sorted(a, b, c)
    group = np.cumsum(np.diff(a[order], prepend=a[order[:1]]) != 0)
    falling = np.concatenate([[size], np.minimum.accumulate(c[order] - group * size)])
    least = order[np.diff(falling) < 0]  # a smaller third than all before with an equal first
    _, places = np.unique(b[least] * size + c[least], return_index=True)
    least = least[np.sort(places)]  # of equal second and third, the least first
    kept, seconds, thirds = list[int](), list[int](), list[int]()
    for place, time, held in zip(least.tolist(), b[least].tolist(), c[least].tolist(), strict=True):
        at = bisect_right(seconds, time)
        if at and thirds[at - 1] <= held:
            continue
        kept.append(place)
        begin = end = at - 1 if at and seconds[at - 1] == time else at
        while end < len(thirds) and thirds[end] >= held:
            end += 1
        seconds[begin:end], thirds[begin:end] = [time], [held]
    return kept


def _sorted(*keys: Numbers) -> Numbers:
    """Positions of the points, sorted by the first key, then the others: `np.lexsort`, with the first key first.

    Where keys and a position fit into 64 bits, it is ten times as fast, and only the first of equal points is left.
    """
    count = len(keys[0])
    lows = [int(key.min()) if count else 0 for key in keys]
    spans = [greatest(key) - low + 1 for key, low in zip(keys, lows, strict=True)]
    if not count or not fits(prod(spans) * count):
        return np.lexsort(keys[::-1])
    packed = np.zeros(count, np.int64)  # changed in place: large new arrays cost more than the arithmetic
    for key, low, span in zip(keys, lows, spans, strict=True):
        packed *= span
        packed += key
        packed -= low
    packed *= count
    packed += np.arange(count)
    packed.sort()
    point = packed // count
    return packed[np.diff(point, prepend=-1) != 0] % count
