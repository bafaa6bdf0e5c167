"""Rewritten operators: equal values in onnxruntime, and no original operator left."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnx.backend.test.case.node import _NodeTestCases
from onnxruntime.quantization import QuantFormat, QuantType

from cyclecast.device import Device
from cyclecast.frontend import load
from cyclecast.frontend.graphs._rewritten_operators import ADVICE, advice, rewrite
from cyclecast.frontend.readers._onnx_graph import _is_unknown
from cyclecast.workflow.building import compile
from cyclecast.workflow.tuning import estimate
from test_frontend_integers import SHAPES, quantised, sample

pytestmark = pytest.mark.tvm


def model_of(*nodes: Any, inputs: dict[str, Any], constants: dict[str, Any], outputs: int = 1) -> Any:
    graph = helper.make_graph(
        list(nodes),
        "graph",
        [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
            for name, value in inputs.items()
        ],
        [onnx.ValueInfoProto(name=f"y{place}") for place in range(outputs)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 20)])


def run(model: Any, inputs: dict[str, Any]) -> Any:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model.SerializeToString(), options).run(None, inputs)


def rewritten(model: Any) -> Any:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    rewrite(copy, _is_unknown)
    return copy


def check(model: Any, inputs: dict[str, Any], gone: str) -> list[str]:
    """Equal values, and none of the operators left; those that stand for it."""
    made = rewritten(model)
    kinds = [node.op_type for node in made.graph.node]
    assert gone not in kinds
    for computed, expected in zip(run(made, inputs), run(model, inputs), strict=True):
        np.testing.assert_allclose(computed, expected, rtol=1e-4, atol=1e-5)
    return kinds


@st.composite
def transposed(draw: st.DrawFn) -> tuple[Any, dict[str, Any]]:
    """Any transposed convolution that onnxruntime takes, of one to three axes."""
    axes, groups = draw(st.integers(1, 3)), draw(st.integers(1, 2))

    def each(least: int, most: int) -> list[int]:
        return [draw(st.integers(least, most)) for _ in range(axes)]

    size, kernel, strides, dilations = each(1, 4), each(1, 4), each(1, 3), each(1, 2)
    attributes: dict[str, Any] = {"strides": strides, "dilations": dilations, "group": groups}
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    whole = [(n - 1) * s + r for n, s, r in zip(size, strides, reach, strict=True)]
    form = draw(st.sampled_from(["pads", "output_shape", "SAME_UPPER", "SAME_LOWER", "VALID"]))
    if form == "pads":
        pads = [draw(st.integers(0, r - 1)) for r in (*reach, *reach)]
        assume(all(w > a + b for w, a, b in zip(whole, pads[:axes], pads[axes:], strict=True)))
        attributes |= {"pads": pads, "output_padding": [draw(st.integers(0, s - 1)) for s in strides]}
    elif form == "output_shape":
        attributes["output_shape"] = [draw(st.integers(max(1, w - r), w)) for w, r in zip(whole, reach, strict=True)]
    else:
        attributes["auto_pad"] = form
        assume(all(w >= n * s for w, n, s in zip(whole, size, strides, strict=True)))
    channels, filters = groups * draw(st.integers(1, 2)), draw(st.integers(1, 3))
    random = np.random.default_rng(draw(st.integers(0, 99)))
    constants = {"w": random.normal(size=(channels, filters, *kernel)).astype("float32")}
    if draw(st.booleans()):
        constants["b"] = random.normal(size=groups * filters).astype("float32")
    inputs = {"x": random.normal(size=(2, channels, *size)).astype("float32")}
    node = helper.make_node("ConvTranspose", ["x", *constants], ["y0"], **attributes)
    return model_of(node, inputs=inputs, constants=constants), inputs


@settings(max_examples=60)
@given(transposed())
def test_transposed_convolutions(case: tuple[Any, dict[str, Any]]) -> None:
    assert "Conv" in check(*case, gone="ConvTranspose")


def test_a_transposed_convolution_multiplies_by_no_zeros() -> None:
    inputs = {"x": np.ones((1, 3, 5, 5), "float32")}
    node = helper.make_node("ConvTranspose", ["x", "w"], ["y0"], strides=[2, 2])
    model = rewritten(model_of(node, inputs=inputs, constants={"w": np.ones((3, 4, 2, 2), "float32")}))
    (weights,) = (part for part in model.graph.initializer if part.dims == [16, 3, 1, 1])
    assert prod(weights.dims) == 3 * 4 * 2 * 2  # as many as before, each met once by every pixel


@cache
def recurrent_cases() -> dict[str, Any]:
    for operator in ("lstm", "gru", "rnn"):
        import_module(f"onnx.backend.test.case.node.{operator}")
    kinds = ("LSTM", "GRU", "RNN")
    return {case.name: case for case in _NodeTestCases if case.model.graph.node[0].op_type in kinds}


@pytest.mark.parametrize("name", sorted(recurrent_cases()))
def test_recurrent_layers_of_the_standard(name: str) -> None:
    case = recurrent_cases()[name]
    values = dict(zip((value.name for value in case.model.graph.input), case.data_sets[0][0], strict=True))
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    model.graph.initializer.extend(
        numpy_helper.from_array(value, name) for name, value in values.items() if name != "X"
    )
    made = rewritten(model)
    kinds = {node.op_type for node in made.graph.node}
    assert not kinds & {"LSTM", "GRU", "RNN"}
    outputs = run(made, {"X": values["X"]})
    for computed, expected in zip(outputs, case.data_sets[0][1], strict=True):
        np.testing.assert_allclose(computed, expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
def test_recurrent_layers_in_both_directions(kind: str, direction: str) -> None:
    random, gates = np.random.default_rng(0), {"LSTM": 4, "GRU": 3, "RNN": 1}[kind]
    count = 2 if direction == "bidirectional" else 1
    constants = {
        "w": random.normal(size=(count, gates * 4, 3)),
        "r": random.normal(size=(count, gates * 4, 4)),
        "b": random.normal(size=(count, 2 * gates * 4)),
        "h": random.normal(size=(count, 2, 4)),
    }
    inputs = {"x": random.normal(size=(5, 2, 3)).astype("float32")}
    more: Any = {"linear_before_reset": 1} if kind == "GRU" else {}
    node = helper.make_node(
        kind, ["x", "w", "r", "b", "", "h"], ["y0", "y1"], hidden_size=4, direction=direction, **more
    )
    constants = {name: value.astype("float32") for name, value in constants.items()}
    kinds = check(model_of(node, inputs=inputs, constants=constants, outputs=2), inputs, gone=kind)
    assert kinds.count("MatMul") == count * (1 + 5)


@pytest.mark.parametrize(
    "change", [{"clip": 1.0}, {"activations": ["Relu", "Tanh", "Tanh"]}, {"steps": 300}, {"dynamic": True}]
)
def test_recurrent_layers_without_such_a_form_stay(change: dict[str, Any]) -> None:
    steps, dynamic = change.pop("steps", 5), change.pop("dynamic", False)
    inputs = {"x": np.zeros((steps, 1, 3), "float32")}
    constants = {"w": np.zeros((1, 16, 3), "float32"), "r": np.zeros((1, 16, 4), "float32")}
    if dynamic:
        inputs["w"] = constants.pop("w")
    node = helper.make_node("LSTM", ["x", "w", "r"], ["y0"], hidden_size=4, **change)
    assert [node.op_type for node in rewritten(model_of(node, inputs=inputs, constants=constants)).graph.node] == [
        "LSTM"
    ]


@pytest.mark.parametrize("make", SHAPES)
@pytest.mark.parametrize("per_channel", [False, True])
def test_operators_of_onnxruntime_s_quantiser(make: Any, per_channel: bool, tmp_path: Path) -> None:
    path = quantised(
        make, tmp_path, quant_format=QuantFormat.QOperator, activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8, per_channel=per_channel,
    )  # fmt: skip
    model = onnx.load(path)
    made = rewritten(model)
    assert not [
        node.op_type for node in made.graph.node if node.op_type.startswith("Q") and "Linear" not in node.op_type
    ]
    assert not [node.op_type for node in made.graph.node if node.op_type.startswith("QLinear")]
    values = {"input": sample(SHAPES[make], 9)}
    (computed,), (expected,) = run(made, values), run(model, values)
    units = np.abs(computed - expected) / np.diff(np.unique(expected.round(4))).min()
    assert units.max() < 2.01  # onnxruntime's operators round in their own ways
    assert (units < 1.01).mean() >= 0.99


@pytest.mark.parametrize("rows", [False, True])
@pytest.mark.parametrize("columns", [False, True])
@pytest.mark.parametrize("constant", [False, True])
def test_integers_with_many_zero_points_are_exact(rows: bool, columns: bool, constant: bool, tmp_path: Path) -> None:
    """More terms than a float32 adds up exactly; onnxruntime itself refuses a zero point for each row."""
    random, every = np.random.default_rng(0), {}
    every["a"], every["b"] = random.integers(200, 256, (3, 900), "uint8"), random.integers(90, 128, (900, 5), "int8")
    every["az"] = np.array([1, 2, 3], "uint8") if rows else np.array(7, "uint8")
    every["bz"] = np.array([-9, 2, -7, 4, 5], "int8") if columns else np.array(-3, "int8")
    inputs = {name: every.pop(name) for name in ("a", "b")[: 1 if constant else 2]}
    model = model_of(helper.make_node("MatMulInteger", ["a", "b", "az", "bz"], ["y0"]), inputs=inputs, constants=every)
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.INT32
    onnx.save(model, path := tmp_path / "model.onnx")
    every |= inputs
    left = every["a"].astype("int64") - every["az"].astype("int64").reshape(-1, 1)
    expected = left @ (every["b"].astype("int64") - every["bz"])
    assert np.abs(expected).max() > 1 << 24
    network = load(path)
    assert bool(network.members) == constant
    (computed,) = compile(estimate(network, Device.load("isaac")))(*inputs.values())
    assert np.array_equal(computed, expected)


def test_a_vector_of_integers_times_a_matrix_is_exact(tmp_path: Path) -> None:
    inputs = {"a": np.full(900, 255, "uint8")}
    node = helper.make_node("MatMulInteger", ["a", "b", "az"], ["y0"])
    model = model_of(node, inputs=inputs, constants={"b": np.full((900, 2), 127, "int8"), "az": np.uint8(2)})
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.INT32
    onnx.save(model, path := tmp_path / "model.onnx")
    (computed,) = compile(estimate(load(path), Device.load("isaac")))(*inputs.values())
    assert computed.tolist() == [900 * 253 * 127] * 2


def test_filters_with_zero_points_of_their_own_are_exact(tmp_path: Path) -> None:
    inputs = {"x": np.full((1, 3, 1, 1), 255, "uint8")}
    constants = {"w": np.full((2, 3, 1, 1), 100, "int8"), "xz": np.uint8(5), "wz": np.array([1, -2], "int8")}
    node = helper.make_node("ConvInteger", ["x", "w", "xz", "wz"], ["y0"])
    model = model_of(node, inputs=inputs, constants=constants)
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.INT32
    onnx.save(model, path := tmp_path / "model.onnx")
    (computed,) = compile(estimate(network := load(path), Device.load("isaac")))(*inputs.values())
    assert network.members
    assert computed.ravel().tolist() == [3 * 250 * 99, 3 * 250 * 102]


def test_functions_within_functions_are_expanded() -> None:
    inputs = {"a": np.zeros((2, 4), "float32"), "b": np.zeros((2, 4), "float32")}
    model = model_of(helper.make_node("SwiGLU", ["a", "b"], ["y0"]), inputs=inputs, constants={})
    model.opset_import[0].version = onnx.defs.onnx_opset_version()
    assert not {"SwiGLU", "Swish"} & {node.op_type for node in rewritten(model).graph.node}


def test_functions_of_the_standard_are_expanded() -> None:
    inputs = {"x": np.linspace(-3, 3, 12, dtype="float32").reshape(3, 4)}
    node = helper.make_node("Celu", ["x"], ["y0"], alpha=2.0)
    check(model_of(node, inputs=inputs, constants={}), inputs, gone="Celu")


def test_older_files_are_raised_to_the_version_that_knows_axes() -> None:
    inputs = {"x": np.ones((1, 2, 4, 4), "uint8")}
    constants = {
        "s": np.float32(0.5), "z": np.uint8(3), "w": np.ones((3, 2, 1, 1), "uint8"),
        "ws": np.array([1, 2, 3], "float32"), "wz": np.zeros(3, "uint8"),
    }  # fmt: skip
    node = helper.make_node("QLinearConv", ["x", "s", "z", "w", "ws", "wz", "s", "z"], ["y0"])
    model = model_of(node, inputs=inputs, constants=constants)
    model.opset_import[0].version = 10
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.UINT8
    assert [entry.version for entry in rewritten(model).opset_import] == [13]
    check(model, inputs, gone="QLinearConv")


def test_every_piece_of_advice_is_an_order() -> None:
    assert advice("Loop") != advice("Nonsense")
    orders = ("export", "make", "replace", "compute", "quantise", "use")
    assert all(advice(name).split()[0] in orders for name in ("Unheard", *ADVICE))
    assert advice("QAttention", "com.microsoft") == "use the file from before onnxruntime optimised or quantised it"
