"""Rules, mutation rules, runners and models of others: in Python, and in a file on the command line."""

from __future__ import annotations

import json
import shutil
import sys
from collections import Counter
from collections.abc import Mapping as Decisions
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from random import Random
from typing import Any, ClassVar

import pytest
from typer.testing import CliRunner

import networks
from cyclecast import plugins
from cyclecast.cli import app
from cyclecast.device import Device
from cyclecast.errors import OptionError
from cyclecast.frontend import load
from cyclecast.runner import Failure
from cyclecast.schedule import Space
from cyclecast.search import SearchResult
from cyclecast.search._checked import Beyond
from cyclecast.search.mutators import Choices
from cyclecast.timing import Phase, Timing
from cyclecast.tvm import builder, cost_model, runner, space
from cyclecast.units import Time
from cyclecast.workflow.tuning import Tuned, tune

import tvm  # isort: skip
from tvm.s_tir import meta_schedule as ms  # isort: skip

pytestmark = pytest.mark.tvm

OWN = import_module("12_own_rule")
FILE = Path(str(OWN.__file__))
ISAAC = Device.load("isaac")
OPENED = Space(ISAAC, rules=[OWN.AlignedRows(ISAAC)], mutators=[OWN.Realign()])


def tuned(timing: Any, **options: Any) -> Tuned:
    return tune(load(OWN.dense(), ISAAC), ISAAC, timing=timing, **options)


def test_the_default_search_finds_what_a_rule_of_others_offers_where_it_is_better() -> None:
    (usual,), (opened,) = (tuned(OWN.Aligned(), space=of).workloads for of in (None, OPENED))
    assert usual.mapping.word_lines % OWN.BLOCK
    assert opened.mapping.word_lines % OWN.BLOCK == 0
    assert 2 * opened.timing.total == usual.timing.total


def test_a_proof_stays_and_says_what_it_does_not_cover() -> None:
    (usual,), (opened,) = (tuned("analytical", space=of).workloads for of in (None, OPENED))
    assert opened.timing.total == usual.timing.total
    assert opened.outcome.certificate == usual.outcome.certificate
    assert "mappings of AlignedRows cannot be listed: an evolution has timed" in opened.outcome.note


@dataclass
class Listed:
    """A search that asks for one mapping and knows what comes out."""

    result: SearchResult
    left: int = 1

    def ask(self, most: int) -> list[Any]:
        self.left -= 1
        return ["mapping"] if self.left >= 0 else []

    def tell(self, timings: Any) -> None:
        pass

    def outcome(self) -> SearchResult:
        return self.result


@pytest.mark.parametrize(("later", "proven"), [(9, False), (10, True), (11, True)])
def test_a_shorter_mapping_beyond_the_list_ends_the_proof(later: int, proven: bool) -> None:
    (found,) = tuned("analytical").workloads
    best = found.timing.total.femtoseconds
    search: Any = Beyond(Listed(found.outcome), Listed(found.outcome), ["Own"])
    for time in (best, best * later // 10):
        assert list(search.ask(1)) == ["mapping"]
        search.tell([Timing((Phase("all", Time(time)),), Time(1))])
    assert search.ask(1) == []
    assert (search.outcome().certificate is not None) == proven


def test_records_of_other_rules_are_not_believed(tmp_path: Path) -> None:
    database = tmp_path / "records.db"
    reused = [tuned("analytical", space=of, database=database).workloads[0].reused for of in (None, OPENED, OPENED)]
    assert reused == [False, False, True]


class Counted:
    """A mutation rule that counts its calls."""

    calls: ClassVar[Counter[str]] = Counter()

    def apply(self, decisions: Decisions[str, int], offers: Choices, rng: Random) -> dict[str, int] | None:
        self.calls["mutator"] += 1
        changed: dict[str, int] | None = OWN.Realign().apply(decisions, offers, rng)
        return changed


class Clock:
    """A runner with one answer, and none for every other candidate."""

    seen = 0

    def run(self, candidates: Any) -> list[Timing | Failure]:
        self.seen += len(candidates)
        timing = Timing((Phase("all", Time.parse("7 us")),), Time.parse("1 us"))
        return [Failure("no answer") if place % 2 else timing for place in range(len(candidates))]


@pytest.mark.usefixtures("logging_left_as_it_was")
def test_metaschedules_own_evolution_calls_mutation_rules_and_runners_of_others(tmp_path: Path) -> None:
    network, clock = load(OWN.dense(), ISAAC), Clock()
    database = ms.tune_tir(
        tvm.IRModule({"main": network.program[network.members[0].kernel].with_attr("global_symbol", "main")}),
        tvm.target.Target({"kind": "llvm", "num-cores": 1}),
        str(tmp_path),
        16,
        space=space(ISAAC, rules=OPENED.rules, mutators={Counted(): 1.0}),
        builder=builder(),
        runner=runner(clock),
        cost_model=cost_model(ISAAC),
        strategy=ms.search_strategy.EvolutionarySearch(population_size=16, genetic_num_iters=2),
        num_tuning_cores=1,
        seed=1,
    )
    assert Counted.calls["mutator"] > 10
    assert clock.seen == 16
    assert {float(record.run_secs[0]) for record in database.get_all_tuning_records() if record.run_secs} >= {7e-6}


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Space(ISAAC, rules=["im2col"]), "rule: 'im2col', a rule has a method apply"),  # type: ignore[list-item]
        (lambda: Space(ISAAC, mutators=[3]), "mutator: 3, a mutator has a method apply"),  # type: ignore[list-item]
        (lambda: runner("rpc"), r"runner: 'rpc', a runner has run\(candidates\)"),  # type: ignore[arg-type]
        (lambda: tuned("analytical", space=Space(Device.load("tiny"))), "space: it is of .*, tune is for"),
    ],
)
def test_wrong_objects_are_refused(make: Any, said: str) -> None:
    with pytest.raises(OptionError, match=said):
        make()


