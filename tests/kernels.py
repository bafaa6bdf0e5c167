"""Integer kernels as TVM functions, each with a NumPy reference."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tvm
from hypothesis import strategies as st
from numpy.typing import NDArray
from tvm import relax, te, tirx, topi
from tvm.target import Target

import cyclecast._tvm as _door  # noqa: F401 - first of all, TVM must be one that works
from cyclecast._tvm._block import workload_of
from cyclecast.network import Member, Network, Workload
from cyclecast.schedule import as_module

Integers = NDArray[np.int64]
Sizes = tuple[int, ...]

TARGET = Target({"kind": "llvm", "opt-level": 0})
"""Tests build many kernels of integers and run each once: without optimisation, in less than half the time."""
LARGEST = {"int8": 127, "int16": 1000}
"""Largest magnitude of operands whose sums do not overflow int32; -LARGEST - 1 is drawn, too."""


@dataclass(frozen=True)
class Kernel:
    """A function of (data, weight, output), and the same computation in NumPy on 64-bit integers."""

    name: str
    function: Any = field(repr=False)
    reference: Callable[[Integers, Integers], Integers] = field(repr=False)

    @property
    def workload(self) -> Workload:
        return workload_of(self.function, self.name)

    def operands(self, seed: int) -> tuple[Integers, Integers]:
        """Random data and weights, over the whole range."""
        random = np.random.default_rng(seed)

        def values(buffer: Any) -> Integers:
            largest = LARGEST[str(buffer.dtype)]
            return random.integers(-largest - 1, largest, [int(extent) for extent in buffer.shape], endpoint=True)

        data, weight, _ = self.function.params
        return values(data), values(weight)

    def run(self, function: Any, data: Integers, weight: Integers) -> Integers:
        """Output of a function, this kernel's own or a lowered one, compiled for this machine."""
        program = tvm.compile(as_module(function), target=TARGET)
        *types, result = self.function.params
        given = [
            tvm.runtime.tensor(value.astype(str(buffer.dtype)))
            for value, buffer in zip((data, weight), types, strict=True)
        ]
        output = tvm.runtime.tensor(np.full([int(extent) for extent in result.shape], -1, str(result.dtype)))
        program["main"](*given, output)
        return np.asarray(output.numpy(), np.int64)


@dataclass(frozen=True)
class Window:
    """Size, stride, dilation and padding of a convolution, equal along all spatial axes."""

    stride: int = 1
    padding: int = 0
    dilation: int = 1
    groups: int = 1


PLAIN = Window()


def readable(module: Any) -> str:
    """The text of a module, with dots for the deflated kernel that a lowered one carries."""
    return re.sub(r'("cim\.kernel": )"[^"]+"', r'\1"..."', module.script()) + "\n"


