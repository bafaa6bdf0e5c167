"""The Pareto front of arrays and time, as it grows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from cyclecast.mapspace import Numbers

NEVER = int(np.iinfo(np.int64).max)
"""Longer than any time [fs]."""


class Staircase:
    """Points with a time [fs] for a number of arrays, of which none has both fewer arrays and less time."""

    def __init__(self, most: int) -> None:
        self.most = most
        """No point has more arrays."""
        self.arrays: Numbers = np.zeros(0, np.int64)
        """Ascending, shape (n,)."""
        self.times: Numbers = np.zeros(0, np.int64)
        """Descending, shape (n,) [fs]."""
        self.payloads: list[Any] = []
        """What each point stands for."""

    def __len__(self) -> int:
        return len(self.payloads)

    def best(self, arrays: Numbers) -> Numbers:
        """The least time with at most so many arrays, element by element; `NEVER` where there is none [fs]."""
        padded = np.concatenate([[NEVER], self.times])
        return padded[np.searchsorted(self.arrays, arrays, "right")]

    def is_open(self, arrays: Numbers, times: Numbers) -> Numbers:
        """Whether a point with at least so many arrays and at least this time could still be on the front."""
        return self.best(arrays) > times

    def most_work(self, arrays: Numbers, times: Numbers) -> Numbers:
        """Upper bound on arrays x time of a point that is not on or above the front, element by element.

        The point has at least so many arrays and at least this time. `NEVER` where it may have fewer arrays than all
        points of the front; 0 where there can be no such point.
        """
        if not len(self):
            return np.full_like(arrays, NEVER)
        ends = [*self.arrays[1:].tolist(), self.most + 1]
        steps = zip(self.times.tolist(), ends, strict=True)
        corners = np.array([min(NEVER, time * (end - 1)) for time, end in steps], np.int64)
        after = np.append(np.maximum.accumulate(corners[::-1])[::-1], 0)
        before = np.append(0, np.maximum.accumulate(corners))
        first = np.searchsorted(self.arrays, arrays, "right")
        last = np.searchsorted(-self.times, -np.asarray(times), "left")
        found = np.minimum(after[np.maximum(first - 1, 0)], before[last])
        return np.where(first == 0, NEVER, found)

    def add(self, points: Iterable[tuple[int, int, Any]]) -> None:
        """Take in points of arrays, time and what they stand for; those that are no better are left out."""
        every = [*zip(self.arrays.tolist(), self.times.tolist(), self.payloads, strict=True), *points]
        every.sort(key=lambda point: point[:2])
        kept: list[tuple[int, int, Any]] = []
        for point in every:
            if not kept or point[1] < kept[-1][1]:
                kept.append(point)
        self.arrays = np.array([point[0] for point in kept], np.int64)
        self.times = np.array([point[1] for point in kept], np.int64)
        self.payloads = [point[2] for point in kept]
