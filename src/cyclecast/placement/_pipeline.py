"""Start and end of every operator of a resident network: a closed form over the graph.

An operator takes its steps one after another, each as soon as its inputs have arrived. In the closed form an operator
is a straight line from its start to its end: its pixels leave at an even pace. It starts when all inputs of its first
pixel have arrived: with a k x k window, k - 1 rows and k pixels, less the padding (the form of Qu et al., CIM-MLC,
ASPLOS 2024, and of Shafiee et al., ISAAC, ISCA 2016, section VI). It ends after its own time, and not before the steps
that are left when its last inputs arrive.
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
"""Number of rows of an operator at whose ends its needs are evaluated."""


class Work(NamedTuple):
    """Times of one operator for an image; 0 for an operator on the host (A13)."""

    time: int = 0
    """Time of all steps of one image [fs]."""
    steps: int = 1
    delay: int = 0
    """Time from a step's inputs to its results beside the step itself: pipeline, merging, network [fs]."""

    def rest(self, share: float) -> int:
        """Time of the steps that are left when this share of the pixels is done, rounded down to steps [fs]."""
        return int(self.time * (self.steps - int(share * self.steps)) / self.steps)

    def done(self, line: Line, share: float) -> int:
        """Time at which this share of the pixels has left [fs]."""
        steps = -(-share * self.steps // 1)
        return line.start + self.delay + int((line.end - self.delay - line.start) * steps / self.steps)


class Line(NamedTuple):
    """Start and end of an operator for one image."""

    start: int
    """Begin of its first step [fs]."""
    end: int
    """Time at which its last result leaves [fs]."""


@dataclass(frozen=True, slots=True)
class Needs:
    """The pixels of a source that an operator needs for its own pixels."""

    source: int
    """Position of the source in the network."""
    points: tuple[tuple[float, float], ...]
    """(Share of the target's pixels, share of the source's): more of the target needs that much of the source."""
    pixels: int
    """Pixels of the source for one image."""
    live_pixels: int
    """Least number of pixels of the source that wait in a buffer."""


def needs_of(operators: Sequence[Operator]) -> tuple[tuple[Needs, ...], ...]:
    """The needs of every operator, one for each of its sources."""
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
    """The first pixel at the end of a row that needs the source's last pixel; else the last pixel."""
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
    works: Mapping[int, Work], needs: Sequence[Sequence[Needs]], transfers: Mapping[tuple[int, int], int]
) -> dict[int, Line]:
    """Start and end of every operator of `works`; the first starts at 0, and other sources are complete before.

    `works` is in the order of the program. `transfers` has the network's latency from a source to a target [fs], by
    (source, target); 0 for other edges.
    """
    found: dict[int, Line] = {}
    for place, work in works.items():
        start, late = 0, 0
        for need in needs[place]:
            if need.source not in found:
                continue
            transfer = transfers.get((need.source, place), 0)
            source, line = works[need.source], found[need.source]
            for position, (before, share) in enumerate(need.points):
                there = source.done(line, share) + transfer
                start = max(start, there) if not position else start
                late = max(late, there + work.rest(before))
        found[place] = Line(start, max(start + work.time, late) + work.delay)
    return found


def latency_of(lines: Mapping[int, Line]) -> int:
    """Time from the first input to the last result [fs]."""
    return max((line.end for line in lines.values()), default=0)


def waits_of(
    works: Mapping[int, Work], needs: Sequence[Sequence[Needs]], lines: Mapping[int, Line]
) -> dict[tuple[int, int], int]:
    """Waiting time of the source's pixels for the target [fs], beside the live pixels, by (source, target).

    Pixels wait while the target waits for another source, as in a residual connection. They also wait for the whole run
    of the target if it needs all pixels of the source.
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
