"""The energy of one image: events of every operator, and power while instances are in use."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from cyclecast.device import Component, Device, Event
from cyclecast.device._breakdown import listed
from cyclecast.energy import energy, event_energy
from cyclecast.exact import ceil_div
from cyclecast.mapping import Mapping
from cyclecast.placement._base import Segment, Spent, Stage
from cyclecast.placement._floor import Floor
from cyclecast.units import Energy, Time


def image_energy(spent: Sequence[Spent], device: Device) -> Energy | None:
    """All together; None where the device states no components."""
    if not listed(device):
        return None
    return Energy(int(-(-sum((each.amount for each in spent), Fraction(0)) // 1)))


@dataclass(slots=True)
class Meter:
    """Adds up what the components of a device take; what a mapping takes is looked up once."""

    device: Device
    floor: Floor
    events: dict[Mapping, tuple[tuple[str, Component, int], ...]] = field(default_factory=dict)
    """Level, component and energy [aJ] of what spends it on events."""

    def image(
        self, segments: Sequence[Segment], batch: int, interval: Time, dynamic: frozenset[int]
    ) -> tuple[Spent, ...]:
        """What every component takes for one image at full speed.

        A component with an event takes the energy of all its events, those of writing weights (once for a batch) and
        computed operands (of the operators in `dynamic`) among them. Another component of a level draws its power for
        as long as its segment has arrays in its instance, for all operators there in proportion to their arrays; one
        of the device itself, all the time (A17, A18, A45).
        """
        several = len(segments) > 1
        found: list[Spent] = []
        for segment in segments:
            for stage in segment.stages:
                rewritten = several and stage.mapping.passes == 1
                writes = Fraction(int(rewritten), batch) + (stage.operator in dynamic)
                found += self._events_of(stage, writes)
            time = segment.latency + (batch - 1) * segment.period if several else segment.period
            found += self._power_of(segment, time, batch if several else 1)
        for level, component in listed(self.device):
            if not level and component.event is None:
                drawn = Fraction(component.power.picowatts * self.floor.chips * interval.femtoseconds, 10**9)
                found.append(Spent(None, level, component.name, drawn))
        return tuple(found)

    def _events_of(self, stage: Stage, writes: Fraction) -> Iterator[Spent]:
        """Of the components that spend energy on events; all cells are written so many times more."""
        if stage.mapping not in self.events:
            components = {(level, component.name): component for level, component in listed(self.device)}
            parts = energy(stage.mapping, self.device, stage.timing).shares
            each = ((part.level, components[part.level, part.component], part.amount.attojoules) for part in parts)
            self.events[stage.mapping] = tuple(part for part in each if part[1].event is not None)
        for level, component, amount in self.events[stage.mapping]:
            more = Fraction(0)
            if component.event is Event.CELL_WRITE and writes and stage.timing.events:
                more = writes * event_energy(component, level, self.device) * stage.timing.events.cells
            yield Spent(stage.operator, level, component.name, amount + more)

    def _power_of(self, segment: Segment, time: Time, images: int) -> Iterator[Spent]:
        """Of the components that draw power, in all instances with arrays in use."""
        instances, inside, used = {}, self.device.arrays, segment.arrays
        for level in self.device.levels:
            inside //= level.count
            instances[level.name] = ceil_div(used, inside)
        for name, component in listed(self.device) if used else ():
            if name and component.event is None:
                drawn = _drawn(component, instances[name]) * time.femtoseconds / 10**9 / images / used
                for stage in segment.stages:
                    yield Spent(stage.operator, name, component.name, drawn * stage.mapping.arrays)


def _drawn(component: Component, instances: int) -> Fraction:
    """[pW]"""
    return Fraction(component.power.picowatts * instances, component.per)
