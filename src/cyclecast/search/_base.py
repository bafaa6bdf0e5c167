"""What a search strategy is, for now: one of MetaSchedule's, with its options as fields."""

from __future__ import annotations

from typing import Any, Protocol


class Strategy(Protocol):
    """Proposes candidates. Equal strategies with equal seeds propose the same."""

    def for_metaschedule(self) -> Any:
        """A fresh `tvm.s_tir.meta_schedule.SearchStrategy`."""
        ...
