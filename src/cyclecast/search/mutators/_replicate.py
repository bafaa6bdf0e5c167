"""Mutation rule: another number of replicas at one level."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

from cyclecast.search.mutators._base import Choices, along, change_one


@dataclass(frozen=True, slots=True)
class Replicate:
    """Changes how many copies of the weights one level holds for different pixels."""

    def apply(self, decisions: Mapping[str, int], offers: Choices, rng: Random) -> dict[str, int] | None:
        """The same tiles with more or fewer replicas."""
        return change_one(decisions, offers, along(offers, "pixel"), rng)
