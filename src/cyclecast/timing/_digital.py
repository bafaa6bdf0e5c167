"""Time of operators that arrays do not compute: on digital units beside the arrays, or on the host.

A chain of operators stays on the units as long as there is a unit for every class of operation; the host computes the
rest of the chain. Results are ready in the instances of one row tile, so the units of a level's instances along groups,
columns and pixels share the work (A48). Different units work at the same time, beside the arrays (A7).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from collections.abc import Mapping as Mapped
from dataclasses import dataclass
from typing import NamedTuple

from cyclecast.device import Device, Unit
from cyclecast.mapping import Mapping
from cyclecast.network import NOWHERE, DigitalOperator
from cyclecast.units import Bandwidth, Time

MOVES, PART = "only moves values", "part of the rescaling"
"""Why an operator takes no time on units."""
BEFORE, BEHIND = "before the first product", "its product is on the host"
MIDDLE = "after an operator of the host"
"""Reasons for the host that no missing unit explains."""


class UnitShare(NamedTuple):
    """Operations of one unit for one operator."""

    level: int
    unit: Unit
    operations: int


class UnitOf(NamedTuple):
    """The unit of that name at a level, counted from the outermost."""

    level: int
    name: str


@dataclass(frozen=True, slots=True)
class Home:
    """A digital operator, and its units or the host."""

    operator: DigitalOperator
    shares: tuple[UnitShare, ...] = ()
    """Work of the units; () on the host, and for an operator that has no work."""
    on_host: bool = False
    why: str = ""
    """Why it is on the host, or takes no time on units; empty for work of units."""


def homes(operators: Sequence[DigitalOperator], device: Device, on_arrays: Collection[int]) -> tuple[Home, ...]:
    """The units, or the host, of each digital operator; `on_arrays` are the places of the operators on arrays."""
    fastest = _fastest(device)
    found: list[Home] = []
    left: set[int] = set()
    """Chains that have gone to the host."""
    for operator in operators:
        missing = [kind for kind, _ in operator.work if kind not in fastest]
        why = ""
        if not fastest:
            why = "no digital units"
        elif operator.after not in on_arrays:
            why = BEFORE if operator.after == NOWHERE else BEHIND
        elif operator.chain in left:
            why = MIDDLE
        elif missing:
            why = f"no unit for {missing[0]}"
        if why:
            left.add(operator.chain)
            found.append(Home(operator, on_host=True, why=why))
        else:
            shares = (UnitShare(*fastest[kind], number) for kind, number in operator.work)
            idle = PART if operator.operations else MOVES
            found.append(Home(operator, tuple(shares), why="" if operator.work else idle))
    return tuple(found)


def _fastest(device: Device) -> dict[str, tuple[int, Unit]]:
    """For every class, the level and the unit that does most of it a second, on the whole device."""
    found: dict[str, tuple[int, Unit]] = {}
    best: dict[str, int] = {}
    instances = 1
    for level, each in enumerate(device.levels):
        instances *= each.count
        for unit in each.units:
            speed = instances * unit.speed.millihertz // unit.per
            for kind in map(str, unit.does):
                if speed > best.get(kind, 0):
                    found[kind], best[kind] = (level, unit), speed
    return found


def units_of(device: Device) -> dict[UnitOf, Unit]:
    """All units of a device."""
    return {UnitOf(level, unit.name): unit for level, each in enumerate(device.levels) for unit in each.units}


def work_of(found: Iterable[Home]) -> dict[int, dict[UnitOf, int]]:
    """Operations of every unit for one image, by the operator on arrays that they are behind."""
    work: dict[int, dict[UnitOf, int]] = {}
    for home in found:
        for level, unit, operations in home.shares:
            of = work.setdefault(home.operator.after, {})
            key = UnitOf(level, unit.name)
            of[key] = of.get(key, 0) + operations
    return work


def unit_times(work: Mapped[UnitOf, int], mapping: Mapping, units: Mapped[UnitOf, Unit]) -> dict[UnitOf, Time]:
    """Time of every unit for the operations behind one operator on arrays."""
    return {key: _time(units[key], number, _instances(mapping, key.level)) for key, number in work.items()}


def _instances(mapping: Mapping, level: int) -> int:
    """Instances of a level in which results are ready."""
    whole = 1
    for each in mapping.levels[: level + 1]:
        whole *= each.factors.group * each.factors.column * each.factors.pixel
    return whole


def _time(unit: Unit, operations: int, instances: int) -> Time:
    return unit.speed.time(-(-operations * unit.per // instances))


def host_chains(found: Iterable[Home], device: Device) -> dict[int, Time]:
    """Time of the host by chain: the longest of its operations, its bytes, and its bytes over the link (A13, A33)."""
    chains: defaultdict[int, list[DigitalOperator]] = defaultdict(list)
    for home in found:
        if home.on_host:
            chains[home.operator.chain].append(home.operator)
    return {chain: _host_time(each, device) for chain, each in chains.items()}


def _host_time(chain: Sequence[DigitalOperator], device: Device) -> Time:
    operations = sum(each.operations for each in chain)
    moved = chain[0].through + sum(each.loads + each.stores for each in chain)
    links: list[Bandwidth] = [device.host.bandwidth, *([device.link_bandwidth] if device.link_bandwidth else [])]
    return max(device.host.operations.time(operations), *(link.time(moved) for link in links))
