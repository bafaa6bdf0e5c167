"""The reach between operators, compared with the outputs that change when one pixel changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

import networks
from cyclecast.frontend import load
from cyclecast.network import Network, receptive_field
from networks import Graph

pytestmark = pytest.mark.tvm

Between = Callable[[Graph, str], str]
SIZE = 7


def pooled(graph: Graph, data: str) -> str:
    return graph.node("MaxPool", data, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)


def averaged(graph: Graph, data: str) -> str:
    return graph.node("AveragePool", data, kernel_shape=[2, 2])


def turned(graph: Graph, data: str) -> str:
    return graph.node("Transpose", data, perm=[0, 1, 3, 2])


def joined(graph: Graph, data: str) -> str:
    return graph.node("Concat", data, pooled_same(graph, data), axis=1)


def pooled_same(graph: Graph, data: str) -> str:
    return graph.node("AveragePool", data, kernel_shape=[3, 3], pads=[1] * 4)


def padded(graph: Graph, data: str) -> str:
    return graph.node("Pad", data, graph.constant(np.array([0, 0, 2, 1, 0, 0, 0, 1], np.int64)))


def normalised(graph: Graph, data: str) -> str:
    return graph.node("Softmax", data, axis=3)


def added(graph: Graph, data: str) -> str:
    return graph.node("Add", data, graph.node("GlobalAveragePool", data))


def activated(graph: Graph, data: str) -> str:
    return graph.node("Mul", graph.relu(data), graph.node("Sigmoid", data))


BETWEEN: list[Between] = [activated, pooled, averaged, turned, joined, padded, normalised, added]


def built(between: Between, path: Path) -> Path:
    """Two convolutions of one channel with an operator between them; the first passes every pixel on."""
    graph = Graph()
    first = graph.node("Conv", "input", graph.constant(np.ones((1, 1, 1, 1), np.float32)), kernel_shape=[1, 1])
    data = between(graph, first)
    channels = 2 if between is joined else 1
    weights = graph.constant(np.full((1, channels, 3, 3), 0.5, np.float32))
    output = graph.node("Conv", data, weights, kernel_shape=[3, 3], pads=[1] * 4)
    return graph.save(path, [1, 1, SIZE, SIZE], output, None)


@pytest.mark.parametrize("between", BETWEEN, ids=lambda function: function.__name__)
def test_what_is_needed_is_what_matters(between: Between, tmp_path: Path) -> None:
    """Changing a pixel of the first convolution changes no pixel of the second that did not need it."""
    path = built(between, tmp_path / "between.onnx")
    first, second = load(path).operators
    (edge,) = second.sources
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    values = np.random.default_rng(0).uniform(1, 2, (1, 1, SIZE, SIZE)).astype("float32")
    (before,) = session.run(None, {"input": values})
    latest = np.zeros(second.pixels, np.int64)
    for pixel in range(first.pixels):
        changed = values.copy()
        changed.reshape(-1)[pixel] += 10
        (after,) = session.run(None, {"input": changed})
        latest[np.flatnonzero((after != before).reshape(-1))] = pixel + 1
    said = [receptive_field(edge, first.raster, second.raster, pixel) for pixel in range(second.pixels)]
    assert all(said >= latest)
    if between not in (normalised, added, joined, padded):  # these also need what happens not to matter
        assert list(said) == list(latest)


@pytest.mark.parametrize("make", [networks.tiny_cnn, networks.attention_block], ids=lambda make: make.__name__)
def test_every_call_of_a_kernel_is_an_operator(make: Callable[[Path], Path], tmp_path: Path) -> None:
    network = load(make(tmp_path / "network.onnx"))
    assert counted(network) == {member.kernel: member.count for member in network.members}
    for place, operator in enumerate(network.operators):
        assert all(edge.source < place for edge in operator.sources)
        assert operator.pixels % operator.workload.pixels == 0


def counted(network: Network) -> dict[str, int]:
    return dict(Counter(operator.kernel for operator in network.operators if operator.kernel))


def test_products_of_computed_operands(tmp_path: Path) -> None:
    network = load(networks.attention_block(tmp_path / "block.onnx"))
    dynamic = [operator for operator in network.operators if operator.is_dynamic]
    assert [operator.name for operator in dynamic] == ["product 1x16x32 -> 16", "product 1x16x16 -> 32"]
    rows = [edge.reach[-1] for edge in dynamic[0].sources]
    assert sorted(row is None for row in rows) == [False, True], "a row of scores needs one query and all keys"
    host = {operator.name: operator.macs for operator in network.host}
    assert sum(operator.workload.macs for operator in dynamic) == host["matmul"]


def test_residual_connections_are_edges(tmp_path: Path) -> None:
    """A running sum is one tensor: 0 is in 2 when 4 is added."""
    network = load(networks.resnet18(tmp_path / "resnet.onnx", 32))
    assert [[edge.source for edge in operator.sources] for operator in network.operators[:6]] == [
        [], [0], [1], [0, 2], [3], [2, 4]
    ]  # fmt: skip
