"""Our search strategies where MetaSchedule takes one of its own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tvm import relax
from tvm.s_tir import meta_schedule as ms
from tvm.target import Target

from cyclecast import tvm as cim
from cyclecast.device import Device
from cyclecast.errors import FitError, OptionError
from cyclecast.mapping import Mapping
from cyclecast.mapspace import default_mapping
from cyclecast.schedule import as_module, read
from cyclecast.search import _exhaustive
from cyclecast.timing import Analytical, Timing
from cyclecast.workflow.tuning import tune
from kernels import Kernel, conv, dense, depthwise, network

pytestmark = [pytest.mark.tvm, pytest.mark.usefixtures("logging_left_as_it_was")]

TINY = Device.load("tiny")
HOST = Target({"kind": "llvm", "num-cores": 1})
KERNELS = {
    "conv": conv(size=(5, 5), channels=3, filters=7, kernel=(3, 3)),
    "windows": conv(size=(9, 9), channels=1, filters=1, kernel=(2, 2)),
    "packed": depthwise(size=(6, 6), channels=4, multiplier=1, kernel=2),
}
EVOLUTION = "evolution:population=16,generations=1"


def records(folder: Path, kernel: Kernel, space: Any, strategy: Any, device: Device = TINY) -> list[Any]:
    database = ms.tune_tir(
        as_module(kernel.function),
        HOST,
        str(folder),
        16,
        builder=cim.builder(),
        runner=cim.runner(device),
        cost_model=cim.cost_model(device),
        space=space,
        strategy=strategy,
        num_tuning_cores=1,
        seed=1,
    )
    return list(database.get_all_tuning_records())


def module_of(found: list[Any]) -> Any:
    """The scheduled module of the only record, its trace replayed."""
    (record,) = found
    return record.as_measure_candidate().sch.mod


def seconds(found: list[Any]) -> float:
    (record,) = found
    return float(record.run_secs[0])


@pytest.mark.parametrize("name", KERNELS)
def test_the_exhaustive_strategy_finds_what_tune_finds(name: str, tmp_path: Path) -> None:
    kernel = KERNELS[name]
    best = tune(network(kernel), TINY).workloads[0]
    found = records(tmp_path, kernel, cim.space(TINY), cim.search_strategy(TINY, "exhaustive"))
    assert seconds(found) == pytest.approx(best.timing.total.seconds, rel=1e-12)
    module = module_of(found)
    lowered = cim.lower(module, TINY)
    assert read(module, TINY) == read(lowered, TINY) == best.mapping
    operands = kernel.operands(0)
    np.testing.assert_array_equal(kernel.run(lowered["main"], *operands), kernel.reference(*operands))


@pytest.mark.parametrize("name", KERNELS)
def test_a_space_that_lowers_gets_the_best_that_it_can_lower(name: str, tmp_path: Path) -> None:
    kernel = KERNELS[name]
    sampled = records(tmp_path / "sampled", kernel, cim.lowered_space(TINY), "replay-trace")
    found = records(tmp_path / "ours", kernel, cim.lowered_space(TINY), cim.search_strategy(TINY))
    module = module_of(found)
    mapping = read(module, TINY)
    assert (mapping.packed, mapping.outputs) == (1, 1)
    assert len(sampled) > len(found)
    assert seconds(found) <= min(seconds([record]) for record in sampled)
    assert cim.lower(module, TINY).script() == module.script()
    operands = kernel.operands(0)
    np.testing.assert_array_equal(kernel.run(module["main"], *operands), kernel.reference(*operands))


@pytest.mark.parametrize("strategy", ["random", EVOLUTION, "pareto"])
@pytest.mark.parametrize("space", [cim.space, cim.lowered_space])
def test_the_others_are_no_worse_than_the_default(strategy: str, space: Any, tmp_path: Path) -> None:
    kernel = KERNELS["conv"]
    found = records(tmp_path, kernel, space(TINY), cim.search_strategy(TINY, strategy))
    default = Analytical().time(default_mapping(kernel.workload, TINY), TINY).total.seconds
    assert seconds(found) <= default * (1 + 1e-12)


@dataclass(frozen=True)
class OneByOne:
    """A timing model as a user writes one."""

    def time(self, mapping: Mapping, device: Device) -> Timing:
        return Analytical().time(mapping, device)


def test_a_slow_model_is_searched_by_evolution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A search of MetaSchedule's within a search of MetaSchedule's."""
    monkeypatch.setattr(_exhaustive, "SLOW", 0)
    strategy = cim.search_strategy(TINY, "exhaustive", OneByOne())
    found = records(tmp_path, KERNELS["conv"], cim.space(TINY), strategy)
    mapping = read(module_of(found), TINY)
    assert seconds(found) == pytest.approx(Analytical().time(mapping, TINY).total.seconds, rel=1e-12)


