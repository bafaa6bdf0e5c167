"""Mutation rule: another tile size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

from cyclecast.decisions import FILTERS, WORD_LINES
from cyclecast.search.mutators._base import Choices, change_one


@dataclass(frozen=True, slots=True)
class ResizeTile:
    """Changes the word lines or the filters of an array."""

    def apply(self, decisions: Mapping[str, int], offers: Choices, rng: Random) -> dict[str, int] | None:
        """The same binding with another tile."""
        return change_one(decisions, offers, (WORD_LINES, FILTERS), rng)
