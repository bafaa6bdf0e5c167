"""Our parts on MetaSchedule's own entry points, with everything else as MetaSchedule has it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tvm
from tvm import relax
from tvm.s_tir import meta_schedule as ms
from tvm.target import Target

from cyclecast import tvm as cim
from cyclecast._tvm import _adapters
from cyclecast.device import Device
from cyclecast.mapspace import default_mapping
from cyclecast.runner import Failure, TimingRunner
from cyclecast.schedule import as_module, read
from cyclecast.timing import Analytical, Timing
from kernels import conv, dense

pytestmark = [pytest.mark.tvm, pytest.mark.usefixtures("logging_left_as_it_was")]

TINY = Device.load("tiny")
KERNEL = conv(size=(5, 5), channels=3, filters=7, kernel=(3, 3))
HOST = Target({"kind": "llvm", "num-cores": 1})
SPACES = {"decisions": cim.space, "lowered": cim.lowered_space}
FAILED = 1e10
"""What MetaSchedule records for a candidate without a time; seconds."""


def strategy(name: str) -> Any:
    if name == "replay-trace":
        return name
    return ms.search_strategy.EvolutionarySearch(
        population_size=16, init_measured_ratio=0.0, init_min_unmeasured=8, genetic_num_iters=1
    )


def tuned(folder: Path, space: Any, strategy: Any, runner: Any, seed: int = 1, trials: int = 16) -> list[Any]:
    """The records of MetaSchedule's `tune_tir` with its own measure callbacks."""
    database = ms.tune_tir(
        as_module(KERNEL.function),
        HOST,
        str(folder),
        trials,
        num_trials_per_iter=8,
        builder=cim.builder(),
        runner=runner,
        cost_model=cim.cost_model(TINY),
        space=space,
        strategy=strategy,
        num_tuning_cores=1,
        seed=seed,
    )
    return list(database.get_all_tuning_records())


def seconds(record: Any) -> float:
    return float(record.run_secs[0])


@pytest.mark.parametrize("search", ["replay-trace", "evolutionary"])
@pytest.mark.parametrize("name", SPACES)
def test_tune_tir_records_the_times_of_the_model(tmp_path: Path, name: str, search: str) -> None:
    mine = tmp_path / "mine.txt"
    mine.write_text("not to be deleted")
    records = tuned(tmp_path, SPACES[name](TINY), strategy(search), cim.runner(TINY))
    assert len(records) >= 16
    for record in records:
        mapping = read(record.as_measure_candidate().sch.mod, TINY)
        assert seconds(record) == pytest.approx(Analytical().time(mapping, TINY).total.seconds, rel=1e-12)
    assert mine.read_text() == "not to be deleted"
    assert {file.name for file in tmp_path.iterdir()} >= {"database_workload.json", "database_tuning_record.json"}
    reopened = ms.database.JSONDatabase(work_dir=str(tmp_path))
    assert len(reopened) == len(records)


def test_the_same_seed_gives_the_same_records(tmp_path: Path) -> None:
    first, again, other = (
        [
            str(record.trace)
            for record in tuned(tmp_path / name, cim.space(TINY), "replay-trace", cim.runner(TINY), seed)
        ]
        for name, seed in (("first", 5), ("again", 5), ("other", 6))
    )
    assert first == again != other


@pytest.mark.parametrize("name", SPACES)
def test_the_best_record_computes_the_right_thing(tmp_path: Path, name: str) -> None:
    records = tuned(tmp_path, SPACES[name](TINY), "replay-trace", cim.runner(TINY))
    module = min(records, key=seconds).as_measure_candidate().sch.mod
    lowered = cim.lower(module, TINY)
    if name == "lowered":
        assert lowered.script() == module.script()
    operands = KERNEL.operands(0)
    np.testing.assert_array_equal(KERNEL.run(lowered["main"], *operands), KERNEL.reference(*operands))


