"""Sketch rule: an integer contraction becomes matrix-vector products by im2col."""

from __future__ import annotations

from typing import Any

from cyclecast._tvm._block import contraction_of
from cyclecast.schedule._marks import IM2COL, SKETCH


class Im2col:
    """Marks every integer contraction: convolutions, dense layers and matrix products. Lowering does im2col itself.

    All other rules apply to marked blocks only.
    """

    def apply(self, schedule: Any, block: Any) -> list[Any]:
        """One schedule, with the block marked; unchanged if the block is no contraction."""
        if contraction_of(schedule.get(block), "block") is not None:
            schedule.annotate(block, SKETCH, IM2COL)
        return [schedule]
