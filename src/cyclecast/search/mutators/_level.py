"""Mutation rule: another use of one whole level."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

from cyclecast.search.mutators._base import Choices

ENDINGS = (".group", ".row", ".column", ".pixel")


@dataclass(frozen=True, slots=True)
class RebindLevel:
    """Deals one level out anew, axis after axis in any order: what one gives up, others can take at once.

    After an inner level the outermost one is asked for all it has, and so takes what is left of every axis.
    """

    def apply(self, decisions: Mapping[str, int], offers: Choices, rng: Random) -> dict[str, int] | None:
        """The same tiles, bound differently; the last axis takes all that the others leave, or not."""
        names = [name for name in offers if name.endswith(ENDINGS)]
        levels = list(dict.fromkeys(name.partition(".")[0] for name in names))  # from the inside outwards
        if not levels:
            return None
        level, changed = rng.choice(levels), dict(decisions)
        if level != levels[-1]:
            changed |= {name: max(offers[name]) for name in names if name.startswith(f"{levels[-1]}.")}
        here = [name for name in names if name.startswith(f"{level}.")]
        rng.shuffle(here)
        room = max(max(offers[name]) for name in here)
        for name in here:
            fitting = [value for value in offers[name] if value <= room] or [min(offers[name])]
            takes_rest = name == here[-1] and rng.random() < 0.5
            changed[name] = max(fitting) if takes_rest else rng.choice(fitting)
            room = max(1, room // changed[name])
        return changed if changed != decisions else None
