"""Energy, power and area of a device's components."""

from __future__ import annotations

from cyclecast.energy._area import area
from cyclecast.energy._energy import energies, energy, event_energy, least_energies, peak, power

__all__ = [
    "area",
    "energies",
    "energy",
    "event_energy",
    "least_energies",
    "peak",
    "power",
]
