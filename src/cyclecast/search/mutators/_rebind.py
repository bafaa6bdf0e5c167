"""Mutation rule: another factor along groups, rows or columns at one level."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

from cyclecast.search.mutators._base import Choices, along, change_one


@dataclass(frozen=True, slots=True)
class RebindTiles:
    """Changes the factor of one level along groups, row tiles or column tiles."""

    def apply(self, decisions: Mapping[str, int], offers: Choices, rng: Random) -> dict[str, int] | None:
        """The decisions with one such factor changed."""
        return change_one(decisions, offers, along(offers, "group", "row", "column"), rng)
