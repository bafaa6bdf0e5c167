"""Plain classes in, MetaSchedule's objects out."""

from __future__ import annotations

import itertools
import shutil
import tempfile
import weakref
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from tvm.ir.utils import derived_object
from tvm.s_tir import meta_schedule as ms

_SHELF: dict[str, Any] = {}
"""Built candidates by artifact path: builder and runner share this process, so nothing is written."""
_ARTIFACTS = itertools.count()
_SHARPNESS = 4
"""The power of a score: how much more a shorter candidate is preferred as a parent; the ranking stays the same."""
_UNIT = 1e-6
"""The time whose score is 1; seconds."""
_LEAST_SCORE = 1e-300
_SHORTEST = 1e-15
"""A model may answer no time at all, which has no inverse; seconds."""

Look = Callable[[Sequence[Any]], Sequence[tuple[Any, Any] | None]]
"""From modules to the mapping and the timing of each; None where it has none."""


def taken_from_shelf(path: str) -> Any:
    """The module behind an artifact path, once."""
    return _SHELF.pop(path)


@derived_object
class _Builder(ms.builder.PyBuilder):  # type: ignore[misc] # TVM is untyped
    """Builds nothing: hands the scheduled module on, in a folder of its own that MetaSchedule may delete."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="cyclecast-"))
        weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)

    def build(self, build_inputs: list[Any]) -> list[Any]:
        return [ms.builder.BuilderResult(self.shelve(item.mod), None) for item in build_inputs]

    def shelve(self, module: Any) -> str:
        folder = self.folder / str(next(_ARTIFACTS))
        folder.mkdir()
        path = str(folder / "module")
        _SHELF[path] = module
        return path


@derived_object
class _Future(ms.runner.PyRunnerFuture):  # type: ignore[misc]
    def __init__(self, answer: Any) -> None:
        super().__init__()
        self.answer = answer

    def done(self) -> bool:
        return True

    def result(self) -> Any:
        return result(self.answer)


def result(answer: Any) -> Any:
    """A timing or a failure as MetaSchedule's result."""
    if hasattr(answer, "reason"):
        return ms.runner.RunnerResult(None, answer.reason)
    return ms.runner.RunnerResult([answer.total.seconds], None)


@derived_object
class _Runner(ms.runner.PyRunner):  # type: ignore[misc]
    def __init__(self, runner: Any) -> None:
        super().__init__()
        self.runner = runner

    def run(self, runner_inputs: list[Any]) -> list[Any]:
        modules = [taken_from_shelf(str(item.artifact_path)) for item in runner_inputs]
        return [_Future(answer) for answer in self.runner.run(modules)]


@derived_object
class _CostModel(ms.cost_model.PyCostModel):  # type: ignore[misc]
    """The runner's own timing as the search's guide: nothing is learnt, nothing is guessed."""

    def __init__(self, look: Look) -> None:
        super().__init__()
        self.look = look

    def load(self, path: str) -> None:
        return

    def save(self, path: str) -> None:
        return

    def update(self, context: Any, candidates: list[Any], results: list[Any]) -> None:
        return

    def predict(self, context: Any, candidates: list[Any]) -> Any:
        return scores(self.look([candidate.sch.mod for candidate in candidates]))


def scores(found: Sequence[tuple[Any, Any] | None]) -> Any:
    """The higher the score, the likelier a candidate is a parent of the next generation, and is timed.

    A shorter time scores higher, in one scale for all generations. A mapping that many decisions give counts once. Of
    those with one form (window, packed groups, order) the second best scores half of what its time is worth, the third
    a third, and so on: so that the first form with good factors does not replace all others, which need other factors.
    This is fitness sharing (Goldberg, Richardson, ICGA 1987) with the form as the niche.
    """
    pairs = [(pair[1].total.seconds, place, pair[0]) for place, pair in enumerate(found) if pair]
    answer = np.full(len(found), _LEAST_SCORE)
    known, crowd = set(), Counter[Any]()
    for seconds, place, mapping in sorted(pairs, key=lambda pair: pair[:2]):
        if mapping not in known:
            known.add(mapping)
            form = mapping.window, mapping.packed, mapping.input_stationary
            crowd[form] += 1
            answer[place] = max(_LEAST_SCORE, (_UNIT / max(seconds, _SHORTEST)) ** _SHARPNESS / crowd[form])
    return answer


