"""Mutation rule: other tiles, and other factors of all levels for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from random import Random

from cyclecast.mapspace import FILTERS, PACKED, WINDOW, WORD_LINES, Decision
from cyclecast.search.mutators._base import Choices, ask_for_all, deal, levels_of

ANOTHER_FORM = 0.7
"""Probability that windows and packed groups change, if there are any."""
OTHER_FACTORS = 0.7
"""Probability that the factors of all levels are drawn anew."""
WHOLE = 0.4
"""Probability that every inner level then has one axis only: the axis of the level inside it, or another."""


@dataclass(frozen=True, slots=True)
class Retile:
    """Draws the window, the packed groups or the tile size anew, and the factors of all levels.

    Another tile size changes the number of tiles, and the old factors seldom suit it. If tile and factors changed one
    by one, the mappings in between would be slower than both ends. The outermost level is asked for its largest
    factors.
    """

    def apply(self, decisions: Mapping[str, int], offers: Choices, rng: Random) -> dict[str, int] | None:
        """The decisions with other sizes, drawn or as large as the new window allows, and mostly with other factors."""
        changed = dict(decisions)
        forms = [name for name in offers if name.startswith(WINDOW) or name == PACKED]
        sizes = [name for name in offers if name in (WORD_LINES, FILTERS)]
        if forms and rng.random() < ANOTHER_FORM:
            changed |= _drawn(forms, offers, rng, at_least=1) | ask_for_all(sizes, offers)
        changed |= _drawn(sizes, offers, rng, at_least=0)
        levels = levels_of(offers)
        if levels and rng.random() < OTHER_FACTORS:
            for inner in _dealt(levels[:-1], offers, rng):
                changed |= inner
            changed |= ask_for_all(levels[-1], offers)
        return changed if changed != decisions else None


def _dealt(levels: list[list[str]], offers: Choices, rng: Random) -> Iterator[dict[str, int]]:
    """Factors of each inner level: drawn for all its axes, or the largest for one axis and the least for the others."""
    whole, axis = rng.random() < WHOLE, ""
    for names in levels:
        if not axis or rng.random() < 0.5:
            axis = _axis(rng.choice(names))
        yield {n: (max if _axis(n) == axis else min)(offers[n]) for n in names} if whole else deal(names, offers, rng)


def _axis(name: str) -> str:
    about = Decision.of(name)
    return about.axis if about else ""


def _drawn(names: list[str], offers: Choices, rng: Random, at_least: int) -> dict[str, int]:
    """New values of a random subset of these decisions, of at least `at_least` of them."""
    return {name: rng.choice(offers[name]) for name in rng.sample(names, rng.randint(at_least, len(names)))}
