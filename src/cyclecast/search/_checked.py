"""Searches around a search: one stands in for another, one checks what another left out, one goes on after another."""

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
    """A search around another one, which is asked and told."""

    def __init__(self, search: Search) -> None:
        self.search = search
        self.timed = 0
        """Mappings that were told."""

    @property
    def looked(self) -> int:
        """Mappings, and sets of mappings, that were looked at so far."""
        return looked_at(self.search, self.timed)

    @property
    def at_once(self) -> int:
        """Mappings in a batch, as the search at work wants them."""
        return batch_size(self.search)

    def ask(self, most: int) -> Sequence[Mapping] | Mappings:
        """The mappings that the search at work asks for."""
        return self.search.ask(most)

    def tell(self, timings: Sequence[Timing | None] | Timings) -> None:
        """Tell the search at work."""
        self.timed += _count(timings)
        self.search.tell(timings)

    def outcome(self) -> SearchResult:
        """The outcome of the search at work."""
        return self.search.outcome()


class Instead(Around):
    """A search that stands in for one that was declined, and says so; it proves nothing."""

    def __init__(self, search: Search, reason: str, lower: int = 0) -> None:
        super().__init__(search)
        self.reason = reason
        self.lower = lower
        """A lower bound on all times, if more than 0 [fs]."""
        self.times: set[int] = set()
        """All that were told, but those in arrays [fs]."""

    def tell(self, timings: Sequence[Timing | None] | Timings) -> None:
        """Keep the times."""
        super().tell(timings)
        if not isinstance(timings, Timings):
            self.times |= {timing.total.femtoseconds for timing in timings if timing}

    def outcome(self) -> SearchResult:
        """The outcome of the other search, with the reason; with a lower bound, how good the best is at least."""
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
    """A search that rests on laws of the timing model: once it has ended, mappings that it left out are timed.

    If one of them is shorter than all that was found, the model breaks a law. The search then goes on with another one
    that rests on none, and proves nothing.
    """

    def __init__(self, search: Search, problem: Problem, instead: Callable[[Problem], Search]) -> None:
        super().__init__(search)
        self.problem, self.instead = problem, instead
        self.best: tuple[int, Mapping] | None = None
        self.batch: Sequence[Mapping] | Mappings = []
        self.ended = self.told = False

    def ask(self, most: int) -> Sequence[Mapping] | Mappings:
        """What the search asks for; then the mapping that refutes it, if any, and what another search asks for."""
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
        if self.best is None:
            return None
        of = self.problem
        return Sample(of.workload, of.device, of.model, of.seed).better(*self.best)

    def tell(self, timings: Sequence[Timing | None] | Timings) -> None:
        """Keeps the best so far."""
        if self.told:
            self.told = False
            return
        super().tell(timings)
        place, time = _least(timings)
        if time is not None and (self.best is None or time < self.best[0]):
            self.best = time, self.batch[place]


class Beyond(Around):
    """A search of the mappings that can be listed, and after it one in the space that rules of others open."""

    def __init__(self, search: Search, beyond: Search, rules: Sequence[str]) -> None:
        super().__init__(search)
        self.first, self.beyond, self.rules = search, beyond, rules
        self.beyond_timed = 0
        """Mappings of the second search."""
        self.best: int | None = None
        """The shortest time of the second search [fs]."""

    @property
    def looked(self) -> int:
        """Mappings, and sets of mappings, that both have looked at so far."""
        return looked_at(self.first, self.timed - self.beyond_timed) + self.beyond_timed

    def ask(self, most: int) -> Sequence[Mapping] | Mappings:
        """Mappings of the first search; when it has ended, those of the second one."""
        if self.search is self.first and len(batch := self.first.ask(most)):
            return batch
        self.search = self.beyond
        return self.beyond.ask(most)

    def tell(self, timings: Sequence[Timing | None] | Timings) -> None:
        """Tell the one that asked; keep the shortest time of the second one."""
        super().tell(timings)
        if self.search is self.beyond:
            _, time = _least(timings)
            self.beyond_timed += _count(timings)
            self.best = time if self.best is None else min(self.best, self.best if time is None else time)

    def outcome(self) -> SearchResult:
        """That of the first search; its proof only where the second one found nothing shorter."""
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
    """The place of the shortest time and that time [fs]; None where there is none."""
    if isinstance(timings, Timings):
        place = int(np.argmin(timings.total))
        known = timings.refused is None or not timings.refused[place]
        return place, int(timings.total[place]) if known else None
    times = [(timing.total.femtoseconds, place) for place, timing in enumerate(timings) if timing]
    time, place = min(times, default=(None, 0))
    return place, time
