"""Annotation rule: word lines and filters of a tile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cyclecast.device import Device
from cyclecast.mapspace import FILTERS, WORD_LINES
from cyclecast.schedule._opening import sample_those


@dataclass(frozen=True, slots=True)
class TileSizes:
    """Samples the word lines and filters of the tile in one array.

    Applies to every marked contraction.
    """

    device: Device

    def apply(self, schedule: Any, block: Any) -> list[Any]:
        """One schedule, with the tile size annotated; unchanged if the rule does not apply."""
        sample_those(schedule, block, self.device, [WORD_LINES, FILTERS])
        return [schedule]
