"""Power, peak rate and energy: component power x the time that its instances are busy.

The assumptions A15 ... are those of `docs/assumptions.md`. The power of a component is what it draws at full load; for
ISAAC it is Table I of Shafiee et al., ISCA 2016, doi:10.1109/ISCA.2016.12. Rates and energies at full load
follow from the time of one slot as the analytical timing model has it.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import prod

from cyclecast.device import Breakdown, Component, Device, Share
from cyclecast.device._breakdown import all_instances, breakdown, inside, shares
from cyclecast.mapping import Mapping, ceil_div, require_fit
from cyclecast.timing import Timing
from cyclecast.timing._analytical import slot_time
from cyclecast.units import Energy, Power, Time


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
    """Every array full and busy: arrays x rows x filters in input steps x row phases x slot (A16)."""
    row_phases = ceil_div(device.array.rows, device.array.active_rows)
    slot = slot_time(device.filters_per_array * device.slices, device)
    macs = device.arrays * device.array.rows * device.filters_per_array
    return Peak(macs, device.input_steps * row_phases * slot)


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
    """The energy of a workload so mapped and timed: dynamic and static (A17, A18).

    * A component of a level: power x instances in use / sharers x busy time. An instance is in use if one of its arrays
      is; it is busy for the timing's phase `compute`, or throughout where the timing model has no such phase.
    * A component of the device itself: power x total time.

    A mapping that uses every array for the whole time so takes `power(device)` x time. A mapping that does not fit the
    device raises `FitError`.
    """
    require_fit(mapping, device)
    busy = busy_time(timing)
    return breakdown(
        tuple(
            Share(share.level, share.component, share.amount.energy(busy if share.level else timing.total))
            for share in shares(device, instances_in_use(mapping), _power)
        ),
        Energy(0),
    )


def busy_time(timing: Timing) -> Time:
    """How long the arrays in use work: the phase `compute`, hidden or not; the total where there is none."""
    return next((phase.time for phase in timing.phases if phase.name == "compute"), timing.total)


def instances_in_use(mapping: Mapping) -> dict[str, int]:
    """How many instances of each level have an array in use; "" stands for the device itself."""
    return {"": 1} | {
        entry.level: prod(outer.factors.product for outer in mapping.levels[: position + 1])
        for position, entry in enumerate(mapping.levels)
    }


def _power(component: Component) -> Power:
    return component.power
