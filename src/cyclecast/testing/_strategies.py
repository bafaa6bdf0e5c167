"""Tests that every search strategy passes."""

from __future__ import annotations

from typing import ClassVar

from cyclecast.device import Device
from cyclecast.mapping import Mapping, require_fit
from cyclecast.search import Problem, Strategy, begin
from cyclecast.testing._samples import problem
from cyclecast.testing._suite import Suite

AT_ONCE = 16
MOST_ASKED = 2000
"""Most mappings that a test takes from one search."""


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
