"""The protocol of a timing model, and the values it returns: `Timing`, `Timings`, `Bounds`, `Failure`."""

from __future__ import annotations

from collections.abc import Mapping as Mapped
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from cyclecast._integers import Whole, ceil_div
from cyclecast._notebook import html_table
from cyclecast.device import Device
from cyclecast.mapping import Mapping
from cyclecast.storage.reading import Json, elements, members, text, truth, whole
from cyclecast.timing._costs import Events, events_from_json
from cyclecast.units import Time


class Role(StrEnum):
    """The role of a phase in a pipeline of images and in the energy."""

    BUSY = "busy"
    """Arrays or ports are occupied: a part of the interval of every image."""
    WRITE = "write"
    """Weights are written and no array is read; resident weights are written once, before the first image."""
    FILL = "fill"
    """Time from a step's inputs to its results: a part of the latency; other steps and images overlap with it."""
    ENDS = "ends"
    """The rest of the first and the last step of a pass that nothing hides; in a pipeline the next image hides it."""


ROLES = {"write": Role.WRITE, "fill": Role.FILL, "drain": Role.FILL, "ends": Role.ENDS}
"""Roles of the phases of the built-in timing models, by name; all other phases are `BUSY`."""


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of the time. A hidden phase runs beside a longer one and adds nothing to the total."""

    name: str
    time: Time
    hidden: bool = False
    role: Role = Role.BUSY

    def to_json(self) -> dict[str, Json]:
        """Plain values for JSON; the role only if it differs from `role_of(name)`."""
        said: dict[str, Json] = {"name": self.name, "fs": self.time.femtoseconds, "hidden": self.hidden}
        return said if self.role == role_of(self.name) else said | {"role": self.role.value}


def role_of(name: str) -> Role:
    """The role of a phase of a built-in timing model, by its name; `BUSY` for an unknown name."""
    return ROLES.get(name, Role.BUSY)


@dataclass(frozen=True, slots=True)
class Timing:
    """The answer of a timing model: phases; the total is the sum of those that are not hidden."""

    phases: tuple[Phase, ...]
    cycle: Time
    """The device's cycle: the time of one array read."""
    events: Events | None = None
    """Counts of the device's actions, from which energy follows; None if the timing model does not count them."""

    @property
    def total(self) -> Time:
        """Time from the first input to the last result of the workload."""
        return sum((phase.time for phase in self.phases if not phase.hidden), Time(0))

    def of(self, *roles: Role) -> Time:
        """Total time of the phases with these roles, hidden ones excluded."""
        return sum((phase.time for phase in self.phases if not phase.hidden and phase.role in roles), Time(0))

    @property
    def cycles(self) -> int:
        """The total in device cycles, rounded up."""
        return int(ceil_div(self.total.femtoseconds, self.cycle.femtoseconds))

    @property
    def bound(self) -> str:
        """The name of the longest phase."""
        return max(self.phases, key=lambda phase: phase.time).name

    def _repr_html_(self) -> str:
        rows = [(phase.name, str(phase.time), "hidden" if phase.hidden else "") for phase in self.phases]
        return html_table(f"{self.total}, {self.cycles:,} cycles", ("phase", "time", ""), rows)

    def to_json(self) -> dict[str, Json]:
        """Plain values for JSON: femtoseconds and cycles are integers."""
        return {
            "total_fs": self.total.femtoseconds,
            "cycles": self.cycles,
            "bound": self.bound,
            "cycle_fs": self.cycle.femtoseconds,
            "phases": [phase.to_json() for phase in self.phases],
            "events": self.events.to_json() if self.events else None,
        }


def timing_from_json(value: object) -> Timing:
    """Rebuild a timing from `Timing.to_json`. Raises `ValueError` if a time is no whole number or there is no phase."""
    said = members(value)
    phases = tuple(
        Phase(name, Time(whole(phase["fs"])), truth(phase["hidden"]), Role(text(phase.get("role", role_of(name)))))
        for phase in map(members, elements(said["phases"]))
        for name in [text(phase["name"])]
    )
    if not phases:
        raise ValueError("a timing without phases")
    counted = said.get("events")
    return Timing(phases, Time(whole(said["cycle_fs"], least=1)), events_from_json(counted) if counted else None)


@dataclass(frozen=True, slots=True)
class Failure:
    """The answer of a timing model or a runner for a mapping or a scheduled module that it cannot time."""

    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Timings:
    """The times of n mappings, as arrays of shape (n,): element i belongs to mapping i."""

    phases: dict[str, Whole]
    """Time of each phase [fs], hidden phases included."""
    total: Whole
    """Total time [fs]."""
    cycle: Time
    """The device's cycle."""
    roles: Mapped[str, Role] = field(default_factory=lambda: ROLES)
    """Roles of the phases by name; a phase without an entry is `BUSY`."""
    refused: Whole | None = None
    """Mask of the mappings that the model cannot time; their total exceeds every time. None if there are none."""

    def of(self, role: Role) -> Whole:
        """Total time of the phases with this role [fs]. Not for `BUSY`, whose hidden phases are not told apart."""
        return sum(time for name, time in self.phases.items() if self.roles.get(name, Role.BUSY) == role)

    @property
    def cycles(self) -> Whole:
        """The totals in device cycles, rounded up."""
        return ceil_div(self.total, self.cycle.femtoseconds)


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bounds on the time of a mapping: lower <= time <= upper."""

    lower: Time
    """Lower bound on the time of every mapping of the workload on the device."""
    lower_by: str
    """The cause of the lower bound: `work` (reads and conversions), a port such as `pe input`, or `write`."""
    upper: Time
    """Time of the mapping if nothing overlapped."""


class TimingModel(Protocol):
    """Predicts time from a mapping. The same mapping always gets the same time.

    The exhaustive search excludes mappings by lower bounds. The bounds assume these laws:

    * *tile*: a larger tile (window, packed groups, word lines, filters) with equal temporal factors is never faster;
    * *instances*: more instances in use, with equal temporal factors, are never faster;
    * *turns*: one more pass, or one more step along the pixels, is never faster for one array alone;
    * *share*: no mapping is faster than one of its arrays alone, with that array's share of the work;
    * *passes*: on a device with unlimited ports, p passes of s steps are never faster than one pass of p x s steps.

    A model that breaks a law must set `lawful = False`; the exhaustive search then does not take it. The search also
    tests the laws on a sample of mappings before it uses a model, and tests its result afterwards.

    A model may have more abilities; `cyclecast.timing.abilities` lists them.
    """

    def time(self, mapping: Mapping, device: Device) -> Timing:
        """The timing of this mapping on this device. Raises a `CyclecastError` if the model cannot time it."""
        ...
