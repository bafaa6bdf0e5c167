"""Behaviour models of a device: the values that it computes, and the state of each array."""

from __future__ import annotations

from cyclecast.simulator._calls import Call, Operation
from cyclecast.simulator._crossbar import Crossbar, State
from cyclecast.simulator._driver import Counters, Driver
from cyclecast.simulator._native import (
    DRIVER_FILES,
    REFERENCE,
    compile_library,
    driver_source,
    load_library,
    reference_objects,
)
from cyclecast.simulator._parameters import Parameters, parameters
from cyclecast.simulator._records import Header
from cyclecast.simulator._run import Chip
from cyclecast.simulator._trace import Replayed, Trace, TraceWriter, replay
from cyclecast.simulator._vectors import Catcher, write_vectors

__all__ = [
    "DRIVER_FILES",
    "REFERENCE",
    "Call",
    "Catcher",
    "Chip",
    "Counters",
    "Crossbar",
    "Driver",
    "Header",
    "Operation",
    "Parameters",
    "Replayed",
    "State",
    "Trace",
    "TraceWriter",
    "compile_library",
    "driver_source",
    "load_library",
    "parameters",
    "reference_objects",
    "replay",
    "write_vectors",
]
