"""Networks that are quantised already: their integers become kernels, and the values are those of onnxruntime."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

import networks
from cyclecast.executable import build_program
from cyclecast.frontend import load
from cyclecast.frontend.quantization._integers import Constant

pytestmark = pytest.mark.tvm

SHAPES: dict[Callable[[Path], Path], tuple[int, ...]] = {
    networks.tiny_cnn: (1, 3, 16, 16),
    networks.attention_block: (1, 16, 32),
}


def sample(shape: tuple[int, ...], seed: int) -> Any:
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


class Samples(CalibrationDataReader):  # type: ignore[misc] # onnxruntime is untyped
    """Four of them."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.samples: Iterator[Any] = (sample(shape, seed) for seed in range(4))

    def get_next(self) -> dict[str, Any] | None:
        """One more, or None."""
        values = next(self.samples, None)
        return None if values is None else {"input": values}


def quantised(make: Callable[[Path], Path], folder: Path, **options: Any) -> Path:
    """A network quantised by onnxruntime."""
    source, target = make(folder / "float.onnx"), folder / "quantised.onnx"
    level = logging.root.level
    logging.root.setLevel(logging.ERROR)  # onnxruntime recommends another tool
    try:
        quantize_static(str(source), str(target), Samples(SHAPES[make]), **options)
    finally:
        logging.root.setLevel(level)
    return target


