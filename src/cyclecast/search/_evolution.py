"""MetaSchedule's evolutionary search, with our mutation rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cyclecast.errors import OptionError

MOST = 1_000_000
"""Candidates of a generation, and generations; more would not end."""


@dataclass(frozen=True, slots=True)
class Evolution:
    """Generations of mutated candidates, ranked by the cost model; the best of each round are timed."""

    population: int = 256
    generations: int = 4
    random_share: float = 0.05
    """The share of timed candidates that are drawn at random instead."""

    def __post_init__(self) -> None:
        counts = (self.population, self.generations)
        if not all(1 <= count <= MOST for count in counts) or not 0 <= self.random_share <= 1:
            raise OptionError(
                "evolution",
                f"population={self.population}, generations={self.generations}, random_share={self.random_share}",
                f"the first two are from 1 to {MOST}, the last from 0 to 1",
                "evolution:population=256",
            )

    def for_metaschedule(self) -> Any:
        """MetaSchedule's `EvolutionarySearch`."""
        from tvm.s_tir.meta_schedule.search_strategy import EvolutionarySearch

        return EvolutionarySearch(
            population_size=self.population,
            init_min_unmeasured=min(50, self.population),
            genetic_num_iters=self.generations,
            eps_greedy=self.random_share,
        )
