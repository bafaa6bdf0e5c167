"""The forms of a report: our page, or a form of somebody else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

from cyclecast import plugins
from cyclecast.errors import OptionError
from cyclecast.placement import Check, Placement
from cyclecast.storage.folders import output_file
from cyclecast.timing import TimingModel


@runtime_checkable
class Report(Protocol):
    """A form in which the values of a placed network are written."""

    suffix: str
    """The end of the file's name, with the dot."""

    def text(self, info: Mapping[str, Any]) -> str:
        """The file's text; `info` is what `report_info` answers, and that of another run as `against` or None."""
        ...


@dataclass(frozen=True)
class Page:
    """One HTML page with plots and tables."""

    suffix: ClassVar[str] = ".html"

    def text(self, info: Mapping[str, Any]) -> str:
        """The page."""
        from cyclecast.report._html import html

        return html(dict(info))


BUILT_IN: dict[str, Callable[[], type]] = {"html": lambda: Page}


def report_form(spec: str | Report) -> Report:
    """The form of a name such as `html`, or of a class in a file; an object with `suffix` and `text` as it is."""
    form = plugins.build("report", spec, BUILT_IN) if isinstance(spec, str) else spec
    if isinstance(form, type) or not isinstance(form, Report):
        raise OptionError("report", f"{spec!r}", "a report has a suffix and text(info)", "a name or such an object")
    return form


def write_report(
    placement: Placement,
    path: str | Path,
    *,
    timing: str | TimingModel = "analytical",
    against: dict[str, Any] | None = None,
    check: Check | None = None,
    force: bool = False,
    form: str | Report = "html",
) -> dict[str, Any]:
    """Write a report of a placement, and give its `report_info`; `against` is that of another one to compare with.

    A file that is there must be our page, and be replaced by one; `force` replaces any.
    """
    from cyclecast.report._html import report_info  # which needs Plotly and Jinja

    chosen = report_form(form)
    info = report_info(placement, timing=timing, check=check)
    text = chosen.text(info | {"against": against})
    with output_file(path, PAGE if isinstance(chosen, Page) else NOTHING, force=force) as place:
        place.write_text(text, encoding="utf-8")
    return info


NOTHING = "(?!)"
"""A pattern that no text has."""
PAGE = '<meta name="generator" content="cyclecast">'
"""What a page says at its beginning."""
