"""Tuning within a limit of time, and with timing models that make mistakes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from cyclecast.device import Device
from cyclecast.errors import OptionError, TimingError
from cyclecast.mapping import Mapping
from cyclecast.timing import Timing
from cyclecast.tuning import estimate, tune
from kernels import conv, network
from test_tuning import ISAAC, STRATEGIES, TINY, FewArrays, small

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
    assert len(lines) == 3  # without a terminal: one for every workload
    assert all(f"{place}/3 " in line and ": best " in line for place, line in enumerate(lines, 1))


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
