"""The exhaustive search against brute force over the literal space."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from math import prod
from time import sleep
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cyclecast._integers import ceil_div
from cyclecast.device import Device
from cyclecast.errors import FitError, OptionError
from cyclecast.mapping import TILE_AXES, Factors, Form, LevelFactors, Mapping, require_fit
from cyclecast.mapspace import grant
from cyclecast.mapspace._tilings import windows
from cyclecast.network import Axis, Kind, Slide, Workload
from cyclecast.search import Exhaustive, begin
from cyclecast.search._base import Problem, SearchResult
from cyclecast.timing import Analytical, Poster, Timing, TimingModel
from strategies import arrays, matrix_vector, port_limits

TINY = Device.load("tiny")
CONVOLUTION = Workload(
    "conv",
    (
        Axis("y", 6, Kind.PIXEL),
        Axis("x", 5, Kind.PIXEL),
        Axis("f", 3, Kind.FILTER),
        Axis("c", 2, Kind.REDUCTION),
        Axis("j", 3, Kind.REDUCTION),
        Axis("i", 3, Kind.REDUCTION),
    ),
    slides=(Slide("y", "j", 6, 3), Slide("x", "i", 5, 3)),
)


class Plain:
    """The analytical model as a user writes one: a mapping at a time."""

    def time(self, mapping: Mapping, device: Device) -> Timing:
        return Analytical().time(mapping, device)


def search(problem: Problem, strategy: Exhaustive | None = None) -> tuple[Mapping, Timing, SearchResult]:
    """The first of the shortest mappings."""
    running = (strategy or Exhaustive()).start(problem)
    best: tuple[Mapping, Timing] | None = None
    while len(batch := running.ask(1000)):
        many = not isinstance(batch, list) and isinstance(problem.model, Analytical)
        alone = [problem.model.time(batch[place], problem.device) for place in range(len(batch))]
        running.tell(Analytical().times(batch, problem.device) if many else alone)  # type: ignore[arg-type]
        for place, timing in enumerate(alone):
            require_fit(batch[place], problem.device)
            if best is None or timing.total < best[1].total:
                best = batch[place], timing
    assert best is not None
    return *best, running.outcome()


def literal_space(workload: Workload, device: Device) -> Iterator[Mapping]:
    """Every legal mapping, one after another: no size and no factor is left out."""
    tables = [
        [
            factors
            for factors in product(range(1, level.count + 1), repeat=len(TILE_AXES))
            if prod(factors) <= level.count
        ]
        for level in device.levels
    ]
    names = [level.name for level in device.levels]
    for window in windows(workload, device):
        form = Form(workload, window)
        sizes = product(range(1, form.values + 1), range(1, form.results + 1), range(1, workload.groups + 1))
        for word_lines, filters, packed in sizes:
            if packed * word_lines > device.word_lines_per_array or packed * filters > device.filters_per_array:
                continue
            tiles = (
                ceil_div(workload.groups, packed),
                ceil_div(form.values, word_lines),
                ceil_div(form.results, filters),
            )
            for chosen in product(*tables):
                spatial = [prod(factors[axis] for factors in chosen) for axis in range(len(TILE_AXES))]
                turns = Factors(*(ceil_div(have, by) for have, by in zip((*tiles, form.vectors), spatial, strict=True)))
                levels = tuple(LevelFactors(name, Factors(*of)) for name, of in zip(names, chosen, strict=True))
                found = Mapping(workload, word_lines, filters, levels, turns, packed=packed, window=window)
                yield found
                if found.passes > 1 < turns.pixel:
                    yield replace(found, input_stationary=True)


@st.composite
def problems(draw: st.DrawFn, model: TimingModel) -> Problem:
    """A workload and a device small enough for brute force."""
    bits = {"activation": draw(st.integers(1, 4)), "weight": draw(st.integers(1, 2))}
    array = draw(arrays(weight_bits=bits["weight"], largest=5))
    names = ("pe", "array")[: draw(st.integers(1, 2))]
    levels = [
        {
            "name": name,
            "count": draw(st.integers(1, 3 if len(names) > 1 else 7)),
            "input_bandwidth": draw(port_limits),
            "output_bandwidth": draw(port_limits),
            "merge_bandwidth": draw(port_limits),
            "shared_port": draw(st.booleans()),
        }
        for name in names
    ]
    device = Device.model_validate(
        {"format": 1, "name": "small", "cites": "none", "bits": bits, "levels": levels, "array": array}
        | {"pipeline": {"fill": draw(st.integers(0, 9))}, "input_bandwidth": draw(port_limits)}
    ).vary("array.write.during_inference", draw(st.booleans()))
    extents = [draw(st.integers(1, most)) for most in (3, 4, 3, 3, 2)]
    kinds = (Kind.GROUP, Kind.PIXEL, Kind.REDUCTION, Kind.FILTER, Kind.REDUCTION)
    axes = tuple(
        Axis(f"{kind.value}{n}", size, kind) for n, (size, kind) in enumerate(zip(extents, kinds, strict=True))
    )
    steps = st.integers(1, 2)
    slide = Slide("pixel1", "reduction2", extents[1], extents[2], stride=draw(steps), dilation=draw(steps))
    workload = Workload("small", axes, bits["activation"], bits["weight"], (slide,) if slide.shares else ())
    return Problem(workload=workload, device=device, model=model, trials=1, seed=0)


def fits(mapping: Mapping, device: Device) -> bool:
    try:
        require_fit(mapping, device)
    except FitError:
        return False
    return True


def no_mapping_is_better(problem: Problem) -> None:
    workload, device = problem.workload, problem.device
    everything = [mapping for mapping in literal_space(workload, device) if fits(mapping, device)]
    if not everything:
        return
    least = min(Analytical().time(mapping, device).total for mapping in everything)
    mapping, timing, outcome = search(problem)
    certificate = outcome.certificate
    assert certificate is not None
    assert timing.total == least == certificate.best == certificate.lower
    assert certificate.gap == 0
    assert certificate.covered == sum(sketch.legal for sketch in outcome.sketches)
    assert mapping in everything


@settings(max_examples=100, deadline=None)
@given(problems(Analytical()))
def test_no_mapping_of_the_literal_space_is_better(problem: Problem) -> None:
    no_mapping_is_better(problem)


@pytest.mark.long
@settings(max_examples=2000, deadline=None)
@given(problems(Analytical()))
def test_no_mapping_of_two_thousand_literal_spaces_is_better(problem: Problem) -> None:
    no_mapping_is_better(problem)


@pytest.mark.parametrize(
    ("rate", "pixels", "wins"), [("18.000000829 MHz", 2, False), ("1 GHz", 6, True)], ids=["ties", "wins"]
)
def test_inputs_that_are_stationary_move_less_though_all_weights_fit(rate: str, pixels: int, wins: bool) -> None:
    """Three column tiles fit at once, but one after another they take the inputs once: no bound may forget that."""
    said: dict[str, object] = {
        "rows": 2,
        "cols": 1,
        "active_rows": 1,
        "active_cols": 1,
        "cell_bits": 1,
        "dac_bits": 1,
        "adc_bits": 1,
    }
    said |= {"adc_rate": rate, "adcs": 1, "adc_overlap": False, "read": "1 fs", "skips_unused": False}
    said |= {"write": {"pulse": "1 fs", "verify": "1 fs", "pulses": 1, "rows": 1, "cols": 1, "arrays": 1}}
    device = Device.model_validate(
        {"format": 1, "name": "small", "cites": "none", "bits": {"activation": 3, "weight": 1}, "array": said}
        | {"levels": [{"name": "pe", "count": 3, "input_bandwidth": "1 MB/s"}], "pipeline": {"fill": 0}}
    )
    sizes = {Kind.PIXEL: pixels, Kind.FILTER: 3, Kind.REDUCTION: 2}
    workload = Workload("small", tuple(Axis(kind.value, size, kind) for kind, size in sizes.items()), 3, 1)
    problem = Problem(workload=workload, device=device, model=Analytical(), trials=1, seed=0)
    no_mapping_is_better(problem)
    assert search(problem)[0].input_stationary is wins


@settings(max_examples=15, deadline=None)
@given(problems(Plain()))
def test_a_plain_model_is_searched_as_well(problem: Problem) -> None:
    assume(fits(grant(problem.workload, problem.device, {}), problem.device))
    outcome = search(problem)[2]
    assert outcome.certificate is not None
    best = search(Problem(workload=problem.workload, device=problem.device, model=Analytical(), trials=1, seed=0))[
        1
    ].total
    assert (outcome.certificate.best, outcome.certificate.gap) == (best, 0)


@given(problems(Analytical()))
def test_no_mapping_is_asked_for_twice(problem: Problem) -> None:
    assume(fits(grant(problem.workload, problem.device, {}), problem.device))
    running = Exhaustive().start(problem)
    first = running.ask(1)
    running.tell([Analytical().time(first[0], problem.device)])
    seen = {first[0]}
    while len(batch := running.ask(64)):
        assert len(batch) <= 64
        found = [batch[place] for place in range(len(batch))]
        assert len({*found} - seen) == len(found)
        seen |= {*found}
        running.tell(Analytical().times(batch, problem.device))  # type: ignore[arg-type]


def test_a_search_that_is_cut_short_says_how_good_it_is_at_least() -> None:
    problem = Problem(workload=CONVOLUTION, device=TINY, model=Analytical(), trials=1, seed=0)
    whole, short = search(problem)[2], search(problem, Exhaustive(most=1))[2]
    assert whole.certificate is not None
    assert short.certificate is not None
    assert (whole.note, short.note) == ("", "stopped after 1 mappings")
    assert short.certificate.best >= whole.certificate.best >= short.certificate.lower
    assert short.certificate.gap != 0
    assert (short.certificate.timed, short.certificate.covered) == (1, 1)


def test_calls_of_a_plain_model_are_bounded() -> None:
    outcome = search(Problem(workload=CONVOLUTION, device=TINY, model=Plain(), trials=1, seed=0), Exhaustive(calls=20))[
        2
    ]
    assert "stopped" in outcome.note


def test_a_slow_model_is_declined() -> None:
    class Slow(Plain):
        def time(self, mapping: Mapping, device: Device) -> Timing:
            sleep(0.002)
            return super().time(mapping, device)

    assert "too long" in Exhaustive().declines(
        Problem(workload=CONVOLUTION, device=TINY, model=Slow(), trials=1, seed=0)
    )
    assert Exhaustive().declines(Problem(workload=CONVOLUTION, device=TINY, model=Analytical(), trials=1, seed=0)) == ""


def test_a_device_of_too_many_ways_is_declined() -> None:
    wide = TINY.vary_all({"levels.cu.count": 1_000_000})
    problem = Problem(workload=CONVOLUTION, device=wide, model=Analytical(), trials=4, seed=0)
    assert Exhaustive().declines(problem).endswith("ways, too many to look at all")
    found = begin(Exhaustive(), problem)
    assert len(found.ask(4)) == 4
    assert found.outcome().strategy == "random"
    assert "too many" in found.outcome().note


@pytest.mark.parametrize("field", ["most", "calls"])
def test_nothing_to_time_is_an_error(field: str) -> None:
    said: dict[str, Any] = {field: 0}
    with pytest.raises(OptionError, match=f"{field}=0"):
        replace(Exhaustive(), **said)


def test_a_model_that_breaks_the_laws_is_declined_unless_its_own_bound_is_met() -> None:
    """The poster's remainders: 2 groups of 5 values on word lines of 8 are faster in larger tiles."""
    exact = Problem(workload=matrix_vector(8, 2, pixels=6), device=TINY, model=Poster(), trials=1, seed=0)
    assert Exhaustive().declines(exact) == ""
    assert search(exact)[2].certificate is not None
    loose = Problem(workload=matrix_vector(5, 1, pixels=40, groups=2), device=TINY, model=Poster(), trials=1, seed=0)
    assert "no bound can follow" in Exhaustive().declines(loose)


def test_nothing_timed_proves_nothing() -> None:
    class Refusing(Plain):
        def time(self, mapping: Mapping, device: Device) -> Timing:
            raise FitError("model", "everything")

    running = Exhaustive().start(Problem(workload=matrix_vector(5, 3), device=TINY, model=Refusing(), trials=1, seed=0))
    while len(batch := running.ask(100)):
        running.tell([None] * len(batch))
    assert running.outcome().certificate is None
    assert running.outcome().note == "no mapping was timed"
