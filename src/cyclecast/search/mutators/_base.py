"""What a mutation rule is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Protocol

from cyclecast.mapping import TileAxis
from cyclecast.mapspace import Decision

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


def levels_of(offers: Choices) -> list[list[str]]:
    """The decisions about each level that has some, from the inside outwards."""
    levels: dict[str, list[str]] = {}
    for name in offers:
        if about := Decision.of(name):
            levels.setdefault(about.level, []).append(name)
    return list(levels.values())


def along(offers: Choices, *axes: TileAxis) -> list[str]:
    """The decisions about any level that are about one of these axes."""
    return [name for name in offers if (about := Decision.of(name)) and about.axis in axes]


def ask_for_all(names: Sequence[str], offers: Choices) -> dict[str, int]:
    """The largest value on offer for each of these decisions; what is granted is what is left."""
    return {name: max(offers[name]) for name in names}


def deal(names: Sequence[str], offers: Choices, rng: Random) -> dict[str, int]:
    """Deal one level out, axis after axis in any order; the last axis takes all that the others leave, or not."""
    dealt: dict[str, int] = {}
    room = max(max(offers[name]) for name in names)
    for name in rng.sample(names, len(names)):
        fitting = [value for value in offers[name] if value <= room] or [min(offers[name])]
        takes_rest = len(dealt) == len(names) - 1 and rng.random() < 0.5
        dealt[name] = max(fitting) if takes_rest else rng.choice(fitting)
        room = max(1, room // dealt[name])
    return dealt
