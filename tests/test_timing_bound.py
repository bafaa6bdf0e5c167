"""Every estimate lies between its bounds, and the lower one is the workload's and the device's alone."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cyclecast.device import Device
from cyclecast.mapping import Factors, LevelFactors, Mapping
from cyclecast.mapspace import WORD_LINES, default_mapping, grant, window_name
from cyclecast.network import Axis, Kind, Slide, Workload
from cyclecast.timing import BUILT_IN, Bounds, Fixed, Poster, Timing, bounds, bounds_of, timing_model
from cyclecast.units import Bandwidth, Time
from strategies import decisions, devices, matrix_vector, sketched_mappings, unlimited, workloads

TINY = Device.load("tiny")
ISAAC = Device.load("isaac")
WHOLE = [name for name in sorted(BUILT_IN) if name in ("analytical", "event")]
"""The models that know the whole device."""


@pytest.mark.parametrize("name", [*WHOLE, "poster"])
@given(drawn=sketched_mappings())
def test_every_time_lies_between_its_bounds(name: str, drawn: tuple[Mapping, Device]) -> None:
    mapping, device = drawn
    model = timing_model(name)
    found = bounds_of(model, mapping, device)
    assert found.lower <= model.time(mapping, device).total <= found.upper


@given(st.data())
def test_the_lower_bound_does_not_depend_on_the_mapping(data: st.DataObject) -> None:
    device = data.draw(devices())
    workload = data.draw(workloads(bits=device.bits))
    one, other = (grant(workload, device, data.draw(decisions(device, workload))) for _ in range(2))
    for find in (bounds, Poster().bounds):
        assert find(one, device).lower == find(other, device).lower
        assert find(one, device).lower_by == find(other, device).lower_by


@pytest.mark.parametrize("name", [*WHOLE, "poster"])
@given(data=st.data())
def test_the_best_of_many_is_no_faster_than_the_lower_bound_of_any(name: str, data: st.DataObject) -> None:
    model, device = timing_model(name), data.draw(devices())
    workload = data.draw(workloads(bits=device.bits, largest=12))
    found = [grant(workload, device, data.draw(decisions(device, workload))) for _ in range(6)]
    windows = [{window_name(slide): size for slide in workload.slides} for size in range(2, 6)]
    found += [grant(workload, device, {**window, **size}) for window in windows for size in ({}, {WORD_LINES: 1})]
    best = min(model.time(mapping, device).total for mapping in found)
    assert bounds_of(model, grant(workload, device, {}), device).lower <= best


@given(sketched_mappings(), st.data())
def test_a_better_device_never_has_a_higher_lower_bound(drawn: tuple[Mapping, Device], data: st.DataObject) -> None:
    mapping, device = drawn
    level = data.draw(st.sampled_from(device.levels))
    array, write = device.array, device.array.write
    better: dict[str, object] = {
        f"levels.{level.name}.count": level.count + data.draw(st.integers(1, 5)),
        "array.read": Time(max(1, array.read.femtoseconds // 2)),
        "array.active_rows": array.rows,
        "array.active_cols": array.cols,
        "array.skips_unused": True,
        "array.write.arrays": write.arrays + 1,
        "array.write.pulses": max(1, write.pulses - 1),
        "pipeline.fill": max(device.pipeline.before, device.pipeline.fill - 1),
    }
    if not array.digital:
        better |= {"array.adcs": min(array.adcs + 1, array.cols), "array.adc_overlap": True}
    if level.output_bandwidth:
        better[f"levels.{level.name}.output_bandwidth"] = Bandwidth(2 * level.output_bandwidth.bytes_per_second)
    field = data.draw(st.sampled_from(sorted(better)))
    assert bounds(mapping, device.vary(field, better[field])).lower <= bounds(mapping, device).lower


@given(sketched_mappings())
def test_one_more_pixel_never_lowers_a_bound(drawn: tuple[Mapping, Device]) -> None:
    mapping, device = drawn
    workload = mapping.workload
    more = grant(replace(workload, axes=(*workload.axes, Axis("more", 2, Kind.PIXEL))), device, {})
    assert bounds(more, device).lower >= bounds(mapping, device).lower
    assert Poster().bounds(more, device).lower >= Poster().bounds(mapping, device).lower


def test_arrays_by_hand() -> None:
    """8 x 2 weights fill an array of tiny; 80 pixels on 8 arrays are 10 products of 8 steps, and 6 cycles."""
    found = bounds(default_mapping(matrix_vector(8, 2, pixels=80), TINY), TINY)
    assert (found.lower, found.lower_by) == (Time.parse("860 ns"), "work")


def slid(outputs: int, stride: int = 1) -> Workload:
    """One filter of 3 taps."""
    axes = (Axis("x", outputs, Kind.PIXEL), Axis("t", 3, Kind.REDUCTION))
    return Workload("slid", axes, slides=(Slide("x", "t", outputs, 3, stride=stride),))


def test_a_read_may_serve_several_pixels_where_windows_are_possible() -> None:
    """3 x 1 weights of 4 cells; 8 bit lines of 3 cells each are 24 of use at most, those of two outputs."""
    workload, device = slid(80), unlimited(TINY)
    windowed = grant(workload, device, {"window.x": 2})
    found = bounds(default_mapping(workload, device), device)
    assert found == replace(bounds(windowed, device), upper=found.upper)
    # 80 x 12 cells in 40 reads, 5 of each array, in 8 steps of 10 ns; and 6 cycles
    assert (found.lower, found.lower_by) == (Time.parse("460 ns"), "work")
    assert timing_model("analytical").time(windowed, device).total == found.lower
    apart = replace(workload, slides=())
    assert bounds(default_mapping(apart, TINY), TINY).lower == Time.parse("860 ns")


def test_inputs_that_several_outputs_meet_come_once() -> None:
    """80 outputs meet 82 elements, 161 with stride 2; a byte in takes a nanosecond on two ports."""
    quick = TINY.vary_all({"array.read": "10 ps", "array.adc_rate": "1 THz", "levels.pe.output_bandwidth": None})
    for workload, expected in ((slid(80), "41 ns"), (slid(80, stride=2), "81 ns")):
        found = bounds(default_mapping(workload, quick), quick)
        assert (found.lower, found.lower_by) == (Time.parse(expected), "pe input")


def test_weights_written_for_every_step_one_after_another_by_hand() -> None:
    """Three row tiles on one array for 3 pixels: 3 or 9 times 8 word lines of 2 x 20 ns."""
    alone = tuple(LevelFactors(level.name, Factors()) for level in TINY.levels)
    mapping = Mapping(matrix_vector(24, 2, pixels=3), 8, 2, alone, Factors(row=3, pixel=3))
    stationary = replace(mapping, input_stationary=True)
    more = bounds(stationary, TINY).upper.femtoseconds - bounds(mapping, TINY).upper.femtoseconds
    assert Time(more) == Time.parse("1.92 us")


def test_bytes_by_hand() -> None:
    """A byte in takes a nanosecond on two ports: 80 x 8 bytes for 80 pixels, at a cycle that is a thousandth."""
    quick = TINY.vary_all({"array.read": "10 ps", "array.adc_rate": "1 THz"})
    found = bounds(default_mapping(matrix_vector(8, 2, pixels=80), quick), quick)
    # out: 80 x 2 sums of 8 + 8 + 3 bits are 380 bytes
    assert (found.lower, found.lower_by) == (Time.parse("320 ns"), "pe input")
    shared = quick.vary("levels.pe.shared_port", True)
    both = bounds(default_mapping(matrix_vector(8, 2, pixels=80), shared), shared)
    assert (both.lower, both.lower_by) == (Time.parse("510 ns"), "pe port")


def test_writing_by_hand() -> None:
    """8 arrays hold 128 weights; 256 are written, 8 x 8 cells in 8 turns of 2 x 20 ns, two arrays at once."""
    found = bounds(default_mapping(matrix_vector(64, 4), TINY), TINY)
    # 16 arrays, each 8 x 40 ns, in 8 turns
    assert (found.lower, found.lower_by) == (Time.parse("2.56 us"), "write")


def test_conversions_limit_where_adcs_are_slow() -> None:
    slow = TINY.vary("array.adc_rate", "100 MS/s")  # 8 columns in 80 ns
    found = bounds(default_mapping(matrix_vector(8, 2, pixels=8), slow), slow)
    assert found.lower == Time.parse("700 ns")  # 8 steps of 80 ns, and 6 cycles
    apart = slow.vary("array.adc_overlap", False)
    assert bounds(default_mapping(matrix_vector(8, 2, pixels=8), apart), apart).lower == Time.parse("780 ns")


def test_a_group_meets_only_its_own_cells() -> None:
    """64 groups of 9 x 1: a read of 128 x 128 cells never has more than 9 useful ones on each of the 128 lines."""
    free = unlimited(ISAAC)
    mapping = default_mapping(matrix_vector(9, 1, pixels=16128, groups=64), free)
    # 9 x 4 x 64 = 2304 cells for each pixel, 512 at most in a read
    assert bounds(mapping, free).lower == (5 * 8 + 6) * ISAAC.array.read


def test_everything_one_after_another_by_hand() -> None:
    found = bounds(grant(matrix_vector(8, 2), TINY, {}), TINY)
    # 8 steps of 10 + 8 ns, 6 cycles, 8 bytes into one PE and back and forth with 2 sums of 19 bits in 5 bytes
    assert found.upper == Time.parse("222 ns")


@dataclass(frozen=True)
class Own:
    """A model that says its bounds."""

    def time(self, mapping: Mapping, device: Device) -> Timing:
        return Timing((), device.array.read)

    def bounds(self, mapping: Mapping, device: Device) -> Bounds:
        return Bounds(Time(1), "me", Time(2))


def test_a_model_may_have_bounds_of_its_own() -> None:
    mapping = grant(matrix_vector(8, 2), TINY, {})
    assert bounds_of(Own(), mapping, TINY) == Bounds(Time(1), "me", Time(2))
    assert bounds_of(Fixed(1), mapping, TINY) == bounds(mapping, TINY)
