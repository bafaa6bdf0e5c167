"""Uneven replication: free arrays for whoever shortens the latency most."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from cyclecast.placement._options import Options
from cyclecast.placement._pipeline import Needs
from cyclecast.placement._segments import Part, line_of

JUMPS = (1, 4, 16)
"""So many options further an operator may go in a step."""
MOST_ROUNDS = 3
"""In which arrays are taken from every operator once."""
SLIGHT = 64
"""The ends of all operators count with this part of the latency: of two equally long branches each may be shortened."""


@dataclass(slots=True)
class Shortener:
    """Choices of an option for every operator, within a budget of arrays."""

    options: Mapping[int, Options]
    needs: Sequence[Sequence[Needs]]
    delays: Mapping[int, int]
    """From a step's inputs to its results beside the step [fs]."""
    budget: int
    parts: dict[int, Part] = field(init=False)
    coarse: list[list[Needs]] = field(init=False)
    """The needs at a few points."""

    def __post_init__(self) -> None:
        self.parts = {place: Part(ways, 0, self.delays[place]) for place, ways in self.options.items()}
        self.coarse = [[_coarse(need) for need in each] for each in self.needs]

    def choices(self, periods: Sequence[int]) -> Iterator[dict[int, int]]:
        """For each period the choice that has it, and all arrays left over dealt out; the best of these, improved."""
        found = []
        for period in periods:
            choice = {place: ways.within(period) for place, ways in self.options.items()}
            assert all(at is not None for at in choice.values()), "a fitting period suits all"
            found.append(self._dealt_out({place: at or 0 for place, at in choice.items()}))
            yield found[-1]
        yield self._exchanged(min(found, key=lambda each: float(self._values(each, [])[0])))

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
            steps = [step for step in self._steps(choice) if step[0] != but]
            if not steps:
                return choice
            values = self._values(choice, [step[:2] for step in steps])
            saved = (values[0] - values[1:]) / np.array([more for _, _, more in steps], np.float64)
            best = int(saved.argmax())
            if saved[best] <= 0:
                return choice
            place, at, _ = steps[best]
            choice = choice | {place: at}

    def _steps(self, choice: Mapping[int, int]) -> Iterator[tuple[int, int, int]]:
        """An operator, a shorter option of it, and the arrays that this takes in addition; as many as are free."""
        free = self.budget - sum(self.options[place].arrays[at] for place, at in choice.items())
        for place, at in choice.items():
            ways = self.options[place]
            for jump in JUMPS:
                if at + jump < len(ways) and ways.arrays[at + jump] - ways.arrays[at] <= free:
                    yield place, at + jump, ways.arrays[at + jump] - ways.arrays[at]

    def _values(self, choice: Mapping[int, int], steps: Sequence[tuple[int, int]]) -> Any:
        """The latency of the choice, then of it after each step: with a small part of all ends [fs]."""
        times: dict[int, Any] = {
            place: np.full(len(steps) + 1, self.options[place].times[at], np.int64) for place, at in choice.items()
        }
        for number, (place, at) in enumerate(steps, 1):
            times[place][number] = self.options[place].times[at]
        starts: dict[int, Any] = {}
        ends: dict[int, Any] = {}
        none, zero = Part(None), np.zeros(len(steps) + 1, np.int64)
        for place in range(len(self.needs)):
            part, taken = self.parts.get(place, none), times.get(place, zero)
            starts[place], ends[place] = line_of(part.delay, taken, self.coarse[place], starts, ends)
        every = np.stack(list(ends.values())).astype(np.float64)
        return every.max(axis=0) + every.mean(axis=0) / SLIGHT


def _coarse(need: Needs) -> Needs:
    """At the first point, every fourth, and the last two, between which everything has arrived."""
    points = need.points
    return replace(need, points=(*points[:1], *points[1:-2:4], *points[max(1, len(points) - 2) :]))
