"""What a timing model is, and what it answers."""

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
    """What a phase is to a pipeline of images, and to energy."""

    BUSY = "busy"
    """Every image keeps arrays or ports busy: a part of the interval."""
    WRITE = "write"
    """Weights are written: once where they are resident, and without reads."""
    FILL = "fill"
    """From a step's inputs to its results: a part of the latency; other steps and images go on meanwhile."""
    ENDS = "ends"
    """What else the first and the last step of a pass cannot hide; in a pipeline the next image hides it."""


ROLES = {"write": Role.WRITE, "fill": Role.FILL, "drain": Role.FILL, "ends": Role.ENDS}
"""Of the phases of our timing models, by name; all others are busy."""


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of the time. A hidden one runs beside a longer phase and adds nothing."""

    name: str
    time: Time
    hidden: bool = False
    role: Role = Role.BUSY

    def to_json(self) -> dict[str, Json]:
        """Plain values for JSON; the role where the name does not say it."""
        said: dict[str, Json] = {"name": self.name, "fs": self.time.femtoseconds, "hidden": self.hidden}
        return said if self.role == role_of(self.name) else said | {"role": self.role.value}


def role_of(name: str) -> Role:
    """The role of a phase of one of our timing models."""
    return ROLES.get(name, Role.BUSY)


@dataclass(frozen=True, slots=True)
class Timing:
    """The answer of a timing model: phases, of which those not hidden add up to the total."""

    phases: tuple[Phase, ...]
    cycle: Time
    """The device's cycle: one read of an array."""
    events: Events | None = None
    """What the device does meanwhile; none where the timing model does not say."""

    @property
    def total(self) -> Time:
        """From the first input to the last result of the workload."""
        return sum((phase.time for phase in self.phases if not phase.hidden), Time(0))

    def of(self, *roles: Role) -> Time:
        """The time of the phases with these roles that are not hidden."""
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
    """Rebuild a timing from `Timing.to_json`; `ValueError` where a time is none."""
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
    """The reason why a mapping, or a scheduled module, has no timing; the answer of a timing model or of a runner."""

    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Timings:
    """The answers for many mappings, as arrays: element i of each is that of mapping i."""

    phases: dict[str, Whole]
    """The time of each phase [fs], hidden or not."""
    total: Whole
    """The total time [fs]."""
    cycle: Time
    roles: Mapped[str, Role] = field(default_factory=lambda: ROLES)
    """Of the phases; those that are not named here are busy."""
    refused: Whole | None = None
    """Where the model has no time for a mapping; the total there is longer than any time. None: nowhere."""

    def of(self, role: Role) -> Whole:
        """The time of the phases with this role [fs], of which none is hidden unless it is busy."""
        return sum(time for name, time in self.phases.items() if self.roles.get(name, Role.BUSY) == role)

    @property
    def cycles(self) -> Whole:
        """The totals in device cycles, rounded up."""
        return ceil_div(self.total, self.cycle.femtoseconds)


@dataclass(frozen=True, slots=True)
class Bounds:
    """Between what a time has to lie: lower <= time <= upper."""

    lower: Time
    """What no mapping of the workload beats on the device."""
    lower_by: str
    """What takes that long: `work`, a port such as `pe input`, or `write`."""
    upper: Time
    """The mapping with everything one after another."""


class TimingModel(Protocol):
    """Predicts time from a mapping. The same mapping always gets the same time.

    The exhaustive search leaves out mappings by lower bounds. The bounds rest on these laws:

    * *tile*: a larger tile (window, packed groups, word lines, filters) is never faster where the turns stay the same;
    * *instances*: more instances at work in the same number of turns are never faster;
    * *turns*: one more pass, or one more step along the pixels, is never faster;
    * *share*: no mapping is faster than one of its arrays alone, with that array's share of the work;
    * *passes*: on a device whose ports have no limits, p passes of s steps are never faster than one of p x s steps.

    A model that breaks one of them says `lawful = False`, and is not searched exhaustively. The search also checks a
    sample of mappings for breaches before it believes a model, and its answer afterwards.

    A model may offer more; `cyclecast.timing.abilities` lists it.
    """

    def time(self, mapping: Mapping, device: Device) -> Timing:
        """The timing of this mapping on this device."""
        ...
