"""Adapters from plain Python classes to MetaSchedule's objects."""

from __future__ import annotations

import itertools
import shutil
import tempfile
import weakref
from collections import Counter
from collections.abc import Callable, Sequence
from collections.abc import Mapping as Mapped
from pathlib import Path
from random import Random
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from tvm.ir import IRModule
from tvm.ir.utils import derived_object
from tvm.s_tir import Schedule, Trace
from tvm.s_tir import meta_schedule as ms
from tvm.s_tir.schedule import Instruction, SBlockRV

from cyclecast.mapping import Mapping
from cyclecast.timing import Failure, Timing

_SHELF: dict[str, IRModule] = {}
"""Built candidates by artifact path: builder and runner share this process, so no file is written."""
_ARTIFACTS = itertools.count()
_SHARPNESS = 4
"""Exponent of a score: a larger one prefers shorter candidates more as parents; the ranking is the same."""
_UNIT = 1e-6
"""Time with score 1 [s]."""
_LEAST_SCORE = 1e-300
_SHORTEST = 1e-15
"""Shortest time in a score [s]; a model may return 0, which has no inverse."""

Seen = Sequence[tuple[Mapping, Timing] | None]
"""Mapping and timing of each module; None for a module without."""
Look = Callable[[Sequence[IRModule]], Seen]
Sampled = Callable[[Trace], Mapped[str, int]]
"""Function from a trace to the position of every decision among its instructions."""


class PlainRunner(Protocol):
    """A runner: it times modules."""

    def run(self, candidates: Sequence[IRModule], /) -> Sequence[Timing | Failure]:
        """One answer for each module."""
        ...


class PlainRule(Protocol):
    """A schedule rule; the same protocol as in `cyclecast.schedule`."""

    def apply(self, schedule: Schedule, block: SBlockRV, /) -> list[Schedule]:
        """The schedules that the rule makes of this one at this block."""
        ...


class PlainMutator(Protocol):
    """A mutation rule; the same protocol as in `cyclecast.search.mutators`."""

    def apply(
        self, decisions: Mapped[str, int], offers: Mapped[str, Sequence[int]], rng: Random, /
    ) -> Mapped[str, int] | None:
        """The decisions with some of them changed; None if the rule can change nothing."""
        ...


OneMutator = TypeVar("OneMutator", bound=PlainMutator)


def taken_from_shelf(path: str) -> IRModule:
    """The module of an artifact path; it is removed from the shelf."""
    return _SHELF.pop(path)


@derived_object
class _Builder(ms.builder.PyBuilder):  # type: ignore[misc] # TVM is untyped
    """Passes the scheduled module on without a build, with a folder of its own that MetaSchedule may delete."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="cyclecast-"))
        weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)

    def build(self, build_inputs: list[ms.builder.BuilderInput]) -> list[ms.builder.BuilderResult]:
        return [ms.builder.BuilderResult(self.shelve(item.mod), None) for item in build_inputs]

    def shelve(self, module: IRModule) -> str:
        folder = self.folder / str(next(_ARTIFACTS))
        folder.mkdir()
        path = str(folder / "module")
        _SHELF[path] = module
        return path


@derived_object
class _Future(ms.runner.PyRunnerFuture):  # type: ignore[misc]
    def __init__(self, answer: Timing | Failure) -> None:
        super().__init__()
        self.answer = answer

    def done(self) -> bool:
        return True

    def result(self) -> ms.runner.RunnerResult:
        return result(self.answer)


def result(answer: Timing | Failure) -> ms.runner.RunnerResult:
    """A timing or a failure as MetaSchedule's result."""
    if hasattr(answer, "reason"):
        return ms.runner.RunnerResult(None, answer.reason)
    return ms.runner.RunnerResult([answer.total.seconds], None)


@derived_object
class _Runner(ms.runner.PyRunner):  # type: ignore[misc]
    def __init__(self, runner: PlainRunner) -> None:
        super().__init__()
        self.runner = runner

    def run(self, runner_inputs: list[ms.runner.RunnerInput]) -> list[ms.runner.RunnerFuture]:
        modules = [taken_from_shelf(str(item.artifact_path)) for item in runner_inputs]
        return [_Future(answer) for answer in self.runner.run(modules)]


@derived_object
class _CostModel(ms.cost_model.PyCostModel):  # type: ignore[misc]
    """A cost model without learning: it scores candidates by the times of `look`."""

    def __init__(self, look: Look) -> None:
        super().__init__()
        self.look = look

    def load(self, path: str) -> None:
        return

    def save(self, path: str) -> None:
        return

    def update(
        self, context: ms.TuneContext, candidates: list[ms.MeasureCandidate], results: list[ms.runner.RunnerResult]
    ) -> None:
        return

    def predict(self, context: ms.TuneContext, candidates: list[ms.MeasureCandidate]) -> NDArray[np.float64]:
        return scores(self.look([candidate.sch.mod for candidate in candidates]))


