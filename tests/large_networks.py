"""Networks of 3 to 138 million weights as ONNX files: real structures, seeded random weights, no normalisation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from networks import Graph

ZERO, SIX = np.float32(0), np.float32(6)


def resnet50(path: Path) -> Path:
    """ResNet-50 (He et al., CVPR 2016) with strides in the 3x3 convolutions, 53 convolutions and a dense layer."""
    graph = Graph()
    data = graph.relu(graph.conv("input", 3, 64, 7, stride=2))
    data = graph.node("MaxPool", data, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    channels = 64
    for stage, (width, blocks) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3))):
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            shortcut = data if block else graph.conv(data, channels, 4 * width, 1, stride)
            hidden = graph.relu(graph.conv(data, channels, width, 1))
            hidden = graph.relu(graph.conv(hidden, width, width, 3, stride))
            data = graph.relu(graph.node("Add", graph.conv(hidden, width, 4 * width, 1), shortcut))
            channels = 4 * width
    pooled = graph.node("Flatten", graph.node("GlobalAveragePool", data))
    return graph.save(path, [1, 3, 224, 224], graph.dense(pooled, 2048, 1000), [1, 1000])


def vgg16(path: Path) -> Path:
    """VGG-16 (Simonyan and Zisserman, ICLR 2015, configuration D): 13 convolutions and three dense layers."""
    graph = Graph()
    data, channels = "input", 3
    for filters, layers in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(layers):
            data, channels = graph.relu(graph.conv(data, channels, filters, 3)), filters
        data = graph.node("MaxPool", data, kernel_shape=[2, 2], strides=[2, 2])
    data = graph.relu(graph.dense(graph.node("Flatten", data), 512 * 7 * 7, 4096))
    data = graph.relu(graph.dense(data, 4096, 4096))
    return graph.save(path, [1, 3, 224, 224], graph.dense(data, 4096, 1000), [1, 1000])


def mobilenet_v2(path: Path) -> Path:
    """MobileNetV2 (Sandler et al., CVPR 2018): inverted residuals with depthwise convolutions, and a dense layer."""
    graph = Graph()

    def relu6(data: str) -> str:
        return graph.node("Clip", data, graph.constant(ZERO), graph.constant(SIX))

    data, channels = relu6(graph.conv("input", 3, 32, 3, stride=2)), 32
    for expansion, filters, blocks, first in INVERTED_RESIDUALS:
        for block in range(blocks):
            stride, width = first if not block else 1, channels * expansion
            hidden = relu6(graph.conv(data, channels, width, 1)) if expansion > 1 else data
            hidden = relu6(graph.conv(hidden, width, width, 3, stride, group=width))
            hidden = graph.conv(hidden, width, filters, 1)
            data = graph.node("Add", hidden, data) if stride == 1 and channels == filters else hidden
            channels = filters
    data = relu6(graph.conv(data, channels, 1280, 1))
    pooled = graph.node("Flatten", graph.node("GlobalAveragePool", data))
    return graph.save(path, [1, 3, 224, 224], graph.dense(pooled, 1280, 1000), [1, 1000])


INVERTED_RESIDUALS = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""Table 2 of the paper: expansion, filters, blocks, stride of the first."""

LARGE_NETWORKS: dict[str, tuple[Callable[[Path], Path], int]] = {
    "resnet50": (resnet50, 4_089_184_256),
    "vgg16": (vgg16, 15_470_264_320),
    "mobilenet_v2": (mobilenet_v2, 300_774_272),
}
"""By name: the function that writes the file, and the multiply-accumulates of torchvision's model in convolutions and
dense layers."""
