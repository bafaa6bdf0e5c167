"""The interface of schedule rules."""

from __future__ import annotations

from typing import Any, Protocol


class Rule(Protocol):
    """Extends a schedule at a block: a sketch rule chooses its structure, an annotation rule samples its numbers.

    A rule that does not apply returns the schedule unchanged. It may return several schedules; the search explores all.
    """

    def apply(self, schedule: Any, block: Any) -> list[Any]:
        """The schedules (`tvm.s_tir.Schedule`) that follow from this one at this block (`SBlockRV`)."""
        ...
