"""The energy of one image: the events of every operator, and the power of the instances in use."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Mapping as Mapped
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple

from cyclecast._integers import ceil_div
from cyclecast.device import Component, Device, Event, Unit
from cyclecast.device._breakdown import listed
from cyclecast.energy import energy, event_energy
from cyclecast.mapping import Mapping
from cyclecast.placement._base import Segment, Spent, Stage
from cyclecast.placement._floorplan import Floorplan
from cyclecast.timing import UnitOf, units_of
from cyclecast.units import Energy, Time


class Known(NamedTuple):
    """The event energy of a mapping for one image."""

    mapping: Mapping
    parts: tuple[tuple[str, Component, int], ...]
    """(Level, component, energy [aJ]) of all components with an event."""
    total: int
    """Sum of the energies [aJ]."""
    write: Fraction
    """Energy to write all cells once [aJ]."""


@dataclass(slots=True)
class Meter:
    """Adds up the energy of a device's components; the event energy of a mapping is cached."""

    device: Device
    floor: Floorplan
    work: Mapped[int, Mapped[UnitOf, int]] = field(default_factory=dict)
    """Operations of digital units, by the operator on arrays that they are behind."""
    known: dict[int, Known] = field(default_factory=dict)
    """Cache by `id` of the mapping; the value keeps the mapping alive."""
    components: tuple[tuple[str, Component], ...] = field(init=False)
    """(Level, component); the level is "" for the device itself."""
    units: Mapped[UnitOf, Unit] = field(init=False)

    def __post_init__(self) -> None:
        self.components, self.units = tuple(listed(self.device)), units_of(self.device)

    def total(self, segments: Sequence[Segment], batch: int, interval: Time, dynamic: frozenset[int]) -> Energy | None:
        """The sum of `image`, rounded up; None if the device states no components."""
        if not self.components:
            return None
        several, found = len(segments) > 1, Fraction(0)
        for segment in segments:
            for stage in segment.stages:
                each = self._known(stage)
                found += each.total + self._writes(stage, several, batch, dynamic) * each.write
                found += sum(spent.amount for spent in self._digital(stage))
            if segment.arrays:
                found += sum(amount for _, _, amount in self._powers(segment, *self._drawing(segment, several, batch)))
        found += sum(each.amount for each in self._own(interval))
        return Energy(int(-(-found // 1)))

    def image(
        self, segments: Sequence[Segment], batch: int, interval: Time, dynamic: frozenset[int]
    ) -> tuple[Spent, ...]:
        """The energy of every component for one image at full speed, by operator.

        A component with an event takes the energy of all its events. These include the writing of weights, once per
        batch, and of computed operands (of the operators in `dynamic`). Another component of a level draws its power
        while its segment runs, in all instances with arrays in use; this is divided among the operators in proportion
        to their arrays. Another component of the device itself draws its power all the time (A17, A18, A45).
        """
        several, found = len(segments) > 1, list[Spent]()
        for segment in segments:
            for stage in segment.stages:
                found += self._events_of(stage, self._writes(stage, several, batch, dynamic))
                found += self._digital(stage)
            arrays = segment.arrays
            for level, name, amount in self._powers(segment, *self._drawing(segment, several, batch)):
                for stage in segment.stages:
                    found.append(Spent(stage.operator, level, name, amount * Fraction(stage.mapping.arrays, arrays)))
        return (*found, *self._own(interval))

    def _writes(self, stage: Stage, several: bool, batch: int, dynamic: frozenset[int]) -> Fraction:
        """Writes of all cells of a stage per image, beside the writes of its own mapping."""
        return Fraction(int(several and stage.mapping.passes == 1), batch) + (stage.operator in dynamic)

    def _drawing(self, segment: Segment, several: bool, batch: int) -> tuple[Time, int]:
        """Time for which a segment draws power, and the number of images in that time."""
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
        """Energy to write one cell [aJ]; 0 for a component with another event."""
        return event_energy(component, level, self.device) if component.event is Event.CELL_WRITE else Fraction(0)

    def _events_of(self, stage: Stage, writes: Fraction) -> Iterator[Spent]:
        """The energies of the components with an event, with all cells written `writes` times more."""
        cells = stage.timing.events.cells if stage.timing.events else 0
        for level, component, amount in self._known(stage).parts:
            more = writes * cells * self._write(level, component) if writes else 0
            yield Spent(stage.operator, level, component.name, amount + Fraction(more))

    def _digital(self, stage: Stage) -> Iterator[Spent]:
        """Energies of the operations on digital units."""
        work, units = self.work.get(stage.operator, {}), self.units
        for key, operations in work.items():
            if spent := operations * units[key].energy.attojoules:
                yield Spent(stage.operator, self.device.levels[key.level].name, key.name, Fraction(spent))

    def _powers(self, segment: Segment, time: Time, images: int) -> Iterator[tuple[str, str, Fraction]]:
        """(Level, component, energy per image [aJ]) of the components that draw power, in all instances in use."""
        instances, inside, used = {}, self.device.arrays, segment.arrays
        for level in self.device.levels:
            inside //= level.count
            instances[level.name] = ceil_div(used, inside)
        for name, component in self.components if used else ():
            if name and component.event is None:
                yield name, component.name, _drawn(component, instances[name]) * time.femtoseconds / 10**9 / images

    def _own(self, interval: Time) -> Iterator[Spent]:
        """The energies of the device's own components without an event."""
        for level, component in self.components:
            if not level and component.event is None:
                drawn = Fraction(component.power.picowatts * self.floor.chips * interval.femtoseconds, 10**9)
                yield Spent(None, level, component.name, drawn)


def _drawn(component: Component, instances: int) -> Fraction:
    """Power of a component in so many instances [pW]."""
    return Fraction(component.power.picowatts * instances, component.per)
