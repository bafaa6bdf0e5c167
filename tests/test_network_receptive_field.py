"""The pixels that an operator needs from the ones before it."""

from __future__ import annotations

import json
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cyclecast.network import Along, Edge, Network, live_pixels, operators_from_json, operators_to_json, receptive_field
from placed import attention, resnet18


def test_a_window_needs_rows_and_columns() -> None:
    edge = Edge(0, (Along(0, 1, 1, 2), Along(1, 1, 1, 2)))  # 3 x 3, padded by 1
    assert receptive_field(edge, (8, 8), (8, 8), 0) == 10  # a row and two pixels
    assert receptive_field(edge, (8, 8), (8, 8), 63) == 64
    assert live_pixels(edge, (8, 8)) == 2 * 8 + 3  # (k - 1) rows + k


def test_all_of_a_source_is_needed() -> None:
    assert receptive_field(Edge(0, (None, None)), (4, 5), (1,), 0) == 20
    assert live_pixels(Edge(0, (None, None)), (4, 5)) == 20


Case = tuple[int, int, int, int, tuple[int, int], tuple[int, int]]


@st.composite
def windows(draw: st.DrawFn) -> Case:
    """Kernel, stride, dilation, padding, and the rasters of source and target."""
    kernel, stride, dilation = (draw(st.integers(1, most)) for most in (4, 3, 2))
    padding = draw(st.integers(0, kernel - 1))
    source = draw(st.tuples(st.integers(4, 9), st.integers(4, 9)))
    span = (kernel - 1) * dilation
    target = tuple(max(1, (extent + 2 * padding - span - 1) // stride + 1) for extent in source)
    return kernel, stride, dilation, padding, source, (target[0], target[1])


@given(windows())
def test_what_is_needed_is_the_last_pixel_that_taps_meet(
    case: tuple[int, int, int, int, tuple[int, int], tuple[int, int]],
) -> None:
    kernel, stride, dilation, padding, source, target = case
    span = (kernel - 1) * dilation
    edge = Edge(0, tuple(Along(axis, stride, span - padding, span) for axis in (0, 1)))
    for pixel, (row, col) in enumerate(product(range(target[0]), range(target[1]))):
        met = [
            (stride * row - padding + dilation * down, stride * col - padding + dilation * right)
            for down, right in product(range(kernel), repeat=2)
        ]
        inside = [min(max(r, 0), source[0] - 1) * source[1] + min(max(c, 0), source[1] - 1) for r, c in met]
        assert receptive_field(edge, source, target, pixel) == max(inside) + 1


def alongs(axis: int) -> st.SearchStrategy[Along]:
    return st.builds(Along, st.just(axis), st.integers(1, 3), st.integers(-2, 4), st.integers(0, 4))


@given(alongs(0), alongs(1), st.integers(0, 9))
def test_through_another_operator(outer: Along, inner: Along, index: int) -> None:
    both = outer.after(inner)
    last = outer.scale * (inner.scale * index + inner.offset) + outer.offset
    assert both.axis == inner.axis
    assert both.scale * index + both.offset == last
    first = outer.scale * (inner.scale * index + inner.offset - inner.span) + outer.offset - outer.span
    assert last - both.span == first


@pytest.mark.parametrize("network", [resnet18(), attention()], ids=["resnet18", "attention"])
def test_operators_survive_json(network: Network) -> None:
    plain = json.loads(json.dumps(operators_to_json(network.operators)))
    assert operators_from_json(plain) == network.operators


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"raster": [2, 0]}, "extents are at least 1"),
        ({"sources": [{"source": 1, "reach": [None, None]}]}, "it needs operator 1, which is none before it"),
        ({"sources": [{"source": -1, "reach": [None, None]}]}, "it needs operator -1"),
        ({"sources": [{"source": 0, "reach": [None]}]}, "its reach has another number of axes than operator 0"),
        ({"sources": [{"source": 0, "reach": [None, {"axis": 2}]}]}, "an axis that its raster does not have"),
        ({"sources": [{"source": 0.0, "reach": [None, None]}]}, "1.sources.0.source: Input should be a valid integer"),
        ({"kernel": ["k"]}, "1.kernel: Input should be a valid string"),
    ],
)
def test_operators_of_a_file_that_cannot_be(changed: dict[str, Any], reason: str) -> None:
    axes = [{"name": "i", "extent": 6, "kind": "pixel"}]
    first = {"kernel": "k", "workload": {"name": "w", "axes": axes}, "raster": [2, 3], "sources": []}
    second = first | {"sources": [{"source": 0, "reach": [None, {"axis": 1}]}]}
    assert len(operators_from_json([first, second])) == 2
    with pytest.raises(ValueError, match=reason):
        operators_from_json([first, second | changed])
