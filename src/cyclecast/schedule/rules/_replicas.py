"""Annotation rule: copies of the weights that work on other pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cyclecast.device import Device
from cyclecast.schedule._opening import sample_those


@dataclass(frozen=True, slots=True)
class Replicas:
    """Samples how many replicas every level holds.

    Applies to every marked contraction.
    """

    device: Device

    def apply(self, schedule: Any, block: Any) -> list[Any]:
        """One schedule: with the replicas of every level annotated, or as it was."""
        sample_those(schedule, block, self.device, ["pixel"])
        return [schedule]
