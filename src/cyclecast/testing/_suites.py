"""Suites for timing models, strategies and mutation rules."""

from __future__ import annotations

from random import Random
from typing import Any, ClassVar
from unittest import SkipTest

from cyclecast.device import Device
from cyclecast.mapping import Mapping, Mappings, require_fit
from cyclecast.mapspace import choices
from cyclecast.search import Problem, Sample, Strategy, begin
from cyclecast.search.mutators import Mutator
from cyclecast.testing._samples import DEVICES, mappings, problem, workloads
from cyclecast.timing import Failure, Timing, TimingModel, Timings, asked, second_opinion
from cyclecast.units import Time

SEEDS = range(40)
AT_ONCE = 16
MOST_ASKED = 2000
"""Most mappings that a test takes from one search."""


class Suite:
    """Tests of one object. Subclass it in a test file and create the object in `subject`; pytest finds the tests."""

    kind: ClassVar[str] = ""
    """Name of the kind of object in messages."""

    def subject(self) -> Any:
        """The object to test."""
        raise NotImplementedError("make the object to test in subject()")


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


class StrategySuite(Suite):
    """Tests of a search strategy: `start`, and `ask`, `tell` and `outcome` of the search."""

    kind = "strategy"
    trials: ClassVar[int] = 32

    def subject(self) -> Strategy:
        """The strategy."""
        raise NotImplementedError("make the strategy in subject()")

    def problems(self) -> list[Problem]:
        """The problem of one layer on two devices, with its kernel."""
        return [problem(Device.load(name), self.trials) for name in ("tiny", "isaac")]

    def asked(self, of: Problem, *, refuse: bool = False) -> list[Mapping]:
        """All mappings that the search asks for; it is told their times, or, with `refuse`, that there are none."""
        search, found = begin(self.subject(), of), list[Mapping]()
        while len(batch := search.ask(AT_ONCE)) and len(found) < MOST_ASKED:
            assert len(batch) <= AT_ONCE, f"it asks for {len(batch)} mappings at once; {AT_ONCE} are the most"
            some = [batch[place] for place in range(len(batch))]
            found += some
            search.tell([None if refuse else of.model.time(each, of.device) for each in some])
        assert search.outcome().strategy, "its outcome names no strategy"
        return found

    def test_it_asks_for_mappings_that_fit(self) -> None:
        """The search asks for mappings, of the problem's workload, that fit the device."""
        for of in self.problems():
            found = self.asked(of)
            assert found, f"it asks for no mapping of {of.workload.name}; it must ask for one"
            for mapping in found:
                assert mapping.workload == of.workload, f"it asks for a mapping of {mapping.workload.name}"
                require_fit(mapping, of.device)

    def test_it_asks_for_no_mapping_twice(self) -> None:
        """The search asks for each mapping once."""
        for of in self.problems():
            found = self.asked(of)
            assert len(found) == len(set(found)), f"it asks for {len(found) - len(set(found))} mappings again"

    def test_the_seed_decides_everything(self) -> None:
        """Equal problems get equal requests."""
        for first, second in zip(self.problems(), self.problems(), strict=True):
            assert self.asked(first) == self.asked(second), "two runs with one seed ask for other mappings"

    def test_it_survives_a_model_without_times(self) -> None:
        """Without any time, the search ends without an error."""
        for of in self.problems():
            self.asked(of, refuse=True)


class MutatorSuite(Suite):
    """Tests of a mutation rule: `apply`."""

    kind = "mutation rule"

    def subject(self) -> Mutator:
        """The mutation rule."""
        raise NotImplementedError("make the mutation rule in subject()")

    def test_its_answers_are_on_offer(self) -> None:
        """The answer has the same decisions, with values on offer; or it is None."""
        changed = 0
        for device in map(Device.load, DEVICES):
            for workload in workloads(device):
                offers = {name: list(values) for name, values in choices(workload, device).items() if len(values) > 1}
                for seed in SEEDS:
                    random = Random(seed)
                    decisions = {name: random.choice(values) for name, values in offers.items()}
                    before = dict(decisions)
                    answer = self.subject().apply(decisions, offers, Random(seed))
                    assert decisions == before, "it changes the decisions that it is given; it must answer with others"
                    assert answer == self.subject().apply(before, offers, Random(seed)), "one seed gives two answers"
                    changed += answer not in (None, before)
                    for name, value in (answer or {}).items():
                        assert value in offers.get(name, ()), f"{name} becomes {value}; on offer are {offers.get(name)}"
                    assert answer is None or set(answer) == set(before), "its answer has other names than it was given"
        assert changed, "it never changes anything"
