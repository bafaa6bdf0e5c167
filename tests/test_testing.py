"""The suites for extensions: built-in variants pass, and each fault is found by the test that names it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from typer.testing import CliRunner

from cyclecast.cli import app
from cyclecast.device import Device
from cyclecast.mapping import Mapping as Mapped
from cyclecast.runner import TimingRunner
from cyclecast.schedule import read
from cyclecast.search import Evolution, Exhaustive, Pareto
from cyclecast.search import Random as Draws
from cyclecast.search.mutators import RebindLevel, RebindTiles, Replicate, ResizeTile, Retile
from cyclecast.testing import (
    DeviceSuite,
    MutatorSuite,
    RuleSuite,
    RunnerSuite,
    StrategySuite,
    Suite,
    TimingModelSuite,
    check,
)
from cyclecast.timing import Analytical, Fixed, Poster, Timing
from cyclecast.units import Time

pytestmark = [pytest.mark.tvm, pytest.mark.usefixtures("logging_left_as_it_was")]

ISAAC = Device.load("isaac")
EXAMPLES = Path(__file__).parents[1] / "examples"


class TestAnalytical(TimingModelSuite):
    def subject(self) -> Any:
        return Analytical()


class TestPoster(TimingModelSuite):
    def subject(self) -> Any:
        return Poster()


class TestFixed(TimingModelSuite):
    def subject(self) -> Any:
        return Fixed(3)


class TestExhaustive(StrategySuite):
    def subject(self) -> Any:
        return Exhaustive()


class TestPareto(StrategySuite):
    def subject(self) -> Any:
        return Pareto()


class TestRandom(StrategySuite):
    def subject(self) -> Any:
        return Draws()


class TestEvolution(StrategySuite):
    def subject(self) -> Any:
        return Evolution(population=16, generations=1)


class TestOwnRule(RuleSuite):
    def subject(self) -> Any:
        from importlib import import_module

        return import_module("12_own_rule").AlignedRows(self.device())


class TestTimingRunner(RunnerSuite):
    def subject(self) -> Any:
        return TimingRunner(self.device(), Analytical(), read)


@pytest.mark.parametrize("rule", [RebindLevel(), RebindTiles(), Replicate(), ResizeTile(), Retile()], ids=repr)
def test_our_mutation_rules(rule: Any) -> None:
    suite = type("Ours", (MutatorSuite,), {"subject": lambda _: rule})()
    suite.test_its_answers_are_on_offer()


@pytest.mark.parametrize("name", Device.library())
def test_our_devices(name: str) -> None:
    kind, found = check(name, ISAAC)
    assert (kind, [law for law in found if law.failed]) == (DeviceSuite.kind, [])


@dataclass(frozen=True)
class Nothing:
    """Takes no time."""

    def time(self, mapping: Mapped, device: Device) -> Timing:
        usual = Analytical().time(mapping, device)
        return replace(usual, phases=tuple(replace(phase, time=Time(0)) for phase in usual.phases))


@dataclass
class Moody:
    """Takes a little longer every time."""

    count = 0

    def time(self, mapping: Mapped, device: Device) -> Timing:
        Moody.count += 1
        usual = Analytical().time(mapping, device)
        return replace(usual, phases=(replace(usual.phases[0], time=Time(Moody.count)),))


class Again(Draws):
    """Asks for everything twice."""

    def start(self, problem: Any) -> Any:
        search = super().start(problem)
        ask = search.ask
        search.ask = lambda most: [*(asked := ask(most)), *asked]  # type: ignore[method-assign]
        return search


class Loose:
    """Makes up values."""

    def apply(self, decisions: Mapping[str, int], offers: Any, rng: Random) -> dict[str, int] | None:
        return dict.fromkeys(decisions, 7919)


class Doubling:
    """Makes two schedules of any block."""

    def apply(self, schedule: Any, block: Any) -> list[Any]:
        return [schedule, schedule.copy()]


class Short:
    """Answers for the first candidate alone."""

    def run(self, candidates: list[Any]) -> list[Any]:
        return TimingRunner(ISAAC, Analytical(), read).run(candidates[:1])


@pytest.mark.parametrize(
    ("suite", "make", "test"),
    [
        (TimingModelSuite, Nothing, "test_times_are_longer_than_nothing"),
        (TimingModelSuite, Moody, "test_the_same_mapping_gets_the_same_time"),
        (StrategySuite, Again, "test_it_asks_for_no_mapping_twice"),
        (MutatorSuite, Loose, "test_its_answers_are_on_offer"),
        (RuleSuite, Doubling, "test_a_schedule_that_nothing_has_opened_stays_alone"),
        (RunnerSuite, Short, "test_every_candidate_gets_one_answer"),
    ],
)
def test_what_is_wrong_is_found(suite: type[Suite], make: Callable[[], Any], test: str) -> None:
    broken = type("Broken", (suite,), {"subject": lambda _: make()})()
    with pytest.raises(AssertionError, match=r"\w"):
        getattr(broken, test)()


def devkit(*words: str) -> Any:
    return CliRunner().invoke(app, ["devkit", "check", *words])


def test_the_command_runs_the_right_suite() -> None:
    file = EXAMPLES / "12_own_rule.py"
    for name, kind in (("Aligned", "timing model"), ("AlignedRows", "rule"), ("Realign", "mutation rule")):
        found = json.loads(devkit(f"{file}:{name}", "--json").stdout)
        assert (found["kind"], found["failed"]) == (kind, 0), found
    shown = devkit("tiny")
    assert shown.exit_code == 0
    assert "all tests pass" in shown.stdout


def test_the_command_explains_a_failure(tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text("class Model:\n    def time(self, mapping, device):\n        return 3\nclass Other: pass\n")
    found = devkit(f"{file}:Model")
    assert found.exit_code == 3
    assert "it has no time for any sample mapping" in " ".join(found.stdout.split())
    other = devkit(f"{file}:Other")
    assert other.exit_code == 2
    assert "it is no kind of extension" in other.stderr
