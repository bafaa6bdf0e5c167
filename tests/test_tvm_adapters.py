"""Plain classes as MetaSchedule sees them."""

from __future__ import annotations

import gc
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from tvm.s_tir import Schedule
from tvm.s_tir import meta_schedule as ms
from tvm.target import Target

from cyclecast._tvm import _adapters
from cyclecast._tvm._block import contractions_in
from cyclecast.device import Device
from cyclecast.mapping import Mapping
from cyclecast.mapspace import WORD_LINES, choices, default_mapping, grant
from cyclecast.runner import Failure, TimingRunner
from cyclecast.schedule import as_module, decided_schedule, read, sampled_decisions
from cyclecast.schedule.rules import Im2col, annotation_rules, sketch_rules
from cyclecast.search.mutators import Mutator, RebindLevel, RebindTiles, Replicate, ResizeTile, Retile
from cyclecast.timing import Analytical, Fixed, Timing
from kernels import conv, depthwise

pytestmark = pytest.mark.tvm

TINY = Device.load("tiny")
KERNEL = conv(size=(6, 6), channels=3, filters=7, kernel=(3, 3))
DEFAULT = default_mapping(KERNEL.workload, TINY)


def candidate(mapping: Any = DEFAULT) -> Any:
    schedule = decided_schedule(KERNEL.function, TINY, mapping)
    return ms.MeasureCandidate(schedule, ms.arg_info.ArgInfo.from_prim_func(schedule.mod["main"]))


@dataclass(frozen=True)
class Answers:
    """A runner that answers as it was told."""

    answers: Sequence[Timing | Failure]

    def run(self, candidates: Sequence[Any]) -> list[Timing | Failure]:
        assert len(candidates) == len(self.answers)
        return list(self.answers)


def cycles(count: int) -> Timing:
    return Fixed(count).time(DEFAULT, TINY)


def built(count: int) -> tuple[Any, list[Any]]:
    builder = _adapters.builder()
    inputs = [ms.builder.BuilderInput(candidate().sch.mod, Target("llvm")) for _ in range(count)]
    return builder, builder.build(inputs)


def runner_inputs(results: Sequence[Any]) -> list[Any]:
    return [ms.runner.RunnerInput(str(result.artifact_path), "llvm", []) for result in results]


def test_a_runner_gets_what_the_builder_was_given() -> None:
    builder, results = built(2)
    assert [result.error_msg for result in results] == [None, None]
    futures = _adapters.runner(TimingRunner(TINY, Analytical(), read)).run(runner_inputs(results))
    expected = Analytical().time(DEFAULT, TINY).total.seconds
    assert [[float(second) for second in future.result().run_secs] for future in futures] == [[expected]] * 2
    assert builder is not None


def test_answers_keep_their_order_and_a_failure_its_reason() -> None:
    answers: list[Timing | Failure] = [cycles(3), Failure("it does not fit"), cycles(5)]
    builder, results = built(3)
    futures = _adapters.runner(Answers(answers)).run(runner_inputs(results))
    assert all(future.done() for future in futures)
    found = [future.result() for future in futures]
    assert [result.error_msg for result in found] == [None, "it does not fit", None]
    assert found[1].run_secs is None
    assert [float(found[at].run_secs[0]) for at in (0, 2)] == [cycles(3).total.seconds, cycles(5).total.seconds]
    assert builder is not None


def test_every_candidate_has_a_folder_that_may_be_deleted() -> None:
    """MetaSchedule's default measure callbacks delete the folder around each artifact."""
    builder, results = built(3)
    folders = [Path(str(result.artifact_path)).parent for result in results]
    assert len(set(folders)) == 3
    assert all(folder.is_dir() and not list(folder.iterdir()) for folder in folders)
    shutil.rmtree(folders[0])
    assert [folder.exists() for folder in folders] == [False, True, True]
    del builder, results
    gc.collect()
    assert not folders[0].parent.exists()


def test_an_artifact_is_taken_once() -> None:
    _, (result,) = built(1)
    path = str(result.artifact_path)
    assert read(_adapters.taken_from_shelf(path), TINY) == DEFAULT
    with pytest.raises(KeyError):
        _adapters.taken_from_shelf(path)


CONTEXT = ms.TuneContext(as_module(KERNEL.function), num_threads=1)


