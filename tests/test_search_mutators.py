from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cyclecast.device import Device
from cyclecast.mapping import require_fit
from cyclecast.mapspace import FILTERS, PACK, PACKED, WINDOWS, WORD_LINES, choices, grant
from cyclecast.network import Workload
from cyclecast.search.mutators import Mutator, RebindLevel, RebindTiles, Replicate, ResizeTile, Retile, change_one
from strategies import devices, matrix_vector, workloads

MUTATORS: list[Mutator] = [RebindTiles(), Replicate(), ResizeTile()]
"""Those that change one decision."""
WIDER: list[Mutator] = [RebindLevel(), Retile()]
"""Those that change several at once."""
ALL = [*MUTATORS, *WIDER]

OFFERS = {
    WORD_LINES: (1, 2, 4),
    FILTERS: (1, 2),
    PACKED: (2, 3),
    "window.x": (1, 3),
    "pe.group": (1, 2),
    "pe.row": (1, 3),
    "pe.column": (1, 2),
    "pe.pixel": (1, 5),
}
MINE = {
    RebindTiles: {"pe.group", "pe.row", "pe.column"},
    Replicate: {"pe.pixel"},
    ResizeTile: {WORD_LINES, FILTERS, PACKED, "window.x"},
}

seeds = st.integers(min_value=0, max_value=2**32)


def changes(before: Mapping[str, int], after: Mapping[str, int]) -> list[str]:
    assert list(after) == list(before)
    return [name for name, value in before.items() if after[name] != value]


def drawn(offers: Mapping[str, Sequence[int]], rng: Random) -> dict[str, int]:
    return {name: rng.choice(values) for name, values in offers.items()}


@pytest.mark.parametrize("mutator", MUTATORS)
@given(data=st.data(), seed=seeds)
def test_exactly_one_decision_changes_to_another_on_offer(mutator: Mutator, data: st.DataObject, seed: int) -> None:
    device = data.draw(devices())
    opened = data.draw(st.sets(st.sampled_from([WINDOWS, PACK])))
    offers = choices(data.draw(workloads(bits=device.bits)), device, opened)
    rng = Random(seed)
    before = drawn(offers, rng)
    kept = dict(before)
    after = mutator.apply(before, offers, rng)
    assert before == kept
    if after is not None:
        (name,) = changes(before, after)
        assert after[name] in offers[name]


@pytest.mark.parametrize("mutator", WIDER)
@given(data=st.data(), seed=seeds)
def test_several_decisions_change_to_others_on_offer(mutator: Mutator, data: st.DataObject, seed: int) -> None:
    device = data.draw(devices())
    opened = data.draw(st.sets(st.sampled_from([WINDOWS, PACK])))
    workload = data.draw(workloads(bits=device.bits))
    offers = choices(workload, device, opened)
    rng = Random(seed)
    before = drawn(offers, rng)
    kept = dict(before)
    after = mutator.apply(before, offers, rng)
    assert before == kept
    if after is not None:
        assert all(after[name] in offers[name] for name in changes(before, after))
        grant(workload, device, after)  # a `Mapping` checks its laws


def test_other_tiles_come_with_other_factors_in_one_step() -> None:
    """Every pair of values of two decisions far apart is reached from any candidate at once."""
    before = {name: values[0] for name, values in OFFERS.items()}
    afters = [after for seed in range(2000) if (after := Retile().apply(before, OFFERS, Random(seed)))]
    for one, other in (("window.x", PACKED), (WORD_LINES, FILTERS), ("window.x", WORD_LINES)):
        assert {(after[one], after[other]) for after in afters} == set(product(OFFERS[one], OFFERS[other]))
    assert {after["pe.pixel"] for after in afters} == {1, 5}


def test_inner_levels_are_dealt_out_and_the_outermost_is_asked_for_all() -> None:
    offers = {WORD_LINES: (1, 2)} | {
        f"{level}.{axis}": tuple(range(1, count + 1))
        for level, count in (("array", 8), ("pe", 6))
        for axis in ("row", "column", "pixel")
    }
    before = {name: values[0] for name, values in offers.items()}
    afters = [after for seed in range(500) if (after := Retile().apply(before, offers, Random(seed)))]
    dealt = [after for after in afters if after["pe.row"] > 1]
    assert len(dealt) > len(afters) / 2
    for after in dealt:
        assert (after["pe.row"], after["pe.column"], after["pe.pixel"]) == (6, 6, 6)
        assert after["array.row"] * after["array.column"] * after["array.pixel"] <= 8
    assert {after["array.row"] for after in dealt} == set(range(1, 9))


