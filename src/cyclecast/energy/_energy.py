"""Power, peak rate and energy: events x energy per event, and power x time of the instances in use.

The assumptions A15 ... are those of `docs/assumptions/`. The power of a component is its power at full load; for
ISAAC it is Table I of Shafiee et al., ISCA 2016, doi:10.1109/ISCA.2016.12. The energy of an event is stated by the
device file, or is that power divided by the events per second at full load.
"""

from __future__ import annotations

from collections.abc import Mapping as Mapped
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from math import prod

import numpy as np

from cyclecast._integers import LARGEST, Whole, ceil_div, exact, fits, greatest, in_steps, larger, smaller
from cyclecast.device import Breakdown, Component, Device, Event, Share
from cyclecast.device._breakdown import all_instances, breakdown, inside, listed, shares
from cyclecast.mapping import Factors, LevelFactors, Mapping, Mappings, require_fit
from cyclecast.network import Axis, Kind, Workload
from cyclecast.timing import (
    Events,
    Moved,
    Role,
    Timing,
    Timings,
    column_phases,
    events,
    partial_sum_bits,
    product_time,
    row_phases,
    used_columns,
    used_rows,
)
from cyclecast.units import Energy, Power, Time

MUCH = LARGEST // 2
"""Largest energy of components without events that a bound uses [aJ]."""
PICOWATTS_FEMTOSECONDS = 10**9
"""Picowatt femtoseconds in an attojoule."""


@dataclass(frozen=True, slots=True)
class Peak:
    """Peak rate of a device: `macs` multiply-accumulates per `time`."""

    macs: int
    time: Time

    @property
    def operations_per_second(self) -> Fraction:
        """Operations per second, two per multiply-accumulate; exact."""
        return Fraction(2 * self.macs * 10**15, self.time.femtoseconds)


def power(device: Device) -> Breakdown[Power]:
    """Power of the whole device at full load; empty if the device states no components."""
    return breakdown(shares(device, all_instances(device), _power), Power(0))


def instance_power(device: Device, level: str) -> Breakdown[Power]:
    """Power of one instance of a level at full load, with everything inside it."""
    return breakdown(shares(device, inside(device, level), _power), Power(0))


def peak(device: Device) -> Peak:
    """Peak rate with every array full and busy: arrays x word lines x filters per time of one product (A16)."""
    macs = device.arrays * device.word_lines_per_array * device.filters_per_array
    return Peak(macs, Time(product_time(_full_array(device), device)))


