"""Searches that wrap a search: `Instead` replaces a declined one, `Checked` tests one, `Beyond` continues one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from cyclecast.mapping import Mapping, Mappings, mapping_text
from cyclecast.search._base import Certificate, Problem, Search, SearchResult, batch_size, looked_at
from cyclecast.search._laws import Sample
from cyclecast.timing import Timing, Timings
from cyclecast.units import Time, short_time


class Around:
    """A search that forwards everything to an inner search, which a subclass may exchange."""

    def __init__(self, search: Search) -> None:
        self.search = search
        """The inner search."""
        self.timed = 0
        """Number of timed mappings."""

    @property
    def looked(self) -> int:
        """Number of mappings and sets of mappings examined so far."""
        return looked_at(self.search, self.timed)

    @property
    def at_once(self) -> int:
        """Batch size of the inner search."""
        return batch_size(self.search)

    def ask(self, most: int) -> Sequence[Mapping] | Mappings:
        """The next mappings of the inner search."""
        return self.search.ask(most)

    def tell(self, timings: Sequence[Timing | None] | Timings) -> None:
        """Tell the inner search."""
        self.timed += _count(timings)
        self.search.tell(timings)

    def outcome(self) -> SearchResult:
        """The result of the inner search."""
        return self.search.outcome()


class Instead(Around):
    """A search in place of a declined one; its result names the reason and claims no proof of an optimum."""

    def __init__(self, search: Search, reason: str, lower: int = 0) -> None:
        super().__init__(search)
        self.reason = reason
        self.lower = lower
        """Lower bound on the time of every mapping [fs]; 0 if none is known."""
        self.times: set[int] = set()
        """All different times so far [fs], without those told as `Timings`."""

    def tell(self, timings: Sequence[Timing | None] | Timings) -> None:
        """Tell the inner search; keep the times."""
        super().tell(timings)
        if not isinstance(timings, Timings):
            self.times |= {timing.total.femtoseconds for timing in timings if timing}

    def outcome(self) -> SearchResult:
        """The result of the inner search with the reason; with a lower bound, a certificate with that bound."""
        found = self.search.outcome()
        note = f"{self.reason}; {found.note}" if found.front else self.reason
        best = sorted(self.times)[:2]
        if not self.lower or not best:
            return replace(found, note=note, certificate=None)
        following = Time(best[1]) if len(best) > 1 else None
        lower = Time(min(self.lower, best[0]))
        return replace(
            found, note=note, certificate=Certificate(self.timed, self.timed, Time(best[0]), following, lower)
        )


class Checked(Around):
    """A search that assumes the laws of the timing model; when it has ended, some excluded mappings are timed.

    If one of them is shorter than the best mapping found, the model breaks a law. Then another search continues, which
    assumes no law and claims no proof.
    """

    def __init__(self, search: Search, problem: Problem, instead: Callable[[Problem], Search]) -> None:
        super().__init__(search)
        self.problem, self.instead = problem, instead
        self.best: tuple[int, Mapping] | None = None
        self.batch: Sequence[Mapping] | Mappings = []
        self.ended = self.told = False

    def ask(self, most: int) -> Sequence[Mapping] | Mappings:
        """Mappings of the inner search; after its end the counterexample, if any, and mappings of another search."""
        self.batch = self.search.ask(most)
        if len(self.batch) or self.ended or self.problem.watch.over(self.looked):
            return self.batch
        self.ended = True
        better = self._better()
        if better is None:
            return self.batch
        mapping, time = better
        assert self.best is not None
        said = [f"{mapping_text(of)} takes {short_time(Time(took))}" for took, of in ((time, mapping), self.best)]
        reason = (
            f"the timing model breaks a law that lower bounds rest on: {said[0]}, the best that they leave {said[1]}"
        )
        self.search, self.told = Instead(self.instead(self.problem), reason), True
        self.batch = [mapping]
        return self.batch

    def _better(self) -> tuple[Mapping, int] | None:
        """An excluded mapping that is shorter than the best one, and its time [fs]; None if the sample has none."""
        if self.best is None:
            return None
        of = self.problem
        return Sample(of.workload, of.device, of.model, of.seed).better(*self.best)

    def tell(self, timings: Sequence[Timing | None] | Timings) -> None:
        """Tell the inner search; keep the best mapping. The time of the counterexample is dropped."""
        if self.told:
            self.told = False
            return
        super().tell(timings)
        place, time = _least(timings)
        if time is not None and (self.best is None or time < self.best[0]):
            self.best = time, self.batch[place]


class Beyond(Around):
    """A search of the listed mapspace, followed by a search in the space that the rules of users open."""

    def __init__(self, search: Search, beyond: Search, rules: Sequence[str]) -> None:
        super().__init__(search)
        self.first, self.beyond, self.rules = search, beyond, rules
        self.beyond_timed = 0
        """Number of timed mappings of the second search."""
        self.best: int | None = None
        """The shortest time of the second search [fs]."""

    @property
    def looked(self) -> int:
        """Number of mappings and sets of mappings that both searches have examined so far."""
        return looked_at(self.first, self.timed - self.beyond_timed) + self.beyond_timed

    def ask(self, most: int) -> Sequence[Mapping] | Mappings:
        """Mappings of the first search; when it has ended, those of the second one."""
        if self.search is self.first and len(batch := self.first.ask(most)):
            return batch
        self.search = self.beyond
        return self.beyond.ask(most)

    def tell(self, timings: Sequence[Timing | None] | Timings) -> None:
        """Tell the search that asked; keep the shortest time of the second search."""
        super().tell(timings)
        if self.search is self.beyond:
            _, time = _least(timings)
            self.beyond_timed += _count(timings)
            self.best = time if self.best is None else min(self.best, self.best if time is None else time)

    def outcome(self) -> SearchResult:
        """The result of the first search; without its certificate if the second search found a shorter time."""
        found = self.first.outcome()
        beaten = found.certificate and self.best is not None and self.best < found.certificate.best.femtoseconds
        names = ", ".join(self.rules)
        notes = [found.note] * bool(found.note) + [
            f"mappings of {names} cannot be listed: "
            f"an evolution has timed {self.beyond_timed:,} candidates beside all others"
        ]
        return replace(found, note="; ".join(notes), certificate=None if beaten else found.certificate)


def _count(timings: Sequence[Timing | None] | Timings) -> int:
    return len(timings.total) if isinstance(timings, Timings) else len(timings)


def _least(timings: Sequence[Timing | None] | Timings) -> tuple[int, int | None]:
    """The position of the shortest time, and that time [fs] or None if no mapping has a time."""
    if isinstance(timings, Timings):
        place = int(np.argmin(timings.total))
        known = timings.refused is None or not timings.refused[place]
        return place, int(timings.total[place]) if known else None
    times = [(timing.total.femtoseconds, place) for place, timing in enumerate(timings) if timing]
    time, place = min(times, default=(None, 0))
    return place, time
