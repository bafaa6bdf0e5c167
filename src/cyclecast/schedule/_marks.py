"""Annotations that hold the decisions of a schedule.

They stand on the contraction's block until it is lowered: `cim.sketch` names the sketch, `cim.NAME` holds a decision.
"""

from __future__ import annotations

from cyclecast.mapping import Mapping
from cyclecast.mapspace import ORDER, PACK, WINDOWS

PREFIX = "cim."
SKETCH = "cim.sketch"
IM2COL = "im2col"
"""The sketch of every contraction; other sketches extend it, as in `im2col+windows`."""


def mark(decision: str) -> str:
    """Name of the annotation that holds a decision."""
    return PREFIX + decision


def sketch_of(mapping: Mapping) -> str:
    """The smallest sketch that contains the mapping."""
    more = ((WINDOWS, mapping.outputs > 1), (PACK, mapping.packed > 1), (ORDER, mapping.input_stationary))
    return "+".join((IM2COL, *(name for name, there in more if there)))
