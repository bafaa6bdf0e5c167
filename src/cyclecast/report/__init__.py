"""Reports: first values, then drawings."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cyclecast.report._departures import layers_table
    from cyclecast.report._device import device_info, device_text
    from cyclecast.report._forms import Report, report_form, write_report
    from cyclecast.report._html import html, report_info
    from cyclecast.report._mapping import mapping_text
    from cyclecast.report._placement import placement_info
    from cyclecast.report._placement_text import placement_table, totals_text
    from cyclecast.report._search import search_info, search_table
    from cyclecast.report._sqnr import sqnr_info, sqnr_table
    from cyclecast.report._text import refused_table, short_energy, short_time, tuned_table
    from cyclecast.report._timeline import trace_events
    from cyclecast.report._tuned import tuned_info
    from cyclecast.workflow.progress import progress_bar, status

__all__ = [
    "Report",
    "device_info",
    "device_text",
    "html",
    "layers_table",
    "mapping_text",
    "placement_info",
    "placement_table",
    "progress_bar",
    "refused_table",
    "report_form",
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

_LAZY = {
    "Report": "cyclecast.report._forms",
    "device_info": "cyclecast.report._device",
    "device_text": "cyclecast.report._device",
    "html": "cyclecast.report._html",
    "layers_table": "cyclecast.report._departures",
    "mapping_text": "cyclecast.report._mapping",
    "placement_info": "cyclecast.report._placement",
    "placement_table": "cyclecast.report._placement_text",
    "progress_bar": "cyclecast.workflow.progress",
    "refused_table": "cyclecast.report._text",
    "report_form": "cyclecast.report._forms",
    "report_info": "cyclecast.report._html",
    "search_info": "cyclecast.report._search",
    "search_table": "cyclecast.report._search",
    "short_energy": "cyclecast.report._text",
    "short_time": "cyclecast.report._text",
    "sqnr_info": "cyclecast.report._sqnr",
    "sqnr_table": "cyclecast.report._sqnr",
    "status": "cyclecast.workflow.progress",
    "totals_text": "cyclecast.report._placement_text",
    "trace_events": "cyclecast.report._timeline",
    "tuned_info": "cyclecast.report._tuned",
    "tuned_table": "cyclecast.report._text",
    "write_report": "cyclecast.report._forms",
}
"""Modules that are imported on first use: a page needs Plotly and Jinja, a line of text needs neither."""


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'cyclecast.report' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
