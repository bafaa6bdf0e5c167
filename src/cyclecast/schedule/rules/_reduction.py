"""Annotation rule: factors of row tiles at the device's levels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cyclecast.device import Device
from cyclecast.schedule._opening import sample_those


@dataclass(frozen=True, slots=True)
class SplitReduction:
    """Samples how many row tiles each level sums side by side.

    A filter longer than an array then occupies columns of several arrays: inside a CU, across CUs, or across PEs.

    Applies to every marked contraction.
    """

    device: Device

    def apply(self, schedule: Any, block: Any) -> list[Any]:
        """One schedule, with the row factor of each level annotated; unchanged if the rule does not apply."""
        sample_those(schedule, block, self.device, ["row"])
        return [schedule]
