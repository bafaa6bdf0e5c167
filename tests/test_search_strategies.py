"""What every search strategy promises, whatever it looks at."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import pytest

from cyclecast.device import Device
from cyclecast.errors import FitError, OptionError
from cyclecast.mapping import Mapping, Mappings, require_fit
from cyclecast.mapspace import default_mapping
from cyclecast.search import (
    BUILT_IN,
    Evolution,
    Exhaustive,
    Pareto,
    Problem,
    Random,
    Search,
    Strategy,
    Timed,
    _exhaustive,
    begin,
    follow,
    search_strategy,
)
from cyclecast.timing import Analytical, Timing, TimingModel, Timings
from cyclecast.workflow.job import problem
from kernels import Kernel, batch_matmul, conv, dense, depthwise, network

pytestmark = pytest.mark.tvm

TINY = Device.load("tiny")
KERNELS = {
    "conv": conv(size=(5, 4), channels=2, filters=5, kernel=(2, 2)),
    "dense": dense(batch=3, features=30, filters=9),
    "depthwise": depthwise(size=(4, 4), channels=3, multiplier=1, kernel=2),
    "batch_matmul": batch_matmul(batch=3, rows=2, features=5, filters=3),
}
SAMPLING: dict[str, Strategy] = {"random": Random(), "evolution": Evolution(population=16, generations=1)}
STRATEGIES: dict[str, Strategy] = SAMPLING | {"exhaustive": Exhaustive(), "pareto": Pareto()}
TRIALS = 12
ENOUGH = 50_000
"""A search of so small a kernel is over long before so many mappings."""


@dataclass(frozen=True)
class OneByOne:
    """The analytical model as a user writes one: a mapping at a time."""

    def time(self, mapping: Mapping, device: Device) -> Timing:
        return Analytical().time(mapping, device)


@dataclass(frozen=True)
class Choosy:
    """A model that does not know some mappings."""

    refuses: Callable[[Mapping], bool]

    def time(self, mapping: Mapping, device: Device) -> Timing:
        if self.refuses(mapping):
            raise FitError("choosy", "such a mapping", "this model does not know it")
        return Analytical().time(mapping, device)


REFUSALS: dict[str, Callable[[Mapping], bool]] = {
    "some": lambda mapping: mapping.word_lines % 2 == 1,
    "windows and packed groups": lambda mapping: mapping.packed > 1 or mapping.outputs > 1,
    "where many arrays work": lambda mapping: mapping.arrays > 3,
    "all": lambda mapping: True,
}


def made(kernel: Kernel, model: TimingModel | None = None, trials: int = TRIALS, seed: int = 0) -> Problem:
    of = network(kernel)
    (member,) = of.members
    return problem(member, of.program[member.kernel], TINY, model or Analytical(), trials=trials, seed=seed)


def listed(batch: Iterable[Mapping] | Mappings) -> list[Mapping]:
    return [batch[place] for place in range(len(batch))] if isinstance(batch, Mappings) else list(batch)


def asked(search: Search, of: Problem, at_once: int = 64) -> list[Mapping]:
    """Everything that a search asks for, in its order."""
    found: list[Mapping] = []
    for timed in follow(search, of, at_once):
        found += listed(timed.batch)
        assert len(found) < ENOUGH
    return found


def test_these_are_all_built_in_strategies() -> None:
    assert set(STRATEGIES) == set(BUILT_IN)
    for name, plan in STRATEGIES.items():
        assert type(search_strategy(name)) is type(plan)
        assert search_strategy(plan) is plan


@pytest.mark.parametrize("model", [Analytical(), OneByOne()], ids=["many at once", "one by one"])
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("name", STRATEGIES)
def test_no_mapping_is_asked_for_twice_and_all_fit(name: str, kernel: str, model: TimingModel) -> None:
    of = made(KERNELS[kernel], model)
    found = asked(STRATEGIES[name].start(of), of)
    assert len({*found}) == len(found) > 0
    for mapping in found:
        assert mapping.workload == of.workload
        require_fit(mapping, TINY)


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_search_that_is_over_stays_over(name: str) -> None:
    of = made(KERNELS["conv"])
    search = STRATEGIES[name].start(of)
    assert asked(search, of)
    assert [len(search.ask(64)) for _ in range(3)] == [0, 0, 0]
    assert search.outcome().strategy == name


@pytest.mark.parametrize("trials", [1, 5, 30])
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("name", SAMPLING)
def test_trials_are_the_most_that_is_asked_for(name: str, kernel: str, trials: int) -> None:
    of = made(KERNELS[kernel], trials=trials)
    found = asked(SAMPLING[name].start(of), of)
    assert 1 <= len(found) <= trials
    if name == "random":  # evolution's schedules may be the same mappings
        assert len(found) == trials


@pytest.mark.parametrize("at_once", [1, 7, 64])
def test_random_asks_for_no_more_at_a_time_than_it_is_told(at_once: int) -> None:
    of = made(KERNELS["conv"])
    sizes = [len(timed.batch) for timed in follow(Random().start(of), of, at_once)]
    assert max(sizes) == min(at_once, TRIALS)
    assert asked(Random().start(of), of, at_once) == asked(Random().start(of), of)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("name", STRATEGIES)
def test_the_seed_decides_everything(name: str, kernel: str) -> None:
    first, again, other = (made(KERNELS[kernel], seed=seed) for seed in (3, 3, 4))
    sequence = asked(STRATEGIES[name].start(first), first)
    assert asked(STRATEGIES[name].start(again), again) == sequence
    if name in SAMPLING:
        assert asked(STRATEGIES[name].start(other), other) != sequence


@pytest.mark.parametrize("refusal", REFUSALS)
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("name", STRATEGIES)
def test_what_a_model_refuses_does_not_stop_a_search(name: str, kernel: str, refusal: str) -> None:
    refuses = REFUSALS[refusal]
    of = made(KERNELS[kernel], Choosy(refuses))
    search = STRATEGIES[name].start(of)
    found: list[Timed] = list(follow(search, of))
    for timed in found:
        assert not isinstance(timed.timings, Timings)
        said = [timing is None for timing in timed.timings]
        assert said == [refuses(mapping) for mapping in listed(timed.batch)]
    least = [timed.least() for timed in found]
    if refusal == "all":
        assert least == [None] * len(least)
    outcome = search.outcome()
    assert outcome.strategy == name
    assert not any(refuses(choice.mapping) for choice in outcome.front)


@pytest.mark.parametrize("refusal", ["windows and packed groups", "where many arrays work"])
@pytest.mark.parametrize("kernel", KERNELS)
def test_the_exhaustive_search_finds_the_best_that_is_not_refused(kernel: str, refusal: str) -> None:
    """As long as a model knows the smallest of equal tilings and factors if it knows one of them."""
    refuses = REFUSALS[refusal]
    of = made(KERNELS[kernel], Choosy(refuses))
    answers = [timed.timings for timed in follow(Exhaustive().start(of), of)]
    timings = [timing for some in answers if not isinstance(some, Timings) for timing in some if timing]
    everything = made(KERNELS[kernel], trials=300)
    sampled = [default_mapping(of.workload, TINY), *asked(Random().start(everything), everything)]
    known = [Analytical().time(mapping, TINY).total for mapping in sampled if not refuses(mapping)]
    assert min(timing.total for timing in timings) <= min(known)


class TestBegin:
    def test_a_fast_model_is_not_declined(self) -> None:
        of = made(KERNELS["dense"], OneByOne())
        assert begin(Exhaustive(), of).outcome().note == "no mapping was timed"
        for plan in SAMPLING.values():
            assert begin(plan, of).outcome().note == ""

    @pytest.mark.parametrize("with_kernel", [True, False])
    def test_a_slow_model_is_sampled_and_the_outcome_says_why(
        self, with_kernel: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(_exhaustive, "SLOW", 0)
        of = made(KERNELS["dense"], OneByOne())
        of = of if with_kernel else replace(of, kernel=None)
        search = begin(Exhaustive(), of)
        found = asked(search, of)
        assert 1 <= len({*found}) == len(found) <= TRIALS
        outcome = search.outcome()
        assert outcome.strategy == ("evolution" if with_kernel else "random")
        assert outcome.note.startswith("the timing model takes ")
        assert outcome.note.endswith("ms a mapping, too long to look at all")
        assert (outcome.certificate, outcome.front) == (None, ())
        assert sum(sketch.legal for sketch in outcome.sketches) > 0

    def test_a_model_of_many_at_once_is_never_slow(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(_exhaustive, "SLOW", 0)
        of = made(KERNELS["dense"])
        search = begin(Exhaustive(), of)
        assert asked(search, of)
        assert (search.outcome().strategy, search.outcome().note) == ("exhaustive", "")

    @pytest.mark.parametrize("name", [*SAMPLING, "pareto"])
    def test_strategies_that_bound_their_calls_decline_nothing(
        self, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(_exhaustive, "SLOW", 0)
        of = made(KERNELS["dense"], OneByOne())
        assert begin(STRATEGIES[name], of).outcome().strategy == name

    def test_a_model_that_refuses_the_default_mapping_is_no_reason_to_decline(self) -> None:
        of = made(KERNELS["dense"], Choosy(REFUSALS["all"]))
        assert begin(Exhaustive(), of).outcome().strategy == "exhaustive"

    def test_evolution_needs_a_kernel(self) -> None:
        with pytest.raises(OptionError, match="it works on schedules"):
            Evolution().start(replace(made(KERNELS["dense"]), kernel=None))
