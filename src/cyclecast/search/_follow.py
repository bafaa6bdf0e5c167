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
        if isinstance(self.timings, Timings):
            totals = self.timings.total
            arrays = np.where(totals == totals.min(), self.batch.arrays, NO_ARRAYS)  # type: ignore[union-attr]
            return int(np.argmin(arrays))
        timed = [(of.total, self.batch[place].arrays, place) for place, of in enumerate(self.timings) if of]
        return min(timed)[-1] if timed else None


NO_ARRAYS = np.iinfo(np.int64).max


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
