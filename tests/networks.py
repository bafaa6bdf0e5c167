"""ONNX networks written by hand: real structures, seeded random weights of realistic size."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17


@dataclass
class Graph:
    """A graph under construction; every method returns the name of its output."""

    seed: int = 0
    nodes: list[Any] = field(default_factory=list)
    weights: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = np.random.default_rng(self.seed)

    def constant(self, values: Any) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def he(self, *shape: int, fan_in: int) -> str:
        return self.constant(self.random.normal(0, (2 / fan_in) ** 0.5, shape).astype("float32"))

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def nodes_of(self, operator: str, results: int, *inputs: str, **attributes: Any) -> list[str]:
        """Add a node with several outputs."""
        self.node(operator, *inputs, **attributes)
        first = self.nodes[-1].output[0]
        self.nodes[-1].output.extend(f"{first}_{place}" for place in range(1, results))
        return list(self.nodes[-1].output)

    def conv(self, data: str, channels: int, filters: int, kernel: int, stride: int = 1, group: int = 1) -> str:
        weight = self.he(filters, channels // group, kernel, kernel, fan_in=channels // group * kernel**2)
        bias = self.constant(self.random.normal(0, 0.1, filters).astype("float32"))
        pads = [kernel // 2] * 4
        return self.node("Conv", data, weight, bias, strides=[stride] * 2, pads=pads, group=group)

    def relu(self, data: str) -> str:
        return self.node("Relu", data)

    def dense(self, data: str, features: int, filters: int) -> str:
        weight = self.he(filters, features, fan_in=features)
        bias = self.constant(self.random.normal(0, 0.1, filters).astype("float32"))
        return self.node("Gemm", data, weight, bias, transB=1)

    def save(self, path: Path, input_shape: list[Any], output: str, output_shape: list[Any] | None) -> Path:
        graph = helper.make_graph(
            [*self.nodes, helper.make_node("Identity", [output], ["output"])],
            path.stem,
            [helper.make_tensor_value_info("input", TensorProto.FLOAT, input_shape)],
            [helper.make_tensor_value_info("output", TensorProto.FLOAT, output_shape)],
            self.weights,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
        model.ir_version = 8
        onnx.save(model, path)
        return path


def tiny_cnn(path: Path, batch: int | str = 1, size: int = 16) -> Path:
    """Plain, depthwise and grouped convolutions, a residual, a dense layer: 3 x size x size in, 10 out."""
    graph = Graph()
    stem = graph.relu(graph.conv("input", 3, 12, 3))
    depthwise = graph.relu(graph.conv(stem, 12, 12, 3, stride=2, group=12))
    grouped = graph.relu(graph.conv(depthwise, 12, 20, 3, group=4))
    added = graph.node("Add", grouped, graph.conv(depthwise, 12, 20, 1))
    pooled = graph.node("Flatten", graph.node("GlobalAveragePool", added))
    return graph.save(path, [batch, 3, size, size], graph.dense(pooled, 20, 10), [batch, 10])


def attention_block(path: Path, tokens: int | str = 16, width: int = 32) -> Path:
    """One transformer block without normalisation: constant projections, dynamic products, a two-layer perceptron."""
    graph = Graph()
    query, key, value = (graph.node("MatMul", "input", graph.he(width, width, fan_in=width)) for _ in range(3))
    scores = graph.node("MatMul", query, graph.node("Transpose", key, perm=[0, 2, 1]))
    scaled = graph.node("Softmax", graph.node("Div", scores, graph.constant(np.float32(width**0.5))), axis=-1)
    mixed = graph.node("Add", "input", graph.node("MatMul", scaled, value))
    hidden = graph.relu(graph.node("MatMul", mixed, graph.he(width, 4 * width, fan_in=width)))
    output = graph.node("Add", mixed, graph.node("MatMul", hidden, graph.he(4 * width, width, fan_in=4 * width)))
    return graph.save(path, [1, tokens, width], output, [1, tokens, width])


def resnet18(path: Path, size: int = 224) -> Path:
    """ResNet-18 (He et al., CVPR 2016) with folded batch normalisation: 20 convolutions and a dense layer."""
    graph = Graph()
    data = graph.relu(graph.conv("input", 3, 64, 7, stride=2))
    data = graph.node("MaxPool", data, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    channels = 64
    for filters in (64, 128, 256, 512):
        for block in range(2):
            stride = 2 if filters > channels else 1
            shortcut = data if block or filters == 64 else graph.conv(data, channels, filters, 1, stride)
            hidden = graph.relu(graph.conv(data, channels, filters, 3, stride))
            data = graph.relu(graph.node("Add", graph.conv(hidden, filters, filters, 3), shortcut))
            channels = filters
    pooled = graph.node("Flatten", graph.node("GlobalAveragePool", data))
    return graph.save(path, [1, 3, size, size], graph.dense(pooled, 512, 1000), [1, 1000])


RESNET18_MACS = 1_814_073_344
"""At 224x224: the multiply-accumulates of torchvision's model in convolutions and dense layer."""
