"""Laws of the analytical model over workloads: more work rarely takes less time, and never fewer events."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cyclecast._integers import ceil_div
from cyclecast.device import Device
from cyclecast.errors import CyclecastError
from cyclecast.mapping import Factors, Form, LevelFactors, Mapping
from cyclecast.network import Axis, Kind, Workload
from cyclecast.timing import Analytical, EventDriven, TimingModel
from cyclecast.units import Time
from strategies import sketched_mappings


def with_more(workload: Workload, kind: Kind, more: int) -> Workload:
    """So many more of this kind, beside the axes that slide: other outputs share other inputs."""
    sliding = {name for slide in workload.slides for name in (slide.pixel, slide.kernel)}
    kept = tuple(axis for axis in workload.axes if axis.name in sliding)
    beside = {
        each: prod(axis.extent for axis in workload.axes if axis not in kept and axis.kind is each) for each in Kind
    }
    axes = tuple(Axis(each, extent + (more if each is kind else 0), each) for each, extent in beside.items())
    return replace(workload, axes=(*kept, *axes))


def spread(mapping: Mapping, workload: Workload) -> Mapping:
    """The same tiles of another workload on the same instances, in as many steps as it takes."""
    form = Form(workload, mapping.window)
    tiles = {
        "group": ceil_div(workload.groups, mapping.packed),
        "row": ceil_div(form.values, mapping.word_lines),
        "column": ceil_div(form.results, mapping.filters),
        "pixel": form.vectors,
    }
    for entry in mapping.levels:
        tiles = {axis: ceil_div(number, getattr(entry.factors, axis)) for axis, number in tiles.items()}
    return replace(mapping, workload=workload, temporal=Factors(**tiles))


def at_once(mapping: Mapping) -> int:
    """The least number of pixels in a step, as A22 shares them."""
    vectors: int = Form(mapping.workload, mapping.window).vectors
    return vectors // mapping.temporal.pixel


@pytest.mark.parametrize("kind", Kind)
@given(drawn=sketched_mappings(), more=st.integers(min_value=1, max_value=5))
def test_more_work_in_the_same_place_is_never_faster(kind: Kind, drawn: tuple[Mapping, Device], more: int) -> None:
    mapping, device = drawn
    assert spread(mapping, with_more(mapping.workload, kind, 0)).temporal == mapping.temporal
    larger = spread(mapping, with_more(mapping.workload, kind, more))
    before, after = (Analytical().time(each, device) for each in (mapping, larger))
    if at_once(larger) >= at_once(mapping):
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


@pytest.mark.parametrize("model", [Analytical(), EventDriven()], ids=["analytical", "event"])
def test_two_small_steps_can_be_faster_than_one_large_step(model: TimingModel) -> None:
    """Results of the first of two steps leave while inputs of the second arrive: 11 pixels are faster than 9."""
    device = Device.load("tiny").vary_all(
        {
            "levels.pe.output_bandwidth": "0.6 GB/s",
            "levels.array.count": 10,
            "array.read": "0.1 ns",
            "array.adc_rate": "1000 GS/s",
        }
    )
    levels = tuple(LevelFactors(name, Factors(pixel=10 if name == "array" else 1)) for name in ("pe", "cu", "array"))

    def time(pixels: int, steps: int) -> Time:
        axes = (Axis("k", 8, Kind.REDUCTION), Axis("n", 2, Kind.FILTER), Axis("m", pixels, Kind.PIXEL))
        workload = Workload("product", axes, 8, 8)
        return model.time(Mapping(workload, 8, 2, levels, Factors(pixel=steps)), device).total

    assert time(11, 2) < time(9, 1) < time(10, 1)
    assert time(20, 2) > time(10, 1)
