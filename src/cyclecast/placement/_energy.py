"""The energy of one image: events of every operator, and power while instances are in use."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple

from cyclecast._integers import ceil_div
from cyclecast.device import Component, Device, Event
from cyclecast.device._breakdown import listed
from cyclecast.energy import energy, event_energy
from cyclecast.mapping import Mapping
from cyclecast.placement._base import Segment, Spent, Stage
from cyclecast.placement._floorplan import Floorplan
from cyclecast.units import Energy, Time


class Known(NamedTuple):
    """What a mapping takes on events, looked up once."""

    mapping: Mapping
    parts: tuple[tuple[str, Component, int], ...]
    """Level, component and energy of what spends it on events [aJ]."""
    total: int
    """Of all of them [aJ]."""
    write: Fraction
    """Of writing all cells once [aJ]."""


@dataclass(slots=True)
class Meter:
    """Adds up what the components of a device take; what a mapping takes is looked up once."""

    device: Device
    floor: Floorplan
    known: dict[int, Known] = field(default_factory=dict)
    """By the identity of the mapping, which each holds."""
    components: tuple[tuple[str, Component], ...] = field(init=False)
    """With their levels, "" for the device itself."""

    def __post_init__(self) -> None:
        self.components = tuple(listed(self.device))

    def total(self, segments: Sequence[Segment], batch: int, interval: Time, dynamic: frozenset[int]) -> Energy | None:
        """The sum of `image`, rounded up once; None where the device states no components."""
        if not self.components:
            return None
        several, found = len(segments) > 1, Fraction(0)
        for segment in segments:
            for stage in segment.stages:
                each = self._known(stage)
                found += each.total + self._writes(stage, several, batch, dynamic) * each.write
            if segment.arrays:
                found += sum(amount for _, _, amount in self._powers(segment, *self._drawing(segment, several, batch)))
        found += sum(each.amount for each in self._own(interval))
        return Energy(int(-(-found // 1)))

    def image(
        self, segments: Sequence[Segment], batch: int, interval: Time, dynamic: frozenset[int]
    ) -> tuple[Spent, ...]:
        """What every component takes for one image at full speed.

        A component with an event takes the energy of all its events, those of writing weights (once for a batch) and
        computed operands (of the operators in `dynamic`) among them. Another component of a level draws its power for
        as long as its segment has arrays in its instance, for all operators there in proportion to their arrays; one
        of the device itself, all the time (A17, A18, A45).
        """
        several, found = len(segments) > 1, list[Spent]()
        for segment in segments:
            for stage in segment.stages:
                found += self._events_of(stage, self._writes(stage, several, batch, dynamic))
            arrays = segment.arrays
            for level, name, amount in self._powers(segment, *self._drawing(segment, several, batch)):
                for stage in segment.stages:
                    found.append(Spent(stage.operator, level, name, amount * Fraction(stage.mapping.arrays, arrays)))
        return (*found, *self._own(interval))

    def _writes(self, stage: Stage, several: bool, batch: int, dynamic: frozenset[int]) -> Fraction:
        """How often all cells of a stage are written for an image, beside what its own mapping writes."""
        return Fraction(int(several and stage.mapping.passes == 1), batch) + (stage.operator in dynamic)

    def _drawing(self, segment: Segment, several: bool, batch: int) -> tuple[Time, int]:
        """How long a segment draws power, and for how many images."""
        return (segment.latency + (batch - 1) * segment.period, batch) if several else (segment.period, 1)

    def _known(self, stage: Stage) -> Known:
        found = self.known.get(id(stage.mapping))
        if found is None:
            components = {(level, component.name): component for level, component in self.components}
            shares = energy(stage.mapping, self.device, stage.timing).shares
            each = ((part.level, components[part.level, part.component], part.amount.attojoules) for part in shares)
            parts = tuple(part for part in each if part[1].event is not None)
            cells = stage.timing.events.cells if stage.timing.events else 0
            write = sum((self._write(level, component) * cells for level, component, _ in parts), Fraction(0))
            found = Known(stage.mapping, parts, sum(amount for _, _, amount in parts), write)
            self.known[id(stage.mapping)] = found
        return found

    def _write(self, level: str, component: Component) -> Fraction:
        """Of writing one cell [aJ]."""
        return event_energy(component, level, self.device) if component.event is Event.CELL_WRITE else Fraction(0)

    def _events_of(self, stage: Stage, writes: Fraction) -> Iterator[Spent]:
        """Of the components that spend energy on events; all cells are written so many times more."""
        cells = stage.timing.events.cells if stage.timing.events else 0
        for level, component, amount in self._known(stage).parts:
            more = writes * cells * self._write(level, component) if writes else 0
            yield Spent(stage.operator, level, component.name, amount + Fraction(more))

    def _powers(self, segment: Segment, time: Time, images: int) -> Iterator[tuple[str, str, Fraction]]:
        """Of the components that draw power, in all instances with arrays in use: level, name, energy [aJ]."""
        instances, inside, used = {}, self.device.arrays, segment.arrays
        for level in self.device.levels:
            inside //= level.count
            instances[level.name] = ceil_div(used, inside)
        for name, component in self.components if used else ():
            if name and component.event is None:
                yield name, component.name, _drawn(component, instances[name]) * time.femtoseconds / 10**9 / images

    def _own(self, interval: Time) -> Iterator[Spent]:
        """Of the device's own components without an event."""
        for level, component in self.components:
            if not level and component.event is None:
                drawn = Fraction(component.power.picowatts * self.floor.chips * interval.femtoseconds, 10**9)
                yield Spent(None, level, component.name, drawn)


def _drawn(component: Component, instances: int) -> Fraction:
    """[pW]"""
    return Fraction(component.power.picowatts * instances, component.per)
