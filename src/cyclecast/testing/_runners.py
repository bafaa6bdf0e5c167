"""Tests that every runner passes."""

from __future__ import annotations

from typing import Any

import cyclecast._tvm as _door  # noqa: F401 - first of all, TVM must be one that works

# isort: split

from cyclecast.device import Device
from cyclecast.mapspace import default_mapping
from cyclecast.schedule import as_module, decided_schedule
from cyclecast.testing._samples import kernel_module, problem
from cyclecast.testing._suite import Suite
from cyclecast.timing import Timing


class RunnerSuite(Suite):
    """Tests of a runner: `run`."""

    kind = "runner"

    def device(self) -> Device:
        """The device that candidates are scheduled for."""
        return Device.load("isaac")

    def candidates(self) -> list[Any]:
        """A scheduled module, an unscheduled one, and the first again."""
        device, module = self.device(), kernel_module(self.device())
        mapping = default_mapping(problem(device, 1).workload, device)
        good = decided_schedule(module["main"], device, mapping).mod
        return [good, as_module(module["main"]), good]

    def test_every_candidate_gets_one_answer(self) -> None:
        """Answers keep the order; each is a `Timing` or an object with a `reason`."""
        answers = self.subject().run(self.candidates())
        assert len(answers) == 3, f"{len(answers)} answers for 3 candidates"
        for answer in answers:
            assert isinstance(answer, Timing) or hasattr(answer, "reason"), f"{answer!r} is no Timing and no Failure"
        assert isinstance(answers[0], Timing), f"a good candidate fails: {getattr(answers[0], 'reason', '')}"

    def test_a_candidate_fails_alone(self) -> None:
        """The unscheduled candidate does not affect the others."""
        first, _, last = self.subject().run(self.candidates())
        assert isinstance(last, Timing), "the candidate after a bad one fails, too"
        assert first.total == last.total, f"one candidate takes {first.total} and then {last.total}"

    def test_no_candidates_get_no_answers(self) -> None:
        """An empty batch has no answers."""
        assert list(self.subject().run([])) == [], "answers without candidates"
