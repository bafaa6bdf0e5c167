"""Search strategies: they decide which mappings of a workload are timed."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from cyclecast import plugins
from cyclecast.errors import OptionError
from cyclecast.mapspace import SketchSize
from cyclecast.search._base import (
    SECONDS,
    Certificate,
    Declines,
    Kernel,
    LeavesOut,
    ParetoPoint,
    Problem,
    Search,
    SearchResult,
    StatesLowerBound,
    Strategy,
    Watch,
    looked_at,
)
from cyclecast.search._checked import Around, Beyond, Checked, Instead
from cyclecast.search._evolution import Evolution, EvolutionSearch
from cyclecast.search._exhaustive import Exhaustive
from cyclecast.search._follow import WITHIN, Shortlist, Timed, conclude, follow
from cyclecast.search._laws import Sample
from cyclecast.search._pareto import Pareto
from cyclecast.search._random import Random
from cyclecast.search._result import outcome_from_json
from cyclecast.timing import Analytical, abilities

__all__ = [
    "SECONDS",
    "WITHIN",
    "Certificate",
    "Evolution",
    "Exhaustive",
    "Kernel",
    "Pareto",
    "ParetoPoint",
    "Problem",
    "Random",
    "Sample",
    "Search",
    "SearchResult",
    "Shortlist",
    "SketchSize",
    "Strategy",
    "Timed",
    "Watch",
    "begin",
    "conclude",
    "follow",
    "looked_at",
    "outcome_from_json",
    "search_strategy",
]

BUILT_IN: dict[str, Callable[[], type]] = {
    "exhaustive": lambda: Exhaustive,
    "evolution": lambda: Evolution,
    "random": lambda: Random,
    "pareto": lambda: Pareto,
}


def search_strategy(spec: str | Strategy) -> Strategy:
    """Build a strategy from a name such as `random` or `evolution:population=512`; return an object as it is.

    Raises `OptionError` for an unknown name or option, and for an object without `start`.
    """
    strategy = plugins.build("search", spec, BUILT_IN) if isinstance(spec, str) else spec
    if not callable(getattr(strategy, "start", None)):
        raise OptionError("strategy", f"{spec!r}", "a strategy has start(problem)", "a name or such an object")
    return cast(Strategy, strategy)


def begin(strategy: Strategy, problem: Problem) -> Search:
    """Start a search with the strategy; if the strategy declines the problem, start one that samples.

    If the space has rules of users, the search of a strategy that does not work on schedules is followed by an
    evolution in that space.

    A strategy that excludes mappings by bounds (`leaves_out`) assumes the laws of `TimingModel`. They are tested on a
    sample of mappings before the search, and on excluded mappings after it. The analytical model is not sampled: the
    test suite checks its laws by brute force.
    """
    search = _begun(strategy, problem)
    evolves = isinstance(search.search if isinstance(search, Around) else search, EvolutionSearch)
    if problem.kernel is None or not problem.kernel.rules or evolves:
        return search
    return Beyond(search, _sampling(problem), problem.kernel.rules)


def _begun(strategy: Strategy, problem: Problem) -> Search:
    reason = strategy.declines(problem) if isinstance(strategy, Declines) else ""
    if not (isinstance(strategy, LeavesOut) and strategy.leaves_out):
        return Instead(_sampling(problem), reason) if reason else strategy.start(problem)
    able = abilities(problem.model)
    tested, many = type(problem.model) is Analytical, able.many is not None
    sampled = not tested and able.lawful and (many or not reason)
    breach = Sample(problem.workload, problem.device, problem.model, problem.seed).breach() if sampled else None
    if reason:
        least = strategy.bound(problem) if isinstance(strategy, StatesLowerBound) and many and not breach else 0
        return Instead(_sampling(problem), breach.reason if breach else reason, least)
    if tested:
        return strategy.start(problem)
    if breach:
        problem.watch.differs = breach.differs
        front = isinstance(strategy, Pareto)
        return Instead(strategy.start(problem) if front else _sampling(problem), breach.reason)
    return Checked(strategy.start(problem), problem, _sampling)


SMALL = 64
"""Population of an evolution that replaces a declined strategy and times every candidate with a slow model."""


def _sampling(problem: Problem) -> Search:
    """A search that assumes no law of the timing model: evolution, or random without a kernel."""
    if problem.kernel is None:
        return Random().start(problem)
    return (Evolution() if problem.guide else Evolution(population=SMALL, generations=2)).start(problem)