@dataclass
class EverySecondFails:
    """A runner in front of another that loses every second candidate."""

    inner: TimingRunner
    lost: list[bool] = field(default_factory=list)

    def run(self, candidates: Sequence[Any]) -> list[Timing | Failure]:
        answers = self.inner.run(candidates)
        for position in range(len(answers)):
            self.lost.append(len(self.lost) % 2 == 1)
            if self.lost[-1]:
                answers[position] = Failure("lost on the way")
        return answers


@pytest.mark.parametrize("search", ["replay-trace", "evolutionary"])
def test_a_runner_that_loses_every_second_candidate_is_survived(tmp_path: Path, search: str) -> None:
    runner = EverySecondFails(TimingRunner(TINY, Analytical(), read))
    records = tuned(tmp_path, cim.space(TINY), strategy(search), _adapters.runner(runner))
    assert len(records) == len(runner.lost) >= 16
    assert sum(seconds(record) == FAILED for record in records) == sum(runner.lost)
    timed = [record for record in records if seconds(record) != FAILED]
    for record in timed:
        mapping = read(record.as_measure_candidate().sch.mod, TINY)
        assert seconds(record) == pytest.approx(Analytical().time(mapping, TINY).total.seconds, rel=1e-12)


def test_a_search_comes_at_least_close_to_the_default(tmp_path: Path) -> None:
    records = tuned(tmp_path, cim.space(TINY), strategy("evolutionary"), cim.runner(TINY), trials=32)
    default = Analytical().time(default_mapping(KERNEL.workload, TINY), TINY).total.seconds
    assert min(map(seconds, records)) <= default


def test_parts_take_any_timing_model(tmp_path: Path) -> None:
    records = tuned(tmp_path, cim.space(TINY), "replay-trace", cim.runner(TINY, "fixed:cycles=7"))
    assert {seconds(record) for record in records} == {7 * TINY.array.read.seconds}


@pytest.mark.slow
def test_tune_relax_with_two_operators(tmp_path: Path) -> None:
    """Several workloads share one space, one builder and one runner; the compiled network computes the right thing."""
    builder = relax.BlockBuilder()
    x = relax.Var("x", relax.TensorType((4, 20), "int8"))
    w = relax.Var("w", relax.TensorType((20, 9), "int8"))
    v = relax.Var("v", relax.TensorType((9, 30), "int8"))
    with builder.function("main", [x, w, v]):
        hidden = builder.emit(relax.op.matmul(x, w, out_dtype="int32"))
        narrow = builder.emit(relax.op.astype(relax.op.clip(hidden, -128, 127), "int8"))
        builder.emit_func_output(builder.emit(relax.op.matmul(narrow, v, out_dtype="int32")))
    program = relax.transform.LegalizeOps()(builder.get())
    database = ms.relax_integration.tune_relax(
        program,
        {},
        HOST,
        str(tmp_path),
        32,
        builder=cim.builder(),
        runner=cim.runner(TINY),
        space=cim.lowered_space(TINY),
        cost_model=cim.cost_model(TINY),
        strategy=strategy("evolutionary"),
        seed=1,
    )
    assert len({record.workload for record in database.get_all_tuning_records()}) >= 2
    compiled = ms.relax_integration.compile_relax(database, program, HOST, None, enable_warning=False)
    random = np.random.default_rng(0)
    values = [random.integers(-128, 127, shape).astype("int8") for shape in ((4, 20), (20, 9), (9, 30))]
    machine = relax.VirtualMachine(compiled, tvm.cpu())
    result = machine["main"](*(tvm.runtime.tensor(value) for value in values)).numpy()
    a, b, c = (value.astype("int64") for value in values)
    np.testing.assert_array_equal(result, np.clip(a @ b, -128, 127) @ c)


def test_lower_passes_over_what_no_rule_has_marked() -> None:
    module = as_module(dense(batch=1, features=3, filters=2).function)
    assert cim.lower(module, TINY).script() == module.script()
