"""Annotation rule: the binding of column tiles and groups to the device's levels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cyclecast.device import Device
from cyclecast.schedule._opening import sample_those


@dataclass(frozen=True, slots=True)
class BindTiles:
    """Samples how many column tiles and groups every level works on side by side.

    Applies to every marked contraction.
    """

    device: Device

    def apply(self, schedule: Any, block: Any) -> list[Any]:
        """One schedule: with the column tiles and groups of every level annotated, or as it was."""
        sample_those(schedule, block, self.device, ["column", "group"])
        return [schedule]
