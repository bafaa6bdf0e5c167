"""The protocol of a mutation rule, and functions that the rules share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Protocol

from cyclecast.mapping import TileAxis
from cyclecast.mapspace import Decision

Choices = Mapping[str, Sequence[int]]
"""The values on offer for each open decision, by its name."""


class Mutator(Protocol):
    """A mutation rule. It must be deterministic for a state of `rng`."""

    def apply(self, decisions: Mapping[str, int], offers: Choices, rng: Random) -> dict[str, int] | None:
        """The decisions with some of them changed to other values on offer; None if the rule can change nothing."""
        ...


def change_one(
    decisions: Mapping[str, int], offers: Choices, names: Sequence[str], rng: Random
) -> dict[str, int] | None:
    """Change one of the named decisions to another of its values, with equal probability; None if none is open."""
    open_to_change = [name for name in names if len(offers.get(name, ())) > 1]
    if not open_to_change:
        return None
    name = rng.choice(open_to_change)
    others = [value for value in offers[name] if value != decisions[name]]
    return {**decisions, name: rng.choice(others)}


def levels_of(offers: Choices) -> list[list[str]]:
    """Names of the decisions about each level that has any, one list per level, from the inside outwards."""
    levels: dict[str, list[str]] = {}
    for name in offers:
        if about := Decision.of(name):
            levels.setdefault(about.level, []).append(name)
    return list(levels.values())


def along(offers: Choices, *axes: TileAxis) -> list[str]:
    """Names of the decisions about factors along these axes, of all levels."""
    return [name for name in offers if (about := Decision.of(name)) and about.axis in axes]


def ask_for_all(names: Sequence[str], offers: Choices) -> dict[str, int]:
    """The largest value on offer for each of these decisions; the device grants what is left."""
    return {name: max(offers[name]) for name in names}


def deal(names: Sequence[str], offers: Choices, rng: Random) -> dict[str, int]:
    """Draw the factors of one level, axis by axis in random order.

    Every factor fits into the instances that the axes before leave; with a chance of 1/2 the last axis takes them all.
    """
    dealt: dict[str, int] = {}
    room = max(max(offers[name]) for name in names)
    for name in rng.sample(names, len(names)):
        fitting = [value for value in offers[name] if value <= room] or [min(offers[name])]
        takes_rest = len(dealt) == len(names) - 1 and rng.random() < 0.5
        dealt[name] = max(fitting) if takes_rest else rng.choice(fitting)
        room = max(1, room // dealt[name])
    return dealt
