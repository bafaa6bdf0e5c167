from __future__ import annotations

import pytest

pytest.importorskip("tvm")

from rich.console import Console

from cyclecast.decisions import grant
from cyclecast.device import Device
from cyclecast.report import mapping_text, short_time, tuned_info, tuned_table
from cyclecast.timing import Analytical
from cyclecast.tuning import Tuned, TunedWorkload
from cyclecast.units import Time
from cyclecast.workload import HostOperator, Member, Network, Workload
from strategies import matrix_vector

pytestmark = pytest.mark.tvm

TINY = Device.load("tiny")


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("0 fs", "0 fs"),
        ("12.5 ps", "12.5 ps"),
        ("1 ns", "1 ns"),
        ("12.3456 us", "12.35 us"),
        ("999 us", "999 us"),
        ("1.5 ms", "1.5 ms"),
        ("31.4159 s", "31.42 s"),
    ],
)
def test_short_time(time: str, expected: str) -> None:
    assert short_time(Time.parse(time)) == expected


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, "8x2 | array r2 | cu r2 | pe c2 | time c2 p9"),
        ({"array.row": 1, "cu.row": 1, "pe.row": 1}, "8x2 | array c2 | cu c2 | pe p2 | time r3 p5"),
        ({"word_lines": 4, "pe.row": 1, "pe.column": 1}, "4x2 | array r2 | cu r2 | pe p2 | time r2 c3 p5"),
    ],
)
def test_mapping_text(asked: dict[str, int], expected: str) -> None:
    assert mapping_text(grant(matrix_vector(20, 5, pixels=9), TINY, asked)) == expected


def test_a_mapping_without_factors_is_its_tile() -> None:
    assert mapping_text(grant(matrix_vector(8, 2), TINY, {})) == "8x2"


def tuned() -> Tuned:
    def entry(workload: Workload, count: int, reused: bool) -> TunedWorkload:
        mapping = grant(workload, TINY, {})
        return TunedWorkload(
            Member(workload, count, workload.name), mapping, Analytical().time(mapping, TINY), 3, reused
        )

    large, small = matrix_vector(20, 5, pixels=9), matrix_vector(8, 2)
    network = Network(
        "net",
        (Member(large, 2, "large"), Member(small, 1, "small")),
        (HostOperator("softmax", 4, 8000, 3200), HostOperator("relu", 3, 0, 0)),
        program=None,
    )
    return Tuned(network, TINY, (entry(large, 2, True), entry(small, 1, False)))


def test_the_information_counts_every_occurrence() -> None:
    result = tuned()
    info = tuned_info(result)
    first, second = (entry.timing for entry in result.workloads)
    assert info["total"] == {
        "macs": 2 * 900 + 16,
        "cycles": 2 * first.cycles + second.cycles,
        "fs": (2 * first.total + second.total).femtoseconds,
        "reused": 1,
    }
    assert [workload["count"] for workload in info["workloads"]] == [2, 1]
    assert [workload["arrays"] for workload in info["workloads"]] == [8, 1]
    assert info["device"]["digest"] == TINY.digest


def text_of(info: dict[str, object]) -> str:
    console = Console(width=200)
    with console.capture() as captured:
        console.print(tuned_table(info))
    return captured.get()


def test_the_table_shows_what_the_information_says() -> None:
    info = tuned_info(tuned())
    text = text_of(info)
    for workload in info["workloads"]:
        shown = [workload["name"], workload["mapping"]["text"], f"{workload['timing']['cycles']:,}"]
        assert [value for value in shown if value not in text] == []
    assert "net on tiny" in text
    assert f"total: {info['total']['cycles']:,} cycles" in text
    assert "in 3 operators (2 distinct); 7 operators stay on the host, untimed, 1 of 2 workloads reused" in text


def test_the_table_says_nothing_of_reuse_where_there_is_none() -> None:
    info = tuned_info(tuned())
    info["total"]["reused"] = 0
    assert "reused" not in text_of(info)
