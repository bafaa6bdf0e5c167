from __future__ import annotations

from dataclasses import replace

import pytest

pytest.importorskip("tvm")

from rich.console import Console

from cyclecast.device import Device
from cyclecast.energy import energy
from cyclecast.mapping import TILE_AXES
from cyclecast.mapspace import grant
from cyclecast.network import Axis, HostOperator, Kind, Member, Network, Slide, Workload
from cyclecast.report import mapping_text, short_energy, short_time, tuned_info, tuned_table
from cyclecast.search import SearchResult
from cyclecast.timing import Analytical, Fixed, Poster, bounds, sensitivity
from cyclecast.units import Energy, Time
from cyclecast.workflow.tuning import Tuned, TunedWorkload
from strategies import matrix_vector

pytestmark = pytest.mark.tvm

TINY = Device.load("tiny")
DEFAULT = SearchResult("default")


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


# 7 outputs of 3 taps in each of 4 groups: a window of 3 outputs meets 5 values, in 3 results on 2 arrays
SLID = Workload(
    "slid",
    (Axis("g", 4, Kind.GROUP), Axis("x", 7, Kind.PIXEL), Axis("t", 3, Kind.REDUCTION)),
    slides=(Slide("x", "t", 7, 3),),
)
ALONE = dict.fromkeys([f"{level.name}.{axis}" for level in TINY.levels for axis in TILE_AXES], 1)


@pytest.mark.parametrize(
    ("workload", "asked", "expected"),
    [
        (SLID, {"window.x": 3}, "3 window | 5x2 | array g2 | cu g2 | pe c2 | time p3"),
        (SLID, ALONE | {"packed": 2}, "3x1 | 2 packed | time g2 p7"),
        (SLID, ALONE | {"input_stationary": 1}, "3x1 | time g4 p7 | input-stationary"),
    ],
)
def test_mapping_text_of_other_sketches(workload: Workload, asked: dict[str, int], expected: str) -> None:
    assert mapping_text(grant(workload, TINY, asked)) == expected


def test_a_window_has_a_size_along_every_slide() -> None:
    axes = tuple(Axis(name, 4, Kind.PIXEL) for name in "yx") + tuple(Axis(name, 3, Kind.REDUCTION) for name in "ab")
    workload = Workload("conv", axes, slides=(Slide("y", "a", 4, 3), Slide("x", "b", 4, 3)))
    mapping = grant(workload, TINY, {"window.x": 2})
    assert mapping_text(mapping).startswith("1x2 window | 8x2 | ")
    network = Network("net", (Member(workload, 1, "conv"),), (), program=None)
    entry = TunedWorkload(
        member=network.members[0],
        mapping=mapping,
        timing=Analytical().time(mapping, TINY),
        candidates=1,
        reused=False,
        outcome=DEFAULT,
    )
    info = tuned_info(Tuned(network, TINY, (entry,), Analytical()))
    found = info["workloads"][0]["mapping"]
    assert (found["window"], found["packed"], found["input_stationary"]) == ({"y": 1, "x": 2}, 1, False)
    assert "input-stationary: all passes for every step" in text_of(info)


def tuned() -> Tuned:
    def entry(workload: Workload, count: int, reused: bool) -> TunedWorkload:
        mapping = grant(workload, TINY, {})
        return TunedWorkload(
            member=Member(workload, count, workload.name),
            mapping=mapping,
            timing=Analytical().time(mapping, TINY),
            candidates=3,
            reused=reused,
            outcome=DEFAULT,
        )

    large, small = matrix_vector(20, 5, pixels=9), matrix_vector(8, 2)
    network = Network(
        "net",
        (Member(large, 2, "large"), Member(small, 1, "small")),
        (
            HostOperator("softmax", count=4, operations=8000, bytes=3200),
            HostOperator("relu", count=3, operations=0, bytes=0),
        ),
        program=None,
    )
    return Tuned(network, TINY, (entry(large, 2, True), entry(small, 1, False)), Analytical())


