"""Every iterator's role, read from what the block computes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tvm import te, tirx

from cyclecast._tvm._block import contractions_in, workload_of
from cyclecast.errors import ScheduleError
from cyclecast.network import Axis, Kind
from cyclecast.schedule import as_module
from kernels import FAMILIES, Kernel, Window, batch_matmul, conv, dense, depthwise, matmul

pytestmark = pytest.mark.tvm

LETTERS = {"g": Kind.GROUP, "p": Kind.PIXEL, "f": Kind.FILTER, "k": Kind.REDUCTION}

ROLES: dict[str, tuple[Kernel, str]] = {
    "conv1d": (conv(size=(9,), channels=3, filters=5, kernel=(3,)), "p1 f5 p7 k3 k3"),
    "conv1d, grouped": (
        conv(size=(9,), channels=4, filters=6, kernel=(3,), window=Window(groups=2)),
        "p1 g2 f3 p7 k2 k3",
    ),
    "conv2d": (conv(size=(6, 7), channels=3, filters=5, kernel=(3, 2), batch=2), "p2 f5 p4 p6 k3 k3 k2"),
    "conv2d, strided": (
        conv(size=(6, 7), channels=3, filters=5, kernel=(3, 3), window=Window(2, 1)),
        "p1 f5 p3 p4 k3 k3 k3",
    ),
    "conv2d, dilated": (
        conv(size=(6, 7), channels=3, filters=5, kernel=(3, 2), window=Window(dilation=2)),
        "p1 f5 p2 p5 k3 k3 k2",
    ),
    "conv2d, channels last": (
        conv(size=(6, 7), channels=3, filters=5, kernel=(3, 2), layout="last"),
        "p1 p4 p6 f5 k3 k2 k3",
    ),
    "conv2d, grouped": (
        conv(size=(4, 4), channels=6, filters=9, kernel=(2, 2), window=Window(groups=3)),
        "p1 g3 f3 p3 p3 k2 k2 k2",
    ),
    "conv2d, a group for each channel": (
        conv(size=(4, 4), channels=5, filters=5, kernel=(2, 2), window=Window(groups=5)),
        "p1 g5 p3 p3 k1 k2 k2",
    ),
    "conv2d, multiplied channels": (
        conv(size=(4, 4), channels=5, filters=10, kernel=(2, 2), window=Window(groups=5)),
        "p1 g5 f2 p3 p3 k1 k2 k2",
    ),
    "depthwise": (depthwise(size=(5, 5), channels=4, multiplier=1, kernel=3), "p1 g4 p3 p3 k3 k3"),
    "depthwise, multiplied": (depthwise(size=(5, 5), channels=4, multiplier=2, kernel=3), "p1 g4 f2 p3 p3 k3 k3"),
    "conv3d": (conv(size=(3, 4, 5), channels=2, filters=3, kernel=(2, 2, 2)), "p1 f3 p2 p3 p4 k2 k2 k2 k2"),
    "dense": (dense(batch=3, features=20, filters=7), "p3 f7 k20"),
    "matmul": (matmul(batch=(2, 4), rows=3, features=20, filters=7), "p2 p4 p3 f7 k20"),
    "batch matmul": (batch_matmul(batch=3, rows=2, features=11, filters=5), "g3 p2 f5 k11"),
}


def spelled(axes: tuple[Axis, ...]) -> str:
    return " ".join(f"{axis.kind.value[0] if axis.kind is not Kind.REDUCTION else 'k'}{axis.extent}" for axis in axes)


@pytest.mark.parametrize("name", ROLES)
def test_every_iterator_has_its_role(name: str) -> None:
    kernel, expected = ROLES[name]
    assert spelled(kernel.workload.axes) == expected


@pytest.mark.parametrize("kind", ["int8", "int16"])
def test_bits_are_those_of_the_operands(kind: str) -> None:
    workload = dense(batch=1, features=2, filters=3, kind=kind).workload
    assert (workload.input_bits, workload.weight_bits) == (int(kind[3:]), int(kind[3:]))


@pytest.mark.parametrize("family", FAMILIES)
@given(data=st.data())
def test_no_operand_is_lost(family: str, data: st.DataObject) -> None:
    """The extents are those that the shapes of the operands say."""
    kernel = data.draw(FAMILIES[family])
    workload = kernel.workload
    _, weight, output = (size(buffer) for buffer in kernel.function.params)
    assert workload.groups * workload.pixels * workload.filters == output
    assert workload.weights == weight


def size(buffer: Any) -> int:
    total = 1
    for extent in buffer.shape:
        total *= int(extent)
    return total


def contraction(data: str, weight: str, output: str) -> Any:
    """A plain matrix product of these types."""
    a, b = te.placeholder((4, 5), data, name="a"), te.placeholder((5, 6), weight, name="b")
    k = te.reduce_axis((0, 5), name="k")
    c = te.compute((4, 6), lambda i, j: te.sum(a[i, k].astype(output) * b[k, j].astype(output), axis=k), name="c")
    return te.create_prim_func([a, b, c])


def reduced(combine: Any, body: Any) -> Any:
    a, b = te.placeholder((4, 5), "int8", name="a"), te.placeholder((5, 6), "int8", name="b")
    k = te.reduce_axis((0, 5), name="k")
    c = te.compute((4, 6), lambda i, j: combine(body(a, b, i, j, k), axis=k), name="c")
    return te.create_prim_func([a, b, c])


OTHERS = {
    "float": contraction("float32", "float32", "float32"),
    "half an int8": contraction("int8", "float32", "float32"),
    "int32": contraction("int32", "int8", "int32"),
    "a largest product": reduced(te.max, lambda a, b, i, j, k: a[i, k] * b[k, j]),
    "a sum of sums": reduced(te.sum, lambda a, b, i, j, k: a[i, k] + b[k, j]),
    "a sum of one operand": reduced(te.sum, lambda a, b, i, j, k: a[i, k]),
    "a product with a constant": reduced(te.sum, lambda a, b, i, j, k: a[i, k] * tirx.const(3, "int8")),
    "a reduction of the input only": reduced(te.sum, lambda a, b, i, j, k: a[i, k] * b[0, j]),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_blocks_are_no_contraction(name: str) -> None:
    assert contractions_in(OTHERS[name], name) == []


def test_mixed_integer_types_are_read_each_for_itself() -> None:
    workload = workload_of(contraction("uint8", "int16", "int32"), "mixed")
    assert (workload.input_bits, workload.weight_bits) == (8, 16)


def test_a_function_without_contraction_is_an_error() -> None:
    with pytest.raises(ScheduleError, match="mine: 0 integer contractions in the function, there must be exactly one"):
        workload_of(OTHERS["float"], "mine")


def test_a_function_with_two_contractions_is_an_error() -> None:
    a, b, c = (te.placeholder((4, 4), "int8", name=name) for name in "abc")
    k, m = te.reduce_axis((0, 4), name="k"), te.reduce_axis((0, 4), name="m")
    d = te.compute((4, 4), lambda i, j: te.sum(a[i, k] * b[k, j], axis=k), name="d")
    e = te.compute((4, 4), lambda i, j: te.sum(d[i, m] * c[m, j], axis=m), name="e")
    with pytest.raises(ScheduleError, match="2 integer contractions"):
        workload_of(te.create_prim_func([a, b, c, e]), "two")


def test_padding_and_host_operators_are_not_taken_for_one() -> None:
    padded = conv(size=(4, 4), channels=2, filters=3, kernel=(3, 3), window=Window(padding=1)).function
    assert "pad" in as_module(padded).script()
    assert [found.block for found in contractions_in(padded, "one")] == ["conv2d_nchw"]


def slid(names: tuple[str, str], taps: int = 3) -> Any:
    """A sum over a window that slides along two axes of these names."""
    a, b = (
        te.placeholder((6 + taps - 1, 6 + taps - 1), "int8", name="a"),
        te.placeholder((taps, taps), "int8", name="b"),
    )
    y, x = (te.reduce_axis((0, taps), name=name) for name in names)
    c = te.compute(
        (6, 6), lambda i, j: te.sum(a[i + y, j + x].astype("int32") * b[y, x].astype("int32"), axis=[y, x]), name="c"
    )
    return te.create_prim_func([a, b, c])


def test_slides_are_read_where_names_tell_axes_apart() -> None:
    assert [slide.kernel for slide in workload_of(slid(("y", "x")), "slid").slides] == ["y", "x"]
    assert workload_of(slid(("k", "k")), "slid").slides == ()


def test_one_tap_does_not_slide() -> None:
    assert workload_of(slid(("y", "x"), taps=1), "slid").slides == ()
