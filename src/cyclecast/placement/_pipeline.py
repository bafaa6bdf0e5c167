"""When every operator of a resident network starts and ends: a closed form over the graph.

An operator takes its steps one after another, each as soon as its inputs are there. In closed form every operator is a
line: its first pixels leave at its start, its last ones at its end, the others in between in proportion. It starts when
all that its first pixel needs has arrived: with a k x k window, k - 1 rows and k pixels, less the padding (the form of
Qu et al., CIM-MLC, ASPLOS 2024, and of Shafiee et al., ISAAC, ISCA 2016, section VI). It ends when it has taken its
time, and no earlier than what is left to do once its last inputs arrive.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import prod
from typing import NamedTuple

from cyclecast._integers import ceil_div
from cyclecast.network import Edge, Operator, live_pixels, receptive_field

ROWS = 16
"""Rows of an operator at whose ends it is asked what it needs."""


class Work(NamedTuple):
    """What one operator takes; of nothing if the host does it (A13)."""

    time: int = 0
    """All steps of one image [fs]."""
    steps: int = 1
    delay: int = 0
    """From a step's inputs to its results beside the time of the step: pipeline, merging, the way [fs]."""

    def rest(self, share: float) -> int:
        """What is left to do from the step on that begins with or before this share of its pixels [fs]."""
        return int(self.time * (self.steps - int(share * self.steps)) / self.steps)

    def done(self, line: Line, share: float) -> int:
        """When so large a share of its pixels has left [fs]."""
        steps = -(-share * self.steps // 1)
        return line.start + self.delay + int((line.end - self.delay - line.start) * steps / self.steps)


class Line(NamedTuple):
    """When an operator begins its first step, and when its last result leaves [fs]."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Needs:
    """What an operator needs of a source before some of its pixels."""

    source: int
    points: tuple[tuple[float, float], ...]
    """Shares: before this share of the target's pixels is exceeded, this share of the source's must be there."""
    pixels: int
    """Of the source."""
    live_pixels: int
    """Pixels of the source that are kept alive at least."""


def needs_of(operators: Sequence[Operator]) -> tuple[tuple[Needs, ...], ...]:
    """For every operator, what it needs of each of its sources."""
    return tuple(
        tuple(
            replace(_needs(Edge(0, edge.reach), operators[edge.source].raster, operator.raster), source=edge.source)
            for edge in operator.sources
        )
        for operator in operators
    )


@lru_cache(maxsize=4096)
def _needs(edge: Edge, source: tuple[int, ...], target: tuple[int, ...]) -> Needs:
    pixels, row = prod(target), target[-1] if target else 1
    rows = pixels // row
    ends = {0, *(row * ceil_div(rows * part, ROWS) - 1 for part in range(1, ROWS + 1))}
    points, most = [], 0
    for pixel in sorted({*ends, _first_whole(edge, source, target)}):
        most = max(most, receptive_field(edge, source, target, pixel))
        points.append((pixel / pixels, most / prod(source)))
    return Needs(edge.source, tuple(points), prod(source), live_pixels(edge, source))


def _first_whole(edge: Edge, source: tuple[int, ...], target: tuple[int, ...]) -> int:
    """The first pixel at the end of a row that needs the last one of the source, or the last pixel."""
    row = target[-1] if target else 1
    first, last = 0, prod(target) // row - 1
    while first < last:
        middle = (first + last) // 2
        if receptive_field(edge, source, target, row * (middle + 1) - 1) == prod(source):
            last = middle
        else:
            first = middle + 1
    return row * (first + 1) - 1


def lines_of(
    works: Mapping[int, Work], needs: Sequence[Sequence[Needs]], ways: Mapping[tuple[int, int], int]
) -> dict[int, Line]:
    """When every operator of `works` starts and ends, the first at 0; sources that are not in it are there already.

    `works` is in the order of the program. `ways` is what the way from a source to a target takes, if anything [fs].
    """
    found: dict[int, Line] = {}
    for place, work in works.items():
        start, late = 0, 0
        for need in needs[place]:
            if need.source not in found:
                continue
            way = ways.get((need.source, place), 0)
            source, line = works[need.source], found[need.source]
            for position, (before, share) in enumerate(need.points):
                there = source.done(line, share) + way
                start = max(start, there) if not position else start
                late = max(late, there + work.rest(before))
        found[place] = Line(start, max(start + work.time, late) + work.delay)
    return found


def latency_of(lines: Mapping[int, Line]) -> int:
    """From the first input to the last result [fs]."""
    return max((line.end for line in lines.values()), default=0)


def waits_of(
    works: Mapping[int, Work], needs: Sequence[Sequence[Needs]], lines: Mapping[int, Line]
) -> dict[tuple[int, int], int]:
    """For every edge, how long pixels of the source wait for the target beside its window [fs].

    While the target waits for another source, as a residual connection keeps what its longer way has not yet brought,
    and while it works on what it needs all of.
    """
    found = {}
    for place in lines:
        for need in needs[place]:
            if need.source not in lines:
                continue
            first = works[need.source].done(lines[need.source], need.points[0][1])
            waits = max(0, lines[place].start - first)
            if need.live_pixels == need.pixels:
                waits += lines[place].end - lines[place].start
            found[need.source, place] = waits
    return found
