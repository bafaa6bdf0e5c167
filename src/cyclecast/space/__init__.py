"""The space of schedules: rules that open it, readings that turn a schedule into a mapping, and the lowering."""

from __future__ import annotations

import cyclecast._tvm as _door  # noqa: F401 - first of all, TVM must be one that works
from cyclecast.space._base import Rule
from cyclecast.space._generate import (
    decided_schedule,
    lower_schedule,
    lowered,
    lowered_function,
    sampled_decisions,
)
from cyclecast.space._intrinsics import Implementation
from cyclecast.space._lower import as_module
from cyclecast.space._marks import PREFIX, SKETCH
from cyclecast.space._read import decided_contraction, read

__all__ = [
    "PREFIX",
    "SKETCH",
    "Implementation",
    "Rule",
    "as_module",
    "decided_contraction",
    "decided_schedule",
    "lower_schedule",
    "lowered",
    "lowered_function",
    "read",
    "sampled_decisions",
]
