"""What is proven under a timing model of a user: nothing where it breaks a law, everything where it keeps them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import numpy as np
import pytest

from cyclecast.device import Device
from cyclecast.mapping import TILE_AXES, Mapping, Mappings
from cyclecast.network import Workload
from cyclecast.search import Exhaustive, Pareto, Problem, SearchResult, Strategy, Timed, Watch, begin, conclude, follow
from cyclecast.timing import Analytical, Phase, Timing, Timings
from cyclecast.units import Time
from placed import conv

ISAAC = Device.load("isaac")
SMALL_ISAAC = ISAAC.vary_all({"levels.pe.count": 6})
Law = Callable[[Any], Any]
"""From a mapping, or many, to hundredths that its time takes."""


PLACES = [
    (conv(7, 24, 40, 3), ISAAC),
    (conv(14, 64, 64, 3), SMALL_ISAAC),
    (conv(4, 130, 70, 1), ISAAC),
    (conv(7, 48, 48, 3), ISAAC.vary_all({"levels.pe.count": 40, "levels.cu.count": 3, "levels.array.count": 5})),
]


@dataclass(frozen=True)
class OneByOne:
    """The analytical model, times so many hundredths."""

    law: Law

    def time(self, mapping: Mapping, device: Device) -> Timing:
        timing = Analytical().time(mapping, device)
        total = int(timing.total.femtoseconds * int(self.law(mapping))) // 100
        return Timing((Phase("all", Time(total)),), timing.cycle)


@dataclass(frozen=True)
class AtOnce(OneByOne):
    """The same for many mappings."""

    def times(self, mappings: Mappings, device: Device) -> Timings:
        found = Analytical().times(mappings, device)
        return Timings({}, found.total * self.law(mappings) // 100, found.cycle)


def noise(m: Any, salt: int) -> Any:
    """A hash of everything in a mapping, below 2^16."""
    numbers = [m.word_lines, m.filters, m.packed, *(m.temporal.along(axis) for axis in TILE_AXES)]
    numbers += [entry.factors.along(axis) for entry in m.levels for axis in TILE_AXES]
    state = salt + 0 * m.word_lines
    for number in numbers:
        state = (state * 1103 + number * 2654435 + 12345) % 1000003
    return state % 65536


def is_power(number: Any) -> Any:
    return (number & (number - 1)) == 0


def breakers(random: Random) -> Iterator[tuple[str, Law]]:
    """One of every family: what may be special about a tile, about factors, about turns."""
    step, share, more = random.choice([8, 16, 32, 64]), random.choice([50, 60, 80]), random.choice([120, 150, 300])
    most, salt, few = random.choice([500, 1000, 2000]), random.randrange(10**6), random.choice([2, 3, 4])
    yield (
        f"word lines that are no multiple of {step} take {more} %",
        lambda m: 100 + (more - 100) * (m.word_lines % step > 0),
    )
    yield f"filters that are no multiple of 8 take {more} %", lambda m: 100 + (more - 100) * (m.filters % 8 > 0)
    yield f"powers of two take {share} %", lambda m: 100 - (100 - share) * is_power(m.word_lines)
    yield f"tiles above {most} cells take {share} %", lambda m: 100 - (100 - share) * (m.word_lines * m.filters > most)
    yield f"noise of {share} %", lambda m: 100 + noise(m, salt) * share // 65536
    yield "noise alone", lambda m: 1 + noise(m, salt) // 64
    yield f"an odd number of replicas takes {more} %", lambda m: 100 + (more - 100) * (m.replicas % 2)
    yield f"{few} row tiles inside take {share} %", lambda m: 100 - (100 - share) * (m.inside(0, "row") >= few)
    yield f"many arrays take {share} %", lambda m: 100 - (100 - share) * (m.arrays > 10 * few)
    yield f"many steps take {share // 4} %", lambda m: 100 - (100 - share // 4) * (m.temporal.pixel >= few)


def searched(
    strategy: Strategy, model: Any, place: tuple[Workload, Device], seed: int = 0, seconds: float = 20
) -> tuple[int, SearchResult]:
    """The shortest time that was met, and what is said about it."""
    workload, device = place
    problem = Problem(workload=workload, device=device, model=model, trials=24, seed=seed, watch=Watch(seconds=seconds))
    found: list[int] = []
    search = begin(strategy, problem)
    for timed in follow(search, problem):
        found += [best] if (best := shortest(timed)) is not None else []
    return min(found), conclude(search, problem)


def shortest(timed: Timed) -> int | None:
    place = timed.least()
    if place is None:
        return None
    if isinstance(timed.timings, Timings):
        return int(timed.timings.total[place])
    timing = timed.timings[place]
    assert timing is not None
    return timing.total.femtoseconds


def proves_nothing(name: str, law: Law, seed: int) -> None:
    kind = AtOnce if seed % 3 else OneByOne
    place = PLACES[seed % len(PLACES)]
    _, outcome = searched(Exhaustive(), kind(law), place, seed)
    gap = outcome.certificate.gap if outcome.certificate else None
    assert gap != 0, f"{name}, {kind.__name__}, place {seed % len(PLACES)}"
    assert "law" in outcome.note, outcome.note


BREAKERS = [(seed, *found) for seed in range(10) for found in breakers(Random(seed))]


@pytest.mark.parametrize("place", range(0, len(BREAKERS), 11))
def test_a_model_that_breaks_a_law_proves_nothing(place: int) -> None:
    seed, name, law = BREAKERS[place]
    proves_nothing(name, law, seed + place)


@pytest.mark.long
def test_a_hundred_models_that_break_a_law_prove_nothing() -> None:
    for place, (seed, name, law) in enumerate(BREAKERS):
        proves_nothing(name, law, seed + place)


KEEPERS: dict[str, Law] = {
    "half as long again": lambda m: 150 + 0 * m.word_lines,
    "dear steps": lambda m: 100 + m.passes * m.temporal.pixel,
    "dear passes": lambda m: 100 + 7 * m.passes,
    "dear tiles": lambda m: 100 + m.packed * m.word_lines * m.filters,
    "dear arrays": lambda m: 100 + m.arrays,
    "steps of tiles": lambda m: 100 + (m.packed * m.word_lines + 31) // 32 + (m.packed * m.filters + 7) // 8,
}


@pytest.mark.parametrize("kind", [AtOnce, OneByOne])
@pytest.mark.parametrize("name", KEEPERS)
def test_a_model_that_keeps_the_laws_is_proven(name: str, kind: type[OneByOne]) -> None:
    place = PLACES[len(name) % len(PLACES)] if kind is AtOnce else (conv(6, 3, 5, 3), Device.load("tiny"))
    best, outcome = searched(Exhaustive(), kind(KEEPERS[name]), place)
    assert outcome.certificate is not None, outcome.note
    assert (outcome.note, outcome.certificate.gap, outcome.certificate.best) == ("", 0, Time(best))


def test_three_times_for_what_is_no_multiple_of_32() -> None:
    """The law that was believed: 4.2 us with a gap of 0, where there are 1.4 us."""
    model = AtOnce(lambda m: 100 + 200 * (m.word_lines % 32 > 0))
    workload = conv(7, 24, 40, 3)
    best, outcome = searched(Exhaustive(), model, (workload, ISAAC))
    assert outcome.certificate is None
    assert outcome.note.startswith("the timing model breaks the law 'a larger tile is never faster': ")
    assert best < 1_450_000_000


@dataclass
class Moody:
    """Answers each question with another time."""

    count: int = 0

    def time(self, mapping: Mapping, device: Device) -> Timing:
        self.count += 1
        return Timing((Phase("all", Time(1000 + self.count)),), device.array.read)


def test_two_times_for_one_mapping_prove_nothing_and_are_said() -> None:
    for strategy in (Exhaustive(), Pareto(calls=500)):
        _, outcome = searched(strategy, Moody(), PLACES[0])
        assert outcome.certificate is None
        assert "the timing model gives one mapping two times" in outcome.note


def test_a_front_says_that_its_bounds_may_be_wrong() -> None:
    _, outcome = searched(Pareto(), AtOnce(lambda m: 100 + 50 * (m.word_lines % 16 > 0)), PLACES[0])
    assert outcome.strategy == "pareto"
    assert outcome.front
    assert "the timing model breaks the law" in outcome.note


@dataclass(frozen=True)
class Holes(AtOnce):
    """No time for some mappings."""

    def time(self, mapping: Mapping, device: Device) -> Timing:
        if mapping.word_lines % 7 == 3:
            raise ZeroDivisionError
        return super().time(mapping, device)

    def times(self, mappings: Mappings, device: Device) -> Timings:
        found = super().times(mappings, device)
        return replace(found, total=np.where(mappings.word_lines % 7 == 3, np.nan, found.total))


def test_times_that_are_no_numbers_lose_their_mappings_only() -> None:
    best, outcome = searched(Exhaustive(), Holes(lambda m: 100), PLACES[0], seconds=300)
    assert best > 0
    assert "lost, as the timing model has no time for them" in outcome.note