@derived_object
class _Rule(ms.schedule_rule.PyScheduleRule):  # type: ignore[misc]
    def __init__(self, rule: Any) -> None:
        super().__init__()
        self.rule = rule

    def _initialize_with_tune_context(self, context: Any) -> None:
        return

    def apply(self, sch: Any, block: Any) -> list[Any]:
        return list(self.rule.apply(sch, block))

    def clone(self) -> Any:
        return _Rule(self.rule)


@derived_object
class _Postprocessor(ms.postproc.PyPostproc):  # type: ignore[misc]
    def __init__(self, change: Callable[[Any], None]) -> None:
        super().__init__()
        self.change = change

    def _initialize_with_tune_context(self, context: Any) -> None:
        return

    def apply(self, sch: Any) -> bool:
        self.change(sch)
        return True

    def clone(self) -> Any:
        return _Postprocessor(self.change)


@derived_object
class _Mutator(ms.mutator.PyMutator):  # type: ignore[misc]
    """Shows a rule the decisions of a trace, and puts its answer back into the trace."""

    def __init__(self, rule: Any, sampled: Callable[[Any], Mapping[str, int]]) -> None:
        super().__init__()
        self.rule = rule
        self.sampled = sampled
        self.looked_up: dict[tuple[int, str], tuple[Mapping[str, int], dict[str, list[int]]]] = {}

    def _initialize_with_tune_context(self, context: Any) -> None:
        """Traces of one context and one sketch have the same instructions, so they are looked at once."""
        self.looked_up = {}

    def apply(self, trace: Any, seed: int) -> Any:
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

    def clone(self) -> Any:
        return _Mutator(self.rule, self.sampled)


def _texts(instructions: Any) -> str:
    """The texts that a trace annotates with: its sketch, as it is extended."""
    inputs = (instruction.inputs[-1] for instruction in instructions if instruction.inputs)
    return " ".join(value for value in inputs if isinstance(value, str))


@derived_object
class _Callback(ms.measure_callback.PyMeasureCallback):  # type: ignore[misc]
    """Tells a function about every batch: the candidates' modules that have a timing."""

    def __init__(self, tell: Callable[[list[Any]], None]) -> None:
        super().__init__()
        self.tell = tell

    def apply(
        self, task_scheduler: Any, task_id: int, candidates: list[Any], builder_results: list[Any], results: list[Any]
    ) -> None:
        timed = zip(candidates, results, strict=True)
        self.tell([candidate.sch.mod for candidate, result in timed if result.error_msg is None])


def builder() -> Any:
    """A builder that hands modules to a runner in this process."""
    return _Builder()


def runner(plain: Any) -> Any:
    """A plain runner (`run(candidates) -> timings or failures`) as MetaSchedule's."""
    return _Runner(plain)


def cost_model(look: Look) -> Any:
    """The search's cost model, made of what a plain runner sees in modules."""
    return _CostModel(look)


def callback(tell: Callable[[list[Any]], None]) -> Any:
    """A measure callback that passes on the modules of every batch."""
    return _Callback(tell)


def space(
    rules: Sequence[Any],
    mutators: Mapping[Any, float],
    sampled: Callable[[Any], Mapping[str, int]],
    postprocessors: Sequence[Callable[[Any], None]] = (),
) -> Any:
    """A design space from plain rules and mutation rules (each with its probability)."""
    return ms.space_generator.PostOrderApply(
        sch_rules=[_Rule(rule) for rule in rules],
        postprocs=[_Postprocessor(change) for change in postprocessors],
        mutator_probs={_Mutator(rule, sampled): probability for rule, probability in mutators.items()},
    )
