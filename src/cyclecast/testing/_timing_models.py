"""Tests that every timing model passes."""

from __future__ import annotations

from unittest import SkipTest

from cyclecast.device import Device
from cyclecast.mapping import Mapping, Mappings
from cyclecast.search import Sample
from cyclecast.testing._samples import DEVICES, mappings, workloads
from cyclecast.testing._suite import Suite
from cyclecast.timing import Failure, Timing, TimingModel, Timings, asked, second_opinion
from cyclecast.units import Time


class TimingModelSuite(Suite):
    """Tests of a timing model: `time`, and the optional `times`, `bounds` and `second_opinion`."""

    kind = "timing model"

    def subject(self) -> TimingModel:
        """The timing model."""
        raise NotImplementedError("make the timing model in subject()")

    def timed(self, model: TimingModel) -> list[tuple[Device, Mapping, Timing]]:
        """All sample mappings that the model has a time for."""
        found = [(device, each, asked(model, each, device)) for device, some in mappings() for each in some]
        return [(device, mapping, timing) for device, mapping, timing in found if isinstance(timing, Timing)]

    def test_it_times_some_mapping(self) -> None:
        """At least one sample mapping has a time."""
        model = self.subject()
        answers = [asked(model, each, device) for device, some in mappings() for each in some]
        why = [answer.reason for answer in answers if isinstance(answer, Failure)]
        assert len(why) < len(answers), f"it has no time for any sample mapping; the first reason: {why[0]}"

    def test_times_are_longer_than_nothing(self) -> None:
        """Times and cycle are positive."""
        for device, mapping, timing in self.timed(self.subject()):
            assert timing.total > Time(0), f"{mapping} on {device.name} takes no time; it must be more than 0"
            assert timing.cycle > Time(0), f"the cycle of {device.name} is 0; it must be more"

    def test_the_same_mapping_gets_the_same_time(self) -> None:
        """Times are equal in another order and from another object."""
        first, second = self.timed(self.subject()), self.timed(self.subject())
        for (device, mapping, timing), (*_, again) in zip(reversed(first), reversed(second), strict=True):
            assert timing == again, f"{mapping} on {device.name} takes {timing.total}, and then {again.total}"

    def test_many_at_once_are_timed_as_each_alone(self) -> None:
        """`times` equals `time`, element by element."""
        model = self.subject()
        if not hasattr(model, "times"):
            raise SkipTest("it has no `times`; with it a search looks at a thousand times as many mappings")
        for device, some in mappings():
            many = model.times(Mappings.of(some), device)
            assert isinstance(many, Timings), f"times answers with {type(many).__name__}; it must be Timings"
            for place, mapping in enumerate(some):
                alone, together = model.time(mapping, device).total, Time(int(many.total[place]))
                assert alone == together, f"{mapping} on {device.name} takes {alone} alone and {together} among many"

    def test_times_lie_between_its_bounds(self) -> None:
        """The model's own `bounds` hold for every sample mapping."""
        model = self.subject()
        if not hasattr(model, "bounds"):
            raise SkipTest("it has no `bounds`; those of cyclecast are taken")
        for device, mapping, timing in self.timed(model):
            low, high = (bound := model.bounds(mapping, device)).lower, bound.upper
            assert low <= timing.total <= high, f"{mapping} on {device.name}: {timing.total} is not in {low} to {high}"

    def test_the_second_opinion_is_never_shorter(self) -> None:
        """The second model's times are never shorter than the model's."""
        model = self.subject()
        if not getattr(model, "second_opinion", None):
            raise SkipTest("it names no second opinion")
        for device, mapping, timing in self.timed(model):
            second = second_opinion(model, mapping, device)
            assert second is not None
            assert second.total >= timing.total, f"{mapping} on {device.name}: {second.total} is below {timing.total}"

    def test_it_keeps_the_laws_that_bounds_rest_on(self) -> None:
        """Sample mappings obey the laws that lower bounds rely on.

        A model that breaks them must have `lawful = False`; it is searched by evolution.
        """
        model = self.subject()
        if not getattr(model, "lawful", True):
            raise SkipTest("it says lawful = False")
        for device in map(Device.load, DEVICES):
            for workload in workloads(device):
                breach = Sample(workload, device, model, 0).breach()
                why = breach.reason if breach else ""
                assert not why, f"{workload.name} on {device.name}: {why}; say lawful = False, or mend it"