@pytest.mark.parametrize("mutator", MUTATORS)
def test_every_rule_changes_its_own_decisions_and_all_of_them(mutator: Mutator) -> None:
    before = {name: values[0] for name, values in OFFERS.items()}
    afters = [mutator.apply(before, OFFERS, Random(seed)) for seed in range(100)]
    changed = {name for after in afters if after is not None for name in changes(before, after)}
    assert None not in afters
    assert changed == MINE[type(mutator)]


def test_every_other_value_is_reached() -> None:
    before = dict.fromkeys(OFFERS, 2)
    afters = [change_one(before, OFFERS, [WORD_LINES], Random(seed)) for seed in range(100)]
    assert {after[WORD_LINES] for after in afters if after is not None} == {1, 4}


@pytest.mark.parametrize("mutator", ALL)
@given(seed=seeds)
def test_the_seed_decides(mutator: Mutator, seed: int) -> None:
    before = {name: values[0] for name, values in OFFERS.items()}
    assert mutator.apply(before, OFFERS, Random(seed)) == mutator.apply(before, OFFERS, Random(seed))


@pytest.mark.parametrize("mutator", ALL)
@pytest.mark.parametrize(
    "offers", [{}, {name: values[:1] for name, values in OFFERS.items()}], ids=["none", "one each"]
)
def test_nothing_to_change_is_no_proposal(mutator: Mutator, offers: Mapping[str, Sequence[int]]) -> None:
    assert mutator.apply({name: values[0] for name, values in offers.items()}, offers, Random(0)) is None


@pytest.mark.parametrize("mutator", ALL)
def test_decisions_that_are_not_on_offer_stay(mutator: Mutator) -> None:
    before = {name: values[0] for name, values in OFFERS.items()} | {"other.pixel": 7, "other.row": 9}
    for seed in range(20):
        after = mutator.apply(before, OFFERS, Random(seed))
        assert after is not None or mutator in WIDER
        assert after is None or (after["other.pixel"], after["other.row"]) == (7, 9)


ISAAC, TINY = Device.load("isaac"), Device.load("tiny")
WALKS = [
    (device, workload)
    for device in (
        TINY,
        TINY.vary_all({"array.rows": 5, "array.active_rows": 3}),
        TINY.vary_all({"levels.pe.count": 7, "levels.cu.count": 5, "levels.array.count": 30}),
        ISAAC,
        ISAAC.vary_all({"levels.pe.count": 1, "array.cols": 60}),
    )
    for workload in (
        matrix_vector(27, 64, pixels=112 * 112),  # a first layer
        matrix_vector(9, 1, pixels=28 * 28, groups=96),  # depthwise
        matrix_vector(2048, 1000),  # fully connected
        matrix_vector(131, 37, pixels=13, groups=3),  # odd sizes
    )
]
"""Of 50,000 mutations each: a million."""


@pytest.mark.slow
@pytest.mark.parametrize(("device", "workload"), WALKS)
def test_mutations_break_no_law(device: Device, workload: Workload) -> None:
    walk(device, workload, 5_000)


@pytest.mark.long
@pytest.mark.parametrize(("device", "workload"), WALKS)
def test_a_million_mutations_break_no_law(device: Device, workload: Workload) -> None:
    walk(device, workload, 50_000)


def walk(device: Device, workload: Workload, mutations: int) -> None:
    offers = choices(workload, device)
    on_offer = {name: frozenset(values) for name, values in offers.items()}
    rng = Random(0)
    current = drawn(offers, rng)
    proposed = 0
    while proposed < mutations:
        after = rng.choice(MUTATORS).apply(current, offers, rng)
        if after is None:  # this rule has nothing to change here
            continue
        proposed += 1
        (name,) = changes(current, after)
        assert after[name] in on_offer[name]
        require_fit(grant(workload, device, after), device)  # a `Mapping` checks its laws
        current = after
