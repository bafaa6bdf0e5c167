"""Mappings measured by a runner: each one is written as a scheduled module, and the runner answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from cyclecast.device import Device
from cyclecast.errors import TimingError
from cyclecast.mapping import Mapping
from cyclecast.runner._base import Runner
from cyclecast.timing import Failure, Timing, asked_each


@dataclass(frozen=True, slots=True)
class Measured:
    """A timing model of one kernel that asks a runner, which knows modules and no mappings."""

    runner: Runner
    module_of: Callable[[Mapping, Device], Any] = field(repr=False, compare=False)
    """From a mapping to the kernel scheduled by it, an `IRModule`."""
    lawful: ClassVar[bool] = False
    """Nothing is known of other mappings."""

    def time(self, mapping: Mapping, device: Device) -> Timing:
        """The runner's answer for one mapping; `TimingError` where it fails."""
        (answer,) = asked_each(self, [mapping], device)
        if isinstance(answer, Failure):
            raise TimingError("runner", answer.reason, "a candidate has a time", "another mapping, or runner")
        return answer

    def time_each(self, mappings: Sequence[Mapping], device: Device) -> Sequence[Timing | Failure]:
        """The runner's answers for a batch."""
        return self.runner.run([self.module_of(mapping, device) for mapping in mappings])
