"""Power, peak rate and energy: events x energy per event, and power x the time that instances are in use.

The assumptions A15 ... are those of `docs/assumptions.md`. The power of a component is what it draws at full load; for
ISAAC it is Table I of Shafiee et al., ISCA 2016, doi:10.1109/ISCA.2016.12. The energy of one event is stated by the
device file, or is that power over the events in a second at full load.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import prod

from cyclecast.device import Breakdown, Component, Device, Event, Share
from cyclecast.device._breakdown import all_instances, breakdown, inside, listed, shares
from cyclecast.mapping import Factors, LevelFactors, Mapping, require_fit
from cyclecast.timing import Timing
from cyclecast.units import Energy, Power, Time
from cyclecast.work import Events, events, product_time
from cyclecast.workload import Axis, Kind, Workload


@dataclass(frozen=True, slots=True)
class Peak:
    """What the device computes at full load: so many multiply-accumulates in every such time."""

    macs: int
    time: Time

    @property
    def operations_per_second(self) -> Fraction:
        """Two operations for each multiply-accumulate, exact."""
        return Fraction(2 * self.macs * 10**15, self.time.femtoseconds)


def power(device: Device) -> Breakdown[Power]:
    """The power of the whole device at full load; nothing where the device states no components."""
    return breakdown(shares(device, all_instances(device), _power), Power(0))


def instance_power(device: Device, level: str) -> Breakdown[Power]:
    """The power of one instance of that level at full load, with all that is inside it."""
    return breakdown(shares(device, inside(device, level), _power), Power(0))


def peak(device: Device) -> Peak:
    """Every array full and busy: arrays x word lines x filters in the time of one product (A16)."""
    macs = device.arrays * device.word_lines_per_array * device.filters_per_array
    return Peak(macs, Time(product_time(_full_array(device), device)))


def energy_per_mac(device: Device) -> Breakdown[Energy]:
    """The energy of one multiply-accumulate at full load: power x time / multiply-accumulates, shares rounded up."""
    full = peak(device)
    per_mac = Fraction(1, full.macs)
    return breakdown(
        tuple(
            Share(share.level, share.component, share.amount.energy(full.time).scaled(per_mac))
            for share in power(device).shares
        ),
        Energy(0),
    )


def energy(mapping: Mapping, device: Device, timing: Timing) -> Breakdown[Energy]:
    """The energy of a workload so mapped and timed (A17, A18).

    * A component with an event: events of its level x energy of one event. Where the timing counts no events (the
      poster's), as if it had none.
    * Another component of a level: power x instances in use / sharers x time without writing. An instance is in use if
      one of its arrays is.
    * Another component of the device itself: power x total time.

    A mapping that uses every array for the whole time so takes `power(device)` x time, but for what moves bytes. A
    mapping that does not fit the device raises `FitError`.
    """
    require_fit(mapping, device)
    used, busy = instances_in_use(mapping), busy_time(timing)
    found = []
    for level, component in listed(device):
        if component.event is not None and timing.events is not None:
            count = _count(timing.events, component.event, level)
            amount = Energy(-(-event_energy(component, level, device) * count // 1))
        else:
            drawn = component.power.scaled(Fraction(used[level], component.per))
            amount = drawn.energy(busy if level else timing.total)
        found.append(Share(level, component.name, amount))
    return breakdown(tuple(found), Energy(0))


def event_energy(component: Component, level: str, device: Device) -> Fraction:
    """The energy of one event of a component at that level that has one [aJ].

    As stated, or the power of the group over the events in a second at full load, in all instances that share it.
    """
    if component.energy is not None:
        return Fraction(component.energy.attojoules)
    full = _full_array(device)
    arrays = inside(device, level)[device.levels[-1].name] if level else device.arrays
    assert component.event is not None
    count = component.per * arrays * _count(events(full, device), component.event, level)
    return Fraction(component.power.picowatts * product_time(full, device), 10**9 * count)


def busy_time(timing: Timing) -> Time:
    """From the first input to the last result, without the writing of weights."""
    return sum((phase.time for phase in timing.phases if not phase.hidden and phase.name != "write"), Time(0))


def instances_in_use(mapping: Mapping) -> dict[str, int]:
    """How many instances of each level have an array in use; "" stands for the device itself."""
    return {"": 1} | {
        entry.level: prod(outer.factors.product for outer in mapping.levels[: position + 1])
        for position, entry in enumerate(mapping.levels)
    }


def _full_array(device: Device) -> Mapping:
    """One matrix-vector product that fills an array."""
    rows, filters = device.word_lines_per_array, device.filters_per_array
    axes = (Axis("reduction", rows, Kind.REDUCTION), Axis("filter", filters, Kind.FILTER))
    workload = Workload("full array", axes, device.bits.activation, device.bits.weight)
    alone = tuple(LevelFactors(level.name, Factors()) for level in device.levels)
    return Mapping(workload, rows, filters, alone, Factors())


def _count(found: Events, event: Event, level: str) -> int:
    """How many of the events there are; bytes are those of the component's own level."""
    moved = next(entry for entry in found.moved if entry.level == level)
    counts: dict[Event, int] = {
        Event.PRODUCT: found.products,
        Event.CONVERSION: found.conversions,
        Event.ROW_DRIVE: found.row_drives,
        Event.CELL_READ: found.cell_reads,
        Event.CELL_WRITE: found.cell_writes,
        Event.INPUT_BYTE: moved.inputs,
        Event.OUTPUT_BYTE: moved.outputs,
        Event.PORT_BYTE: moved.inputs + moved.outputs,
        Event.MERGE_BYTE: moved.merged,
    }
    return counts[event]


def _power(component: Component) -> Power:
    return component.power
