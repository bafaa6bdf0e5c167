"""Suites for rules, runners and device files."""

from __future__ import annotations

from typing import Any

import cyclecast._tvm as _door  # noqa: F401 - first of all, TVM must be one that works

# isort: split
from tvm.s_tir import Schedule
from tvm.s_tir import meta_schedule as ms

from cyclecast._tvm._block import contractions_in
from cyclecast.device import Device, load_doubted
from cyclecast.mapping import require_fit
from cyclecast.mapspace import default_mapping
from cyclecast.schedule import Rule, Space, as_module, decided_schedule, read
from cyclecast.testing._samples import mappings, problem
from cyclecast.testing._suites import Suite
from cyclecast.timing import Analytical, EventDriven, Poster, Timing, bounds
from cyclecast.units import Time


class RuleSuite(Suite):
    """Tests of a schedule rule: `apply`."""

    kind = "rule"

    def device(self) -> Device:
        """The device of the rule."""
        return Device.load("isaac")

    def subject(self) -> Rule:
        """The rule."""
        raise NotImplementedError("make the rule in subject()")

    def opened(self) -> list[Any]:
        """All schedules of the space with the built-in rules and this rule."""
        space = Space(self.device(), rules=[self.subject()]).for_metaschedule()
        context = ms.TuneContext(_kernel(self.device()), space_generator=space, task_name="rule", num_threads=1)
        return list(context.generate_design_space())

    def test_every_schedule_is_a_mapping_that_can_be_read(self) -> None:
        """Each schedule of the space can be read as a mapping that fits the device."""
        found = self.opened()
        assert found, "the space is empty; apply must return the schedule as it is, and others beside it"
        for schedule in found:
            require_fit(read(schedule.mod, self.device()), self.device())

    def test_a_schedule_that_nothing_has_opened_stays_alone(self) -> None:
        """The rule leaves a block without a sketch unchanged."""
        schedule = Schedule(_kernel(self.device()))
        block = schedule.get_sblock(contractions_in(schedule.mod["main"], "main")[0].block)
        answer = self.subject().apply(schedule, block)
        assert len(answer) == 1, (
            f"it makes {len(answer)} schedules of a block without a sketch; it must return [schedule]"
        )


def _kernel(device: Device) -> Any:
    kernel = problem(device, 1).kernel
    assert kernel is not None
    return kernel.module


class RunnerSuite(Suite):
    """Tests of a runner: `run`."""

    kind = "runner"

    def device(self) -> Device:
        """The device that candidates are scheduled for."""
        return Device.load("isaac")

    def candidates(self) -> list[Any]:
        """A scheduled module, an unscheduled one, and the first again."""
        device, module = self.device(), _kernel(self.device())
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


class DeviceSuite(Suite):
    """Tests of a device file."""

    kind = "device"

    def subject(self) -> str:
        """Path of the file, or a name of the library."""
        raise NotImplementedError("name the file in subject()")

    def test_nothing_in_it_is_doubtful(self) -> None:
        """No likely mistakes of units, and no inconsistent fields."""
        _, doubts = load_doubted(self.subject())
        assert not doubts, "; ".join(map(str, doubts))

    def test_what_is_written_is_what_is_read(self) -> None:
        """A device written to JSON and read back is equal."""
        device = Device.load(self.subject())
        assert Device.from_json(device.to_json()) == device

    def test_times_lie_between_the_bounds(self) -> None:
        """All built-in timing models time every sample mapping, and the analytical time lies between its bounds."""
        device = Device.load(self.subject())
        for mapping in (each for _, some in mappings([device]) for each in some):
            for model in (Poster(), EventDriven()):
                assert model.time(mapping, device).total > Time(0)
            time, limits = Analytical().time(mapping, device).total, bounds(mapping, device)
            assert limits.lower <= time <= limits.upper, f"{mapping}: {time} is not between its bounds"