def conv(
    *,
    size: Sizes,
    channels: int,
    filters: int,
    kernel: Sizes,
    window: Window = PLAIN,
    batch: int = 1,
    kind: str = "int8",
    layout: str = "first",
) -> Kernel:
    """A convolution of one or two axes, channels first or last, as Relax legalises it; of three by `te`."""
    data, weight = (batch, channels, *size), (filters, channels // window.groups, *kernel)
    name = f"conv{len(size)}d"

    def reference(data: Integers, weight: Integers) -> Integers:
        if layout == "first":
            return conv_reference(data, weight, window)
        first = conv_reference(np.moveaxis(data, -1, 1), np.moveaxis(weight, (-1, -2), (0, 1)), window)
        return np.moveaxis(first, 1, -1)

    if len(size) == 3:
        return Kernel(name, _conv3d(data, weight, window, kind), reference)
    spatial = "HW"[-len(size) :] if len(size) == 2 else "W"
    layouts = {"data_layout": f"NC{spatial}", "kernel_layout": f"OI{spatial}"}
    if layout == "last":
        layouts = {"data_layout": f"N{spatial}C", "kernel_layout": f"{spatial}IO"}
        data, weight = (batch, *size, channels), (*kernel, channels // window.groups, filters)
    operator = relax.op.nn.conv1d if len(size) == 1 else relax.op.nn.conv2d

    def emit(x: Any, w: Any) -> Any:
        return operator(
            x,
            w,
            strides=window.stride,
            padding=window.padding,
            dilation=window.dilation,
            groups=window.groups,
            out_dtype="int32",
            **layouts,
        )

    return Kernel(name, legalised(emit, data, weight, kind), reference)


def conv_reference(data: Integers, weight: Integers, window: Window) -> Integers:
    """A convolution of any number of axes, channels first: one matrix product per kernel position."""
    batch, channels, *size = data.shape
    filters, _, *kernel = weight.shape
    groups, step, reach = window.groups, window.stride, window.dilation
    padded = np.pad(data, [(0, 0), (0, 0), *[(window.padding, window.padding)] * len(size)])
    out = [(n - (k - 1) * reach - 1) // step + 1 for n, k in zip(padded.shape[2:], kernel, strict=True)]
    grouped = padded.reshape(batch, groups, channels // groups, *padded.shape[2:])
    total = np.zeros((batch, groups, filters // groups, *out), dtype=np.int64)
    for place in np.ndindex(*kernel):
        begins = [at * reach for at in place]
        cut = tuple(slice(at, at + (n - 1) * step + 1, step) for at, n in zip(begins, out, strict=True))
        part = weight[(..., *place)].reshape(groups, filters // groups, channels // groups)
        inputs: Integers = grouped[(slice(None),) * 3 + cut]
        total += np.einsum("ngc...,gfc->ngf...", inputs, part)
    return total.reshape(batch, filters, *out)


def depthwise(*, size: Sizes, channels: int, multiplier: int, kernel: int, window: Window = PLAIN) -> Kernel:
    """A depthwise convolution by `te`; its weights are (channel, multiplier, height, width)."""
    data = te.placeholder((1, channels, *size), "int8", name="data")
    weight = te.placeholder((channels, multiplier, kernel, kernel), "int8", name="weight")
    output = topi.nn.depthwise_conv2d_nchw(data, weight, window.stride, window.padding, window.dilation, "int32")

    def reference(data: Integers, weight: Integers) -> Integers:
        grouped = Window(window.stride, window.padding, window.dilation, groups=channels)
        return conv_reference(data, weight.reshape(channels * multiplier, 1, kernel, kernel), grouped)

    return Kernel("depthwise", te.create_prim_func([data, weight, output]), reference)


def dense(*, batch: int, features: int, filters: int, kind: str = "int8") -> Kernel:
    """Every row of the data times a weight matrix of (filters, features)."""
    data = te.placeholder((batch, features), kind, name="data")
    weight = te.placeholder((filters, features), kind, name="weight")
    output = topi.nn.dense(data, weight, out_dtype="int32")
    return Kernel("dense", te.create_prim_func([data, weight, output]), lambda a, b: a @ b.T)


def matmul(*, batch: Sizes, rows: int, features: int, filters: int, kind: str = "int8") -> Kernel:
    """Data of (*batch, rows, features) times one weight matrix of (features, filters), as Relax legalises it."""

    def emit(x: Any, w: Any) -> Any:
        return relax.op.matmul(x, w, out_dtype="int32")

    function = legalised(emit, (*batch, rows, features), (features, filters), kind)
    return Kernel("matmul", function, lambda a, b: a @ b)


def batch_matmul(*, batch: int, rows: int, features: int, filters: int, kind: str = "int8") -> Kernel:
    """A weight matrix for every matrix of the data, by `te`."""
    data = te.placeholder((batch, rows, features), kind, name="data")
    weight = te.placeholder((batch, features, filters), kind, name="weight")
    k = te.reduce_axis((0, features), name="k")

    def product(b: Any, i: Any, j: Any) -> Any:
        return te.sum(data[b, i, k].astype("int32") * weight[b, k, j].astype("int32"), axis=k)

    output = te.compute((batch, rows, filters), product, name="product")
    return Kernel("batch_matmul", te.create_prim_func([data, weight, output]), lambda a, b: a @ b)


def legalised(emit: Callable[[Any, Any], Any], data: Sizes, weight: Sizes, kind: str) -> Any:
    """The only function of an operator after legalisation by Relax."""
    builder = relax.BlockBuilder()
    x, w = (relax.Var(name, relax.TensorType(shape, kind)) for name, shape in (("x", data), ("w", weight)))
    with builder.function("main", [x, w]):
        builder.emit_func_output(builder.emit(emit(x, w)))
    program = relax.transform.LegalizeOps()(builder.get())
    (function,) = (function for function in program.functions.values() if isinstance(function, tirx.PrimFunc))
    return function


def _conv3d(data: Sizes, weight: Sizes, window: Window, kind: str) -> Any:
    x, w = te.placeholder(data, kind, name="data"), te.placeholder(weight, kind, name="weight")
    moves = [window.stride] * 3, [window.padding] * 3, [window.dilation] * 3
    return te.create_prim_func([x, w, topi.nn.conv3d_ncdhw(x, w, *moves, window.groups, "int32")])


def network(*kernels: Kernel) -> Network:
    """A network of these kernels: the first occurs once, the second twice and so on."""
    names = [f"kernel{position}" for position in range(len(kernels))]
    members = [
        Member(workload_of(kernel.function, name), position + 1, name)
        for position, (kernel, name) in enumerate(zip(kernels, names, strict=True))
    ]
    functions = {name: kernel.function for name, kernel in zip(names, kernels, strict=True)}
    return Network("hand-made", tuple(members), (), functions)


def few(most: int) -> st.SearchStrategy[int]:
    return st.integers(min_value=1, max_value=most)


@st.composite
def windows(draw: st.DrawFn, groups: int = 1) -> Window:
    return Window(draw(few(2)), draw(st.integers(0, 2)), draw(few(2)), groups)


@st.composite
def convs(draw: st.DrawFn, grouped: bool = False) -> Kernel:
    """A convolution of one to three axes of odd sizes."""
    axes, groups = draw(few(3)), draw(st.integers(2, 3)) if grouped else 1
    if grouped:
        axes = min(axes, 2)
    window = draw(windows(groups))
    kernel = tuple(draw(few(3)) for _ in range(axes))
    size = tuple((k - 1) * window.dilation + draw(few(5 - axes)) for k in kernel)
    kind = draw(st.sampled_from(["int8", "int8", "int16"]))
    channels, filters = groups * draw(few(4)), groups * draw(few(6))
    last = axes == 2 and not grouped and draw(st.booleans())
    return conv(
        size=size,
        channels=channels,
        filters=filters,
        kernel=kernel,
        window=window,
        batch=draw(few(2)),
        kind=kind,
        layout="last" if last else "first",
    )


@st.composite
def depthwises(draw: st.DrawFn) -> Kernel:
    """A depthwise convolution with a multiplier of one to three."""
    window, kernel = draw(windows()), draw(few(3))
    size = tuple((kernel - 1) * window.dilation + draw(few(4)) for _ in range(2))
    multiplier = draw(few(3))
    channels = draw(
        st.integers(1 if multiplier == 1 else 2, 9)
    )  # one channel that is multiplied is a plain convolution
    return depthwise(size=size, channels=channels, multiplier=multiplier, kernel=kernel, window=window)


@st.composite
def denses(draw: st.DrawFn) -> Kernel:
    """A dense layer, or a matrix product with one weight matrix."""
    features, filters = draw(few(40)), draw(few(20))
    if draw(st.booleans()):
        return dense(batch=draw(few(4)), features=features, filters=filters)
    batch = tuple(draw(st.lists(few(3), max_size=2)))
    return matmul(batch=batch, rows=draw(few(4)), features=features, filters=filters)


@st.composite
def batch_matmuls(draw: st.DrawFn) -> Kernel:
    """A batch of matrix products."""
    kind = draw(st.sampled_from(["int8", "int16"]))
    return batch_matmul(batch=draw(few(9)), rows=draw(few(4)), features=draw(few(20)), filters=draw(few(7)), kind=kind)


FAMILIES: dict[str, st.SearchStrategy[Kernel]] = {
    "conv": convs(),
    "grouped": convs(grouped=True),
    "depthwise": depthwises(),
    "dense": denses(),
    "batch_matmul": batch_matmuls(),
}
