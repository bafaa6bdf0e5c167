"""Mutation rule: another number of replicas at one level."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

from cyclecast.search.mutators._base import Choices, along, change_one


@dataclass(frozen=True, slots=True)
class Replicate:
    """Changes the number of replicas at one level: its factor along pixels."""

    def apply(self, decisions: Mapping[str, int], offers: Choices, rng: Random) -> dict[str, int] | None:
        """The decisions with one factor along pixels changed."""
        return change_one(decisions, offers, along(offers, "pixel"), rng)
