"""The choice among plans: the event simulation has the last word on the first few."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from cyclecast.placement._base import Check
from cyclecast.placement._plan import Plan, distinct

MOST_LOOKED_AT = 5
"""Plans that are simulated, beside other ways to deal their arrays."""
MOST_BLOCKED = 10
"""As long as operators of all of them wait for room for ever."""
NEAR = 0.05
"""A simulated value so near to the best closed form is taken at once."""


class Seen(NamedTuple):
    """A plan as simulated."""

    plan: Plan
    check: Check
    value: int
    """Of the objective, by the simulation [fs, aJ or arrays]."""

    @property
    def rank(self) -> tuple[bool, int, tuple[int, ...]]:
        """Less is better: plans that do not block first."""
        return bool(self.check.blocked), self.value, self.plan.values


def choose(
    plans: Sequence[Plan],
    objective: str,
    look: Callable[[Plan], tuple[Plan, Check]],
    others: Callable[[Plan], Iterable[Plan]],
) -> list[Seen]:
    """The plans that were simulated, the best first.

    Plans are looked at in the order of the closed form; the arrays of each are dealt in `others` ways, too, where the
    simulation is not near the closed form. It ends where the best is near the best closed form or no plan left can be
    better by the closed form, or after so many. `look` simulates, and may change the rooms of a plan.
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
    """A plan, and other ways to deal its arrays where that may be better."""
    found = []
    for each in (plan, *others(plan)):
        looked_at, check = look(each)
        found.append(Seen(looked_at, check, looked_at.seen(objective, check)))
        if not check.blocked and found[-1].value <= near:
            break
    return found
