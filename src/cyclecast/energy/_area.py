"""Area: the sum over a device's components, as its source states them.

For each component: area of the group x instances of its level / instances that share the group (A15). For ISAAC that is
how Table I of Shafiee et al., ISCA 2016, doi:10.1109/ISCA.2016.12 adds up.
"""

from __future__ import annotations

from cyclecast.device import Breakdown, Component, Device
from cyclecast.device._breakdown import all_instances, breakdown, inside, shares
from cyclecast.units import Area


def area(device: Device) -> Breakdown[Area]:
    """Area of the whole device; empty if the device states no components."""
    return breakdown(shares(device, all_instances(device), _area), Area(0))


def instance_area(device: Device, level: str) -> Breakdown[Area]:
    """Area of one instance of a level, with everything inside it."""
    return breakdown(shares(device, inside(device, level), _area), Area(0))


def _area(component: Component) -> Area:
    return component.area
