"""Laws of the analytical model over workloads: more work never takes less time, and never fewer events."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cyclecast.device import Device
from cyclecast.errors import CyclecastError
from cyclecast.exact import ceil_div
from cyclecast.mapping import Factors, LevelFactors, Mapping
from cyclecast.timing import Analytical
from cyclecast.workload import Axis, Kind, Workload
from strategies import sketched_mappings


def spread(workload: Workload, word_lines: int, filters: int, packed: int, levels: tuple[LevelFactors, ...]) -> Mapping:
    """These tiles on these instances, in as many steps as it takes."""
    tiles = {
        "group": ceil_div(workload.groups, packed),
        "row": ceil_div(workload.reduction, word_lines),
        "column": ceil_div(workload.filters, filters),
        "pixel": workload.pixels,
    }
    for entry in levels:
        tiles = {axis: ceil_div(number, getattr(entry.factors, axis)) for axis, number in tiles.items()}
    return Mapping(workload, word_lines, filters, levels, Factors(**tiles), packed)


@pytest.mark.parametrize("kind", Kind)
@given(drawn=sketched_mappings(), more=st.integers(min_value=1, max_value=5))
def test_more_work_in_the_same_place_is_never_faster(kind: Kind, drawn: tuple[Mapping, Device], more: int) -> None:
    mapping, device = drawn
    extents = {each: mapping.workload.extent(each) for each in Kind}
    axes = tuple(Axis(each, extent + (more if each is kind else 0), each) for each, extent in extents.items())
    larger = spread(
        replace(mapping.workload, axes=axes), mapping.word_lines, mapping.filters, mapping.packed, mapping.levels
    )
    before, after = (Analytical().time(each, device) for each in (mapping, larger))
    assert after.total >= before.total
    assert before.events is not None
    assert after.events is not None
    for name in ("macs", "products", "conversions", "row_drives", "cell_reads", "cells", "cell_writes"):
        assert getattr(after.events, name) >= getattr(before.events, name), name


@pytest.mark.parametrize("width", ["activation", "weight"])
@given(drawn=sketched_mappings(), more=st.integers(min_value=1, max_value=3))
def test_more_bits_are_never_faster(width: str, drawn: tuple[Mapping, Device], more: int) -> None:
    mapping, device = drawn
    bits = {"activation": device.bits.activation, "weight": device.bits.weight}
    bits[width] += more
    try:
        finer = device.vary_all({f"bits.{name}": value for name, value in bits.items()})
    except CyclecastError:
        assume(False)
    wider = replace(mapping.workload, input_bits=bits["activation"], weight_bits=bits["weight"])
    carried = replace(mapping, workload=wider)
    assume(mapping.packed * mapping.filters <= finer.filters_per_array)
    assert Analytical().time(carried, finer).total >= Analytical().time(mapping, device).total
