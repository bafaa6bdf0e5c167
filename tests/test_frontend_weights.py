"""Large weights, which are passed in files and arrays beside the messages that name them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from onnx import TensorProto, helper, numpy_helper

from cyclecast.errors import ModelError
from cyclecast.executable import build_program
from cyclecast.frontend import load
from cyclecast.frontend.graphs._constant_folding import DETACHED, LARGE, fold
from cyclecast.frontend.graphs._nodes import bytes_of
from cyclecast.frontend.host._relax_constants import constant_of, values_of
from cyclecast.frontend.quantization._integers import quantize_weights

pytestmark = pytest.mark.tvm


def network(constants: list[Any], nodes: list[Any], kind: int = TensorProto.FLOAT) -> Any:
    ends = [helper.make_tensor_value_info("x", kind, [1, 200]), helper.make_tensor_value_info("y", kind, None)]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], constants)
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])


def test_files_of_the_current_folder_are_not_taken_for_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names of files that we make may be in use here."""
    values = np.random.default_rng(0).normal(size=(200, 300)).astype("float32")
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    onnx.save(network([numpy_helper.from_array(values, "w")], nodes), tmp_path / "a.onnx")
    for name in ("weights", "folded.onnx", "prepared.onnx"):
        (tmp_path / name).write_bytes(b"mine")
    monkeypatch.chdir(tmp_path)
    data = np.ones((1, 200), "float32")
    (found,) = build_program(load(Path("a.onnx"), activation_bits=16, weight_bits=16).program)(data)
    np.testing.assert_allclose(found, data @ values, atol=0.1)


@pytest.mark.parametrize("kind", DETACHED, ids=[str(kind) for kind in DETACHED.values()])
def test_large_weights_are_folded_as_small_ones(kind: Any) -> None:
    """Every type, also a constant that nothing needs, and one that folding uses."""
    values = np.arange(200 * 400, dtype=DETACHED[kind]).reshape(200, 400)
    constants = [numpy_helper.from_array(values, name) for name in ("w", "unused")]
    nodes = [helper.make_node("Transpose", ["w"], ["t"]), helper.make_node("Identity", ["t"], ["y"])]
    nodes.append(helper.make_node("Identity", ["x"], ["z"]))
    model = network(constants, nodes, kind)
    model.graph.output.append(helper.make_tensor_value_info("z", kind, None))
    folded = fold(model, "a.onnx")
    found = [numpy_helper.to_array(part) for part in folded.graph.initializer if list(part.dims) == [400, 200]]
    assert len(found) == 1
    assert (found[0] == values.T).all()


def test_large_weights_of_a_branch() -> None:
    """They are named in the branch and held by the graph around it."""
    values = np.ones((200, 400), "float32")
    branches = [
        helper.make_graph(
            [helper.make_node("MatMul", ["x", name], [f"{name}y"])],
            name,
            [],
            [helper.make_tensor_value_info(f"{name}y", TensorProto.FLOAT, None)],
        )
        for name in "vw"
    ]
    constants = [numpy_helper.from_array(values * place, name) for place, name in enumerate("vw")]
    nodes = [helper.make_node("If", ["c"], ["y"], then_branch=branches[0], else_branch=branches[1])]
    model = network(constants, nodes)
    model.graph.input.append(helper.make_tensor_value_info("c", TensorProto.BOOL, []))
    folded = fold(model, "a.onnx")
    found = {part.name: numpy_helper.to_array(part) for part in folded.graph.initializer}
    assert {name: float(part.mean()) for name, part in found.items()} == {"v": 0, "w": 1}


@pytest.mark.parametrize(
    ("dims", "content"),
    [([200, LARGE], b"1234"), ([-200, -100], b"1234" * 20_000), ([2**40, 2**40], b"1234")],
    ids=["short", "negative", "beyond all memory"],
)
def test_weights_that_are_not_as_large_as_they_say(dims: list[int], content: bytes, tmp_path: Path) -> None:
    damaged = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=dims, raw_data=content)
    onnx.save(network([damaged], [helper.make_node("MatMul", ["x", "w"], ["y"])]), tmp_path / "a.onnx")
    with pytest.raises(ModelError, match=r"a\.onnx: onnxruntime refuses it|a\.onnx: tensor 'w': .+ values"):
        load(tmp_path / "a.onnx")


def test_the_size_of_a_model_is_nearly_that_of_its_file() -> None:
    values = [numpy_helper.from_array(np.zeros((200, 300), "float32"), "w")]
    values.append(helper.make_tensor("v", TensorProto.FLOAT, [1000], [1.0] * 1000))
    model = network(values, [helper.make_node("MatMul", ["x", "w"], ["y"])])
    assert bytes_of(model) == pytest.approx(model.ByteSize(), rel=1e-3)


@given(
    values=arrays("float32", array_shapes(min_dims=0, max_dims=3, max_side=150), elements=st.floats(-9, 9, width=32)),
    kind=st.sampled_from(["float32", "float16", "int8", "bfloat16"]),
)
def test_constants_hold_transposed_and_converted_values(values: Any, kind: str) -> None:
    found = values_of(constant_of(values.T, kind))
    assert str(found.dtype) == kind
    assert (found == values.T.astype(kind)).all()


@given(
    values=arrays("float32", (7, 60_000), elements=st.sampled_from([-3.0, -0.4, 0.0, 0.31, 2.5])),
    axes=st.sampled_from([(0,), (1,), ()]),
    scheme=st.sampled_from(["symmetric", "affine"]),
)
def test_weights_are_quantised_alike_in_blocks_and_at_once(values: Any, axes: tuple[int, ...], scheme: Any) -> None:
    """Equation 1 of Jacob et al. for all of them in one expression."""
    found = quantize_weights(values, axes, 8, scheme)
    least = -127 if scheme == "symmetric" else -128
    assert (found.integers == np.clip(np.rint(values / found.scale) + found.zero, least, 127)).all()
