"""Uneven replication: free arrays for whoever shortens the latency most."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from cyclecast.placement._pareto_mappings import ParetoMappings
from cyclecast.placement._pipeline import Needs
from cyclecast.placement._segment import SegmentOperator, line_of

JUMPS = (1, 2, 4, 8, 16)
"""So many options further an operator may go in a step."""
MOST_TOGETHER = 6
"""Of the longest times: all operators that take so long or longer are shortened together."""
EXCHANGED = 3
"""Of the choices, that are improved further."""
MOST_ROUNDS = 3
"""In which arrays are taken from every operator once."""
SLIGHT = 64
"""The ends of all operators count with this part of the latency: of two equally long branches each may be shortened."""


class Shortening(NamedTuple):
    """Some operators take shorter options."""

    to: Mapping[int, int]
    more: int
    """Arrays in addition."""


@dataclass(slots=True)
class Shortener:
    """Choices of an option for every operator, within a budget of arrays."""

    options: Mapping[int, ParetoMappings]
    needs: Sequence[Sequence[Needs]]
    delays: Mapping[int, int]
    """From a step's inputs to its results beside the step [fs]."""
    budget: int
    parts: dict[int, SegmentOperator] = field(init=False)
    coarse: list[list[Needs]] = field(init=False)
    """The needs at a few points."""

    def __post_init__(self) -> None:
        self.parts = {place: SegmentOperator(ways, 0, self.delays[place]) for place, ways in self.options.items()}
        self.coarse = [[_coarse(need) for need in each] for each in self.needs]

    def choices(self, periods: Sequence[int]) -> Iterator[dict[int, int]]:
        """For each period the choice that has it, and all arrays left over dealt out; the best of these, improved."""
        found = []
        for period in periods:
            choice = {place: ways.within(period) for place, ways in self.options.items()}
            assert all(at is not None for at in choice.values()), "a fitting period suits all"
            found.append(self._dealt_out({place: at or 0 for place, at in choice.items()}))
            yield found[-1]
        found.sort(key=lambda each: float(self._values(each, [])[0]))
        yield from map(self._exchanged, found[:EXCHANGED])

    def _exchanged(self, choice: dict[int, int]) -> dict[int, int]:
        """Take arrays from one operator after another, and deal them out anew, as long as that helps."""
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
        """Free arrays, one step after another, for whoever shortens the latency most for each; `but` one gets none."""
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
        """One operator some options further, or all that take longest together; in no more arrays than are free."""
        held = {place: ways.arrays[choice[place]] for place, ways in self.options.items()}
        free = self.budget - sum(held.values())
        times = {place: ways.times[choice[place]] for place, ways in self.options.items()}
        every = [{place: at + jump} for place, at in choice.items() for jump in JUMPS]
        limits = sorted(set(times.values()), reverse=True)[:MOST_TOGETHER]
        every += [{place: choice[place] + 1 for place in times if times[place] >= limit} for limit in limits]
        for to in every:
            if all(at < len(self.options[place]) for place, at in to.items()):
                more = sum(self.options[place].arrays[at] - held[place] for place, at in to.items())
                if more <= free:
                    yield Shortening(to, more)

    def _values(self, choice: Mapping[int, int], steps: Sequence[Mapping[int, int]]) -> Any:
        """The latency of the choice, then of it after each step: with a small part of all ends [fs]."""
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
    """At the first point, every fourth, and the last two, between which everything has arrived."""
    points = need.points
    return replace(need, points=(*points[:1], *points[1:-2:4], *points[max(1, len(points) - 2) :]))