WINDOWS = [grant(KERNEL.workload, TINY, {"window.yy": size}) for size in (1, 2, 3)]
"""Mappings of three forms."""
OTHERS = [grant(KERNEL.workload, TINY, {WORD_LINES: size}) for size in (1, 2, 3)]
"""Mappings of one form."""


def seen(*pairs: tuple[Mapping, int] | None) -> Any:
    """The scores of candidates that take so many cycles."""
    answers = [pair and (pair[0], cycles(pair[1])) for pair in pairs]
    return _adapters.cost_model(lambda modules: answers).predict(CONTEXT, [candidate()] * len(pairs))


def test_the_cost_model_ranks_as_the_runner_times() -> None:
    scores = seen((WINDOWS[0], 4), None, (WINDOWS[1], 2), (WINDOWS[2], 8))
    assert scores.dtype == np.float64
    assert list(np.argsort(-scores)) == [2, 0, 3, 1]
    assert scores[2] / scores[0] == pytest.approx(2**4)
    assert scores[1] == pytest.approx(0, abs=1e-9)


def test_a_score_means_the_same_in_every_generation() -> None:
    assert seen((WINDOWS[0], 4))[0] == seen((WINDOWS[0], 4), (WINDOWS[1], 1))[0]


def test_a_mapping_that_many_decisions_give_counts_once() -> None:
    scores = seen((WINDOWS[0], 4), (WINDOWS[0], 4), (WINDOWS[1], 4))
    assert scores[0] == scores[2] > 0.001
    assert scores[1] == pytest.approx(0, abs=1e-9)


def test_mappings_of_one_form_share_what_they_are_worth() -> None:
    alone = seen((OTHERS[0], 4))[0]
    assert list(seen((OTHERS[1], 4), (OTHERS[2], 4), (OTHERS[0], 4), (WINDOWS[1], 4))) == pytest.approx(
        [alone, alone / 2, alone / 3, alone]
    )


def test_the_shortest_of_all_has_the_highest_score() -> None:
    scores = seen((OTHERS[0], 40), (OTHERS[1], 39), (WINDOWS[1], 41), (WINDOWS[2], 40))
    assert scores.argmax() == 1


def test_no_time_at_all_is_the_best_time() -> None:
    scores = seen((WINDOWS[0], 1), (WINDOWS[1], 0))
    assert np.isfinite(scores).all()
    assert scores[1] > scores[0] > 0


def test_the_cost_model_survives_a_batch_without_any_timing() -> None:
    scores = seen(None, None, None)
    assert np.isfinite(scores).all()
    assert len(set(scores)) == 1


def test_a_runner_shows_the_cost_model_what_it_times() -> None:
    runner = TimingRunner(TINY, Analytical(), read)
    stubborn = TINY.vary_all({"levels.pe.count": 1, "levels.cu.count": 1, "array.write.during_inference": False})
    module = candidate().sch.mod
    ((mapping, timing),) = filter(None, runner.look([module]))
    assert (mapping, [timing]) == (DEFAULT, runner.run([module]))
    assert TimingRunner(stubborn, Analytical(), read).look([module]) == [None]


RULES: list[Mutator] = [ResizeTile(), RebindTiles(), Replicate()]
"""Those that change one decision."""
WIDER: list[Mutator] = [RebindLevel(), Retile()]
"""Those that change several at once, or none."""


class Fresh:
    """Traces of one workload, replayed."""

    def __init__(self, kernel: Any, device: Device) -> None:
        self.kernel = kernel
        self.device = device
        self.offers = choices(kernel.workload, device)
        schedule = Schedule(as_module(kernel.function), seed=1)
        block = schedule.get_sblock(contractions_in(kernel.function, kernel.name)[0].block)
        for rule in (Im2col(), *annotation_rules(device)):
            (schedule,) = rule.apply(schedule, block)
        self.first = schedule.trace
        self.places = sampled_decisions(self.first)

    def decisions(self, trace: Any) -> dict[str, int]:
        made = trace.decisions
        instructions = trace.insts
        return {name: self.offers[name][int(made[instructions[place]])] for name, place in self.places.items()}

    def read(self, trace: Any) -> Any:
        schedule = Schedule(as_module(self.kernel.function))
        trace.apply_to_schedule(schedule, remove_postproc=True)
        return read(schedule.mod, self.device)


