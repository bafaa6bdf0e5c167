"""Annotation rule: word lines and filters of a tile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cyclecast.device import Device
from cyclecast.mapspace import FILTERS, WORD_LINES
from cyclecast.schedule._opening import sample_those


@dataclass(frozen=True, slots=True)
class TileSizes:
    """Samples how much of the reduction and of the filters one array takes.

    Applies to every marked contraction.
    """

    device: Device

    def apply(self, schedule: Any, block: Any) -> list[Any]:
        """One schedule: with the size of a tile annotated, or as it was."""
        sample_those(schedule, block, self.device, [WORD_LINES, FILTERS])
        return [schedule]
