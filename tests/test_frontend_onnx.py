"""ONNX files on the way in: shapes, constants, and every kind of file that is not what it should be."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

import networks
from cyclecast.errors import ModelError, UnsupportedError
from cyclecast.frontend import input_shapes, load

pytestmark = pytest.mark.tvm


def test_loading_twice_gives_equal_networks(tmp_path: Path) -> None:
    path = networks.tiny_cnn(tmp_path / "tiny.onnx")
    assert load(path) == load(path)


def test_an_open_batch_becomes_1_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="cyclecast")
    free, fixed = (load(networks.tiny_cnn(tmp_path / "tiny.onnx", batch=batch)) for batch in ("batch", 1))
    assert free.members == fixed.members
    assert "batch dimension is open, taken as 1" in caplog.text


def test_a_given_batch_scales_the_work(tmp_path: Path) -> None:
    path = networks.tiny_cnn(tmp_path / "tiny.onnx", batch="batch")
    assert load(path, shapes={"input": (3, 3, 16, 16)}).macs == 3 * load(path).macs


def test_input_shapes(tmp_path: Path) -> None:
    path = networks.attention_block(tmp_path / "attention.onnx", tokens="tokens")
    assert input_shapes(path, {"input": (1, 5, 32)}) == {"input": ((1, 5, 32), np.dtype("float32"))}


def test_constant_branches_are_folded(tmp_path: Path) -> None:
    """A reshape whose target is computed from a shape: the reason why most networks fail to import as they are."""
    graph = networks.Graph()
    data = graph.conv("input", 3, 4, 3)
    batch = graph.node("Gather", graph.node("Shape", data), graph.constant(np.array([0], dtype="int64")))
    target = graph.node("Concat", batch, graph.constant(np.array([-1], dtype="int64")), axis=0)
    dense = graph.dense(graph.node("Reshape", data, target), 4 * 64, 2)
    network = load(graph.save(tmp_path / "shape.onnx", [1, 3, 8, 8], dense, [1, 2]))
    assert [member.workload.macs for member in network.members] == [27 * 4 * 64, 4 * 64 * 2]


def huge(path: Path) -> Path:
    graph = networks.Graph()
    return graph.save(path, [1, 1 << 20, 1 << 20, 4], graph.relu("input"), [1, 1 << 20, 1 << 20, 4])


def two_unknown_operators(path: Path) -> Path:
    nodes = [
        helper.make_node("DynamicQuantizeLSTM", ["input"], ["a"], domain="com.microsoft"),
        helper.make_node("Nonsense", ["a"], ["output"], domain="nowhere"),
    ]
    values = [helper.make_tensor_value_info(name, 1, [1, 2]) for name in ("input", "output")]
    opsets = [helper.make_opsetid(name, 1) for name in ("com.microsoft", "nowhere")]
    model = helper.make_model(helper.make_graph(nodes, "g", values[:1], values[1:]), ir_version=8)
    model.opset_import.extend(opsets)
    onnx.save(model, path)
    return path


def cyclic(path: Path) -> Path:
    nodes = [helper.make_node("Add", ["input", "b"], ["a"]), helper.make_node("Relu", ["a"], ["b"])]
    values = [helper.make_tensor_value_info(name, 1, [1, 2]) for name in ("input", "b")]
    model = helper.make_model(helper.make_graph(nodes, "g", values[:1], values[1:]), ir_version=8)
    onnx.save(model, path)
    return path


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (huge, UnsupportedError, "more than 2^31 values"),
        (two_unknown_operators, ModelError, "nknown"),
        (cyclic, ModelError, "onnxruntime refuses it"),
    ],
)
def test_hostile_files_end_in_one_clear_error(
    make: object, error: type[ModelError], words: str, tmp_path: Path
) -> None:
    path = make(tmp_path / "hostile.onnx")  # type: ignore[operator] # one of the three above
    with pytest.raises(error) as raised:
        load(path)
    assert words in str(raised.value) or make is two_unknown_operators
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((1, 3, 16), "3 dimensions given, it has 4"),
        ((1, 3, 16, 17), "dimension 3 given as 17, the file fixes it at 16"),
    ],
)
def test_wrong_shapes(shape: tuple[int, ...], words: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=words):
        load(networks.tiny_cnn(tmp_path / "tiny.onnx"), shapes={"input": shape})


def test_a_suffix_that_nobody_reads(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"its suffix '\.txt', networks are \.onnx files"):
        load(tmp_path / "network.txt")
