"""Random search: all decisions of every mapping are drawn independently."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cyclecast.device import Device
from cyclecast.errors import FitError
from cyclecast.mapping import Mapping, require_fit
from cyclecast.mapspace import INPUT_STATIONARY, PACK, WINDOWS, can_pack, choices, grant, odds, sketches, window_choices
from cyclecast.network import Workload
from cyclecast.search._base import Problem, SearchResult
from cyclecast.timing import Timing, Timings

DRAWS_FOR_A_TRIAL = 20
"""Most draws for a trial, on average; a small space has no new mappings left by then."""
ORDERS: tuple[dict[str, tuple[int, ...]], ...] = ({}, {INPUT_STATIONARY: (1,)})


@dataclass(frozen=True, slots=True)
class Random:
    """Independent samples of the mapspace without repetition; larger sizes and factors are drawn more often."""

    def start(self, problem: Problem) -> RandomSearch:
        """Begin a search; its draws follow the seed of the problem."""
        return RandomSearch(problem)


class RandomSearch:
    """A running random search."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.designs = [
            dict(choices(problem.workload, problem.device, opened)) | order
            for opened in _openings(problem.workload, problem.device)
            for order in ORDERS[: 1 + problem.device.array.write.during_inference]
        ]
        self.random = random.Random(problem.seed)
        self.asked: set[Mapping] = set()
        self.draws = 0

    def ask(self, most: int) -> Sequence[Mapping]:
        """New mappings; none when the trials or the draws are used up."""
        found: list[Mapping] = []
        wanted = min(most, self.problem.trials - len(self.asked))
        while len(found) < wanted and self.draws < DRAWS_FOR_A_TRIAL * self.problem.trials:
            self.draws += 1
            mapping = grant(self.problem.workload, self.problem.device, self._drawn())
            if mapping not in self.asked and self._fits(mapping):
                self.asked.add(mapping)
                found.append(mapping)
        return found

    def tell(self, timings: Sequence[Timing | None] | Timings) -> None:
        """Do nothing: the draws do not depend on timings."""

    def outcome(self) -> SearchResult:
        """The strategy and the sizes of the sketches; no certificate."""
        return SearchResult("random", sketches=sketches(self.problem.workload, self.problem.device))

    def _drawn(self) -> dict[str, int]:
        device = self.problem.device
        offers = self.random.choice(self.designs)
        return {name: self.random.choices(values, odds(name, values, device))[0] for name, values in offers.items()}

    def _fits(self, mapping: Mapping) -> bool:
        try:
            require_fit(mapping, self.problem.device)
        except FitError:
            return False
        return True


def _openings(workload: Workload, device: Device) -> Iterator[tuple[str, ...]]:
    """Every combination of the sketch rules windows and packed groups that the workload allows; () is im2col."""
    windows: tuple[tuple[str, ...], ...] = ((), (WINDOWS,)) if window_choices(workload, device) else ((),)
    packs: tuple[tuple[str, ...], ...] = ((), (PACK,)) if can_pack(workload, device) else ((),)
    return (one + other for one in windows for other in packs)
