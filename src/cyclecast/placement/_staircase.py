"""A growing Pareto front of arrays and time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from cyclecast.mapspace import Numbers

NEVER = int(np.iinfo(np.int64).max)
"""A value longer than any time [fs]."""


class Staircase:
    """The Pareto front of n points in arrays and time: with more arrays the time is shorter."""

    def __init__(self, most: int) -> None:
        self.most = most
        """Most arrays of a point."""
        self.arrays: Numbers = np.zeros(0, np.int64)
        """Numbers of arrays, ascending: shape (n,)."""
        self.times: Numbers = np.zeros(0, np.int64)
        """Times [fs], descending: shape (n,)."""
        self.payloads: list[Any] = []
        """Objects that the points belong to: length n."""

    def __len__(self) -> int:
        return len(self.payloads)

    def best(self, arrays: Numbers) -> Numbers:
        """The least time [fs] with at most `arrays` arrays, element by element; `NEVER` if there is no point."""
        padded = np.concatenate([[NEVER], self.times])
        return padded[np.searchsorted(self.arrays, arrays, "right")]

    def is_open(self, arrays: Numbers, times: Numbers) -> Numbers:
        """Whether a point with at least these arrays and at least this time may be on the front, element by element."""
        return self.best(arrays) > times

    def most_work(self, arrays: Numbers, times: Numbers) -> Numbers:
        """Upper bound on arrays x time of points that no point of the front dominates, element by element.

        Only points with at least these arrays and at least this time count. `NEVER` if they may have fewer arrays than
        all points of the front; 0 if there is no such point.
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
        """Add points (arrays, time [fs], payload), and drop all points that another one dominates."""
        every = [*zip(self.arrays.tolist(), self.times.tolist(), self.payloads, strict=True), *points]
        every.sort(key=lambda point: point[:2])
        kept: list[tuple[int, int, Any]] = []
        for point in every:
            if not kept or point[1] < kept[-1][1]:
                kept.append(point)
        self.arrays = np.array([point[0] for point in kept], np.int64)
        self.times = np.array([point[1] for point in kept], np.int64)
        self.payloads = [point[2] for point in kept]
