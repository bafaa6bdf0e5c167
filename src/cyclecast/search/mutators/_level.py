"""Mutation rule: other factors of one whole level."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

from cyclecast.search.mutators._base import Choices, ask_for_all, deal, levels_of


@dataclass(frozen=True, slots=True)
class RebindLevel:
    """Draws all factors of one level anew, so that one axis can take the instances that another gives up.

    If it is an inner level, the outermost level is asked for its largest factors, and so takes the rest of every axis.
    """

    def apply(self, decisions: Mapping[str, int], offers: Choices, rng: Random) -> dict[str, int] | None:
        """The decisions with other factors; the tile sizes stay."""
        levels = levels_of(offers)
        if not levels:
            return None
        names, outermost, changed = rng.choice(levels), levels[-1], dict(decisions)
        if names is not outermost:
            changed |= ask_for_all(outermost, offers)
        changed |= deal(names, offers, rng)
        return changed if changed != decisions else None