def expected(path: Path, values: Any) -> Any:
    """Operator by operator as the file has them: onnxruntime's fused ones round in their own ways."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(str(path), options).run(None, {"input": values})[0]


@pytest.mark.parametrize("make", SHAPES)
@pytest.mark.parametrize(
    ("activations", "weights", "per_channel"),
    [
        (QuantType.QUInt8, QuantType.QInt8, True),
        (QuantType.QInt8, QuantType.QInt8, False),
        (QuantType.QUInt8, QuantType.QUInt8, False),
    ],
)
def test_qdq_networks_compute_what_onnxruntime_does(
    make: Callable[[Path], Path], activations: QuantType, weights: QuantType, per_channel: bool, tmp_path: Path
) -> None:
    path = quantised(
        make, tmp_path, quant_format=QuantFormat.QDQ, activation_type=activations, weight_type=weights,
        per_channel=per_channel,
    )  # fmt: skip
    network = load(path)
    assert sum(member.count for member in network.members) == 5
    (computed,) = build_program(network.program)(sample(SHAPES[make], 9))
    wanted = expected(path, sample(SHAPES[make], 9))
    units = np.abs(computed - wanted) / np.diff(np.unique(wanted.round(4))).min()
    assert (units < 0.01).mean() >= 0.99
    assert units.max() < 1.01


def test_wider_integers_than_the_device_takes_stay_on_the_host(tmp_path: Path) -> None:
    path = quantised(
        networks.tiny_cnn, tmp_path, activation_type=QuantType.QInt16, weight_type=QuantType.QInt8,
        extra_options={"UseQDQContribOps": False},
    )  # fmt: skip
    network = load(path)
    assert network.members == ()
    assert {operator.reason for operator in network.host if operator.macs} == {"16-bit inputs, arrays take 8"}
    wide = load(path, activation_bits=16, weight_bits=8)
    assert sum(member.count for member in wide.members) == 5
    values = sample((1, 3, 16, 16), 9)
    for variant in (network, wide):
        (computed,) = build_program(variant.program)(values)
        np.testing.assert_allclose(computed, expected(path, values), rtol=1e-3, atol=1e-3)


def layer(path: Path, *nodes: Any, shape: tuple[int, ...], kind: int, **weights: Any) -> Path:
    """A few nodes from `input` to `output`, with constants."""
    graph = helper.make_graph(
        nodes,
        "layer",
        [helper.make_tensor_value_info("input", kind, shape)],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, None)],
        [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()],
    )
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path


@pytest.mark.parametrize("kind", ["uint8", "int8"])
@pytest.mark.parametrize("weight_zero", [0, 7, 128])
def test_grouped_convolutions_with_zero_points_and_pads_are_exact(kind: str, weight_zero: int, tmp_path: Path) -> None:
    """Both zero points, uneven pads, groups: every term of the product of differences."""
    random = np.random.default_rng(3)
    weights = random.integers(0, 256, (6, 2, 3, 2)).astype("uint8")
    path = layer(
        tmp_path / "layer.onnx",
        helper.make_node("DequantizeLinear", ["input", "scale", "zero"], ["x"]),
        helper.make_node("DequantizeLinear", ["weights", "steps", "middles"], ["w"], axis=0),
        helper.make_node("Conv", ["x", "w"], ["output"], group=2, pads=[1, 0, 2, 1], strides=[2, 1]),
        shape=(1, 4, 7, 6), kind=helper.np_dtype_to_tensor_dtype(np.dtype(kind)),
        scale=np.float32(0.5), zero=np.array(3, kind), weights=weights,
        steps=np.linspace(0.25, 1, 6, dtype="float32"), middles=np.full(6, weight_zero, "uint8"),
    )  # fmt: skip
    network = load(path)
    assert [member.workload.name for member in network.members] == ["conv2d 1x4x7x6 k3x2 s2x1 g2 -> 6"]
    bounds = np.iinfo(kind)
    values = random.integers(bounds.min, bounds.max, (1, 4, 7, 6), endpoint=True).astype(kind)
    (computed,) = build_program(network.program)(values)
    np.testing.assert_allclose(computed, expected(path, values), atol=0.01)  # of steps of 0.125 and more


@pytest.mark.parametrize("rank", [2, 3])
def test_a_matrix_on_the_left(rank: int, tmp_path: Path) -> None:
    matrix = sample((5, 6), 1) if rank == 2 else sample((3, 5, 6), 1)
    path = layer(
        tmp_path / "layer.onnx", helper.make_node("MatMul", ["w", "input"], ["output"]),
        shape=(3, 6, 4), kind=TensorProto.FLOAT, w=matrix,
    )  # fmt: skip
    network = load(path, activation_bits=16, weight_bits=16)
    assert sum(member.workload.macs for member in network.members) == 3 * 5 * 6 * 4
    values = sample((3, 6, 4), 2)
    (computed,) = build_program(network.program)(values)
    np.testing.assert_allclose(computed, expected(path, values), atol=1e-3)


@pytest.mark.parametrize(
    ("low", "high", "zero", "most", "bits", "signed"),
    [
        (0, 255, 128, 8, 8, True),
        (0, 255, 3, 8, 8, False),
        (5, 100, 0, 8, 8, True),
        (0, 255, 3, 16, 8, False),
        (0, 15, 8, 4, 4, True),
        (0, 15, 5, 4, 4, False),
        (0, 15, 5, 5, 5, True),
        (0, 7, 0, 4, 4, True),
        (0, 15, 5, 3, 8, True),
    ],
)
def test_unsigned_weights_take_few_bits_and_no_zero_point_if_that_can_be(
    low: int, high: int, zero: int, most: int, bits: int, signed: bool
) -> None:
    integers = np.linspace(low, high, 12).astype("uint8").reshape(3, 4)
    constant = Constant(integers, np.ones((3, 1), "float32"), np.full((3, 1), zero, "int32"), 8)
    stored = constant.signed(most)
    assert str(stored.integers.dtype) == "int8"
    assert stored.bits == bits
    assert np.abs(stored.integers + 0.5).max() < 1 << (bits - 1)
    assert (not stored.zero.any()) == signed
    assert np.array_equal(stored.values(), constant.values())


@pytest.mark.parametrize(
    ("weights", "axis", "reason"),
    [
        ("int8", 0, "its integer weights have no one scale for each filter"),
        ("int32", 1, "its integer weights have no one scale for each filter"),
    ],
)
def test_integers_that_arrays_cannot_keep_are_not_made_anew(
    weights: str, axis: int, reason: str, tmp_path: Path
) -> None:
    values = np.arange(12, dtype=weights).reshape(4, 3)
    path = layer(
        tmp_path / "layer.onnx",
        helper.make_node("DequantizeLinear", ["weights", "steps"], ["w"], axis=axis),
        helper.make_node("MatMul", ["input", "w"], ["output"]),
        shape=(2, 4), kind=TensorProto.FLOAT, weights=values,
        steps=np.linspace(0.1, 1, values.shape[axis], dtype="float32"),
    )  # fmt: skip
    network = load(path)
    assert [operator.reason for operator in network.host if operator.macs] == [reason]
    inputs = sample((2, 4), 1)
    np.testing.assert_allclose(build_program(network.program)(inputs)[0], expected(path, inputs), rtol=1e-5)


def test_inputs_of_several_scales_are_not_made_anew(tmp_path: Path) -> None:
    path = layer(
        tmp_path / "layer.onnx",
        helper.make_node("DequantizeLinear", ["input", "steps"], ["x"], axis=1),
        helper.make_node("Conv", ["x", "w"], ["output"]),
        shape=(1, 3, 4, 4), kind=TensorProto.INT8, steps=np.array([0.1, 1, 10], "float32"), w=sample((2, 3, 1, 1), 2),
    )  # fmt: skip
    network = load(path)
    assert [operator.reason for operator in network.host if operator.macs] == ["its integer inputs have no one scale"]
    inputs = np.random.default_rng(1).integers(-128, 128, (1, 3, 4, 4)).astype("int8")
    np.testing.assert_allclose(build_program(network.program)(inputs)[0], expected(path, inputs), rtol=1e-4, atol=1e-3)


def test_zeros_around_integers_leave_them_as_they_are(tmp_path: Path) -> None:
    """Around channels, which no convolution takes over: nothing is quantised a second time."""
    random = np.random.default_rng(0)
    path = layer(
        tmp_path / "layer.onnx",
        helper.make_node("DequantizeLinear", ["input", "scale", "zero"], ["x"]),
        helper.make_node("Pad", ["x", "pads"], ["wide"]),
        helper.make_node("DequantizeLinear", ["w", "steps"], ["weights"], axis=0),
        helper.make_node("Conv", ["wide", "weights"], ["output"]),
        shape=(1, 3, 4, 4), kind=TensorProto.UINT8, scale=np.float32(0.02), zero=np.uint8(7),
        pads=np.array([0, 1, 0, 0, 0, 2, 0, 0]), w=random.integers(-127, 128, (2, 6, 1, 1)).astype("int8"),
        steps=np.array([0.01, 0.02], "float32"),
    )  # fmt: skip
    network = load(path)
    assert [member.workload.name for member in network.members] == ["conv2d 1x6x4x4 k1x1 -> 2"]
    inputs = random.integers(0, 256, (1, 3, 4, 4)).astype("uint8")
    np.testing.assert_allclose(build_program(network.program)(inputs)[0], expected(path, inputs), rtol=1e-5, atol=1e-5)
