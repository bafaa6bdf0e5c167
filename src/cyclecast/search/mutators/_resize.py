"""Mutation rule: another tile size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

from cyclecast.mapspace import FILTERS, PACKED, WINDOW, WORD_LINES
from cyclecast.search.mutators._base import Choices, change_one


@dataclass(frozen=True, slots=True)
class ResizeTile:
    """Changes the word lines, the filters or the packed groups of an array, or the window that is computed at once."""

    def apply(self, decisions: Mapping[str, int], offers: Choices, rng: Random) -> dict[str, int] | None:
        """The same binding with another tile."""
        windows = [name for name in offers if name.startswith(WINDOW)]
        return change_one(decisions, offers, (WORD_LINES, FILTERS, PACKED, *windows), rng)
