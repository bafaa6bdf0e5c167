"""Tuning within a limit of time, and with timing models that make mistakes."""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from cyclecast.device import Device
from cyclecast.errors import OptionError, TimingError
from cyclecast.mapping import Mapping
from cyclecast.report import tuned_info, tuned_table
from cyclecast.timing import Timing
from cyclecast.workflow.tuning import estimate, tune
from kernels import conv, dense, network
from test_workflow_tuning import ISAAC, STRATEGIES, TINY, FewArrays, small

pytestmark = pytest.mark.tvm


def test_the_clock_ends_a_search_and_the_answer_says_so() -> None:
    large = network(conv(size=(28, 28), channels=64, filters=64, kernel=(3, 3)))
    starved = ISAAC.vary_all({"levels.pe.input_bandwidth": "37 MB/s", "levels.cu.output_bandwidth": "1 MB/s"})
    begin = time.monotonic()
    (entry,) = tune(large, starved, seconds=0.5).workloads
    assert time.monotonic() - begin < 10
    assert entry.outcome.certificate is not None
    assert entry.outcome.certificate.lower <= entry.timing.total == entry.outcome.certificate.best
    assert entry.outcome.certificate.gap == 0 or "the clock ended the search after 0.5 s" in entry.outcome.note


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_a_search_takes_time(seconds: float) -> None:
    with pytest.raises(OptionError, match="it must be more than 0"):
        tune(small(), TINY, seconds=seconds)


def test_another_limit_of_time_is_another_question(tmp_path: Path) -> None:
    database = tmp_path / "records.db"
    for seconds, reused in ((20, False), (20, True), (30, False)):
        tuned = tune(small(), TINY, seconds=seconds, database=database)
        assert {entry.reused for entry in tuned.workloads} == {reused}


def test_rich_shows_the_progress(capsys: pytest.CaptureFixture[str]) -> None:
    tune(small(), TINY, progress="rich")
    lines = capsys.readouterr().err.splitlines()
    assert (len(lines), lines[0]) == (4, "tuning 3 workloads")  # without a terminal: one more for every workload
    assert all(f"{place}/3 " in line and ": best " in line for place, line in enumerate(lines[1:], 1))


@dataclass
class Mistaken:
    """A timing model with a mistake that shows late."""

    error: Exception
    calls: int = 0

    def time(self, mapping: Mapping, device: Device) -> Timing:
        self.calls += 1
        if self.calls > 8:
            raise self.error
        return FewArrays().time(mapping, device)


@pytest.mark.parametrize("strategy", [*STRATEGIES, "exhaustive"])
def test_a_mistake_in_a_timing_model_loses_the_mappings_it_is_asked_for(strategy: str) -> None:
    tuned = tune(small(), TINY, trials=24, timing=Mistaken(ZeroDivisionError("mine")), strategy=strategy)
    assert all(entry.timing.total.femtoseconds > 0 for entry in tuned.workloads)
    assert any("the first: it raises ZeroDivisionError: mine" in entry.outcome.note for entry in tuned.workloads)


@dataclass
class Deaf:
    """Has no time for anything."""

    def time(self, mapping: Mapping, device: Device) -> Timing:
        return None  # type: ignore[return-value]


@pytest.mark.parametrize("strategy", [*STRATEGIES, "exhaustive"])
def test_a_model_without_any_time_is_an_error(strategy: str) -> None:
    with pytest.raises(TimingError, match="it answers None; it must be a Timing"):
        tune(small(), TINY, trials=4, timing=Deaf(), strategy=strategy)
    with pytest.raises(TimingError, match="it answers None; it must be a Timing"):
        estimate(small(), TINY, timing=Deaf())


ONE = """json_set(timing, '$.phases', json('[{"name": "read", "fs": 1, "hidden": false}]'))"""
EDITS: dict[str, tuple[str, str]] = {
    "shorter": (f"UPDATE record SET timing = {ONE}", "is recorded, and the"),
    "one shorter": (
        f"UPDATE record SET timing = {ONE} WHERE id IN (SELECT min(id) FROM record GROUP BY search_id)",
        "is recorded, and the timing model says",
    ),
    "phase": ("UPDATE record SET timing = json_set(timing, '$.phases[0].fs', 7)", "is recorded, and the"),
    "gone": ("DELETE FROM record", "its records are gone"),
    "best gone": (
        "DELETE FROM record WHERE id NOT IN (SELECT min(id) FROM record GROUP BY search_id)",
        "its proof is of",
    ),
    "bound": ("UPDATE search SET outcome = json_set(outcome, '$.certificate.lower', 1)", "its digest is that of other"),
    "bound above the best": (
        "UPDATE search SET outcome = json_set(outcome, '$.certificate.lower', 1000000000000000000)",
        "its proof says that no mapping is shorter than",
    ),
    "no proof": ("UPDATE search SET outcome = NULL", "its digest is that of other"),
    "space": ("UPDATE search SET outcome = json_set(outcome, '$.sketches[0].legal', 1)", "its digest is that of other"),
    "timed": ("UPDATE search SET timed = 7", "its digest is that of other"),
    "swapped": ("UPDATE record SET mapping = (SELECT mapping FROM record ORDER BY id LIMIT 1)", "a mapping is of"),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_record_is_not_believed(tmp_path: Path, edit: str) -> None:
    """The answer is searched again, once, and is the one that it was."""
    given, database = (
        network(dense(batch=3, features=90, filters=40), dense(batch=4, features=70, filters=9)),
        "records.db",
    )
    first = tune(given, TINY, database=tmp_path / database)
    with sqlite3.connect(tmp_path / database) as connection:
        connection.execute(EDITS[edit][0])
    connection.close()
    again = tune(given, TINY, database=tmp_path / database)
    assert again.mappings == first.mappings
    assert again.total == first.total
    assert any(EDITS[edit][1] in entry.disbelieved for entry in again.workloads), [
        e.disbelieved for e in again.workloads
    ]
    assert all(entry.reused != bool(entry.disbelieved) for entry in again.workloads)
    console = Console(file=StringIO(), width=200)
    console.print(tuned_table(tuned_info(again)))
    assert "searched again, since its record is not believed" in console.file.getvalue()  # type: ignore[attr-defined]
    last = tune(given, TINY, database=tmp_path / database)
    assert all(entry.reused and not entry.disbelieved for entry in last.workloads)
    assert last.mappings == first.mappings
