"""Sketch rule: input-stationary loop order, in which the weights are rewritten for every pixel step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cyclecast.device import Device
from cyclecast.mapspace import INPUT_STATIONARY, ORDER, PACK, PACKED, grant
from cyclecast.network import Workload
from cyclecast.schedule._marks import mark
from cyclecast.schedule._opening import extended, opened_workload, sketches_of


@dataclass(frozen=True, slots=True)
class Order:
    """Chooses stationary inputs: weights are written in every step; inputs are loaded and results stored once.

    Applies if the device can write its arrays during inference and they cannot hold all weights at once.
    """

    device: Device

    def apply(self, schedule: Any, block: Any) -> list[Any]:
        """Two schedules, with stationary weights and stationary inputs; only the first if the rule does not apply."""
        workload = opened_workload(schedule, block, self.device)
        if workload is None or not self._has_passes(workload, sketches_of(schedule, block)):
            return [schedule]
        stationary = extended(schedule, block, ORDER)
        stationary.annotate(block, mark(INPUT_STATIONARY), 1)
        return [schedule, stationary]

    def _has_passes(self, workload: Workload, sketches: list[str]) -> bool:
        densest = grant(workload, self.device, {PACKED: workload.groups if PACK in sketches else 1})
        several = densest.weight_tiles > self.device.arrays and workload.pixels > 1
        return bool(several) and self.device.array.write.during_inference
