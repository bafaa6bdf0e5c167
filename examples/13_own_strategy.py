"""A search strategy of your own: the default mapping, and then those with the same tile and other replicas."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import cyclecast as cc
from cyclecast.mapping import Mapping
from cyclecast.mapspace import choices, default_mapping, grant
from cyclecast.search import Problem, SearchResult
from cyclecast.timing import Timing, Timings
from text_direction import INPUT, SHAPE, model_file


@dataclass(frozen=True)
class Replicas:
    """Looks at numbers of replicas in the outermost level, and at nothing else."""

    def start(self, problem: Problem) -> ReplicasSearch:
        return ReplicasSearch(problem)


class ReplicasSearch:
    """The strategy at work on one workload: asked for mappings, told their times."""

    def __init__(self, problem: Problem) -> None:
        self.waiting = self.mappings(problem)

    def mappings(self, problem: Problem) -> Iterator[Mapping]:
        seen = {default_mapping(problem.workload, problem.device)}
        yield from seen
        name = f"{problem.device.levels[0].name}.pixel"
        for value in choices(problem.workload, problem.device).get(name, ()):
            mapping = grant(problem.workload, problem.device, {name: value})
            if mapping not in seen:
                seen.add(mapping)
                yield mapping

    def ask(self, most: int) -> list[Mapping]:
        return list(islice(self.waiting, most))

    def tell(self, timings: Sequence[Timing | None] | Timings) -> None:
        """Nothing follows from times here."""

    def outcome(self) -> SearchResult:
        return SearchResult("replicas", "only replicas were looked at")


def main() -> None:
    device = cc.Device.load("isaac")
    network = cc.load(model_file(), device, shapes={INPUT: SHAPE})
    for strategy in (Replicas(), "random"):
        print(f"{strategy}: {cc.tune(network, device, strategy=strategy).total}")


if __name__ == "__main__":
    main()
