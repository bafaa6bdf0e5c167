"""A runner measures mappings in the place of the timing model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cyclecast.cli import app
from cyclecast.device import Device
from cyclecast.errors import OptionError, TimingError
from cyclecast.frontend import load
from cyclecast.runner import Failure, TimingRunner
from cyclecast.schedule import read
from cyclecast.testing._samples import dense_program
from cyclecast.timing import Analytical, Fixed, Timing
from cyclecast.workflow.tuning import tune

pytestmark = pytest.mark.tvm

ISAAC = Device.load("isaac")
NETWORK = load(dense_program(), ISAAC)


@dataclass(frozen=True)
class Counting:
    """Answers as the analytical model, and counts what it is asked in `sizes`."""

    sizes: list[int] = field(default_factory=list, repr=False)

    def run(self, candidates: Sequence[Any]) -> list[Timing | Failure]:
        self.sizes.append(len(candidates))
        return TimingRunner(ISAAC, Analytical(), read).run(candidates)


class Broken:
    """Has no time for anything."""

    def run(self, candidates: Sequence[Any]) -> list[Timing | Failure]:
        return [Failure("the board is switched off")] * len(candidates)


class Short:
    """Answers for the first candidate alone."""

    def run(self, candidates: Sequence[Any]) -> list[Timing | Failure]:
        return TimingRunner(ISAAC, Analytical(), read).run(candidates[:1])


@pytest.mark.parametrize("strategy", ["exhaustive", "evolution", "random"])
def test_a_runner_is_the_clock(strategy: str) -> None:
    """The timing model, which takes the same for all mappings here, does not decide."""
    runner = Counting()
    (found,) = tune(NETWORK, ISAAC, timing=Fixed(), strategy=strategy, trials=40, runner=runner).workloads
    (exact,) = tune(NETWORK, ISAAC).workloads
    assert sum(runner.sizes) == found.candidates
    assert found.candidates <= 41
    assert found.timing == Analytical().time(found.mapping, ISAAC)
    assert found.timing.total >= exact.timing.total
    assert found.outcome.certificate is None


def test_the_timing_model_ranks_what_is_not_yet_measured() -> None:
    """With a good guide few measurements suffice; more than a tenth above the optimum would be chance."""
    runner = Counting()
    (found,) = tune(NETWORK, ISAAC, strategy="evolution", trials=8, runner=runner).workloads
    (exact,) = tune(NETWORK, ISAAC).workloads
    assert found.timing.total.femtoseconds <= 1.1 * exact.timing.total.femtoseconds
    assert max(runner.sizes) > 1, "candidates are measured in batches"


def test_a_runner_of_the_same_fields_is_not_asked_again(tmp_path: Path) -> None:
    database = tmp_path / "records.db"
    tune(NETWORK, ISAAC, strategy="random", trials=8, runner=Counting(), database=database)
    again = Counting()
    (found,) = tune(NETWORK, ISAAC, strategy="random", trials=8, runner=again, database=database).workloads
    assert found.reused
    assert sum(again.sizes) == 1, "the default mapping, which is timed before the records are read"


def test_what_is_wrong_with_a_runner_is_said() -> None:
    with pytest.raises(TimingError, match="the board is switched off"):
        tune(NETWORK, ISAAC, runner=Broken())
    found = tune(NETWORK, ISAAC, strategy="random", trials=8, runner=Short()).workloads[0].outcome
    assert "it gives 1 answers for 8 mappings" in found.note
    with pytest.raises(OptionError, match=r"a runner has run\(candidates\)"):
        tune(NETWORK, ISAAC, runner=Analytical())  # type: ignore[arg-type] # the mistake


def test_a_class_that_is_no_runner_is_refused_on_the_command_line(tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text("class Model:\n    def time(self, mapping, device):\n        return 3\n")
    command = ["tune", "no.onnx", "--out", str(tmp_path / "out"), "--runner", f"{file}:Model"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 2
    assert "a runner has run(candidates)" in done.stderr
