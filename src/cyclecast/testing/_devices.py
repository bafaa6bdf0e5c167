"""Tests that every device file passes."""

from __future__ import annotations

import cyclecast._tvm as _door  # noqa: F401 - first of all, TVM must be one that works

# isort: split

from cyclecast.device import Device, load_doubted
from cyclecast.testing._samples import mappings
from cyclecast.testing._suite import Suite
from cyclecast.timing import Analytical, EventDriven, Poster, bounds
from cyclecast.units import Time


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
