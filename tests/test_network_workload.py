from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cyclecast.device import Host
from cyclecast.errors import MappingError
from cyclecast.network import Axis, HostOperator, Kind, Member, Network, Slide, Workload, host_time
from cyclecast.units import Time
from strategies import workloads

# A 3x3 convolution of 2 groups, 8 -> 6 channels per group, on 5 x 7 pixels and 3 images.
CONVOLUTION = Workload(
    "convolution",
    (
        Axis("image", 3, Kind.PIXEL),
        Axis("group", 2, Kind.GROUP),
        Axis("output_channel", 6, Kind.FILTER),
        Axis("height", 5, Kind.PIXEL),
        Axis("width", 7, Kind.PIXEL),
        Axis("input_channel", 8, Kind.REDUCTION),
        Axis("kernel_height", 3, Kind.REDUCTION),
        Axis("kernel_width", 3, Kind.REDUCTION),
    ),
)
DOT = Workload("dot", (Axis("k", 9, Kind.REDUCTION),))
SMALL = st.integers(min_value=1, max_value=6)
slides = st.builds(Slide, st.just("x"), st.just("k"), SMALL, SMALL, stride=SMALL, dilation=SMALL)
"""A kernel that slides over one input dimension, sharing inputs or not."""


def met(slide: Slide, outputs: int) -> set[int]:
    """The elements that the first so many outputs meet."""
    return {slide.stride * i + slide.dilation * j for i in range(outputs) for j in range(slide.taps)}


@pytest.mark.parametrize(
    ("workload", "groups", "pixels", "filters", "reduction", "weights", "macs"),
    [(CONVOLUTION, 2, 105, 6, 72, 864, 90720), (DOT, 1, 1, 1, 9, 9, 9)],
)
def test_matrix_vector_form(
    workload: Workload, groups: int, pixels: int, filters: int, reduction: int, weights: int, macs: int
) -> None:
    assert groups == workload.groups
    assert pixels == workload.pixels
    assert filters == workload.filters
    assert reduction == workload.reduction
    assert weights == workload.weights
    assert macs == workload.macs


@given(workloads())
def test_every_weight_meets_every_pixel_of_its_group(workload: Workload) -> None:
    assert workload.macs == workload.weights * workload.pixels
    assert workload.macs == prod(workload.extent(kind) for kind in Kind)


def test_bits_are_8_unless_said() -> None:
    assert (DOT.input_bits, DOT.weight_bits) == (8, 8)


def test_the_name_does_not_make_a_workload_different() -> None:
    other = Workload("another name", DOT.axes)
    assert other == DOT
    assert hash(other) == hash(DOT)


@pytest.mark.parametrize(
    "other",
    [
        Workload("dot", (Axis("k", 10, Kind.REDUCTION),)),
        Workload("dot", (Axis("k", 9, Kind.PIXEL),)),
        Workload("dot", DOT.axes, input_bits=4),
        Workload("dot", DOT.axes, weight_bits=4),
    ],
)
def test_axes_and_bits_make_a_workload_different(other: Workload) -> None:
    assert other != DOT


@pytest.mark.parametrize("extent", [0, -1])
def test_an_axis_has_at_least_one_value(extent: int) -> None:
    with pytest.raises(MappingError, match=f"^axis k: an extent of {extent}, extents are at least 1$"):
        Axis("k", extent, Kind.REDUCTION)


@pytest.mark.parametrize("bits", [0, 33])
@pytest.mark.parametrize("field", ["input_bits", "weight_bits"])
def test_values_have_1_to_32_bits(field: str, bits: int) -> None:
    said: dict[str, Any] = {field: bits}
    with pytest.raises(MappingError, match=f"^workload dot: {bits}-bit values, 1 to 32 bits are possible$"):
        replace(DOT, **said)


@pytest.mark.parametrize("bits", [1, 32])
def test_the_bounds_of_the_bits_are_possible(bits: int) -> None:
    workload = Workload("dot", DOT.axes, bits, bits)
    assert (workload.input_bits, workload.weight_bits) == (bits, bits)


def test_a_network_counts_its_workloads() -> None:
    members = (Member(CONVOLUTION, 2, "a"), Member(DOT, 5, "b"))
    assert Network("both", members, (), program=None).macs == 2 * 90720 + 5 * 9


