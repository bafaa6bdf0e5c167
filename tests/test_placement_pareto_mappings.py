"""Ways to keep a workload in arrays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cyclecast._integers import ceil_div
from cyclecast.device import Device
from cyclecast.mapping import Factors, LevelFactors, Mapping, require_fit
from cyclecast.mapspace import forms, tilings
from cyclecast.mapspace._tilings import combinations
from cyclecast.network import Workload
from cyclecast.placement import _pareto_mappings
from cyclecast.placement._pareto_mappings import ParetoMappings, least_arrays, pareto_mappings, stage_time
from cyclecast.timing import Analytical, Phase, Timing, TimingModel
from cyclecast.units import Time
from placed import conv, dense

ISAAC = Device.load("isaac")
SMALL = Device.load("tiny")
MODEL = Analytical()


def every(workload: Workload, device: Device) -> list[Mapping]:
    """Every mapping of the space whose weights stay, on a device of two levels."""
    found = []
    outer, inner = (combinations(level.count) for level in device.levels)
    form = forms(workload, device)
    for place in range(len(form)):
        cut = tilings(workload, device, form[np.array([place])])
        for at in range(len(cut)):
            window = tuple(int(size[at]) for size in cut.window)
            tiles = [int(count[at]) for count in cut.tiles]
            for above in outer.tolist():
                for below in inner.tolist():
                    spatial = [a * b for a, b in zip(above, below, strict=True)]
                    turns = [int(ceil_div(t, s)) for t, s in zip(tiles, spatial, strict=True)]
                    if turns[:3] == [1, 1, 1]:
                        levels = tuple(
                            LevelFactors(level.name, Factors(*factors))
                            for level, factors in zip(device.levels, (above, below), strict=True)
                        )
                        found.append(
                            Mapping(workload, int(cut.word_lines[at]), int(cut.filters[at]), levels, Factors(*turns),
                                    packed=int(cut.packed[at]), window=window if max(window, default=1) > 1 else ())
                        )  # fmt: skip
    return found


LEVELS = [{"name": "pe", "count": 3}, {"name": "array", "count": 4}]
TWO_LEVELS = Device.from_json(SMALL.to_json() | {"levels": LEVELS})


@given(st.tuples(st.integers(1, 5), st.integers(1, 6), st.integers(1, 20), st.sampled_from([1, 3]), st.integers(1, 2)))
def test_no_resident_mapping_is_better_where_nothing_moves(shape: tuple[int, int, int, int, int]) -> None:
    workload = conv(*shape)
    found = pareto_mappings(workload, TWO_LEVELS, MODEL, TWO_LEVELS.arrays)
    best: dict[int, int] = {}
    for mapping in every(workload, TWO_LEVELS):
        time = stage_time(MODEL.time(mapping, TWO_LEVELS))
        best[mapping.arrays] = min(time, best.get(mapping.arrays, time))
    if not best:
        assert found is None
        return
    assert found is not None
    front, shortest = [], None
    for arrays in sorted(best):
        if shortest is None or best[arrays] < shortest:
            shortest = best[arrays]
            front.append((arrays, shortest))
    assert list(zip(found.arrays, found.times, strict=True)) == front


@pytest.mark.parametrize("workload", [conv(28, 128, 128, 3), conv(56, 3, 64, 7, 2), dense(512, 1000)], ids=str)
def test_options_are_legal_and_timed_by_the_model(workload: Workload) -> None:
    found = pareto_mappings(workload, ISAAC, MODEL, ISAAC.arrays)
    assert found is not None
    assert sorted(found.arrays) == list(found.arrays)
    assert sorted(found.times, reverse=True) == list(found.times)
    for arrays, time, mapping in zip(found.arrays, found.times, found.mappings, strict=True):
        require_fit(mapping, ISAAC)
        assert mapping.passes == 1
        assert mapping.arrays == arrays
        assert stage_time(MODEL.time(mapping, ISAAC)) == time


def test_the_tiles_of_one_mapping() -> None:
    whole = pareto_mappings(conv(28, 128, 128, 3), ISAAC, MODEL, ISAAC.arrays)
    assert whole is not None
    cut = pareto_mappings(whole.workload, ISAAC, MODEL, ISAAC.arrays, whole.mappings[0])
    assert cut is not None
    assert {(m.word_lines, m.filters, m.window) for m in cut.mappings} == {
        (whole.mappings[0].word_lines, whole.mappings[0].filters, whole.mappings[0].window)
    }
    assert cut.arrays[0] == whole.arrays[0] == least_arrays(whole.workload, ISAAC)


def test_a_budget_is_kept() -> None:
    found = pareto_mappings(conv(28, 128, 128, 3), ISAAC, MODEL, 100)
    assert found is not None
    assert max(found.arrays) <= 100
    assert pareto_mappings(dense(4096, 4096), ISAAC, MODEL, 100) is None


def test_a_model_that_times_one_mapping_at_a_time() -> None:
    class Slow:
        def time(self, mapping: Mapping, device: Device) -> Timing:
            return Timing((Phase("work", Time(10**6 * int(mapping.temporal.pixel))),), device.array.read)

    model: TimingModel = Slow()
    found = pareto_mappings(conv(14, 64, 64, 3), ISAAC, model, ISAAC.arrays)
    assert found is not None
    assert [10**6 * m.temporal.pixel for m in found.mappings] == list(found.times)


@given(st.integers(1, 3000), st.integers(1, 50), st.integers(1, 4000))
def test_every_number_of_replicas_that_saves_a_step(vectors: int, held: int, most: int) -> None:
    replicas, steps = _pareto_mappings._replicas(vectors, held, most)
    numbers = np.arange(1, min(vectors, most // held) + 1)
    wanted = np.unique(ceil_div(vectors, numbers))
    assert steps.tolist() == wanted.tolist()
    assert replicas.tolist() == ceil_div(vectors, wanted).tolist()


def test_few_tilings_are_looked_at_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of tens of thousands that bounds leave, those that cannot be on the front go together."""
    looked, is_open = [], _pareto_mappings._MappingSearch._open

    def look(search: _pareto_mappings._MappingSearch, tiling: int) -> object:
        looked.append(tiling)
        return is_open(search, tiling)

    monkeypatch.setattr(_pareto_mappings._MappingSearch, "_open", look)
    large = conv(14, 640, 512, 3)
    assert pareto_mappings(large, ISAAC, MODEL, ISAAC.arrays)
    assert len(looked) < 200 < 10_000 < len(_pareto_mappings._tilings(large, ISAAC, None))


def test_within_takes_the_fewest_arrays() -> None:
    ways = ParetoMappings(workload=dense(1, 1), arrays=(1, 2, 4), times=(40, 20, 10), mappings=())
    assert [ways.within(time) for time in (100, 40, 39, 20, 10, 9)] == [0, 0, 1, 1, 2, None]


class Renamed:
    """The analytical model, its phases called otherwise."""

    def time(self, mapping: Mapping, device: Device) -> Timing:
        usual = MODEL.time(mapping, device)
        return replace(usual, phases=tuple(replace(phase, name=f"my {phase.name}") for phase in usual.phases))


def test_names_of_phases_decide_nothing() -> None:
    ours, renamed = (pareto_mappings(dense(512, 256), ISAAC, model, 64) for model in (MODEL, Renamed()))
    assert ours is not None
    assert renamed is not None
    assert (list(ours.arrays), list(ours.times)) == (list(renamed.arrays), list(renamed.times))
