"""Search strategies: which mappings are looked at."""

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
    """The strategy of a name such as `random` or `evolution:population=512`; an object is taken as it is."""
    strategy = plugins.build("search", spec, BUILT_IN) if isinstance(spec, str) else spec
    if not callable(getattr(strategy, "start", None)):
        raise OptionError("strategy", f"{spec!r}", "a strategy has start(problem)", "a name or such an object")
    return cast(Strategy, strategy)


def begin(strategy: Strategy, problem: Problem) -> Search:
    """Start the strategy, or one that times a few samples where the strategy declines the problem.

    Where the space has rules of others, an evolution in that space follows a strategy that does not work on schedules.

    A strategy that leaves out mappings by bounds believes the laws of the timing model (`leaves_out`). They are sampled
    before it starts; what an exhaustive search left out is sampled again when it has ended. Laws of the analytical
    model are not sampled: tests hold it to them by brute force.
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
"""The population of an evolution that stands in: each candidate is timed by a slow model."""


def _sampling(problem: Problem) -> Search:
    """A search that believes no law."""
    if problem.kernel is None:
        return Random().start(problem)
    return (Evolution() if problem.guide else Evolution(population=SMALL, generations=2)).start(problem)
