"""Random search: every decision sampled anew for every candidate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Random:
    """Independent samples of the space."""

    def for_metaschedule(self) -> Any:
        """MetaSchedule's `ReplayTrace`."""
        from tvm.s_tir.meta_schedule.search_strategy import ReplayTrace

        return ReplayTrace()
