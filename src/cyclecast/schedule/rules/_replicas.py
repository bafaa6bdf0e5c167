"""Annotation rule: replicas of the weights, which work on other pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cyclecast.device import Device
from cyclecast.schedule._opening import sample_those


@dataclass(frozen=True, slots=True)
class Replicas:
    """Samples how many replicas each level holds.

    Applies to every marked contraction.
    """

    device: Device

    def apply(self, schedule: Any, block: Any) -> list[Any]:
        """One schedule, with the replicas of each level annotated; unchanged if the rule does not apply."""
        sample_those(schedule, block, self.device, ["pixel"])
        return [schedule]
