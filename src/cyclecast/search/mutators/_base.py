"""What a mutation rule is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Protocol

Choices = Mapping[str, Sequence[int]]
"""The values on offer for each decision that has more than one."""


class Mutator(Protocol):
    """Proposes a neighbour of a candidate. The seed of `rng` decides; nothing else may."""

    def apply(self, decisions: Mapping[str, int], offers: Choices, rng: Random) -> dict[str, int] | None:
        """The decisions with one of them changed to another value on offer, or None where there is none to change."""
        ...


def change_one(
    decisions: Mapping[str, int], offers: Choices, names: Sequence[str], rng: Random
) -> dict[str, int] | None:
    """Change one of the named decisions to another of its values, each with the same chance."""
    open_to_change = [name for name in names if len(offers.get(name, ())) > 1]
    if not open_to_change:
        return None
    name = rng.choice(open_to_change)
    others = [value for value in offers[name] if value != decisions[name]]
    return {**decisions, name: rng.choice(others)}
