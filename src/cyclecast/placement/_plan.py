"""A plan: segments, what they come to, and which plans none beats."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from cyclecast.errors import OptionError
from cyclecast.placement._base import Check, ParetoPlacement, Segment
from cyclecast.units import Energy, Time

Objective = Literal["interval", "latency", "energy", "arrays"]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Plan:
    """Segments, and what they come to by the closed form."""

    segments: tuple[Segment, ...]
    interval: Time
    latency: Time
    energy: Energy | None
    """Of one image; None where the device states no components."""
    arrays: int
    """In use at the same time, at most."""
    overlapped: bool = False
    tuned: bool = False
    """Whether the tiles are those of the mappings as tuned."""

    @property
    def longest(self) -> Segment:
        """The segment with the longest period, which is the one that is simulated."""
        return max(self.segments, key=lambda segment: segment.period)

    @property
    def values(self) -> tuple[int, int, int, int]:
        """What is compared: less is better."""
        energy = self.energy.attojoules if self.energy else 0
        return self.interval.femtoseconds, self.latency.femtoseconds, energy, self.arrays

    def of(self, objective: str) -> tuple[int, ...]:
        """The value of an objective first, then the others."""
        return (self.values[index_of(objective)], *self.values)

    def seen(self, objective: str, check: Check) -> int:
        """The value of an objective as the event simulation has it.

        Of several segments only one is simulated: its longer period or latency is added for each image.
        """
        values = list(self.values)
        if len(self.segments) == 1:
            values[:2] = check.interval.femtoseconds, check.latency.femtoseconds
        return values[index_of(objective)]


def index_of(objective: str) -> int:
    """Its place in `Plan.values`."""
    known = get_args(Objective)
    if objective not in known:
        raise OptionError("objective", f"'{objective}'", f"one of {', '.join(known)}", "interval")
    return known.index(objective)


def front(plans: Iterable[Plan]) -> tuple[ParetoPlacement, ...]:
    """The Pareto front in interval, latency, energy and arrays, shortest interval first; equal plans once."""
    kept: list[Plan] = []
    for plan in sorted(plans, key=lambda each: each.values):
        if not any(all(a <= b for a, b in zip(other.values, plan.values, strict=True)) for other in kept):
            kept.append(plan)
    return tuple(ParetoPlacement(len(p.segments), p.interval, p.latency, p.energy, p.arrays) for p in kept)


def evenly(count: int, most: int) -> list[int]:
    """At most so many places of a row of `count`, evenly spread, the first and the last among them."""
    if count <= most:
        return list(range(count))
    return [round(place * (count - 1) / max(1, most - 1)) for place in range(most)]


def distinct(plans: Sequence[Plan], objective: str) -> list[Plan]:
    """The plans by objective, those with equal values once."""
    found: dict[tuple[int, ...], Plan] = {}
    for plan in sorted(plans, key=lambda each: each.of(objective)):
        found.setdefault(plan.values, plan)
    return list(found.values())
