"""Files that onnxruntime misreads or refuses: sparse constants, and opsets newer than it supports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from cyclecast.errors import ModelError, UnsupportedError
from cyclecast.executable import build_program
from cyclecast.frontend import load, reference

pytestmark = pytest.mark.tvm


def saved(path: Path, nodes: list[Any], shape: list[int], version: int = 17, **parts: Any) -> Path:
    ends = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
    ends.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, None))
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], **parts)
    onnx.save(helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", version)]), path)
    return path


def sparse(indices: list[Any], dims: list[int]) -> Any:
    values = helper.make_tensor("w", TensorProto.FLOAT, [len(indices)], [1.0, 2.0, 3.0][: len(indices)])
    return helper.make_sparse_tensor(values, numpy_helper.from_array(np.array(indices, "int64"), "i"), dims)


@pytest.mark.parametrize("constant", [False, True])
@pytest.mark.parametrize("indices", [[0, 5, 11], [[0, 0], [1, 2], [3, 2]]], ids=["flat", "pairs"])
def test_sparse_weights_are_made_dense(indices: list[Any], constant: bool, tmp_path: Path) -> None:
    """They ended in "it cannot be imported, 'w'"."""
    part, nodes = sparse(indices, [4, 3]), [helper.make_node("MatMul", ["x", "w"], ["y"])]
    more = [helper.make_node("Constant", [], ["w"], sparse_value=part)] if constant else []
    parts: dict[str, Any] = {} if constant else {"sparse_initializer": [part]}
    path = saved(tmp_path / "a.onnx", more + nodes, [1, 4], **parts)
    network, data = load(path, activation_bits=16, weight_bits=16), np.array([[1, -2, 3, -4]], "float32")
    assert [member.workload.name for member in network.members] == ["dense 1x4 -> 3"]
    (expected,) = reference(path, {"x": data}).values()
    assert expected.tolist() == [[1, 0, -16]]
    np.testing.assert_allclose(build_program(network.program)(data)[0], expected, atol=1e-3)


@pytest.mark.parametrize(
    ("indices", "dims", "kind", "words"),
    [
        ([0, 12], [4, 3], ModelError, "tensor 'w': its sparse values are damaged"),
        ([-1], [4, 3], ModelError, "tensor 'w': its sparse values are damaged"),
        ([[0, 9]], [4, 3], ModelError, "tensor 'w': its sparse values are damaged"),
        ([0], [1 << 40, 1 << 20], UnsupportedError, "tensor 'w': sparse, 1,152,921,504,606,846,976 values in all"),
    ],
)
def test_sparse_weights_that_are_none(
    indices: list[Any], dims: list[int], kind: type[ModelError], words: str, tmp_path: Path
) -> None:
    part = sparse(indices, dims)
    path = saved(
        tmp_path / "a.onnx", [helper.make_node("MatMul", ["x", "w"], ["y"])], [1, 4], sparse_initializer=[part]
    )
    with pytest.raises(kind, match=words):
        load(path)


def test_versions_are_lowered_where_operators_say_the_same(tmp_path: Path) -> None:
    """onnxruntime has no kernel of the newest version of these."""
    scales = [
        numpy_helper.from_array(np.array(0.05, "float32"), "s"),
        numpy_helper.from_array(np.array(0, "int8"), "z"),
    ]
    scales.append(numpy_helper.from_array(np.eye(4, 3, dtype="float32"), "w"))
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        helper.make_node("Cast", ["d"], ["c"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["c", "w"], ["y"]),
    ]
    path = saved(tmp_path / "a.onnx", nodes, [1, 4], 28, initializer=scales)
    assert len(load(path).members) == 1
    data = np.array([[1, -2, 3, -4]], "float32")
    np.testing.assert_allclose(next(iter(reference(path, {"x": data}).values())), [[1, -2, 3]], atol=1e-5)


def test_versions_are_not_lowered_where_operators_say_something_else(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        helper.make_node("Mod", ["d", "s"], ["y"]),
    ]
    scales = [
        numpy_helper.from_array(np.array(0.05, "float32"), "s"),
        numpy_helper.from_array(np.array(0, "int8"), "z"),
    ]
    with pytest.raises(ModelError, match=r"Could not find an implementation .+ for an older version of ONNX"):
        load(saved(tmp_path / "a.onnx", nodes, [1, 4], 28, initializer=scales))


@pytest.mark.parametrize("domain", ["", "ai.onnx"])
def test_two_versions_of_one_domain_are_refused(domain: str, tmp_path: Path) -> None:
    path = saved(tmp_path / "a.onnx", [helper.make_node("Relu", ["x"], ["y"])], [1, 4])
    model = onnx.load(path)
    model.opset_import.append(helper.make_opsetid(domain, 17))
    onnx.save(model, path)
    load(path)
    model.opset_import[1].version = 18
    onnx.save(model, path)
    with pytest.raises(ModelError, match=r"opset_import names versions 17 and 18 of 'ai\.onnx', it must name one"):
        load(path)
