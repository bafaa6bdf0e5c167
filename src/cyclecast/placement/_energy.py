"""The energy of one image: events of every operator, and power while instances are in use."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

from cyclecast.device import Component, Device, Event
from cyclecast.device._breakdown import listed
from cyclecast.energy import energy, event_energy
from cyclecast.exact import ceil_div
from cyclecast.placement._base import Segment, Spent, Stage
from cyclecast.placement._floor import Floor
from cyclecast.units import Energy, Time


def image_energy(spent: Sequence[Spent], device: Device) -> Energy | None:
    """All together; None where the device states no components."""
    if not listed(device):
        return None
    return Energy(int(-(-sum((each.amount for each in spent), Fraction(0)) // 1)))


def image_shares(
    segments: Sequence[Segment], floor: Floor, device: Device, batch: int, interval: Time, dynamic: frozenset[int]
) -> tuple[Spent, ...]:
    """What every component takes for one image at full speed.

    A component with an event takes the energy of all its events, those of writing weights (once for a batch) and
    computed operands (of the operators in `dynamic`) among them. Another component of a level draws its power for as
    long as its segment has arrays in its instance, for all operators there in proportion to their arrays; one of the
    device itself, all the time (A17, A18, A45).
    """
    several = len(segments) > 1
    found: list[Spent] = []
    for segment in segments:
        for stage in segment.stages:
            rewritten = several and stage.mapping.passes == 1
            writes = Fraction(int(rewritten), batch) + (stage.operator in dynamic)
            found += _events_of(stage, device, writes)
        time = segment.latency + (batch - 1) * segment.period if several else segment.period
        found += _power_of(segment, device, time, batch if several else 1)
    for level, component in listed(device):
        if not level and component.event is None:
            drawn = Fraction(component.power.picowatts * floor.chips * interval.femtoseconds, 10**9)
            found.append(Spent(None, level, component.name, drawn))
    return tuple(found)


def _events_of(stage: Stage, device: Device, writes: Fraction) -> Iterator[Spent]:
    """Of the components that spend energy on events; all cells are written so many times more."""
    components = {(level, component.name): component for level, component in listed(device)}
    for part in energy(stage.mapping, device, stage.timing).shares:
        component = components[part.level, part.component]
        if component.event is None:
            continue
        amount = Fraction(part.amount.attojoules)
        if component.event is Event.CELL_WRITE:
            cells = stage.timing.events.cells if stage.timing.events else 0
            amount += writes * event_energy(component, part.level, device) * cells
        yield Spent(stage.operator, part.level, part.component, amount)


def _power_of(segment: Segment, device: Device, time: Time, images: int) -> Iterator[Spent]:
    """Of the components that draw power, in all instances with arrays in use."""
    instances, inside = {}, device.arrays
    for level in device.levels:
        inside //= level.count
        instances[level.name] = ceil_div(segment.arrays, inside)
    for name, component in listed(device):
        if name and component.event is None:
            drawn = _drawn(component, instances[name]) * time.femtoseconds / 10**9 / images
            for stage in segment.stages:
                yield Spent(stage.operator, name, component.name, drawn * stage.site.arrays / segment.arrays)


def _drawn(component: Component, instances: int) -> Fraction:
    """[pW]"""
    return Fraction(component.power.picowatts * instances, component.per)
