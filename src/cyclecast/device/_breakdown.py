"""Breakdowns of power, energy or area by component."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import prod
from typing import Generic, TypeVar

from cyclecast.device._parts import Component
from cyclecast.device._schema import Device
from cyclecast.device._words import suggest
from cyclecast.errors import OptionError
from cyclecast.units import Additive

Q = TypeVar("Q", bound=Additive)


@dataclass(frozen=True, slots=True)
class Share(Generic[Q]):
    """The amount of one component, in all instances of its level together."""

    level: str
    """The level at which the component is listed; "" for the device itself."""
    component: str
    amount: Q


@dataclass(frozen=True, slots=True)
class Breakdown(Generic[Q]):
    """A total, and its shares by component; the total is their exact sum."""

    shares: tuple[Share[Q], ...]
    """Shares of the device's own components, then of every level, outermost first, in the order of the file."""
    total: Q

    def of(self, component: str) -> Q:
        """Sum over all components of that name, at any level. Raises `OptionError` for an unknown name."""
        names = [share.component for share in self.shares]
        if component not in names:
            there = f"there are {', '.join(dict.fromkeys(names))}" if names else "the device has no components"
            raise OptionError("component", f"no '{component}'", there, suggest(component, set(names)) if names else "")
        return sum((share.amount for share in self.shares if share.component == component), 0 * self.total)

    def at(self, level: str) -> Q:
        """Sum over the components listed at that level, without the levels inside it; "" for the device's own."""
        return sum((share.amount for share in self.shares if share.level == level), 0 * self.total)

    def fraction(self, component: str) -> float:
        """Share of the components of that name in the total, from 0 to 1; 0 if the total is 0."""
        amount = self.of(component)
        return amount / self.total if self.total != 0 * self.total else 0.0


def breakdown(shares: tuple[Share[Q], ...], nothing: Q) -> Breakdown[Q]:
    """A breakdown of these shares; `nothing` is the zero of their unit."""
    return Breakdown(shares, sum((share.amount for share in shares), nothing))


def all_instances(device: Device) -> dict[str, int]:
    """Number of instances of each level on the whole device; "" is the device itself."""
    return {"": 1} | {
        level.name: prod(outer.count for outer in device.levels[: position + 1])
        for position, level in enumerate(device.levels)
    }


def inside(device: Device, level: str) -> dict[str, int]:
    """Number of instances of a level, 1, and of each level inside it. Raises `OptionError` for an unknown level."""
    names = [found.name for found in device.levels]
    if level not in names:
        raise OptionError("level", f"no '{level}'", f"there are {', '.join(names)}", suggest(level, names))
    first = names.index(level)
    return {
        found.name: prod(outer.count for outer in device.levels[first + 1 : first + position + 1])
        for position, found in enumerate(device.levels[first:])
    }


def listed(device: Device) -> Iterator[tuple[str, Component]]:
    """(Level, component) for all components, units included; the level is "" for the device itself."""
    yield from (("", component) for component in device.components)
    for level in device.levels:
        yield from ((level.name, component) for component in level.components)
        yield from ((level.name, unit.component) for unit in level.units)


def shares(device: Device, instances: Mapping[str, int], amount: Callable[[Component], Q]) -> tuple[Share[Q], ...]:
    """The shares of the components in these instances: amount x instances / `per`, rounded up for each."""
    return tuple(
        Share(level, component.name, amount(component).scaled(Fraction(instances[level], component.per)))
        for level, component in listed(device)
        if level in instances
    )
