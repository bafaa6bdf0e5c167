"""Follow a search to its end: what it asks for is timed, what was timed is told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from cyclecast.errors import CyclecastError
from cyclecast.mapping import Mapping
from cyclecast.mappings import Mappings
from cyclecast.search._base import Problem, Search
from cyclecast.timing import Timing, Timings

AT_ONCE = 64
"""Mappings that are asked for at a time."""


class Timed(NamedTuple):
    """What was asked for in one go, and its timings in the same order."""

    batch: Sequence[Mapping] | Mappings
    timings: Sequence[Timing | None] | Timings
    """None where the timing model refuses a mapping."""

    def least(self) -> int | None:
        """The place of the shortest; of equally short ones, of that with the fewest arrays; None if all are refused."""
        return next(iter(self.shortest(1)), None)

    def shortest(self, most: int) -> list[int]:
        """The places of so many at most, shortest first; of equally short ones those with the fewest arrays first."""
        if not isinstance(self.timings, Timings):
            timed = [place for place, timing in enumerate(self.timings) if timing]
            return sorted(timed, key=self.value)[:most]
        totals = self.timings.total
        last = min(most, len(totals)) - 1
        places = np.flatnonzero(totals <= np.partition(totals, last)[last])
        arrays = self.batch.arrays[places]  # type: ignore[union-attr]
        return [int(place) for place in places[np.lexsort((arrays, totals[places]))][:most]]

    def value(self, place: int) -> tuple[int, int]:
        """Time [fs] and arrays of the mapping at this place, which is not refused."""
        if isinstance(self.timings, Timings):
            return int(self.timings.total[place]), int(self.batch.arrays[place])  # type: ignore[union-attr]
        timing = self.timings[place]
        assert timing is not None
        return timing.total.femtoseconds, int(self.batch[place].arrays)


MOST = 8
"""Mappings on the list."""
WITHIN = 1.02
"""Times up to so many times the shortest are near-ties."""


class Shortlist:
    """Near-ties for a second opinion: the shortest so far, of equally short ones those with the fewest arrays."""

    def __init__(self) -> None:
        self.entries: list[tuple[int, int, Mapping]] = []
        """Time [fs], arrays, mapping; best first."""

    def add(self, found: Timed) -> None:
        """Take in what is among the shortest."""
        fresh = []
        for place in found.shortest(MOST):
            total, arrays = found.value(place)
            if len(self.entries) < MOST or (total, arrays) < self.entries[-1][:2]:
                fresh.append((total, arrays, found.batch[place]))
        known = {mapping for *_, mapping in self.entries}
        together = [*self.entries, *(entry for entry in fresh if entry[2] not in known)]
        together.sort(key=lambda entry: entry[:2])
        self.entries = [entry for entry in together[:MOST] if entry[0] <= WITHIN * together[0][0]]


def follow(search: Search, problem: Problem, at_once: int = AT_ONCE) -> Iterator[Timed]:
    """Every batch of the search, timed: at once where the model has `times` and many are asked for, else one by one."""
    model = problem.model
    while len(batch := search.ask(at_once)):
        if isinstance(batch, Mappings) and hasattr(model, "times"):
            timings = model.times(batch, problem.device)
        else:
            timings = [_timing(problem, batch[place]) for place in range(len(batch))]
        search.tell(timings)
        yield Timed(batch, timings)


def _timing(problem: Problem, mapping: Mapping) -> Timing | None:
    try:
        return problem.model.time(mapping, problem.device)
    except CyclecastError:
        return None
