"""Uneven replication: free arrays are given, step by step, to the operators that shorten the latency most."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from cyclecast.placement._pareto_mappings import ParetoMappings
from cyclecast.placement._pipeline import Needs
from cyclecast.placement._segment import SegmentOperator, line_of

JUMPS = (1, 2, 4, 8, 16)
"""Numbers of options by which a step may shorten one operator."""
MOST_TOGETHER = 6
"""Number of longest times; for each, a step shortens all operators that take at least so long."""
EXCHANGED = 3
"""Number of best choices that are improved by exchanging arrays."""
MOST_ROUNDS = 3
"""Most rounds of an exchange; a round takes arrays from every operator once."""
SLIGHT = 64
"""Divisor of the mean end of all operators, which is added to the latency: so each of two equal branches may gain."""


class Shortening(NamedTuple):
    """A step: some operators change to shorter options."""

    to: Mapping[int, int]
    """New option by position of the operator."""
    more: int
    """Number of additional arrays."""


@dataclass(slots=True)
class Shortener:
    """Choices of an option for every operator, within a budget of arrays."""

    options: Mapping[int, ParetoMappings]
    needs: Sequence[Sequence[Needs]]
    delays: Mapping[int, int]
    """Time from a step's inputs to its results beside the step itself [fs]."""
    budget: int
    """Most arrays in use."""
    parts: dict[int, SegmentOperator] = field(init=False)
    coarse: list[list[Needs]] = field(init=False)
    """The needs, reduced to a few points."""

    def __post_init__(self) -> None:
        self.parts = {place: SegmentOperator(each, 0, self.delays[place]) for place, each in self.options.items()}
        self.coarse = [[_coarse(need) for need in each] for each in self.needs]

    def choices(self, periods: Sequence[int]) -> Iterator[dict[int, int]]:
        """Choices of an option by operator: for each period [fs] one with the free arrays given away.

        The best `EXCHANGED` of them follow, improved.
        """
        found = []
        for period in periods:
            choice = {place: each.within(period) for place, each in self.options.items()}
            assert all(at is not None for at in choice.values()), "all operators can keep a period of `periods`"
            found.append(self._dealt_out({place: at or 0 for place, at in choice.items()}))
            yield found[-1]
        found.sort(key=lambda each: float(self._values(each, [])[0]))
        yield from map(self._exchanged, found[:EXCHANGED])

    def _exchanged(self, choice: dict[int, int]) -> dict[int, int]:
        """Take arrays from one operator after another and give them to others, while the latency falls."""
        best = float(self._values(choice, [])[0])
        for _ in range(MOST_ROUNDS):
            before = best
            for place in self.options:
                for less in JUMPS:
                    if less > choice[place]:
                        break
                    other = self._dealt_out(choice | {place: choice[place] - less}, but=place)
                    value = float(self._values(other, [])[0])
                    if value < best:
                        choice, best = other, value
            if best == before:
                break
        return choice

    def _dealt_out(self, choice: dict[int, int], but: int | None = None) -> dict[int, int]:
        """Take the steps that save most latency per array, until none saves any; operator `but` gets no arrays."""
        while True:
            steps = [step for step in self._steps(choice) if but not in step.to]
            if not steps:
                return choice
            values = self._values(choice, [step.to for step in steps])
            saved = (values[0] - values[1:]) / np.array([step.more for step in steps], np.float64)
            best = int(saved.argmax())
            if saved[best] <= 0:
                return choice
            choice = choice | dict(steps[best].to)

    def _steps(self, choice: Mapping[int, int]) -> Iterator[Shortening]:
        """The possible steps within the free arrays: one operator is shortened, or all that take longest."""
        held = {place: each.arrays[choice[place]] for place, each in self.options.items()}
        free = self.budget - sum(held.values())
        times = {place: each.times[choice[place]] for place, each in self.options.items()}
        every = [{place: at + jump} for place, at in choice.items() for jump in JUMPS]
        limits = sorted(set(times.values()), reverse=True)[:MOST_TOGETHER]
        every += [{place: choice[place] + 1 for place in times if times[place] >= limit} for limit in limits]
        for to in every:
            if all(at < len(self.options[place]) for place, at in to.items()):
                more = sum(self.options[place].arrays[at] - held[place] for place, at in to.items())
                if more <= free:
                    yield Shortening(to, more)

    def _values(self, choice: Mapping[int, int], steps: Sequence[Mapping[int, int]]) -> Any:
        """Objective of the choice, then after each step: latency + mean end of all operators / `SLIGHT` [fs]."""
        times: dict[int, Any] = {
            place: np.full(len(steps) + 1, self.options[place].times[at], np.int64) for place, at in choice.items()
        }
        for number, step in enumerate(steps, 1):
            for place, at in step.items():
                times[place][number] = self.options[place].times[at]
        starts: dict[int, Any] = {}
        ends: dict[int, Any] = {}
        none, zero = SegmentOperator(None), np.zeros(len(steps) + 1, np.int64)
        for place in range(len(self.needs)):
            part, taken = self.parts.get(place, none), times.get(place, zero)
            starts[place], ends[place] = line_of(part.delay, taken, self.coarse[place], starts, ends)
        every = np.stack(list(ends.values())).astype(np.float64)
        return every.max(axis=0) + every.mean(axis=0) / SLIGHT


def _coarse(need: Needs) -> Needs:
    """The needs with fewer points: the first, every fourth, and the last two."""
    points = need.points
    return replace(need, points=(*points[:1], *points[1:-2:4], *points[max(1, len(points) - 2) :]))
