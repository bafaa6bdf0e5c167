"""A timing model that measures mappings with a runner, each as a scheduled module."""

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
    """A timing model of one kernel whose times come from a runner."""

    runner: Runner
    module_of: Callable[[Mapping, Device], Any] = field(repr=False, compare=False)
    """Returns the kernel scheduled by a mapping, an `IRModule`."""
    lawful: ClassVar[bool] = False
    """One measurement says nothing about other mappings, so searches use no bounds."""

    def time(self, mapping: Mapping, device: Device) -> Timing:
        """The runner's timing of one mapping. Raises `TimingError` if it fails."""
        (answer,) = asked_each(self, [mapping], device)
        if isinstance(answer, Failure):
            raise TimingError("runner", answer.reason, "a candidate has a time", "another mapping, or runner")
        return answer

    def time_each(self, mappings: Sequence[Mapping], device: Device) -> Sequence[Timing | Failure]:
        """The runner's answers for a batch of mappings, in order."""
        return self.runner.run([self.module_of(mapping, device) for mapping in mappings])
