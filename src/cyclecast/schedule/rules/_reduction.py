"""Annotation rule: the row tiles of one reduction over arrays, compute units and processing elements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cyclecast.device import Device
from cyclecast.schedule._opening import sample_those


@dataclass(frozen=True, slots=True)
class SplitReduction:
    """Samples how many row tiles are summed side by side at every level.

    A filter longer than an array so takes columns of several arrays: inside a CU, across CUs, or across PEs.

    Applies to every marked contraction.
    """

    device: Device

    def apply(self, schedule: Any, block: Any) -> list[Any]:
        """One schedule: with the row tiles of every level annotated, or as it was."""
        sample_those(schedule, block, self.device, ["row"])
        return [schedule]
