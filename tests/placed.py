"""Networks for placement: operators without a program."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

from cyclecast.device import Device
from cyclecast.mapspace import default_mapping
from cyclecast.network import Along, Axis, Edge, HostOperator, Kind, Member, Network, Operator, Slide, Workload
from cyclecast.placement import Placement, place
from cyclecast.placement._facts import host_product


def conv(size: int, channels: int, filters: int, kernel: int, stride: int = 1, bits: int = 8) -> Workload:
    """A convolution with `same` padding that gives size x size pixels."""
    axes = [Axis("filter", filters, Kind.FILTER), Axis("y", size, Kind.PIXEL), Axis("x", size, Kind.PIXEL)]
    axes += [
        Axis("c", channels, Kind.REDUCTION),
        Axis("ky", kernel, Kind.REDUCTION),
        Axis("kx", kernel, Kind.REDUCTION),
    ]
    slides = [Slide(p, k, size, kernel, stride=stride) for p, k in (("y", "ky"), ("x", "kx"))] if kernel > 1 else []
    shared = tuple(slide for slide in slides if slide.shares)
    name = f"conv2d {channels} k{kernel} s{stride} -> {filters} {size}x{size}"
    return Workload(name, tuple(axes), bits, bits, shared)


def dense(inputs: int, outputs: int, bits: int = 8) -> Workload:
    """A dense layer on one vector."""
    axes = Axis("reduction", inputs, Kind.REDUCTION), Axis("filter", outputs, Kind.FILTER)
    return Workload(f"dense {inputs} -> {outputs}", axes, bits, bits)


def product(groups: int, rows: int, inner: int, cols: int, bits: int = 8) -> Workload:
    """A product of two computed operands."""
    extents = ((groups, Kind.GROUP), (rows, Kind.PIXEL), (inner, Kind.REDUCTION), (cols, Kind.FILTER))
    return Workload("product", tuple(Axis(kind.value, extent, kind) for extent, kind in extents), bits, bits)


def window(kernel: int, stride: int = 1) -> tuple[Along, Along]:
    """The reach of a kernel with `same` padding along rows and columns."""
    rows, cols = (Along(axis, stride, kernel - 1 - (kernel - 1) // 2, kernel - 1) for axis in (0, 1))
    return rows, cols


def network(name: str, operators: Sequence[Operator]) -> Network:
    """A network with members for its operators; a product that is no kernel is on the host."""
    counts: dict[str, list[Operator]] = {}
    for operator in operators:
        if operator.kernel:
            counts.setdefault(operator.kernel, []).append(operator)
    members = tuple(Member(same[0].workload, len(same), kernel) for kernel, same in counts.items())
    host = [HostOperator("add", count=1, operations=10**6, bytes=10**6)]
    host += [host_product(operator) for operator in operators if operator.is_dynamic]
    return Network(name, members, tuple(host), None, tuple(operators))


class Build:
    """A network under construction, operator by operator."""

    def __init__(self) -> None:
        self.operators: list[Operator] = []

    def conv(
        self, sources: Sequence[int], size: int, channels: int, filters: int, kernel: int, stride: int = 1,
        bits: int = 8
    ) -> int:  # fmt: skip
        """Add a convolution.

        If its sources have more pixels than its stride implies, a pool without overlap is assumed.
        """
        workload = conv(size, channels, filters, kernel, stride, bits)
        edges = tuple(Edge(each, window(kernel, self.operators[each].raster[0] // size)) for each in sources)
        self.operators.append(Operator(workload.name, workload, (size, size), edges))
        return len(self.operators) - 1

    def depthwise(self, source: int, size: int, channels: int, stride: int = 1) -> int:
        workload = conv(size, 1, 1, 3, stride)
        axes = (Axis("group", channels, Kind.GROUP), *workload.axes)
        name = f"depthwise {channels} s{stride} {size}x{size}"
        workload = replace(workload, name=name, axes=axes)
        edges = (Edge(source, window(3, stride)),)
        self.operators.append(Operator(name, workload, (size, size), edges))
        return len(self.operators) - 1

    def dense(self, sources: Sequence[int], inputs: int, outputs: int, bits: int = 8) -> int:
        workload = dense(inputs, outputs, bits)
        edges = tuple(Edge(source, (None,) * len(self.operators[source].raster)) for source in sources)
        self.operators.append(Operator(workload.name, workload, (1,), edges))
        return len(self.operators) - 1


@cache
def vgg16(bits: int = 16) -> Network:
    """VGG-16 (Simonyan and Zisserman, ICLR 2015, configuration D)."""
    build, size, channels, last = Build(), 224, 3, list[int]()
    for filters, layers in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(layers):
            last = [build.conv(last, size, channels, filters, 3, 1, bits)]
            channels = filters
        size //= 2
    for inputs, outputs in ((25088, 4096), (4096, 4096), (4096, 1000)):
        last = [build.dense(last, inputs, outputs, bits)]
    return network("vgg16", build.operators)


@cache
def resnet18(bits: int = 8) -> Network:
    """ResNet-18 (He et al., CVPR 2016) with its residual connections."""
    build = Build()
    data, channels = [build.conv([], 112, 3, 64, 7, 2, bits)], 64
    for size, filters in ((56, 64), (28, 128), (14, 256), (7, 512)):
        for block in range(2):
            stride = 2 if not block else 1
            shortcut = data[:1]  # with all that was added to it before
            if filters > channels:
                shortcut = [build.conv(data, size, channels, filters, 1, 2, bits)]
            hidden = build.conv(data, size, channels, filters, 3, stride if filters > 64 else 1, bits)
            data = [build.conv([hidden], size, filters, filters, 3, 1, bits), *shortcut]
            channels = filters
    build.dense(data, 512, 1000, bits)
    return network("resnet18", build.operators)


@cache
def mobilenet_v2() -> Network:
    """MobileNetV2 (Sandler et al., CVPR 2018, table 2)."""
    build, size, channels = Build(), 112, 32
    data = [build.conv([], size, 3, 32, 3, 2)]
    for expansion, filters, blocks, first in (
        (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)
    ):  # fmt: skip
        for block in range(blocks):
            stride, width, hidden = first if not block else 1, channels * expansion, data
            if expansion > 1:
                hidden = [build.conv(data, size, channels, width, 1)]
            size //= stride
            last = build.conv([build.depthwise(hidden[0], size, width, stride)], size, width, filters, 1)
            data = [last, data[0]] if stride == 1 and channels == filters else [last]
            channels = filters
    build.dense([build.conv(data, size, channels, 1280, 1)], 1280, 1000)
    return network("mobilenet_v2", build.operators)


@cache
def blocks(name: str = "blocks") -> Network:
    """Three stages with a shortcut each: 300 arrays of ISAAC."""
    build, data = Build(), [0]
    build.conv([], 28, 16, 64, 3)
    for filters in (64, 128, 256):
        size = 28 * 64 // filters
        hidden = build.conv(data, size, max(64, filters // 2), filters, 1, 1 if filters == 64 else 2)
        data = [build.conv([hidden], size, filters, filters, 3), hidden]
    build.dense(data, 256, 1000)
    return network(name, build.operators)


@cache
def attention(tokens: int = 64, width: int = 256, heads: int = 4) -> Network:
    """A transformer block: projections, products of computed operands, a perceptron."""

    def projected(source: tuple[Edge, ...], inputs: int, outputs: int) -> Operator:
        axes = Axis("t", tokens, Kind.PIXEL), Axis("k", inputs, Kind.REDUCTION), Axis("f", outputs, Kind.FILTER)
        workload = Workload(f"dense {tokens}x{inputs} -> {outputs}", axes)
        return Operator(f"dense{inputs}x{outputs}", workload, (tokens,), source)

    first = [projected((), width, width) for _ in range(3)]
    scores = product(heads, tokens, width // heads, tokens)
    values = product(heads, tokens, tokens, width // heads)
    whole = Edge(1, (None,))
    found = [
        *first,
        Operator("", scores, (heads, tokens), (Edge(0, (Along(1),)), whole)),
        Operator("", values, (heads, tokens), (Edge(3, (Along(0), Along(1))), Edge(2, (None,)))),
        projected((Edge(4, (None, Along(0))),), width, width),
        projected((Edge(5, (Along(0),)),), width, 4 * width),
        projected((Edge(6, (Along(0),)),), 4 * width, width),
    ]
    return network("attention", found)


def placed(of: Network, device: Device, **options: object) -> Placement:
    """The placement of a network with default mappings."""
    mappings = {member.kernel: default_mapping(member.workload, device) for member in of.members}
    return place(of, device, mappings, **options)  # type: ignore[arg-type] # whatever the test says