def energy_per_mac(device: Device) -> Breakdown[Energy]:
    """Energy of one multiply-accumulate at full load: power x time / multiply-accumulates, shares rounded up."""
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
    """Energy of a mapped and timed workload, by component (A17, A18).

    * A component with an event: events of its level x energy per event. If the timing counts no events (the poster's),
      it is treated like one without event.
    * Another component of a level: power x instances in use / sharers x time without writing. An instance is in use if
      one of its arrays is.
    * Another component of the device itself: power x total time.

    So a mapping that uses every array all the time takes `power(device)` x time, apart from components that move bytes.
    Raises `FitError` if the mapping does not fit the device.
    """
    require_fit(mapping, device)
    used, busy = instances_in_use(mapping), busy_time(timing)
    found = []
    for level, component, each in _event_energies(device):
        if component.event is not None and timing.events is not None:
            count = _count(timing.events, component.event, level)
            amount = Energy(-(-each * count // 1))
        else:
            drawn = component.power.scaled(Fraction(used[level], component.per))
            amount = drawn.energy(busy if level else timing.total)
        found.append(Share(level, component.name, amount))
    return breakdown(tuple(found), Energy(0))


def energies(mappings: Mappings, device: Device, timings: Timings) -> Whole:
    """Total energy of many mappings of one workload [aJ], shape (n,), as `energy` computes it from timings with events.

    No writing phase may be hidden. The mappings must fit the device; this is not checked.
    """
    exact = mappings if _counts_fit(mappings, device) else mappings.unlimited()
    used: dict[str, Whole] = {"": 1}
    instances: Whole = 1
    for entry in exact.levels:
        instances = instances * entry.factors.product
        used[entry.level] = instances
    busy = timings.total - timings.of(Role.WRITE)
    return _totals(events(exact, device), used, device, timings.total, busy)


def least_energies(relaxed: Mappings, arrays: Whole, device: Device, timings: Timings) -> Whole:
    """Lower bounds on the energy of mappings with these tiles and passes that use at least `arrays` arrays [aJ].

    `timings` are lower bounds on their times, with and without writing. Factors at the levels are open: all arrays of
    an instance are assumed to share its inputs and to sum inside it. Times that exceed 64 bits in the result are
    clipped.
    """
    exact = relaxed if _counts_fit(relaxed, device) else relaxed.unlimited()
    instances, moved = 1, [_least_moved(exact, "", device.arrays)]
    used: dict[str, Whole] = {"": 1}
    for level in device.levels:
        instances *= level.count
        arrays_per_instance = device.arrays // instances
        used[level.name] = ceil_div(arrays, arrays_per_instance)
        moved.append(_least_moved(exact, level.name, arrays_per_instance))
    counts = replace(events(exact, device), moved=tuple(moved))
    drawn = sum(_drawn(component, used[level]) for level, component in listed(device) if component.event is None)
    most = MUCH // larger(ceil_div(drawn, PICOWATTS_FEMTOSECONDS), 1)
    busy = timings.total - timings.of(Role.WRITE)
    return _totals(counts, used, device, smaller(timings.total, most), smaller(busy, most))


def _least_moved(m: Mappings, level: str, arrays_per_instance: int) -> Moved:
    """Lower bound on the bytes moved through a level whose instances have `arrays_per_instance` arrays."""
    again = 1 - m.input_stationary
    columns = again * larger(m.temporal.column, ceil_div(m.tiles("column"), arrays_per_instance)) + m.input_stationary
    sums = again * larger(m.temporal.row, ceil_div(m.tiles("row"), arrays_per_instance)) + m.input_stationary
    workload = m.workload
    inputs = m.vectors * workload.groups * m.values * workload.input_bits
    outputs = workload.pixels * workload.groups * workload.filters * partial_sum_bits(m)
    return Moved(level, ceil_div(inputs * columns, 8), ceil_div(outputs * sums, 8), 0 * sums)


def _totals(found: Events, used: Mapped[str, Whole], device: Device, whole: Whole, busy: Whole) -> Whole:
    """Sum of all components' energy [aJ], in 64 bits if they suffice."""
    amounts = []
    for level, component, one in _event_energies(device):
        if component.event is not None:
            count = _count(found, component.event, level)
            amounts.append(_in_steps(count, one.numerator, one.denominator))
        else:
            amounts.append(_power_times(_drawn(component, used[level]), busy if level else whole))
    if not fits(sum(map(greatest, amounts))):
        most = np.max(sum(np.asarray(amount, np.float64) for amount in amounts))
        amounts = [exact(amount, float(most)) for amount in amounts]
    return sum(amounts, 0 * whole)


def _drawn(component: Component, used: Whole) -> Whole:
    return _in_steps(used, component.power.picowatts, component.per)


@lru_cache(maxsize=256)
def _event_energies(device: Device) -> tuple[tuple[str, Component, Fraction], ...]:
    """Every component with its level and its energy per event, 0 without event [aJ]."""
    return tuple(
        (level, component, event_energy(component, level, device) if component.event is not None else Fraction(0))
        for level, component in listed(device)
    )


def _in_steps(count: Whole, numerator: int, denominator: int) -> Whole:
    """`in_steps` with arbitrary precision if 64 bits do not suffice."""
    ratio = Fraction(numerator, denominator)
    bounds = ratio.numerator * ratio.denominator, greatest(count) * ratio.numerator // ratio.denominator + 1
    return in_steps(exact(count, *bounds), numerator, denominator)


def _power_times(drawn: Whole, time: Whole) -> Whole:
    """Power x time, rounded up once [aJ]. No intermediate value is much larger than the result."""
    unit = PICOWATTS_FEMTOSECONDS
    products = np.asarray(drawn, np.float64) * np.asarray(time, np.float64)
    bound = float(np.max(products, initial=0)) / unit
    drawn, time = exact(drawn, bound), exact(time, bound)
    rest = time % unit
    return drawn * (time // unit) + drawn // unit * rest + ceil_div(drawn % unit * rest, unit)


def _counts_fit(m: Mappings, device: Device) -> bool:
    """Whether no intermediate value of the event counts can exceed 64 bits, for the largest factors."""
    vectors, values, results = greatest(m.vectors), greatest(m.values), greatest(m.results)
    group, row, column = (greatest(m.tiles(axis)) for axis in ("group", "row", "column"))
    packed, workload = greatest(m.packed), m.workload
    cells = device.array.rows_per_weight * device.columns_per_weight
    bits = workload.input_bits + workload.weight_bits + partial_sum_bits(m)
    row_repeats = row * greatest(row_phases(used_rows(m, device), device))
    column_repeats = column * greatest(column_phases(used_columns(m, device), device))
    columns = max(packed * results * device.columns_per_weight, column * device.array.cols)
    steps = vectors * device.input_steps * group * packed
    counts = (
        steps * row_repeats * columns,
        steps * values * device.array.rows_per_weight * column_repeats,
        steps * values * results * cells * packed,
        workload.weights * results * cells * greatest(m.replicas) * greatest(m.turns),
        vectors * workload.groups * values * bits * column,
        workload.pixels * workload.groups * workload.filters * bits * 2 * row,
    )
    return fits(4 * max(counts))


def event_energy(component: Component, level: str, device: Device) -> Fraction:
    """Energy of one event of a component with an event [aJ].

    As stated, or the power of the group divided by the events per second at full load of all instances that share it.
    """
    if component.energy is not None:
        return Fraction(component.energy.attojoules)
    full = _full_array(device)
    arrays = inside(device, level)[device.levels[-1].name] if level else device.arrays
    assert component.event is not None
    count = component.per * arrays * _count(events(full, device), component.event, level)
    return Fraction(component.power.picowatts * product_time(full, device), 10**9 * count)


def busy_time(timing: Timing) -> Time:
    """Time from the first input to the last result, without writing of weights."""
    return timing.of(Role.BUSY, Role.FILL, Role.ENDS)


def instances_in_use(mapping: Mapping) -> dict[str, int]:
    """Number of instances of each level with an array in use; "" stands for the device itself."""
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


def _count(found: Events, event: Event, level: str) -> Whole:
    """Number of the events; bytes are those of the component's own level."""
    moved = next(entry for entry in found.moved if entry.level == level)
    counts: dict[Event, Whole] = {
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
