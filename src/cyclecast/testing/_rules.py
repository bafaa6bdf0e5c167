"""Tests that every sketch or annotation rule passes."""

from __future__ import annotations

from typing import Any

import cyclecast._tvm as _door  # noqa: F401 - first of all, TVM must be one that works

# isort: split
from tvm.s_tir import Schedule
from tvm.s_tir import meta_schedule as ms

from cyclecast._tvm._block import contractions_in
from cyclecast.device import Device
from cyclecast.mapping import require_fit
from cyclecast.schedule import Rule, Space, read
from cyclecast.testing._samples import kernel_module
from cyclecast.testing._suite import Suite


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
        context = ms.TuneContext(kernel_module(self.device()), space_generator=space, task_name="rule", num_threads=1)
        return list(context.generate_design_space())

    def test_every_schedule_is_a_mapping_that_can_be_read(self) -> None:
        """Each schedule of the space can be read as a mapping that fits the device."""
        found = self.opened()
        assert found, "the space is empty; apply must return the schedule as it is, and others beside it"
        for schedule in found:
            require_fit(read(schedule.mod, self.device()), self.device())

    def test_a_schedule_that_nothing_has_opened_stays_alone(self) -> None:
        """The rule leaves a block without a sketch unchanged."""
        schedule = Schedule(kernel_module(self.device()))
        block = schedule.get_sblock(contractions_in(schedule.mod["main"], "main")[0].block)
        answer = self.subject().apply(schedule, block)
        assert len(answer) == 1, (
            f"it makes {len(answer)} schedules of a block without a sketch; it must return [schedule]"
        )
