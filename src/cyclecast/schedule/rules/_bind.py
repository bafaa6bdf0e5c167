"""Annotation rule: factors of column tiles and groups at the device's levels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cyclecast.device import Device
from cyclecast.schedule._opening import sample_those


@dataclass(frozen=True, slots=True)
class BindTiles:
    """Samples how many column tiles and groups each level works on side by side.

    Applies to every marked contraction.
    """

    device: Device

    def apply(self, schedule: Any, block: Any) -> list[Any]:
        """One schedule, with the column and group factors annotated; unchanged if the rule does not apply."""
        sample_those(schedule, block, self.device, ["column", "group"])
        return [schedule]
