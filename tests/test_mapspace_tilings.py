"""The laid-out space against what it stands for."""

from __future__ import annotations

from itertools import product
from math import prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cyclecast._integers import ceil_div
from cyclecast.device import Device
from cyclecast.mapping import TILE_AXES
from cyclecast.mapspace import Tilings, every_tiling, forms, inner, sketches, tilings
from cyclecast.mapspace._tilings import combinations, count_combinations, smallest_sizes, windows
from cyclecast.network import Axis, Kind, Slide, Workload
from strategies import matrix_vector

TINY = Device.load("tiny")
KERNEL = Workload(
    "conv",
    (
        Axis("y", 4, Kind.PIXEL),
        Axis("x", 5, Kind.PIXEL),
        Axis("f", 2, Kind.FILTER),
        Axis("j", 2, Kind.REDUCTION),
        Axis("i", 2, Kind.REDUCTION),
    ),
    slides=(Slide("y", "j", 4, 2), Slide("x", "i", 5, 2)),
)


@given(st.integers(1, 300), st.integers(1, 300))
def test_the_smallest_size_for_every_number_of_tiles(extent: int, most: int) -> None:
    sizes = smallest_sizes(extent, most).tolist()
    counts = {ceil_div(extent, size) for size in range(1, most + 1)}
    assert [ceil_div(extent, size) for size in sizes] == sorted(counts)
    assert all(size == 1 or ceil_div(extent, size - 1) > ceil_div(extent, size) for size in sizes)


@pytest.mark.parametrize("count", [1, 2, 7, 12])
def test_combinations_are_all_that_a_level_can_hold(count: int) -> None:
    held = [of for of in product(range(1, count + 1), repeat=len(TILE_AXES)) if prod(of) <= count]
    assert sorted(map(tuple, combinations(count).tolist())) == sorted(held)
    assert count_combinations(count) == len(held)


@given(st.tuples(*4 * [st.integers(1, 30)]))
def test_inner_factors_take_what_no_fewer_would(tiles: tuple[int, ...]) -> None:
    """Every result of all combinations is kept once, with its least factors."""
    wanted = set()
    for cu in combinations(TINY.levels[1].count).tolist():
        for array in combinations(TINY.levels[2].count).tolist():
            left = [(ceil_div(have, a), c) for have, a, c in zip(tiles, array, cu, strict=True)]
            least = all(
                a == 1 or ceil_div(have, a - 1) > ceil_div(have, a) for have, a in zip(tiles, array, strict=True)
            )
            if least and all(c == 1 or ceil_div(have, c - 1) > ceil_div(have, c) for have, c in left):
                wanted.add((*cu, *array))
    found = inner(TINY, tiles)
    assert {tuple(map(int, row)) for row in np.stack([*found.factors[0], *found.factors[1]]).T} == wanted
    for axis in range(len(TILE_AXES)):
        assert (found.inside[axis] == found.factors[0][axis] * found.factors[1][axis]).all()


def test_windows_fit_an_array_with_one_channel_and_one_filter() -> None:
    """An array of tiny has 8 word lines and 2 filters of 4 columns: two outputs meet 3 x 2 inputs."""
    assert windows(KERNEL, TINY) == [(), (1, 2), (2, 1)]
    assert windows(matrix_vector(9, 9), TINY) == [()]


@given(st.integers(1, 9), st.integers(1, 20), st.integers(1, 9))
def test_no_tiling_is_below_its_form(groups: int, reduction: int, filters: int) -> None:
    workload = matrix_vector(reduction, filters, pixels=3, groups=groups)
    known = forms(workload, TINY)
    for place in range(len(known)):
        form = known[place : place + 1]
        cut = tilings(workload, TINY, form)
        assert (cut.packed == form.packed).all()
        assert (cut.word_lines * cut.packed).max() <= TINY.word_lines_per_array
        assert (cut.filters * cut.packed).max() <= TINY.filters_per_array
        assert [int(count.min()) for count in cut.tiles] == [int(count[0]) for count in form.tiles]


def test_perfect_tilings_leave_nothing_empty() -> None:
    workload = matrix_vector(12, 6, groups=4)
    known = forms(workload, TINY)
    for place in range(len(known)):
        cut = tilings(workload, TINY, known[place : place + 1], perfect=True)
        assert (12 % cut.word_lines == 0).all()
        assert (6 % cut.filters == 0).all()
        assert (4 % cut.packed == 0).all()


def test_points_are_counted_as_they_are() -> None:
    """Word lines, filters and factors of every level of any size; packed groups take room from each other."""
    workload = matrix_vector(3, 2, pixels=4, groups=2)
    device = TINY.vary_all({"levels.pe.count": 1, "levels.cu.count": 1, "levels.array.count": 2})
    plain, packed = 3 * 2, 3 * 1
    factors, held = 2**4, len(combinations(2))
    assert {of.rules: (of.points, of.legal) for of in sketches(workload, device)} == {
        "im2col": (plain * factors, plain * held),
        "im2col+order": (plain * factors, plain * held),
        "im2col+pack": (plain * factors, packed * held),
        "im2col+pack+order": (plain * factors, packed * held),
    }


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 40), st.integers(1, 12))
def test_every_tiling_is_those_of_all_forms(reduction: int, filters: int, pixels: int, groups: int) -> None:
    for device in (TINY, Device.load("isaac")):
        for workload in (KERNEL, matrix_vector(reduction, filters, pixels, groups)):
            every = forms(workload, device)
            parts = [tilings(workload, device, every[np.array([place])]) for place in range(len(every))]
            wanted, found = Tilings.joined(parts), every_tiling(workload, device)
            assert [each.tolist() for each in found.columns] == [each.tolist() for each in wanted.columns]
