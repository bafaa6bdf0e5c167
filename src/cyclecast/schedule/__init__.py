"""The space of schedules: rules that open it, reading of a schedule as a mapping, and lowering."""

from __future__ import annotations

import cyclecast._tvm as _door  # noqa: F401 - first of all, TVM must be one that works
from cyclecast.schedule._base import Rule
from cyclecast.schedule._generate import (
    decided_schedule,
    lower_schedule,
    lowered,
    lowered_function,
    sampled_decisions,
)
from cyclecast.schedule._intrinsics import Implementation
from cyclecast.schedule._lower import as_module
from cyclecast.schedule._marks import PREFIX, SKETCH
from cyclecast.schedule._opening import extended, opened_workload, sample, sketches_of
from cyclecast.schedule._read import decided_contraction, read
from cyclecast.schedule._space import MUTATORS, Space

__all__ = [
    "MUTATORS",
    "PREFIX",
    "SKETCH",
    "Implementation",
    "Rule",
    "Space",
    "as_module",
    "decided_contraction",
    "decided_schedule",
    "extended",
    "lower_schedule",
    "lowered",
    "lowered_function",
    "opened_workload",
    "read",
    "sample",
    "sampled_decisions",
    "sketches_of",
]
