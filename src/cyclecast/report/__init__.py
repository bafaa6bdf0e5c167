"""Reports: values first, drawing second."""

from __future__ import annotations

from cyclecast.report._info import mapping_text, tuned_info
from cyclecast.report._progress import progress_bar, status
from cyclecast.report._text import short_time, tuned_table

__all__ = ["mapping_text", "progress_bar", "short_time", "status", "tuned_info", "tuned_table"]
