"""Mutation rule: another number of tiles side by side at one level."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

from cyclecast.search.mutators._base import Choices, along, change_one


@dataclass(frozen=True, slots=True)
class RebindTiles:
    """Changes how many groups, row tiles or column tiles one level takes."""

    def apply(self, decisions: Mapping[str, int], offers: Choices, rng: Random) -> dict[str, int] | None:
        """The same tiles with another binding."""
        return change_one(decisions, offers, along(offers, "group", "row", "column"), rng)
