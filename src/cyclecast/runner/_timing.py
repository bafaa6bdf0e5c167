"""The simulation runner: reads each candidate as a mapping and asks a timing model."""

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
    """Times the module that it is handed, decided or lowered; nothing about a candidate reaches it another way."""

    device: Device
    model: TimingModel
    read: Callable[[Any, Device], Mapping]
    """From a module to the mapping that it is on the device: `cyclecast.schedule.read`."""

    def run(self, candidates: Sequence[Any]) -> list[Timing | Failure]:
        """The model's timing of each candidate, or why it cannot be read or does not fit."""
        found = (self._time(candidate) for candidate in candidates)
        return [answer if isinstance(answer, Failure) else answer[1] for answer in found]

    def look(self, candidates: Sequence[Any]) -> list[tuple[Mapping, Timing] | None]:
        """The mapping of each candidate with its timing, for a cost model; None where one cannot be read or timed."""
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