@pytest.mark.parametrize("rule", [*RULES, *WIDER], ids=lambda rule: type(rule).__name__)
def test_a_mutation_changes_what_its_rule_would_change(rule: Mutator) -> None:
    fresh = Fresh(KERNEL, TINY)
    mutator = _adapters._Mutator(rule, sampled_decisions)
    before = fresh.decisions(fresh.first)
    open_offers = {name: fresh.offers[name] for name in before}
    for seed in range(20):
        after = mutator._inst.apply(fresh.first, seed)
        expected = rule.apply(before, open_offers, Random(seed))
        assert (expected is None) == (after is None)
        assert expected is None or fresh.decisions(after) == expected
        assert expected is not None or rule in WIDER
    assert fresh.decisions(fresh.first) == before


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tiny", pytest.param("isaac", marks=pytest.mark.long)])
def test_thousands_of_mutations_stay_on_offer_and_readable(name: str) -> None:
    device = Device.load(name)
    fresh = Fresh(conv(size=(14, 14), channels=48, filters=60, kernel=(3, 3)), device)
    rules = [*RULES, *WIDER]
    mutators = [_adapters._Mutator(rule, sampled_decisions) for rule in rules]
    random, trace = Random(1), fresh.first
    for _ in range(1500):
        place = random.randrange(len(rules))
        changed = mutators[place]._inst.apply(trace, random.getrandbits(31))
        if changed is None:
            assert rules[place] in WIDER
            continue
        before, after = fresh.decisions(trace), fresh.decisions(changed)
        changes = sum(before[name] != after[name] for name in before)
        assert changes == 1 or (changes > 1 and rules[place] in WIDER)
        wanted = {name: values[0] for name, values in fresh.offers.items()} | after
        assert fresh.read(changed) == grant(fresh.kernel.workload, device, wanted)
        trace = changed


def test_a_mutator_looks_anew_at_another_workload() -> None:
    """One space serves several workloads, one after another."""
    mutator = _adapters._Mutator(ResizeTile(), sampled_decisions)
    for filters in (7, 1):
        fresh = Fresh(conv(size=(4, 4), channels=3, filters=filters, kernel=(3, 3)), TINY)
        mutator._inst._initialize_with_tune_context(CONTEXT)
        before = fresh.decisions(fresh.first)
        after = fresh.decisions(mutator._inst.apply(fresh.first, 0))
        assert [name for name in before if before[name] != after[name]] in (["word_lines"], ["filters"])


def test_a_mutator_tells_designs_of_equal_length_apart() -> None:
    kernel = depthwise(size=(5, 5), channels=6, multiplier=1, kernel=2)
    one_array = TINY.vary_all({f"levels.{level}.count": 1 for level in ("pe", "cu", "array")})
    opened = [Schedule(as_module(kernel.function), seed=1)]
    for rule in (*sketch_rules(one_array), *annotation_rules(one_array)):
        opened = [after for one in opened for after in rule.apply(one, one.get_sblock("DepthwiseConv2d"))]
    traces = [one.trace for one in opened]
    assert len({len(trace.insts) for trace in traces}) < len(traces) == 8
    mutator = _adapters._Mutator(ResizeTile(), sampled_decisions)
    for trace in traces:
        places = sampled_decisions(trace)
        before, after = trace.decisions, mutator._inst.apply(trace, 0)
        if after is None:
            assert not {"word_lines", "filters", "packed", "window.i", "window.j"} & places.keys()
            continue
        changed = [
            name for name, at in places.items() if int(before[trace.insts[at]]) != int(after.decisions[after.insts[at]])
        ]
        assert len(changed) == 1
        assert changed[0].startswith(("word_lines", "filters", "packed", "window."))


def test_clones_share_nothing_but_their_rule() -> None:
    mutator = _adapters._Mutator(ResizeTile(), sampled_decisions)
    mutator._inst.apply(Fresh(KERNEL, TINY).first, 0)
    clone = mutator._inst.clone()
    assert clone._inst.rule is mutator._inst.rule
    assert mutator._inst.looked_up is not None
    assert clone._inst.looked_up == {}


def test_a_space_hands_on_its_rules() -> None:
    space = _adapters.space([], {ResizeTile(): 0.25}, sampled_decisions, [])
    assert [float(probability) for probability in space.mutator_probs.values()] == [0.25]
    assert len(space.sch_rules) == len(space.postprocs) == 0
