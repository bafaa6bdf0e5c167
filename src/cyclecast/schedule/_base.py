"""What a sketch rule and an annotation rule are."""

from __future__ import annotations

from typing import Any, Protocol


class Rule(Protocol):
    """Extends a schedule at a block; sketch rules say what is done there, annotation rules with which numbers.

    A rule that does not apply returns the schedule as it is. It may return several: the search looks into all.
    """

    def apply(self, schedule: Any, block: Any) -> list[Any]:
        """The schedules (`tvm.s_tir.Schedule`) that follow from this one at this block (`SBlockRV`)."""
        ...
