"""The simulation runner: reads each candidate as a mapping and calls a timing model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from cyclecast.device import Device
from cyclecast.errors import CyclecastError
from cyclecast.mapping import Mapping, require_fit
from cyclecast.timing import Failure, Timing, TimingModel, asked


@dataclass(frozen=True, slots=True)
class TimingRunner:
    """Times decided or lowered modules, from the module alone."""

    device: Device
    model: TimingModel
    read: Callable[[Any, Device], Mapping]
    """Reads a module as a mapping on the device; `cyclecast.schedule.read`."""

    def run(self, candidates: Sequence[Any]) -> list[Timing | Failure]:
        """The model's timing of each candidate, or the reason why it cannot be read or does not fit."""
        found = (self._time(candidate) for candidate in candidates)
        return [answer if isinstance(answer, Failure) else answer[1] for answer in found]

    def look(self, candidates: Sequence[Any]) -> list[tuple[Mapping, Timing] | None]:
        """Mapping and timing of each candidate, for a cost model; None if it cannot be read or timed."""
        found = (self._time(candidate) for candidate in candidates)
        return [None if isinstance(answer, Failure) else answer for answer in found]

    def _time(self, candidate: Any) -> tuple[Mapping, Timing] | Failure:
        try:
            mapping = self.read(candidate, self.device)
            require_fit(mapping, self.device)
        except CyclecastError as error:
            return Failure(str(error))
        found = asked(self.model, mapping, self.device)
        return found if isinstance(found, Failure) else (mapping, found)
