"""The report of a search equals its outcome."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

pytest.importorskip("tvm")

from rich.console import Console

from cyclecast.device import Device
from cyclecast.mapping import TILE_AXES
from cyclecast.mapspace import SketchSize, grant
from cyclecast.network import Member, Network
from cyclecast.report import mapping_text, search_info, search_table, tuned_info
from cyclecast.report._search import MOST_CHOICES
from cyclecast.search import SearchResult, outcome_from_json
from cyclecast.search._result import Certificate, ParetoPoint
from cyclecast.timing import Analytical
from cyclecast.units import Energy, Time
from cyclecast.workflow.tuning import Tuned, TunedWorkload
from strategies import matrix_vector

pytestmark = pytest.mark.tvm

TINY = Device.load("tiny")
WORKLOAD = matrix_vector(20, 5, pixels=9)
MAPPING = grant(WORKLOAD, TINY, {})
SKETCHES = (SketchSize("im2col", 1_000, 250), SketchSize("im2col+windows", 3_000, 150))
PROVEN = Certificate(400, 17, Time.parse("12 us"), Time.parse("13 us"), Time.parse("12 us"))
OPEN = replace(PROVEN, runner_up=None, lower=Time.parse("8 us"))
UNKNOWN = replace(PROVEN, lower=Time(0))


def choice(arrays: int) -> ParetoPoint:
    """The more arrays, the shorter, and the more energy: none is better than another."""
    one = dict.fromkeys([f"{level.name}.{axis}" for level in TINY.levels for axis in TILE_AXES], 1)
    mapping = grant(WORKLOAD, TINY, one | {"word_lines": 1 + arrays % 8})
    return ParetoPoint(mapping, Time.parse(f"{1000 - arrays} ns"), Energy.parse(f"{100 + arrays} pJ"), arrays)


def info_of(*outcomes: SearchResult) -> dict[str, Any]:
    """The information of a network with a workload for each outcome."""
    timing = Analytical().time(MAPPING, TINY)
    members = [Member(replace(WORKLOAD, name=f"layer{n}"), 1, f"kernel{n}") for n in range(len(outcomes))]
    entries = [
        TunedWorkload(member=member, mapping=MAPPING, timing=timing, candidates=1234, reused=False, outcome=outcome)
        for member, outcome in zip(members, outcomes, strict=True)
    ]
    network = Network("net", tuple(members), (), program=None)
    return tuned_info(Tuned(network, TINY, tuple(entries), Analytical()))


def text_of(*outcomes: SearchResult) -> str:
    console = Console(width=200)
    with console.capture() as captured:
        console.print(search_table(info_of(*outcomes)))
    return captured.get()


def row(text: str, first: str) -> list[str]:
    """The cells of the one row that begins with this cell."""
    cells = [[cell.strip() for cell in line.strip("│").split("│")] for line in text.splitlines() if "│" in line]
    (found,) = (line for line in cells if line[0] == first)
    return found


@pytest.mark.parametrize("certificate", [None, PROVEN, OPEN, UNKNOWN])
def test_the_information_is_the_outcome(certificate: Certificate | None) -> None:
    outcome = SearchResult("exhaustive", "stopped", SKETCHES, certificate, (choice(4), choice(2)))
    info = search_info(outcome)
    assert outcome_from_json(info) == outcome
    assert [said["text"] for said in info["front"]] == [mapping_text(found.mapping) for found in outcome.front]
    assert (info["certificate"] or {}).get("gap") == (certificate.gap if certificate else None)
    assert info_of(outcome)["workloads"][0]["search"] == info


def test_a_row_says_what_the_certificate_says() -> None:
    found = row(text_of(SearchResult("exhaustive", sketches=SKETCHES, certificate=PROVEN)), "layer0")
    assert found == ["layer0", "4e+03", "0.1", "17", "12 us", "13 us", "12 us", "0.0%"]


@pytest.mark.parametrize(
    ("certificate", "following", "lower", "gap"), [(OPEN, "", "8 us", "50.0%"), (UNKNOWN, "13 us", "0 fs", "unknown")]
)
def test_a_gap_that_is_not_closed(certificate: Certificate, following: str, lower: str, gap: str) -> None:
    found = row(text_of(SearchResult("exhaustive", sketches=SKETCHES, certificate=certificate)), "layer0")
    assert found[4:] == ["12 us", following, lower, gap]


def test_without_a_certificate_there_is_the_time_that_was_found() -> None:
    outcome = SearchResult("random", sketches=SKETCHES)
    timing = info_of(outcome)["workloads"][0]["timing"]
    found = row(text_of(outcome), "layer0")
    assert found[3:] == ["1,234", f"{timing['total_fs'] / 1e9:.4g} us", "", "", ""]


def test_rules_are_counted_over_all_workloads() -> None:
    text = text_of(SearchResult("exhaustive", sketches=SKETCHES), SearchResult("exhaustive", sketches=SKETCHES[:1]))
    assert row(text, "im2col") == ["im2col", "2", "2e+03", "0.25"]
    assert row(text, "im2col+windows") == ["im2col+windows", "1", "3e+03", "0.05"]


def test_a_note_is_shown_once() -> None:
    noted = SearchResult("evolution", "the timing model takes 7 ms a mapping", SKETCHES)
    text = text_of(noted, noted, SearchResult("random", "drawn", SKETCHES), SearchResult("exhaustive"))
    assert text.count("evolution: the timing model takes 7 ms a mapping\n") == 1
    assert text.count("random: drawn\n") == 1
    assert "exhaustive:" not in text


def test_a_front_is_listed_with_all_that_there_is_to_choose_by() -> None:
    front = (choice(4), choice(2))
    text = text_of(SearchResult("pareto", front=front), SearchResult("exhaustive"))
    assert "front of layer0: 2 of 2" in text
    assert "front of layer1" not in text
    for found in front:
        time, energy = f"{1000 - found.arrays} ns", f"{100 + found.arrays} pJ"
        assert row(text, mapping_text(found.mapping))[1:] == [time, energy, str(found.arrays)]


@pytest.mark.parametrize("length", [MOST_CHOICES, MOST_CHOICES + 1, 40])
def test_a_long_front_is_cut_evenly_with_its_ends(length: int) -> None:
    text = text_of(SearchResult("pareto", front=tuple(choice(arrays) for arrays in range(length, 0, -1))))
    assert f"front of layer0: 12 of {length}" in text
    lines = text.partition("front of layer0")[2].splitlines()
    shown = [int(line.strip("│").split("│")[-1]) for line in lines if "pJ" in line]
    assert len({*shown}) == len(shown) == 12
    assert (shown[0], shown[-1]) == (length, 1)
    steps = [one - other for one, other in pairwise(shown)]
    assert max(steps) - min(steps) <= 1
