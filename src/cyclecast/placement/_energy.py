"""The energy of one image through segments: events of every operator, and power while instances are in use."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from cyclecast.device import Device, Event
from cyclecast.device._breakdown import listed
from cyclecast.energy import energy, event_energy
from cyclecast.exact import ceil_div
from cyclecast.placement._base import Segment, Stage
from cyclecast.placement._floor import Floor
from cyclecast.units import Energy, Time
from cyclecast.work import events


def image_energy(
    segments: Sequence[Segment], floor: Floor, device: Device, batch: int, interval: Time, dynamic: frozenset[int]
) -> Energy | None:
    """Of one image, at full speed; None where the device states no components.

    A component with an event takes the energy of all its events, those of writing weights (once for a batch) and
    computed operands (of the operators in `dynamic`) among them. Another component of a level draws its power for as
    long as its segment has arrays in its instance; one of the device itself, all the time (A17, A18, A45).
    """
    if not listed(device):
        return None
    total = Fraction(0)
    stages = [stage for segment in segments for stage in segment.stages]
    for stage in stages:
        total += _events_of(stage, device)
        cells = events(stage.mapping, device).cells
        rewritten = len(segments) > 1 and stage.mapping.passes == 1
        total += _write_energy(device) * cells * (1 if stage.operator in dynamic else Fraction(int(rewritten), batch))
    for segment in segments:
        each = segment.period if len(segments) == 1 else _time(segment, batch)
        total += _power_of(segment, floor, device, each, batch if len(segments) > 1 else 1)
    whole = sum(component.power.picowatts for level, component in listed(device) if not level and not component.event)
    total += Fraction(whole * floor.chips * interval.femtoseconds, 10**9)
    return Energy(int(-(-total // 1)))


def _time(segment: Segment, batch: int) -> Time:
    return segment.latency + (batch - 1) * segment.period


def _events_of(stage: Stage, device: Device) -> Fraction:
    """Of the components that spend energy on events."""
    counted = {(level, component.name) for level, component in listed(device) if component.event is not None}
    found = energy(stage.mapping, device, stage.timing)
    return Fraction(sum(part.amount.attojoules for part in found.shares if (part.level, part.component) in counted))


def _write_energy(device: Device) -> Fraction:
    """Of one cell."""
    return sum(
        (event_energy(c, level, device) for level, c in listed(device) if c.event is Event.CELL_WRITE), Fraction(0)
    )


def _power_of(segment: Segment, floor: Floor, device: Device, time: Time, images: int) -> Fraction:
    """Of the components that draw power, in all instances with arrays in use, for one image."""
    used, inside = segment.arrays, device.arrays
    drawn = Fraction(0)
    instances: dict[str, int] = {}
    for level in device.levels:
        inside //= level.count
        instances[level.name] = ceil_div(used, inside)
    for level_name, component in listed(device):
        if level_name and component.event is None:
            drawn += Fraction(component.power.picowatts * instances[level_name], component.per)
    return drawn * time.femtoseconds / 10**9 / images
