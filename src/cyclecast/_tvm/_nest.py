"""Marks of the loops and buffers of a lowered contraction: the lowering writes them, later steps read them."""

from __future__ import annotations

LOOP = "cim.loop"
"""Loop annotation: `LEVEL.AXIS` of a spatial loop, `time.AXIS` of a temporal one."""
TIME = "time"

INPUT_SCOPE = "global.cim_input"
ARRAY_SCOPE = "global.cim_array"
OUTPUT_SCOPE = "global.cim_output"
