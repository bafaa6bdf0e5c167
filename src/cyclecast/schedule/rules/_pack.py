"""Sketch rule: pack small groups on the diagonal of an array."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cyclecast.device import Device
from cyclecast.mapspace import PACK, PACKED, can_pack, choices
from cyclecast.schedule._opening import extended, opened_workload, sample, sketches_of


@dataclass(frozen=True, slots=True)
class Pack:
    """Samples how many groups of a grouped or depthwise convolution, or of a batch of products, share an array.

    Applies if there are several groups and an array has room for two.
    """

    device: Device

    def apply(self, schedule: Any, block: Any) -> list[Any]:
        """Two schedules, with one group per array and with packed groups; only the first if the rule does not apply."""
        workload = opened_workload(schedule, block, self.device)
        if workload is None or not can_pack(workload, self.device):
            return [schedule]
        packing = extended(schedule, block, PACK)
        sizes = choices(workload, self.device, sketches_of(packing, block))[PACKED]
        sample(packing, block, self.device, PACKED, sizes)
        return [schedule, packing]
