"""Mutation rule: other tiles, on levels that are dealt out for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from random import Random

from cyclecast.mapspace import FILTERS, PACKED, WINDOW, WORD_LINES, Decision
from cyclecast.search.mutators._base import Choices, ask_for_all, deal, levels_of

ANOTHER_FORM = 0.7
"""How often windows and packed groups change, where there are some."""
OTHER_FACTORS = 0.7
"""How often all levels are dealt out anew."""
WHOLE = 0.4
"""How often every inner level then goes to one axis, which is that of the level inside it or another."""


@dataclass(frozen=True, slots=True)
class Retile:
    """Draws the window, the packed groups or the tile size anew, and deals out all levels for the new tiles.

    Another tile makes other numbers of tiles, which the factors of the old one seldom suit: changed one by one, tile
    and factors would pass through mappings that are longer than both ends. The outermost level is asked for all it has.
    """

    def apply(self, decisions: Mapping[str, int], offers: Choices, rng: Random) -> dict[str, int] | None:
        """Other tiles, as large as the new window allows or of any size, and other factors or the same."""
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
    """Inner levels, each dealt out among its axes, or given to one of them."""
    whole, axis = rng.random() < WHOLE, ""
    for names in levels:
        if not axis or rng.random() < 0.5:
            axis = _axis(rng.choice(names))
        yield {n: (max if _axis(n) == axis else min)(offers[n]) for n in names} if whole else deal(names, offers, rng)


def _axis(name: str) -> str:
    about = Decision.of(name)
    return about.axis if about else ""


def _drawn(names: list[str], offers: Choices, rng: Random, at_least: int) -> dict[str, int]:
    """Any number of these decisions, drawn anew."""
    return {name: rng.choice(offers[name]) for name in rng.sample(names, rng.randint(at_least, len(names)))}
