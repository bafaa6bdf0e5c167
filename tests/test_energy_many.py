"""The energy of many mappings in one call (`energies`), against one after another."""

from __future__ import annotations

from math import prod

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cyclecast.device import Device
from cyclecast.energy import energies, energy, least_energies
from cyclecast.mapping import ManyFactors, ManyLevelFactors, Mapping, Mappings
from cyclecast.mapspace import grant
from cyclecast.timing import Analytical
from strategies import decisions, matrix_vector, sketched_mappings

ISAAC = Device.load("isaac")
TINY = Device.load("tiny")


@given(sketched_mappings(), st.data())
def test_many_mappings_each_take_what_they_take_alone(drawn: tuple[Mapping, Device], data: st.DataObject) -> None:
    one, device = drawn
    asked = data.draw(st.lists(decisions(device, one.workload), max_size=4))
    few = [one, *(grant(one.workload, device, each) for each in asked)]
    alone = [energy(mapping, device, Analytical().time(mapping, device)).total.attojoules for mapping in few]
    many = Mappings.of(few)
    found = energies(many, device, Analytical().times(many, device))
    assert found.shape == (len(few),)
    assert [int(amount) for amount in found] == alone


@given(sketched_mappings())
def test_nothing_takes_less_than_the_least(drawn: tuple[Mapping, Device]) -> None:
    mapping, device = drawn
    many = Mappings.of([mapping])
    one = np.ones(1, np.int64)
    levels = tuple(ManyLevelFactors(entry.level, ManyFactors(one, one, one, one)) for entry in many.levels)
    relaxed = Mappings(
        many.workload,
        many.word_lines,
        many.filters,
        levels,
        many.temporal,
        packed=many.packed,
        window=many.window,
        input_stationary=many.input_stationary,
    )
    timings = Analytical().times(many, device)
    least = int(least_energies(relaxed, many.arrays, device, timings)[0])
    assert 0 <= least <= int(energies(many, device, timings)[0])


def test_energies_beyond_64_bits_are_exact() -> None:
    """A terajoule in attojoules, and counts that 64 bits hold."""
    for device, workload in (
        (ISAAC.vary("components.hyper_transport.power", "10000 kW"), matrix_vector(1000, 50, pixels=10**6)),
        (ISAAC, matrix_vector(10**5, 10**5, pixels=10**12)),
    ):
        mapping = grant(workload, device, {})
        many = Mappings.of([mapping, mapping])
        found = energies(many, device, Analytical().times(many, device))
        assert found.dtype == object
        assert list(found) == 2 * [energy(mapping, device, Analytical().time(mapping, device)).total.attojoules]


def test_usual_energies_take_64_bits() -> None:
    mapping = grant(matrix_vector(147, 64, pixels=12544), ISAAC, {})
    many = Mappings.of([mapping])
    assert energies(many, ISAAC, Analytical().times(many, ISAAC)).dtype == np.int64
    assert prod(energies(many, TINY, Analytical().times(many, TINY)).shape) == 1