def test_a_network_does_not_compare_its_program() -> None:
    assert Network("n", (), (), program=1) == Network("n", (), (), program=2)


@pytest.mark.parametrize(
    ("operations", "moved", "expected"), [(8, 0, "1 ns"), (0, 128, "10 ns"), (800, 128, "100 ns"), (0, 0, "0 fs")]
)
def test_the_roofline_of_the_host(operations: int, moved: int, expected: str) -> None:
    host = Host()  # 8 operations in a nanosecond, 12.8 bytes
    assert host_time(HostOperator("add", count=3, operations=operations, bytes=moved), host) == Time.parse(expected)


def test_coverage_is_the_share_of_operations_on_arrays() -> None:
    host = (
        HostOperator("add", count=1, operations=6, bytes=24),
        HostOperator("reshape", count=1, operations=0, bytes=0),
    )
    assert Network("n", (Member(DOT, 1, "a"),), host, program=None).coverage == 18 / 24
    assert Network("n", (), (), program=None).coverage == 0


@given(slides, SMALL)
def test_a_window_meets_the_elements_that_its_outputs_meet(slide: Slide, window: int) -> None:
    assert slide.elements(window) == len(met(slide, window))


@given(slides)
def test_outputs_share_where_some_elements_are_met_twice(slide: Slide) -> None:
    twice = len(met(slide, slide.outputs)) < slide.outputs * slide.taps
    assert slide.shares <= twice
    if 1 in (slide.step, slide.gap):
        assert slide.shares == twice


@given(slides)
def test_windows_share_elements_and_have_no_holes(slide: Slide) -> None:
    assert (len(slide.windows) > 0) == slide.shares
    for window in slide.windows:
        found = met(slide, window)
        apart = slide.stride // slide.step
        assert 1 < window <= slide.outputs
        assert len(found) < window * slide.taps
        assert found == set(range(0, max(found) + 1, apart))


@given(slides, slides, SMALL, SMALL)
def test_inputs_are_counted_once(one: Slide, other: Slide, channels: int, images: int) -> None:
    """A two-dimensional kernel over images of some channels; without sharing every tap of every output has its own."""
    other = Slide("y", "l", other.outputs, other.taps, stride=other.stride, dilation=other.dilation)
    axes = (
        Axis("g", 2, Kind.GROUP),
        Axis("n", images, Kind.PIXEL),
        Axis("c", channels, Kind.REDUCTION),
        *(Axis(slide.pixel, slide.outputs, Kind.PIXEL) for slide in (one, other)),
        *(Axis(slide.kernel, slide.taps, Kind.REDUCTION) for slide in (one, other)),
    )
    elements = [
        len(met(slide, slide.outputs)) if slide.shares else slide.outputs * slide.taps for slide in (one, other)
    ]
    shared = tuple(slide for slide in (one, other) if slide.shares)
    assert Workload("conv", axes, slides=shared).inputs == 2 * images * channels * prod(elements)
    plain = Workload("conv", axes)
    assert plain.inputs == plain.groups * plain.pixels * plain.reduction


@pytest.mark.parametrize(
    "slide",
    [
        Slide("height", "kernel_height", 6, 3),
        Slide("height", "kernel_height", 5, 2),
        Slide("height", "input_channel", 5, 3),
        Slide("group", "kernel_height", 2, 3),
        Slide("height", "output_channel", 5, 6),
        Slide("depth", "kernel_height", 5, 3),
        Slide("height", "kernel_height", 5, 3, stride=3),
        Slide("height", "kernel_height", 5, 3, dilation=5),
        Slide("height", "kernel_height", 5, 3, stride=2, dilation=3),
    ],
    ids=["outputs", "taps", "other kernel", "no pixel", "no reduction", "no axis", "stride", "dilation", "holes"],
)
def test_a_slide_that_cannot_be_is_refused(slide: Slide) -> None:
    expected = r"^workload convolution: Slide\(.*\), it slides along a pixel and a reduction axis, sharing inputs$"
    with pytest.raises(MappingError, match=expected):
        Workload("convolution", CONVOLUTION.axes, slides=(slide,))


def test_slides_make_a_workload_different() -> None:
    slid = Workload("convolution", CONVOLUTION.axes, slides=(Slide("height", "kernel_height", 5, 3),))
    assert slid != CONVOLUTION
    assert slid.macs == CONVOLUTION.macs
