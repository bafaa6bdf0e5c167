"""Search strategies: which mappings are looked at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import cast

from cyclecast import plugins
from cyclecast.enumeration import Sketch
from cyclecast.mapping import Mapping
from cyclecast.mappings import Mappings
from cyclecast.search._base import (
    Certificate,
    Choice,
    Kernel,
    Outcome,
    Problem,
    Search,
    Strategy,
    Watch,
)
from cyclecast.search._evolution import Evolution
from cyclecast.search._exhaustive import Exhaustive
from cyclecast.search._follow import Timed, conclude, follow
from cyclecast.search._pareto import Pareto
from cyclecast.search._random import Random
from cyclecast.timing import Timing, Timings

__all__ = [
    "Certificate",
    "Choice",
    "Evolution",
    "Exhaustive",
    "Kernel",
    "Outcome",
    "Pareto",
    "Problem",
    "Random",
    "Search",
    "Sketch",
    "Strategy",
    "Timed",
    "Watch",
    "begin",
    "conclude",
    "follow",
    "search_strategy",
]

BUILT_IN: dict[str, Callable[[], type]] = {
    "exhaustive": lambda: Exhaustive,
    "evolution": lambda: Evolution,
    "random": lambda: Random,
    "pareto": lambda: Pareto,
}


def search_strategy(spec: str | Strategy) -> Strategy:
    """The strategy of a name such as `random` or `evolution:population=512`; an object is taken as it is."""
    return cast(Strategy, plugins.build("search", spec, BUILT_IN)) if isinstance(spec, str) else spec


def begin(strategy: Strategy, problem: Problem) -> Search:
    """Start the strategy, or one that times a few samples where the strategy declines the problem."""
    declines = getattr(strategy, "declines", None)
    reason = declines(problem) if declines else ""
    if not reason:
        return strategy.start(problem)
    instead: Strategy = Evolution(population=SMALL, generations=2) if problem.kernel else Random()
    return _Instead(instead.start(problem), reason)


SMALL = 64
"""The population of an evolution that stands in: each candidate is timed by a slow model."""


@dataclass(frozen=True, slots=True)
class _Instead:
    """A search that stands in for one that was declined, and says so."""

    search: Search
    reason: str

    def ask(self, most: int) -> Sequence[Mapping] | Mappings:
        return self.search.ask(most)

    def tell(self, timings: Sequence[Timing | None] | Timings) -> None:
        self.search.tell(timings)

    def outcome(self) -> Outcome:
        return replace(self.search.outcome(), note=self.reason)
