"""Mutation rule: another use of one whole level."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

from cyclecast.search.mutators._base import Choices, ask_for_all, deal, levels_of


@dataclass(frozen=True, slots=True)
class RebindLevel:
    """Deals one level out anew, axis after axis in any order: what one gives up, others can take at once.

    After an inner level the outermost one is asked for all it has, and so takes what is left of every axis.
    """

    def apply(self, decisions: Mapping[str, int], offers: Choices, rng: Random) -> dict[str, int] | None:
        """The same tiles, bound differently; the last axis takes all that the others leave, or not."""
        levels = levels_of(offers)
        if not levels:
            return None
        names, outermost, changed = rng.choice(levels), levels[-1], dict(decisions)
        if names is not outermost:
            changed |= ask_for_all(outermost, offers)
        changed |= deal(names, offers, rng)
        return changed if changed != decisions else None
