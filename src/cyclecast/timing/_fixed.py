"""A timing model with a constant time: for tests of searches and runners."""

from __future__ import annotations

from dataclasses import dataclass

from cyclecast.device import Device
from cyclecast.errors import OptionError
from cyclecast.mapping import Mapping
from cyclecast.timing._base import Phase, Timing


@dataclass(frozen=True, slots=True)
class Fixed:
    """The same number of device cycles for every mapping. Raises `OptionError` for a negative number."""

    cycles: int = 1

    def __post_init__(self) -> None:
        if self.cycles < 0:
            raise OptionError("fixed", f"cycles={self.cycles}", "time does not run backwards", "fixed:cycles=1")

    def time(self, mapping: Mapping, device: Device) -> Timing:
        """One phase called `fixed`."""
        return Timing((Phase("fixed", self.cycles * device.array.read),), device.array.read)