@dataclass(frozen=True)
class Holes(OneByOne):
    """It has no time for the mapping that a search begins with, nor for many others."""

    def time(self, mapping: Mapping, device: Device) -> Timing:
        if mapping == default_mapping(mapping.workload, device) or mapping.word_lines % 3 == 2:
            raise ZeroDivisionError
        return OneByOne.time(self, mapping, device)


def test_a_model_that_raises_loses_those_mappings_only(tmp_path: Path) -> None:
    found = records(tmp_path, KERNELS["conv"], cim.space(TINY), cim.search_strategy(TINY, "random", Holes()))
    mapping = read(module_of(found), TINY)
    assert mapping.word_lines % 3 != 2
    assert seconds(found) == pytest.approx(Holes().time(mapping, TINY).total.seconds, rel=1e-12)


def test_the_clock_is_the_one_that_is_named(tmp_path: Path) -> None:
    """To the poster's clock, the best of all is another than to the analytical one."""
    kernel = KERNELS["conv"]
    found = records(tmp_path, kernel, cim.space(TINY), cim.search_strategy(TINY, timing="poster"))
    assert read(module_of(found), TINY) == tune(network(kernel), TINY, timing="poster").workloads[0].mapping


def test_several_workloads_share_a_strategy_and_others_are_passed_over(tmp_path: Path) -> None:
    builder = relax.BlockBuilder()
    x, w, v = (
        relax.Var(name, relax.TensorType(shape, "int8"))
        for name, shape in (("x", (4, 20)), ("w", (20, 9)), ("v", (9, 30)))
    )
    with builder.function("main", [x, w, v]):
        hidden = builder.emit(relax.op.matmul(x, w, out_dtype="int32"))
        narrow = builder.emit(relax.op.astype(relax.op.clip(hidden, -128, 127), "int8"))
        builder.emit_func_output(builder.emit(relax.op.matmul(narrow, v, out_dtype="int32")))
    database = ms.relax_integration.tune_relax(
        relax.transform.LegalizeOps()(builder.get()),
        {},
        HOST,
        str(tmp_path),
        32,
        builder=cim.builder(),
        runner=cim.runner(TINY),
        space=cim.space(TINY),
        cost_model=cim.cost_model(TINY),
        strategy=cim.search_strategy(TINY),
        seed=1,
    )
    best = tune(network(*(dense(batch=4, features=k, filters=f) for k, f in ((20, 9), (9, 30)))), TINY).workloads
    found = sorted(float(record.run_secs[0]) for record in database.get_all_tuning_records())
    assert found == pytest.approx(sorted(entry.timing.total.seconds for entry in best), rel=1e-12)


def test_what_does_not_fit_is_said(tmp_path: Path) -> None:
    stubborn = TINY.vary_all({"levels.pe.count": 1, "levels.cu.count": 1, "array.write.during_inference": False})
    with pytest.raises((FitError, RuntimeError), match="writes none during inference"):
        records(tmp_path, KERNELS["conv"], cim.space(stubborn), cim.search_strategy(stubborn), stubborn)


def test_an_unknown_strategy_is_refused_at_once() -> None:
    with pytest.raises(OptionError, match="no such search strategy"):
        cim.search_strategy(TINY, "magic")