def test_the_information_counts_every_occurrence() -> None:
    result = tuned()
    info = tuned_info(result)
    first, second = (entry.timing for entry in result.workloads)
    arrays, host = (2 * first.total + second.total).femtoseconds, Time.parse("1 us").femtoseconds
    assert info["total"] == {
        "macs": 2 * 900 + 16,
        "host_macs": 0,
        "cycles": 2 * first.cycles + second.cycles,
        "fs": arrays,
        "second_opinion_fs": None,  # none was asked for
        "units_fs": 0,
        "host_fs": host,  # 8000 operations at 8 a nanosecond
        "with_host_fs": arrays + host,
        "coverage": 2 * 1816 / (2 * 1816 + 8000),
        "warning": "",  # arrays do all products
        "loss": "",  # and their sums are exact
        "energy_aj": None,  # tiny states no components
        "reused": 1,
    }
    assert [workload["count"] for workload in info["workloads"]] == [2, 1]
    assert [workload["arrays"] for workload in info["workloads"]] == [8, 1]
    assert info["device"]["digest"] == TINY.digest


def test_every_workload_is_explained() -> None:
    result = tuned()
    why = tuned_info(result)["workloads"][0]["why"]
    entry = result.workloads[0]
    limits = bounds(entry.mapping, TINY)
    assert sum(phase["share"] for phase in why["phases"] if not phase["hidden"]) == pytest.approx(1)
    assert (why["lower_fs"], why["lower_by"]) == (limits.lower.femtoseconds, limits.lower_by)
    assert why["upper_fs"] == limits.upper.femtoseconds
    assert why["above_lower"] == entry.timing.total / limits.lower
    assert (why["warning"], why["energy"]) == (None, None)
    gains = sensitivity(entry.mapping, TINY, Analytical())
    assert [gain["field"] for gain in why["gains"]] == [gain.field for gain in gains]
    assert why["gains"][0]["saved"] == gains[0].saved / entry.timing.total


def test_energy_where_the_device_has_components_and_the_model_counts() -> None:
    """ISAAC's links draw 10.4 W from the first input to the last result; the poster knows one PE of them all."""
    isaac = Device.load("isaac")
    workload = matrix_vector(128, 32, pixels=10)
    mapping = grant(workload, isaac, {})
    network = Network("net", (Member(workload, 3, "small"),), (), program=None)
    for model in (Analytical(), Poster()):
        timing = model.time(mapping, isaac)
        entry = TunedWorkload(
            member=network.members[0], mapping=mapping, timing=timing, candidates=1, reused=False, outcome=DEFAULT
        )
        info = tuned_info(Tuned(network, isaac, (entry,), model))
        found = info["workloads"][0]["why"]["energy"]
        assert (found is None) == isinstance(model, Poster)
        if found:
            spent = energy(mapping, isaac, timing)
            assert found["aj"] == spent.total.attojoules == sum(part["aj"] for part in found["components"])
            assert found["components"][0]["name"] == "hyper_transport"
            assert info["total"]["energy_aj"] == 3 * found["aj"]
            assert "hyper_transport" in text_of(info)


def test_a_time_that_cannot_be_is_pointed_out() -> None:
    result = tuned()
    entry = result.workloads[0]
    for model, text in ((Fixed(1), "below its lower bound"), (Fixed(10**9), "above its upper bound")):
        wrong = replace(entry, timing=model.time(entry.mapping, TINY))
        shown = text_of(tuned_info(Tuned(result.network, TINY, (wrong,), model)))
        assert f"warning: small: the time is {text}" in shown


@pytest.mark.parametrize(
    ("amount", "expected"), [("0 aJ", "0 aJ"), ("12.3456 uJ", "12.35 uJ"), ("999.99 nJ", "1 uJ"), ("2 J", "2 J")]
)
def test_short_energy(amount: str, expected: str) -> None:
    assert short_energy(Energy.parse(amount)) == expected


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
    assert "whole network, one operator after another: 9.42 us\n" in text
    for row in ("write ", "x work", "array.read: -", "softmax"):
        assert row in text
    assert f"arrays: {info['total']['cycles']:,} cycles" in text
    assert "in 3 operators (2 distinct), 31.2% of all operations\n" in text
    assert (
        "beside the arrays: 0 operators on digital units, 0 fs that arrays do not hide; 7 on the host, 1 us by its "
        "roofline\n1 of 2 workloads reused\n" in text
    )


def test_the_table_says_nothing_of_reuse_where_there_is_none() -> None:
    info = tuned_info(tuned())
    info["total"]["reused"] = 0
    assert "reused" not in text_of(info)
