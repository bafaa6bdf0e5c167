"""MetaSchedule's evolutionary search with cyclecast's mutation rules; its cost model is the timing model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from cyclecast.errors import CyclecastError, OptionError
from cyclecast.mapping import Mapping, require_fit
from cyclecast.mapspace import sketches
from cyclecast.search._base import Problem, SearchResult
from cyclecast.timing import Failure, Timing, Timings, asked

MOST = 1_000_000
"""Upper limit of `population` and `generations`; a larger search would not end."""


@dataclass(frozen=True, slots=True)
class Evolution:
    """Evolutionary search: generations of mutated candidates, ranked by a timing model; the best are timed."""

    population: int = 512
    generations: int = 4
    random_share: float = 0.05
    """Share of the timed candidates that are drawn at random, from 0 to 1."""

    def __post_init__(self) -> None:
        counts = (self.population, self.generations)
        if not all(1 <= count <= MOST for count in counts) or not 0 <= self.random_share <= 1:
            raise OptionError(
                "evolution",
                f"population={self.population}, generations={self.generations}, random_share={self.random_share}",
                f"the first two are from 1 to {MOST}, the last from 0 to 1",
                "evolution:population=256",
            )

    def start(self, problem: Problem) -> EvolutionSearch:
        """Begin with a random population."""
        return EvolutionSearch(problem, self.for_metaschedule())

    def for_metaschedule(self) -> Any:
        """MetaSchedule's `EvolutionarySearch`."""
        from tvm.s_tir.meta_schedule.search_strategy import EvolutionarySearch

        return EvolutionarySearch(
            population_size=self.population,
            init_min_unmeasured=min(50, self.population),
            genetic_num_iters=self.generations,
            eps_greedy=self.random_share,
        )


class EvolutionSearch:
    """A running evolution: MetaSchedule proposes schedules, and their mappings are asked for."""

    def __init__(self, problem: Problem, strategy: Any) -> None:
        from cyclecast._tvm._search import Loop

        if problem.kernel is None:
            raise OptionError("evolution", "no kernel", "it works on schedules", "random, or exhaustive")
        self.problem, self.kernel = problem, problem.kernel
        self.timings: dict[Mapping, Timing | None] = {}
        """Timings of all mappings that were asked for, as told."""
        self.believed: dict[Mapping, Timing | Failure] = {}
        """Timings of all examined mappings by the model that ranks them."""
        self.asked: list[Mapping] = []
        """The last batch."""
        self.waiting: list[Mapping] = []
        """The part of a generation's batch that is not asked for yet."""
        self.loop = Loop(
            problem.kernel.module,
            problem.kernel.space,
            strategy,
            self,
            problem.trials,
            problem.seed,
        )

    def ask(self, most: int) -> Sequence[Mapping]:
        """The next mappings; a schedule whose mapping was asked for before is dropped."""
        while not self.waiting and (
            len(self.timings) < self.problem.trials and not self.problem.watch.over() and (modules := self.loop.ask())
        ):
            found = dict.fromkeys(map(self._mapping, modules))
            fresh = [of for of in found if isinstance(of, Mapping) and of not in self.timings]
            self.waiting = fresh[: self.problem.trials - len(self.timings)]
            if not self.waiting:
                self.loop.tell()
        self.asked, self.waiting = self.waiting[:most], self.waiting[most:]
        return self.asked

    def tell(self, timings: Sequence[Timing | None] | Timings) -> None:
        """Keep the timings; after the whole batch, MetaSchedule goes on from the best candidates."""
        assert not isinstance(timings, Timings)
        self.timings |= dict(zip(self.asked, timings, strict=True))
        if not self.waiting:
            self.loop.tell()

    def outcome(self) -> SearchResult:
        """The strategy and the sizes of the sketches; no certificate."""
        found = sketches(self.problem.workload, self.problem.device)
        return SearchResult("evolution", sketches=found)

    def run(self, candidates: Sequence[Any]) -> list[Timing | Failure]:
        """The timings of schedules, for MetaSchedule's runner: by `model` if there is no guide, else as told."""
        return [self._measured(self._mapping(module)) for module in candidates]

    def _measured(self, mapping: Mapping | Failure) -> Timing | Failure:
        if isinstance(mapping, Failure) or self.problem.guide is None:
            return self._timing(mapping)
        return self.timings.get(mapping) or Failure("it was not measured")

    def look(self, candidates: Sequence[Any]) -> list[tuple[Mapping, Timing] | None]:
        """Mapping and timing of every schedule, for the cost model; None for a schedule without a time."""
        return [self._pair(self._mapping(module)) for module in candidates]

    def _pair(self, mapping: Mapping | Failure) -> tuple[Mapping, Timing] | None:
        timing = self._timing(mapping)
        return None if isinstance(mapping, Failure) or isinstance(timing, Failure) else (mapping, timing)

    def _timing(self, mapping: Mapping | Failure) -> Timing | Failure:
        if isinstance(mapping, Failure):
            return mapping
        if mapping not in self.believed:
            found = asked(self.problem.guide or self.problem.model, mapping, self.problem.device)
            self.believed[mapping] = found
        return self.believed[mapping]

    def _mapping(self, module: Any) -> Mapping | Failure:
        """The mapping of a schedule on the device; a `Failure` if it cannot be read or does not fit."""
        try:
            mapping = self.kernel.read(module, self.problem.device)
            if mapping.workload != self.problem.workload:  # its name
                mapping = replace(mapping, workload=self.problem.workload)
            require_fit(mapping, self.problem.device)
        except CyclecastError as error:
            return Failure(str(error))
        return mapping
