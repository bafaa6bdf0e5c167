"""Plans: candidates for a placement, with their values, and their Pareto front."""

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
    """Segments and their values by the closed form."""

    segments: tuple[Segment, ...]
    interval: Time
    latency: Time
    energy: Energy | None
    """Energy of one image; None if the device states no components."""
    arrays: int
    """Number of arrays in use in the fullest segment."""
    overlapped: bool = False
    """Whether a segment is written while the one before it computes."""
    tuned: bool = False
    """Whether the tiles are those of the mappings as tuned."""

    @property
    def longest(self) -> Segment:
        """The segment with the longest period; it is the one that is simulated."""
        return max(self.segments, key=lambda segment: segment.period)

    @property
    def values(self) -> tuple[int, int, int, int]:
        """Interval [fs], latency [fs], energy [aJ] and arrays: less is better."""
        energy = self.energy.attojoules if self.energy else 0
        return self.interval.femtoseconds, self.latency.femtoseconds, energy, self.arrays

    def of(self, objective: str) -> tuple[int, ...]:
        """Sort key: the value of an objective, then all values."""
        return (self.values[index_of(objective)], *self.values)

    def seen(self, objective: str, check: Check) -> int:
        """The value of an objective by the event simulation.

        With several segments it is the value by the closed form, as only one segment is simulated.
        """
        values = list(self.values)
        if len(self.segments) == 1:
            values[:2] = check.interval.femtoseconds, check.latency.femtoseconds
        return values[index_of(objective)]


def index_of(objective: str) -> int:
    """Position of the objective in `Plan.values`. Raises `OptionError` for an unknown objective."""
    known = get_args(Objective)
    if objective not in known:
        raise OptionError("objective", f"'{objective}'", f"one of {', '.join(known)}", "interval")
    return known.index(objective)


def front(plans: Iterable[Plan]) -> tuple[ParetoPlacement, ...]:
    """The Pareto front in interval, latency, energy and arrays, shortest interval first; of equal plans one."""
    kept: list[Plan] = []
    for plan in sorted(plans, key=lambda each: each.values):
        if not any(all(a <= b for a, b in zip(other.values, plan.values, strict=True)) for other in kept):
            kept.append(plan)
    return tuple(ParetoPlacement(len(p.segments), p.interval, p.latency, p.energy, p.arrays) for p in kept)


def evenly(count: int, most: int) -> list[int]:
    """At most `most` positions from 0 to `count` - 1, evenly spread, with the first and the last one."""
    if count <= most:
        return list(range(count))
    return [round(place * (count - 1) / max(1, most - 1)) for place in range(most)]


def distinct(plans: Sequence[Plan], objective: str) -> list[Plan]:
    """The plans sorted by objective; of plans with equal values one."""
    found: dict[tuple[int, ...], Plan] = {}
    for plan in sorted(plans, key=lambda each: each.of(objective)):
        found.setdefault(plan.values, plan)
    return list(found.values())
