"""Reading of ONNX files: shapes, constants, and every kind of bad file."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

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


def saved(path: Path, *nodes: Any, shape: tuple[int, ...] = (1, 2), weights: dict[str, Any] | None = None) -> Path:
    """A network from `input` to `output` of these nodes."""
    graph = helper.make_graph(
        list(nodes),
        path.stem,
        [helper.make_tensor_value_info("input", onnx.TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("output", onnx.TensorProto.FLOAT, None)],
        [onnx.numpy_helper.from_array(value, name) for name, value in (weights or {}).items()],
    )
    opsets = [helper.make_opsetid(domain, version) for domain, version in (("", 17), ("nowhere", 1))]
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=opsets), path)
    return path


def missing(path: Path) -> Path:
    return path


def folder(path: Path) -> Path:
    path.mkdir()
    return path


def empty(path: Path) -> Path:
    path.touch()
    return path


def text(path: Path) -> Path:
    path.write_text("This is not a network. " * 20)
    return path


def cut_off(path: Path) -> Path:
    content = networks.tiny_cnn(path).read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return path


def without_operators(path: Path) -> Path:
    return saved(path)


def without_outputs(path: Path) -> Path:
    model = onnx.load(networks.tiny_cnn(path))
    del model.graph.output[:]
    onnx.save(model, path)
    return path


def without_its_weights(path: Path) -> Path:
    model = onnx.load(networks.tiny_cnn(path))
    onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    (path.parent / "weights.bin").unlink()
    return path


def short_weights(path: Path) -> Path:
    model = onnx.load(networks.tiny_cnn(path))
    model.graph.initializer[0].raw_data = model.graph.initializer[0].raw_data[:-8]
    onnx.save(model, path)
    return path


def unreleased(path: Path) -> Path:
    model = onnx.load(networks.tiny_cnn(path))
    model.opset_import[0].version = 99
    onnx.save(model, path)
    return path


def cyclic(path: Path) -> Path:
    return saved(path, helper.make_node("Add", ["input", "output"], ["a"]), helper.make_node("Relu", ["a"], ["output"]))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (missing, "there is no such file, a network is an ONNX file; try another path"),
        (folder, "it is a folder, a network is an ONNX file; try another path"),
        (empty, "it holds no operators, the file is empty; try exporting it again"),
        (text, "it cannot be read as ONNX, its 460 bytes are damaged, cut off or of another format"),
        (cut_off, "it cannot be read as ONNX, its "),
        (without_operators, "it holds no operators, a network has at least one; try exporting it again"),
        (without_outputs, "it holds no outputs, a network has at least one; try exporting it again"),
        (without_its_weights, "its weights are in another file, which cannot be read, "),
        (short_weights, "onnxruntime refuses it, Initializer 'w0': raw_data size (1288 bytes) does not match"),
        (unreleased, "onnxruntime refuses it, ONNX Runtime only *guarantees* support for models stamped"),
        (cyclic, "onnxruntime refuses it, This is an invalid model. Error: the graph is not acyclic"),
    ],
)
def test_files_that_are_no_network(make: Callable[[Path], Path], words: str, tmp_path: Path) -> None:
    path = make(tmp_path / "network.onnx")
    with pytest.raises(ModelError) as raised:
        load(path)
    assert str(raised.value).startswith(f"{path}: {words}")
    assert "\n" not in str(raised.value)
    assert raised.value.lever


def test_unknown_extents_that_are_minus_one(tmp_path: Path) -> None:
    path = networks.tiny_cnn(tmp_path / "tiny.onnx")
    model = onnx.load(path)
    model.graph.output[0].type.tensor_type.shape.dim[0].dim_value = -1
    onnx.save(model, path)
    assert load(path).members


def test_constants_that_are_listed_as_inputs(tmp_path: Path) -> None:
    """As old files must, and their weights are made by operators that take these constants."""
    nodes = [
        helper.make_node("ConstantOfShape", ["size"], ["w"], value=helper.make_tensor("v", 1, [1], [0.5])),
        helper.make_node("MatMul", ["input", "w"], ["output"]),
    ]
    path = saved(tmp_path / "old.onnx", *nodes, weights={"size": np.array([2, 3])})
    model = onnx.load(path)
    model.ir_version = 3
    model.graph.input.append(helper.make_tensor_value_info("size", onnx.TensorProto.INT64, [2]))
    onnx.save(model, path)
    network = load(path)
    assert [member.workload.name for member in network.members] == ["dense 1x2 -> 3"]
    assert len(network.program["main"].params) == 1


def test_weights_in_another_file(tmp_path: Path) -> None:
    path = networks.tiny_cnn(tmp_path / "tiny.onnx")
    expected = load(path)
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert load(path) == expected


def nonsense(path: Path) -> Path:
    names = ["input", "a", "b", "c", "d", "e", "output"]
    kinds = ["Nonsense", "Folly", "Folly", "Folly", "Folly", "Folly"]
    nodes = [
        helper.make_node(kind, [names[position]], [names[position + 1]], name=f"n{position}", domain="nowhere")
        for position, kind in enumerate(kinds)
    ]
    return saved(path, *nodes)


def unheard_of(path: Path) -> Path:
    return saved(path, helper.make_node("Nonsense", ["input"], ["output"]))


def recurrent(path: Path) -> Path:
    weights = {"w": np.zeros((1, 16, 3), "float32"), "r": np.zeros((1, 16, 4), "float32")}
    names = ["Relu", "Tanh", "Tanh"]
    node = helper.make_node("LSTM", ["input", "w", "r"], ["output"], hidden_size=4, name="memory", activations=names)
    return saved(path, node, shape=(5, 1, 3), weights=weights)


def counted(path: Path) -> Path:
    """As many rows as there are values other than 0."""
    nodes = [
        helper.make_node("NonZero", ["input"], ["a"]),
        helper.make_node("Cast", ["a"], ["b"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Transpose", ["b"], ["c"]),
        helper.make_node("MatMul", ["c", "w"], ["output"]),
    ]
    return saved(path, *nodes, weights={"w": np.ones((2, 3), "float32")})


def reshaped(path: Path) -> Path:
    """Reshaped to what the input says."""
    nodes = [
        helper.make_node("Cast", ["input"], ["a"], to=onnx.TensorProto.INT64),
        helper.make_node("Reshape", ["w", "a"], ["output"]),
    ]
    return saved(path, *nodes, shape=(2,), weights={"w": np.ones((2, 3), "float32")})


def narrow(path: Path) -> Path:
    weights = {"w": np.ones((4, 2, 3), "float32")}
    return saved(path, helper.make_node("Conv", ["input", "w"], ["output"]), shape=(1, 2, 2), weights=weights)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            nonsense,
            "operators Folly (5: n1, n2, n3, ...); Nonsense (1: n0), TVM's importer does not know them",
        ),
        (unheard_of, "operators Nonsense (1: output), TVM's importer does not know them"),
        (recurrent, "operators LSTM (1: memory), TVM's importer does not know them"),
        (counted, "operator 'matmul': a shape that depends on values, shapes must be fixed"),
        (reshaped, "node 'output' (Reshape): it cannot be imported, Reshape requires"),
        (narrow, "operator 'conv1d': a result of 1x4x0, tensors are not empty; try a larger input shape"),
    ],
)
def test_networks_that_are_not_supported(
    make: Callable[[Path], Path], words: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = make(tmp_path / "network.onnx")
    with pytest.raises(UnsupportedError) as raised:
        load(path)
    assert str(raised.value).startswith(f"{path}: {words}")
    assert "\n" not in str(raised.value)
    assert raised.value.lever
    del raised
    gc.collect()
    assert capfd.readouterr() == ("", "")


def test_loading_is_quiet(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Embeddings make TVM warn about its own choice of a fast mode."""
    nodes = [
        helper.make_node("Cast", ["input"], ["a"], to=onnx.TensorProto.INT64),
        helper.make_node("Gather", ["table", "a"], ["b"]),
        helper.make_node("MatMul", ["b", "w"], ["output"]),
    ]
    weights = {"table": np.ones((10, 4), "float32"), "w": np.ones((4, 3), "float32")}
    network = load(saved(tmp_path / "network.onnx", *nodes, weights=weights))
    assert [member.workload.name for member in network.members] == ["dense 1x2x4 -> 3"]
    assert capfd.readouterr() == ("", "")


def test_a_suffix_that_nobody_reads(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"its suffix '\.txt', networks are \.onnx, \.pt2 and \.tflite files"):
        load(tmp_path / "network.txt")
