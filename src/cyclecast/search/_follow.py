"""Run a search to its end: time the mappings that it asks for, and tell it the timings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from cyclecast.mapping import Mapping, Mappings
from cyclecast.search._base import Problem, Search, batch_size, looked_at
from cyclecast.search._result import SearchResult
from cyclecast.timing import Failure, Timing, Timings, abilities, asked_each, asked_many


class Timed(NamedTuple):
    """A batch of mappings and their timings, in the same order."""

    batch: Sequence[Mapping] | Mappings
    timings: Sequence[Timing | None] | Timings
    """None for a mapping that the timing model cannot time."""

    def least(self) -> int | None:
        """Position of the shortest mapping, with the fewest arrays among equal times; None if no mapping has a time."""
        return next(iter(self.shortest(1)), None)

    def shortest(self, most: int) -> list[int]:
        """Positions of at most `most` mappings, sorted by time, then by arrays."""
        if not isinstance(self.timings, Timings):
            answered = [place for place, timing in enumerate(self.timings) if timing]
            return sorted(answered, key=self.value)[:most]
        totals, refused = self.timings.total, self.timings.refused
        timed = np.arange(len(totals)) if refused is None else np.flatnonzero(~refused)
        if not len(timed):
            return []
        last = min(most, len(timed)) - 1
        places = timed[totals[timed] <= np.partition(totals[timed], last)[last]]
        arrays = self.batch.arrays[places]  # type: ignore[union-attr]
        return [int(place) for place in places[np.lexsort((arrays, totals[places]))][:most]]

    def value(self, place: int) -> tuple[int, int]:
        """Time [fs] and arrays of the mapping at this position; it must have a time."""
        if isinstance(self.timings, Timings):
            return int(self.timings.total[place]), int(self.batch.arrays[place])  # type: ignore[union-attr]
        timing = self.timings[place]
        assert timing is not None
        return timing.total.femtoseconds, int(self.batch[place].arrays)


MOST = 8
"""Length of a shortlist, in mappings."""
WITHIN = 1.02
"""Ratio to the shortest time up to which a time is a near-tie."""


class Shortlist:
    """The near-ties of a search, for a second opinion: the shortest mappings, sorted by time, then by arrays."""

    def __init__(self) -> None:
        self.entries: list[tuple[int, int, Mapping]] = []
        """Time [fs], arrays, mapping; best first."""

    def add(self, found: Timed) -> None:
        """Add the mappings of a batch that are near-ties; drop those that no longer are."""
        fresh = []
        for place in found.shortest(MOST):
            total, arrays = found.value(place)
            if len(self.entries) < MOST or (total, arrays) < self.entries[-1][:2]:
                fresh.append((total, arrays, found.batch[place]))
        known = {mapping for *_, mapping in self.entries}
        together = [*self.entries, *(entry for entry in fresh if entry[2] not in known)]
        together.sort(key=lambda entry: entry[:2])
        self.entries = [entry for entry in together[:MOST] if entry[0] <= WITHIN * together[0][0]]


def follow(search: Search, problem: Problem, at_once: int | None = None) -> Iterator[Timed]:
    """Run the search; yield every batch with its timings.

    A batch has at most `at_once` mappings; the default is the search's own batch size, else 64. `Mappings` are timed at
    once if the model has `times`, other batches one mapping at a time. A mapping that the model cannot time is counted
    in `problem.watch` and told as None. The iterator ends early if the time limit of `problem.watch` is reached.
    """
    watch, timed = problem.watch, 0
    while len(batch := search.ask(at_once or batch_size(search))):
        timings = _timings(problem, batch)
        search.tell(timings)
        timed += len(batch)
        yield Timed(batch, timings)
        if watch.over(looked_at(search, timed)):
            return


def conclude(search: Search, problem: Problem) -> SearchResult:
    """The result of the search, with notes on the time limit and on errors of the timing model.

    There is no certificate if the model gave one mapping two times.
    """
    outcome, watch = search.outcome(), problem.watch
    notes = [outcome.note] if outcome.note else []
    if watch.stopped:
        notes.append(f"the clock ended the search after {watch.seconds:g} s, so another run may end elsewhere")
    if watch.refused:
        lost = "1 mapping was" if watch.refused == 1 else f"{watch.refused:,} mappings were"
        notes.append(f"{lost} lost, as the timing model has no time for them; the first: {watch.reason}")
    if watch.differs:
        notes.append(f"the timing model gives one mapping two times, which proves nothing: {watch.differs}")
    proven = None if watch.differs else outcome.certificate
    return replace(outcome, note="; ".join(notes), certificate=proven)


def _timings(problem: Problem, batch: Sequence[Mapping] | Mappings) -> Sequence[Timing | None] | Timings:
    """The timings of a batch; mappings without a time are counted in `problem.watch`."""
    watch = problem.watch
    many = abilities(problem.model).many
    if isinstance(batch, Mappings) and many is not None:
        timings = asked_many(many, batch, problem.device)
        if isinstance(timings, Timings):
            if timings.refused is not None:
                watch.refuse("it answers with no whole femtoseconds", int(timings.refused.sum()))
            return timings
        watch.refuse(timings.reason, 0)
    answers = asked_each(problem.model, [batch[place] for place in range(len(batch))], problem.device)
    for answer in answers:
        if isinstance(answer, Failure):
            watch.refuse(answer.reason)
    return [None if isinstance(answer, Failure) else answer for answer in answers]
