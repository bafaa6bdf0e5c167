"""Sketch rule: windows of several outputs per input vector, by shifted copies of the filters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cyclecast.device import Device
from cyclecast.mapspace import WINDOWS, window_choices
from cyclecast.schedule._opening import extended, opened_workload, sample


@dataclass(frozen=True, slots=True)
class Windows:
    """Samples a window along every slide, as in SDK and VW-SDK (Rhe et al., DATE 2022, arXiv:2112.11282).

    Applies if the workload slides over its inputs and an array has columns for two outputs of a filter.
    """

    device: Device

    def apply(self, schedule: Any, block: Any) -> list[Any]:
        """Two schedules, without and with windows; only the first if the rule does not apply."""
        workload = opened_workload(schedule, block, self.device)
        windows = {} if workload is None else window_choices(workload, self.device)
        if not windows:
            return [schedule]
        with_windows = extended(schedule, block, WINDOWS)
        for decision, sizes in windows.items():
            sample(with_windows, block, self.device, decision, sizes)
        return [schedule, with_windows]
