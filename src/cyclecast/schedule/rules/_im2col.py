"""Sketch rule: any integer contraction becomes matrix-vector products by im2col."""

from __future__ import annotations

from typing import Any

from cyclecast._tvm._block import contraction_of
from cyclecast.schedule._marks import IM2COL, SKETCH


class Im2col:
    """Marks convolutions of any kind, dense layers and matrix products; lowering does the rest.

    Applies to every contraction of integers; all other rules wait for its mark.
    """

    def apply(self, schedule: Any, block: Any) -> list[Any]:
        """One schedule: with the block marked, or as it was where the block is no contraction."""
        if contraction_of(schedule.get(block), "block") is not None:
            schedule.annotate(block, SKETCH, IM2COL)
        return [schedule]
