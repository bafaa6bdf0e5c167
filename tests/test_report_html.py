"""The page of a placement, in a browser."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import c_projects
from cyclecast.device import Device
from cyclecast.errors import OptionError
from cyclecast.placement import Placement
from cyclecast.report import html, placement_info, placement_table, report_info, short_time, write_report
from cyclecast.report._figures import figures
from cyclecast.report._html import tables
from cyclecast.units import Time
from placed import attention, blocks, placed

pytestmark = [pytest.mark.tvm, pytest.mark.slow]

ISAAC = Device.load("isaac")
SMALL = ISAAC.vary_all({"levels.pe.count": 2, "array.write.arrays": 2, "network.rows": 1, "network.cols": 2})
SWITCH_NAMES = (
    "no-sandbox disable-gpu disable-quic no-first-run disable-background-networking disable-component-update "
    "disable-dev-shm-usage disable-sync"
)
SWITCHES = [f"--{name}" for name in SWITCH_NAMES.split()]
"""Nothing but the page: a browser of its own accord looks for updates."""


PLACEMENTS: dict[str, Callable[[], Placement]] = {
    "attention in arrays": lambda: placed(attention(), ISAAC, dynamic="arrays"),
    "segments": lambda: placed(blocks("<blocks> & </script>"), SMALL, batch=4),
    "two chips": lambda: placed(attention(), ISAAC, chips=2),
    "a device without components": lambda: placed(attention(), Device.load("isaac_ou")),
}


RARE = ("two chips", "a device without components")
DRAWN = [pytest.param(name, marks=pytest.mark.long if name in RARE else ()) for name in PLACEMENTS]


@pytest.fixture(scope="module", params=DRAWN)
def info(request: pytest.FixtureRequest) -> dict[str, Any]:
    return report_info(PLACEMENTS[request.param]())


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    c_projects.needs("chromium")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as running:
        started = running.chromium.launch(executable_path=shutil.which("chromium"), args=SWITCHES)
        yield started
        started.close()


class Page:
    """A page that is open, with what it said and asked for."""

    def __init__(self, browser: Any, file: Path, width: int) -> None:
        self.page = browser.new_page(viewport={"width": width, "height": 900})
        self.messages: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.messages.append(message.text))
        self.page.on("pageerror", lambda error: self.messages.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(file.as_uri())
        self.page.wait_for_function("document.body.dataset.drawn !== undefined")


@pytest.mark.parametrize("width", [1280, 390])
def test_every_plot_draws_the_numbers_of_the_info_and_asks_for_nothing(
    info: dict[str, Any], browser: Any, tmp_path: Path, width: int
) -> None:
    file = tmp_path / "report.html"
    file.write_text(html(info), encoding="utf-8")
    opened = Page(browser, file, width)
    page, names = opened.page, list(figures(info))
    assert page.evaluate("document.body.dataset.drawn") == str(len(names))
    for name in names:
        assert page.locator(f"#plot-{name} .main-svg").count() > 0
        box = page.locator(f"#plot-{name}").bounding_box()
        assert 0 < box["width"] <= width
    drawn = page.evaluate("[...document.querySelectorAll('.plot')].map(plot => plot.data.length)")
    assert min(drawn) > 0
    assert opened.messages == []
    assert opened.requests == [file.as_uri()]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    check_numbers(page, info)
    page.close()


def check_numbers(page: Any, info: dict[str, Any]) -> None:
    """What the page shows is what the info says."""
    total = info["total"]
    shown = {name: page.locator(f"#card-{name}") for name in ("interval", "latency", "arrays", "host")}
    for name, card in shown.items():
        assert int(card.get_attribute("data-value")) == total[name if name == "arrays" else f"{name}_fs"]
    assert shown["interval"].inner_text() == short_time(Time(total["interval_fs"]))
    assert json.loads(page.locator("#info").text_content()) == json.loads(json.dumps(info))
    busy = page.evaluate("document.getElementById('plot-graph').data.at(-1).marker.color")
    assert busy == [each["busy_fs"] / 10**9 for each in info["operators"]]


def test_tables_behind_the_plots_open_with_the_keyboard(browser: Any, tmp_path: Path) -> None:
    found = report_info(placed(attention(), ISAAC))
    file = tmp_path / "report.html"
    file.write_text(html(found), encoding="utf-8")
    page = Page(browser, file, 1280).page
    summary = page.locator("#graph summary")
    summary.focus()
    page.keyboard.press("Enter")
    assert page.locator("#graph table").is_visible()
    assert page.locator("#graph tbody tr").count() == len(found["operators"])
    assert page.locator("#plot-graph").get_attribute("role") == "img"
    page.close()


def test_every_plot_has_a_table(info: dict[str, Any]) -> None:
    assert set(figures(info)) <= set(tables(info))
    for columns, rows in tables(info).values():
        assert all(len(row) == len(columns) for row in rows)


def test_what_differs_from_another_run(tmp_path: Path) -> None:
    one, other = placed(attention(), ISAAC), placed(attention(), ISAAC.vary("array.read", "50 ns"))
    against = report_info(other)
    write_report(one, tmp_path / "report.html", against=against)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Beside the other run" in text
    assert short_time(other.with_host[1]) in text


def test_a_path_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="it cannot be written"):
        write_report(placed(attention(), ISAAC), tmp_path / "no" / "report.html")


def test_energy_adds_up() -> None:
    found = placement_info(placed(attention(), ISAAC))
    parts = [part["aj"] for each in (found, *found["operators"]) for part in each["energy"]]
    assert sum(parts) == pytest.approx(found["total"]["energy_aj"], abs=len(parts))


def test_a_terminal_shows_every_operator(info: dict[str, Any]) -> None:
    console = Console(width=200, file=StringIO(), record=True)
    console.print(placement_table(info))
    text = console.export_text()
    assert text.count("conv2d") + text.count("dense") + text.count("product") >= len(info["operators"])
    assert "interval" in text
