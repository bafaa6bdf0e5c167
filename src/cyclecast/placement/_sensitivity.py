"""Sensitivity of a placement to the chip: each field is improved by a tenth, one at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from cyclecast.device import Device
from cyclecast.errors import DeviceError
from cyclecast.placement._base import Placement, system
from cyclecast.placement._floorplan import Floorplan
from cyclecast.placement._pipeline import Needs, needs_of
from cyclecast.placement._resident import Builder
from cyclecast.timing import TimingModel, improvements, timing_model, work_of
from cyclecast.units import Bandwidth, Frequency, Time


class Change(NamedTuple):
    """The time that one improved field of the chip saves."""

    field: str
    """Dotted name, as in `Device.vary`."""
    before: str
    after: str
    interval: Time
    latency: Time
    interval_saved: Time
    latency_saved: Time


def next_changes(placement: Placement, timing: str | TimingModel = "analytical") -> tuple[Change, ...]:
    """The fields whose improvement saves time of a resident placement, the shortest interval first (A32).

    Mappings and numbers of arrays stay; the arrays are allocated again. The result is empty for a placement of several
    segments, where writing takes most of the time.
    """
    if len(placement.segments) != 1:
        return ()
    model, needs = timing_model(timing), needs_of(placement.network.operators)
    now = _timed(placement, placement.chip, model, needs)
    found = []
    for field, before, after in _fields(placement.chip):
        try:
            better = placement.chip.vary(field, after)
        except DeviceError:
            continue  # the improved device is invalid
        then = _timed(placement, better, model, needs)
        saved = [Time(max(0, one.femtoseconds - other.femtoseconds)) for one, other in zip(now, then, strict=True)]
        if max(saved) > Time(0):
            found.append(Change(field, str(before), str(after), *then, *saved))
    return tuple(sorted(found, key=lambda change: (change.interval, change.latency, change.field)))


def _fields(chip: Device) -> Iterator[tuple[str, Any, Any]]:
    yield from improvements(chip)
    if chip.network:
        faster = Bandwidth(chip.network.bandwidth.bytes_per_second * 11 // 10)
        yield "network.bandwidth", chip.network.bandwidth, faster
        yield "network.hop", chip.network.hop, Time(chip.network.hop.femtoseconds * 9 // 10)
    for level in chip.levels:
        for unit in level.units:
            faster_unit = Frequency(unit.rate.millihertz * 11 // 10)
            yield f"levels.{level.name}.units.{unit.name}.rate", unit.rate, faster_unit
    if chip.link_bandwidth:
        yield "link_bandwidth", chip.link_bandwidth, Bandwidth(chip.link_bandwidth.bytes_per_second * 11 // 10)


def _timed(
    placement: Placement, chip: Device, model: TimingModel, needs: Sequence[Sequence[Needs]]
) -> tuple[Time, Time]:
    """Interval and latency on another chip of the same levels."""
    operators, (segment,) = placement.network.operators, placement.segments
    floor = Floorplan(chip, placement.chips)
    builder = Builder(
        operators=operators, needs=needs, floor=floor, device=system(chip, placement.chips), model=model,
        work=work_of(placement.homes),
    )  # fmt: skip
    chosen = {
        stage.operator: builder.chosen(stage.mapping, placement.operator(stage).is_dynamic, stage.operator)
        for stage in segment.stages
    }
    found = builder.segment(chosen, range(len(operators)), 0)
    return found.period, found.latency