def scores(found: Seen) -> NDArray[np.float64]:
    """Scores of n candidates: shape (n,). A higher score makes a candidate more likely a parent, and timed.

    The score is (1 us / time)^4 / rank, where the rank counts the mappings of one form (window, packed groups, order)
    from the shortest. So the first form with good factors does not replace the other forms, which need other factors.
    This is fitness sharing (Goldberg, Richardson, ICGA 1987) with the form as the niche. Of candidates with an equal
    mapping only the first has its score; the others, and those without a time, have the least score.
    """
    pairs = [(pair[1].total.seconds, place, pair[0]) for place, pair in enumerate(found) if pair]
    answer = np.full(len(found), _LEAST_SCORE)
    known, crowd = set(), Counter[tuple[object, ...]]()
    for seconds, place, mapping in sorted(pairs, key=lambda pair: pair[:2]):
        if mapping not in known:
            known.add(mapping)
            form = mapping.window, mapping.packed, mapping.input_stationary
            crowd[form] += 1
            answer[place] = max(_LEAST_SCORE, (_UNIT / max(seconds, _SHORTEST)) ** _SHARPNESS / crowd[form])
    return answer


@derived_object
class _Rule(ms.schedule_rule.PyScheduleRule):  # type: ignore[misc]
    def __init__(self, rule: PlainRule) -> None:
        super().__init__()
        self.rule = rule

    def _initialize_with_tune_context(self, context: ms.TuneContext) -> None:
        return

    def apply(self, sch: Schedule, block: SBlockRV) -> list[Schedule]:
        return list(self.rule.apply(sch, block))

    def clone(self) -> ms.ScheduleRule:
        return _Rule(self.rule)


@derived_object
class _Postprocessor(ms.postproc.PyPostproc):  # type: ignore[misc]
    def __init__(self, change: Callable[[Schedule], None]) -> None:
        super().__init__()
        self.change = change

    def _initialize_with_tune_context(self, context: ms.TuneContext) -> None:
        return

    def apply(self, sch: Schedule) -> bool:
        self.change(sch)
        return True

    def clone(self) -> ms.Postproc:
        return _Postprocessor(self.change)


@derived_object
class _Mutator(ms.mutator.PyMutator):  # type: ignore[misc]
    """Gives a mutation rule the decisions of a trace, and writes the changed decisions into the trace."""

    def __init__(self, rule: PlainMutator, sampled: Sampled) -> None:
        super().__init__()
        self.rule = rule
        self.sampled = sampled
        self.looked_up: dict[tuple[int, str], tuple[Mapped[str, int], dict[str, list[int]]]] = {}

    def _initialize_with_tune_context(self, context: ms.TuneContext) -> None:
        """Clear the cache: within a context, all traces of a sketch have the same instructions."""
        self.looked_up = {}

    def apply(self, trace: Trace, seed: int) -> Trace | None:
        instructions = trace.insts
        design = len(instructions), _texts(instructions)
        if design not in self.looked_up:
            places = self.sampled(trace)
            offers = {name: list(map(int, instructions[at].attrs[0])) for name, at in places.items()}
            self.looked_up[design] = places, offers
        places, offers = self.looked_up[design]
        made = trace.decisions
        decisions = {name: offers[name][int(made[instructions[at]])] for name, at in places.items()}
        changed = self.rule.apply(decisions, offers, Random(seed))
        if changed is None:
            return None
        for name, value in changed.items():
            if value != decisions[name]:
                index = offers[name].index(value)
                trace = trace.with_decision(trace.insts[places[name]], index, remove_postproc=True)
        return trace

    def clone(self) -> ms.Mutator:
        return _Mutator(self.rule, self.sampled)


def _texts(instructions: Sequence[Instruction]) -> str:
    """All annotation texts of a trace; together with its length they identify the sketch."""
    inputs = (instruction.inputs[-1] for instruction in instructions if instruction.inputs)
    return " ".join(value for value in inputs if isinstance(value, str))


@derived_object
class _Callback(ms.measure_callback.PyMeasureCallback):  # type: ignore[misc]
    """Calls a function with the modules of every batch that have a timing."""

    def __init__(self, tell: Callable[[list[IRModule]], None]) -> None:
        super().__init__()
        self.tell = tell

    def apply(
        self,
        task_scheduler: ms.TaskScheduler,
        task_id: int,
        candidates: list[ms.MeasureCandidate],
        builder_results: list[ms.builder.BuilderResult],
        results: list[ms.runner.RunnerResult],
    ) -> None:
        timed = zip(candidates, results, strict=True)
        self.tell([candidate.sch.mod for candidate, result in timed if result.error_msg is None])


def builder() -> ms.Builder:
    """A builder that passes modules to a runner in this process."""
    return _Builder()


def runner(plain: PlainRunner) -> ms.Runner:
    """A MetaSchedule runner from a plain one (`run(candidates) -> timings or failures`)."""
    return _Runner(plain)


def cost_model(look: Look) -> ms.CostModel:
    """A MetaSchedule cost model that scores modules by the times of `look`."""
    return _CostModel(look)


def callback(tell: Callable[[list[IRModule]], None]) -> ms.MeasureCallback:
    """A measure callback that calls `tell` with the timed modules of every batch."""
    return _Callback(tell)


def space(
    rules: Sequence[PlainRule],
    mutators: Mapped[OneMutator, float],
    sampled: Sampled,
    postprocessors: Sequence[Callable[[Schedule], None]] = (),
) -> ms.SpaceGenerator:
    """A MetaSchedule design space from plain schedule rules and mutation rules, each of these with its probability."""
    return ms.space_generator.PostOrderApply(
        sch_rules=[_Rule(rule) for rule in rules],
        postprocs=[_Postprocessor(change) for change in postprocessors],
        mutator_probs={_Mutator(rule, sampled): probability for rule, probability in mutators.items()},
    )
