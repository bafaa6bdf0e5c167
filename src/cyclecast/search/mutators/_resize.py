"""Mutation rule: another tile size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

from cyclecast.mapspace import FILTERS, PACKED, WINDOW, WORD_LINES
from cyclecast.search.mutators._base import Choices, change_one


@dataclass(frozen=True, slots=True)
class ResizeTile:
    """Changes one size of the tile: word lines, filters, packed groups, or a side of the window."""

    def apply(self, decisions: Mapping[str, int], offers: Choices, rng: Random) -> dict[str, int] | None:
        """The decisions with one size changed; the factors stay."""
        windows = [name for name in offers if name.startswith(WINDOW)]
        return change_one(decisions, offers, (WORD_LINES, FILTERS, PACKED, *windows), rng)
