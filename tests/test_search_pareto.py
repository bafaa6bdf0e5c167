"""The front of latency, energy and arrays against brute force."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cyclecast._integers import ceil_div
from cyclecast.device import Component, Device, Event
from cyclecast.energy import energy
from cyclecast.errors import OptionError
from cyclecast.mapping import TILE_AXES, Mapping, require_fit
from cyclecast.mapspace import ParetoFront, Values, grant
from cyclecast.network import Axis, Kind, Workload
from cyclecast.search._base import Problem, SearchResult
from cyclecast.search._pareto import Pareto
from cyclecast.timing import Analytical, TimingModel
from cyclecast.units import Area, Energy, Power
from strategies import matrix_vector
from test_search_exhaustive import CONVOLUTION, Plain, fits, literal_space, problems

ISAAC = Device.load("isaac")
TINY = Device.load("tiny")

Point = tuple[int, int, int]


def search(problem: Problem, strategy: Pareto | None = None) -> SearchResult:
    """The outcome, once there is nothing left to ask for."""
    running = (strategy or Pareto()).start(problem)
    seen = set[Mapping]()
    while len(batch := running.ask(1000)):
        mappings = [batch[place] for place in range(len(batch))]
        assert not seen & {*mappings}
        assert len({*mappings}) == len(mappings)
        seen |= {*mappings}
        if isinstance(problem.model, Analytical):
            running.tell(Analytical().times(batch, problem.device))  # type: ignore[arg-type]
        else:
            running.tell([problem.model.time(mapping, problem.device) for mapping in mappings])
    return running.outcome()


def points(outcome: SearchResult) -> list[Point]:
    return [(choice.time.femtoseconds, choice.energy.attojoules, choice.arrays) for choice in outcome.front]


def value(mapping: Mapping, device: Device) -> Point:
    timing = Analytical().time(mapping, device)
    return timing.total.femtoseconds, energy(mapping, device, timing).total.attojoules, mapping.arrays


def front(found: Iterable[Point]) -> list[Point]:
    """By comparing each with each."""
    different = sorted(set(found))
    return [
        one
        for one in different
        if not any(other != one and all(a <= b for a, b in zip(other, one, strict=True)) for other in different)
    ]


def is_listed(mapping: Mapping) -> bool:
    """Whether every size and every factor is the least of its kind."""
    sizes = (
        (mapping.values, mapping.word_lines),
        (mapping.results, mapping.filters),
        (mapping.workload.groups, mapping.packed),
    )
    for axis in TILE_AXES:
        left = mapping.tiles(axis)
        for entry in reversed(mapping.levels):
            sizes += ((left, entry.factors.along(axis)),)  # type: ignore[assignment]
            left = ceil_div(left, entry.factors.along(axis))
    return all(size == 1 or ceil_div(extent, size - 1) > ceil_div(extent, size) for extent, size in sizes)


@st.composite
def components(draw: st.DrawFn, events: tuple[Event, ...]) -> tuple[Component, ...]:
    """Up to two, with an event of these or without one."""
    amounts = st.integers(0, 10**9)
    return tuple(
        Component(
            name=name,
            power=Power(draw(amounts)),
            area=Area(0),
            per=draw(st.integers(1, 2)),
            event=event,
            energy=Energy(draw(amounts)) if event else None,
        )
        for name in draw(st.sampled_from([(), ("one",), ("one", "two")]))
        for event in [draw(st.none() | st.sampled_from(events))]
    )


@st.composite
def powered(draw: st.DrawFn, model: TimingModel, events: tuple[Event, ...] = tuple(Event)) -> Problem:
    """A small problem on a device that takes energy."""
    problem = draw(problems(model))
    levels = tuple(level.model_copy(update={"components": draw(components(events))}) for level in problem.device.levels)
    device = problem.device.model_copy(update={"levels": levels, "components": draw(components(events))})
    assume(fits(grant(problem.workload, device, {}), device))
    return Problem(workload=problem.workload, device=device, model=model, trials=1, seed=0)


@settings(max_examples=50, deadline=None)
@given(powered(Analytical()))
def test_the_front_is_that_of_the_listed_space(problem: Problem) -> None:
    space = literal_space(problem.workload, problem.device)
    listed = [mapping for mapping in space if is_listed(mapping) and fits(mapping, problem.device)]
    outcome = search(problem)
    assert points(outcome) == front(value(mapping, problem.device) for mapping in listed)
    assert {choice.mapping for choice in outcome.front} <= {*listed}
    assert outcome.note == "the front of all mappings"


@settings(max_examples=40, deadline=None)
@given(powered(Analytical(), tuple(event for event in Event if event not in (Event.OUTPUT_BYTE, Event.PORT_BYTE))))
def test_it_is_that_of_the_literal_space_if_arrays_are_read_at_once_and_reading_sums_back_is_free(
    problem: Problem,
) -> None:
    array = problem.device.array
    whole = array.model_copy(update={"active_rows": array.rows, "active_cols": array.cols})
    device = problem.device.model_copy(update={"array": whole})
    space = [mapping for mapping in literal_space(problem.workload, device) if fits(mapping, device)]
    outcome = search(Problem(workload=problem.workload, device=device, model=Analytical(), trials=1, seed=0))
    assert points(outcome) == front(value(mapping, device) for mapping in space)


@settings(max_examples=10, deadline=None)
@given(powered(Plain()))
def test_a_plain_model_has_the_same_front(problem: Problem) -> None:
    many = Problem(workload=problem.workload, device=problem.device, model=Analytical(), trials=1, seed=0)
    assert points(search(problem, Pareto(calls=10**6))) == points(search(many))


def test_every_choice_is_what_it_says() -> None:
    workload = matrix_vector(300, 100, pixels=50)
    outcome = search(
        Problem(workload=workload, device=ISAAC.vary("levels.pe.count", 2), model=Analytical(), trials=1, seed=0)
    )
    device = ISAAC.vary("levels.pe.count", 2)
    assert len(outcome.front) > 10
    for choice in outcome.front:
        require_fit(choice.mapping, device)
        assert value(choice.mapping, device) == (choice.time.femtoseconds, choice.energy.attojoules, choice.arrays)
    assert front(points(outcome)) == points(outcome)
    assert all(one.time <= other.time for one, other in pairwise(outcome.front))


def test_equal_searches_find_equal_fronts() -> None:
    problem = Problem(workload=CONVOLUTION, device=TINY, model=Analytical(), trials=1, seed=0)
    assert search(problem) == search(problem)


def test_a_search_that_ends_early_says_so() -> None:
    problem = Problem(workload=CONVOLUTION, device=TINY, model=Analytical(), trials=1, seed=0)
    short, whole = search(problem, Pareto(most=1)), search(problem)
    assert "not of all" in short.note
    assert whole.note == "the front of all mappings"
    assert len(short.front) > 0
    assert front([*points(short), *points(whole)]) == points(whole)


def test_calls_of_a_plain_model_are_bounded() -> None:
    calls = []

    class Counted(Plain):
        def time(self, mapping: Mapping, device: Device):  # type: ignore[no-untyped-def]
            calls.append(mapping)
            return super().time(mapping, device)

    outcome = search(Problem(workload=CONVOLUTION, device=TINY, model=Counted(), trials=1, seed=0), Pareto(calls=20))
    assert len(calls) == 20
    assert "the front of 20 mappings that were timed, not of all" in outcome.note


def test_what_the_timing_model_refuses_is_not_in_the_front() -> None:
    running = Pareto(calls=1000).start(Problem(workload=CONVOLUTION, device=TINY, model=Plain(), trials=1, seed=0))
    running.tell([None] * len(running.ask(1)))
    assert running.outcome().front == ()
    batch = running.ask(100)
    assert 1 < len(batch) <= 100
    running.tell([None, *(Plain().time(batch[place], TINY) for place in range(1, len(batch)))])
    found = running.outcome().front
    assert found
    assert batch[0] not in {choice.mapping for choice in found}


@pytest.mark.parametrize("field", ["most", "calls"])
def test_nothing_to_look_at_is_an_error(field: str) -> None:
    with pytest.raises(OptionError, match=f"{field}=0"):
        Pareto(**{field: 0})


@given(st.lists(st.lists(st.tuples(*(st.integers(0, 6),) * 3), min_size=1, max_size=30), min_size=1, max_size=4))
def test_a_front_is_what_nothing_dominates(batches: list[list[Point]]) -> None:
    kept = ParetoFront()
    for batch in batches:
        values = Values(*np.array(batch).T)
        kept.add(values, np.array(batch).T)
        assert kept.covers(values).all()
    everything = [point for batch in batches for point in batch]
    found = list(zip(*(numbers.tolist() for numbers in kept.values), strict=True))
    assert found == front(everything)
    assert kept.rows.T.tolist() == [list(point) for point in found]


def test_one_array_of_isaac_is_a_front_of_one() -> None:
    axes = (Axis("reduction", 128, Kind.REDUCTION), Axis("filter", 32, Kind.FILTER))
    outcome = search(
        Problem(
            workload=Workload("one", axes),
            device=ISAAC.vary("levels.pe.count", 1),
            model=Analytical(),
            trials=1,
            seed=0,
        )
    )
    assert {choice.arrays for choice in outcome.front} == {1}


@pytest.mark.parametrize(
    ("event", "array", "reduction", "better"),
    [
        # 10 values as 8 + 2 take 3 phases of 4 rows, as 5 + 5 they take 4
        ("conversion", {"active_rows": 4, "skips_unused": True}, 10, (380_000_000, 192, 2)),
        # 5 row tiles as 4 + 1 read one sum back, as 3 + 2 they read two
        ("output_byte", {}, 40, (1_560_000_000, 44, 4)),
    ],
)
def test_what_the_list_leaves_out_can_take_less_energy(
    event: str, array: dict[str, object], reduction: int, better: Point
) -> None:
    said = TINY.to_json()
    component = {"name": "meter", "power": "0 pW", "area": "0 nm2", "event": event, "energy": "1 aJ"}
    said["levels"] = [{"name": "pe", "count": 4, "components": [component]}]
    device = Device.from_json(said).vary_all({f"array.{field}": value for field, value in array.items()})
    workload = matrix_vector(reduction, 1, pixels=2)
    space = [mapping for mapping in literal_space(workload, device) if fits(mapping, device)]
    found = points(search(Problem(workload=workload, device=device, model=Analytical(), trials=1, seed=0)))
    assert better in front(value(mapping, device) for mapping in space)
    assert better not in found
    assert found == front(value(mapping, device) for mapping in space if is_listed(mapping))