def cyclecast(*words: str) -> Any:
    return CliRunner().invoke(app, list(words))


def test_classes_in_a_file_are_named_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(FILE, "own.py")
    networks.tiny_cnn(tmp_path / "tiny.onnx")
    command = ("tune", "tiny.onnx", "--out", "out", "--timing", "own.py:Aligned", "--no-verify", "--json")
    found = cyclecast(*command, "--rule", "./own.py:AlignedRows", "--mutator", "./own.py:Realign")
    assert found.exit_code == 0, found.output
    info = json.loads(found.stdout)
    assert info["settings"]["rules"] == ["./own.py:AlignedRows"]
    again = json.loads(cyclecast(*command, "--rule", "./own.py:AlignedRows", "--mutator", "./own.py:Realign").stdout)
    assert all(workload["reused"] for workload in again["workloads"])
    Path("own.py").write_text(FILE.read_text().replace("usual.total if", "Time(1) if"))
    changed = json.loads(cyclecast(*command, "--rule", "./own.py:AlignedRows").stdout)
    assert not any(workload["reused"] for workload in changed["workloads"])


def test_a_file_may_import_those_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "beside_own.py").write_text("CYCLES = 3\n")
    (tmp_path / "own.py").write_text(
        "from dataclasses import dataclass\nfrom beside_own import CYCLES\n\n"
        "@dataclass\nclass Model:\n    cycles: int = CYCLES\n"
    )
    made: Any = plugins.build("timing", f"{tmp_path}/own.py:Model", {})
    assert made.cycles == 3


@pytest.mark.parametrize(
    ("text", "spec", "said"),
    [
        (None, "./none.py:Model", "none.py, cannot be read, No such file or directory"),
        ("def (", "./own.py:Model", "own.py, cannot be loaded, SyntaxError"),
        ("raise SystemExit(3)", "./own.py:Model", "own.py, cannot be loaded, SystemExit"),
        ("class Other: pass", "./own.py:Model", "own.py:Model, no such class, there are Other"),
        ("Model = 3", "./own.py:Model", "own.py:Model, no such class, there are none"),
        ("class Model: pass", "./own.py:Model:a=1", "Model is no dataclass"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_line(
    text: str | None, spec: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    networks.tiny_cnn(tmp_path / "tiny.onnx")
    if text is not None:
        Path("own.py").write_text(text)
    found = cyclecast("tune", "tiny.onnx", "--out", "out", "--timing", spec)
    assert found.exit_code == 2
    assert said.replace(", ", ": ", 1) in " ".join(found.stderr.split())


RAISING = """
class Rule:
    def apply(self, schedule, block): raise KeyError("mine")
class Strategy:
    def start(self, problem): raise KeyError("mine")
class Nothing: pass
"""


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--rule", "own.py:Rule"), "own.py:3: it raises KeyError"),
        (("--strategy", "own.py:Strategy"), "own.py:5: it raises KeyError"),
        (("--strategy", "own.py:Nothing"), "strategy: 'own.py:Nothing', a strategy has start(problem)"),
        (("--timing", "own.py:Nothing"), "timing: 'own.py:Nothing', a timing model has time(mapping, device)"),
        (("--rule", "own.py:Nothing"), "a rule has a method apply"),
    ],
)
def test_a_fault_of_a_named_class_is_said_to_be_its_own(
    options: tuple[str, str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    networks.tiny_cnn(tmp_path / "tiny.onnx")
    Path("own.py").write_text(RAISING)
    found = cyclecast("tune", "tiny.onnx", "--out", "out", "--no-verify", *options)
    assert found.exit_code == 2
    assert said in " ".join(found.stderr.split())
