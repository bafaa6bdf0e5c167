"""Behaviour models: what the device computes, and the states it may be in while it does."""

from __future__ import annotations

from cyclecast.simulator._crossbar import Array, State
from cyclecast.simulator._driver import Call, Counters, Driver, Operation
from cyclecast.simulator._native import DRIVER_FILES, driver_source
from cyclecast.simulator._parameters import parameters
from cyclecast.simulator._run import Chip

__all__ = [
    "DRIVER_FILES",
    "Array",
    "Call",
    "Chip",
    "Counters",
    "Driver",
    "Operation",
    "State",
    "driver_source",
    "parameters",
]
