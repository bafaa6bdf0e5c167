"""The choice among plans: the best by the closed form are simulated, and the simulation decides."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from cyclecast.placement._base import Check
from cyclecast.placement._plan import Plan, distinct

MOST_LOOKED_AT = 5
"""Most plans that are simulated, not counting other allocations of their arrays."""
MOST_BLOCKED = 10
"""The same while all simulated plans end in a deadlock."""
NEAR = 0.05
"""Relative distance to the best closed form up to which a simulated value ends the search."""


class Seen(NamedTuple):
    """A simulated plan."""

    plan: Plan
    check: Check
    value: int
    """Value of the objective by the simulation [fs, aJ or arrays]."""

    @property
    def rank(self) -> tuple[bool, int, tuple[int, ...]]:
        """Sort key, less is better: plans without a deadlock first."""
        return bool(self.check.blocked), self.value, self.plan.values


def choose(
    plans: Sequence[Plan],
    objective: str,
    look: Callable[[Plan], tuple[Plan, Check]],
    others: Callable[[Plan], Iterable[Plan]],
) -> list[Seen]:
    """Simulate plans in the order of the closed form; return the simulated ones, the best first.

    If the simulated value is not near the best closed form, the plan's other allocations (`others`) are simulated too.
    The search ends if the best value is near the best closed form, if no plan left is better by the closed form, or
    after `MOST_LOOKED_AT` plans. `look` simulates a plan, and may change the rooms in its buffers.
    """
    order, seen = distinct(plans, objective), list[Seen]()
    near = order[0].of(objective)[0] * (1 + NEAR)
    for number, plan in enumerate(order):
        best = min(seen, key=lambda each: each.rank, default=None)
        if best and not best.check.blocked:
            if best.value <= max(near, plan.of(objective)[0]) or number >= MOST_LOOKED_AT:
                break
        elif number >= MOST_BLOCKED:
            break
        seen += _looked_at(plan, objective, look, others, near)
    return sorted(seen, key=lambda each: each.rank)


def _looked_at(
    plan: Plan,
    objective: str,
    look: Callable[[Plan], tuple[Plan, Check]],
    others: Callable[[Plan], Iterable[Plan]],
    near: float,
) -> list[Seen]:
    """Simulate a plan, and its other allocations until one is near the best closed form."""
    found = []
    for each in (plan, *others(plan)):
        looked_at, check = look(each)
        found.append(Seen(looked_at, check, looked_at.seen(objective, check)))
        if not check.blocked and found[-1].value <= near:
            break
    return found
