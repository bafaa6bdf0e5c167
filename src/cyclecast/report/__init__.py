"""Reports: values first, drawing second."""

from __future__ import annotations

from cyclecast.progress import progress_bar, status
from cyclecast.report._departures import layers_table
from cyclecast.report._device import device_info, device_text
from cyclecast.report._html import html, report_info, write_report
from cyclecast.report._info import tuned_info
from cyclecast.report._mapping import mapping_text
from cyclecast.report._placed import placement_table, totals_text
from cyclecast.report._placement import placement_info
from cyclecast.report._search import search_info, search_table
from cyclecast.report._sqnr import sqnr_info, sqnr_table
from cyclecast.report._text import refused_table, short_energy, short_time, tuned_table
from cyclecast.report._timeline import trace_events

__all__ = [
    "device_info",
    "device_text",
    "html",
    "layers_table",
    "mapping_text",
    "placement_info",
    "placement_table",
    "progress_bar",
    "refused_table",
    "report_info",
    "search_info",
    "search_table",
    "short_energy",
    "short_time",
    "sqnr_info",
    "sqnr_table",
    "status",
    "totals_text",
    "trace_events",
    "tuned_info",
    "tuned_table",
    "write_report",
]
