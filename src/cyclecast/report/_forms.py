"""Output formats of a report: the built-in HTML page, or a user's format."""

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
    """An output format for the values of a placed network."""

    suffix: str
    """Suffix of the file, with the dot."""

    def text(self, info: Mapping[str, Any]) -> str:
        """Text of the file.

        `info` is the result of `report_info`; `info["against"]` is that of another placement, or None.
        """
        ...


@dataclass(frozen=True)
class Page:
    """One HTML page with plots and tables."""

    suffix: ClassVar[str] = ".html"

    def text(self, info: Mapping[str, Any]) -> str:
        """The HTML page."""
        from cyclecast.report._html import html

        return html(dict(info))


BUILT_IN: dict[str, Callable[[], type]] = {"html": lambda: Page}


def report_form(spec: str | Report) -> Report:
    """The format of a name such as `html` or of a class in a file; an object with `suffix` and `text` is returned.

    Raises `OptionError` for anything else.
    """
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
    """Write a report on a placement and return its `report_info`; `against` is that of another placement.

    An existing file is replaced only by an HTML page and if it is one, unless `force` is set. Raises `OptionError`.
    """
    from cyclecast.report._html import report_info  # needs Plotly and Jinja

    chosen = report_form(form)
    info = report_info(placement, timing=timing, check=check)
    text = chosen.text(info | {"against": against})
    with output_file(path, PAGE if isinstance(chosen, Page) else NOTHING, force=force) as place:
        place.write_text(text, encoding="utf-8")
    return info


NOTHING = "(?!)"
"""A pattern that matches no text."""
PAGE = '<meta name="generator" content="cyclecast">'
"""Mark at the beginning of an HTML page."""
