"""Tests that every mutation rule passes."""

from __future__ import annotations

from random import Random

from cyclecast.device import Device
from cyclecast.mapspace import choices
from cyclecast.search.mutators import Mutator
from cyclecast.testing._samples import DEVICES, workloads
from cyclecast.testing._suite import Suite

SEEDS = range(40)


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
