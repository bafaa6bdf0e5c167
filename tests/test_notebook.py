"""What notebooks show, and the one among the pages."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from cyclecast._notebook import html_table
from cyclecast.device import Device
from cyclecast.mapspace import default_mapping
from cyclecast.network import Member, Network
from cyclecast.timing import Analytical
from placed import conv

PAGE = Path(__file__).parents[1] / "docs" / "notebook.md"


def test_a_table_is_well_formed_whatever_its_texts() -> None:
    table = ElementTree.fromstring(html_table("a < b & c", ("<one>", "two"), [("1", '"'), ("</td>", "&amp;")]))
    assert table.findtext("caption") == "a < b & c"
    assert [cell.text for cell in table.iter("td")] == ["1", '"', "</td>", "&amp;"]


def test_a_timing_shows_its_phases() -> None:
    device = Device.load("isaac")
    timing = Analytical().time(default_mapping(conv(8, 8, 8, 3), device), device)
    table = ElementTree.fromstring(timing._repr_html_())
    names = [row.findtext("td") for row in table.iter("tr")][1:]
    assert names == [phase.name for phase in timing.phases]
    assert str(timing.total) in (table.findtext("caption") or "")


@pytest.mark.tvm
def test_a_tuned_network_shows_its_workloads() -> None:
    from cyclecast.search import SearchResult
    from cyclecast.workflow.tuning import Tuned, TunedWorkload

    device, workload = Device.load("isaac"), conv(8, 8, 8, 3)
    mapping, member = default_mapping(workload, device), Member(workload, 2, "conv")
    entry = TunedWorkload(
        member=member,
        mapping=mapping,
        timing=Analytical().time(mapping, device),
        candidates=1,
        reused=False,
        outcome=SearchResult("default"),
    )
    table = ElementTree.fromstring(
        Tuned(Network("net", (member,), (), None), device, (entry,), Analytical())._repr_html_()
    )
    assert [cell.text for cell in table.iter("td")][:2] == [workload.name, "2"]


@pytest.mark.tvm
@pytest.mark.slow
def test_the_cells_of_the_notebook_run() -> None:
    pytest.importorskip("torch")
    cells = re.findall(r"```\{code-cell\}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    values: dict[str, Any] = {}
    for cell in cells:
        exec(cell, values)
    for name in ("device", "network", "tuned", "placement"):
        assert values[name]._repr_html_().startswith("<table>")
    assert values["error"] < 0.01
    assert sorted(values["intervals"], reverse=True) == values["intervals"]  # more PEs are not slower
    assert values["intervals"][-1] == pytest.approx(0.8)  # eight input steps of 100 ns
