"""Integer kernels: what becomes one, what it computes, and how far the whole network is from the float one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import networks
from cyclecast.errors import OptionError
from cyclecast.executable import build_program
from cyclecast.frontend import load
from cyclecast.frontend._quantize import quantize_weights
from cyclecast.verification import cosine
from text_direction import INPUT, SHAPE, line_of_text, model_file

pytestmark = pytest.mark.tvm


def reference(path: Path, inputs: dict[str, Any]) -> Any:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, inputs)[0]


class TestWeights:
    @given(
        arrays.arrays("float32", (3, 2, 2), elements=st.floats(-1e6, 1e6, width=32)),
        st.integers(2, 16),
    )
    def test_each_is_within_half_a_step_of_its_channel(self, values: Any, bits: int) -> None:
        integers, scales = quantize_weights(values, (0,), bits)
        assert scales.shape == (3, 1, 1)
        assert np.abs(integers).max() <= 2 ** (bits - 1) - 1
        assert (np.abs(integers * scales.astype("float64") - values) <= 0.5001 * scales).all()

    def test_a_channel_of_zeros_stays_zero(self) -> None:
        integers, scales = quantize_weights(np.zeros((2, 3), "float32"), (0,), 8)
        assert not integers.any()
        assert (scales > 0).all()


class TestKernels:
    def test_counts_and_names(self, tmp_path: Path) -> None:
        network = load(networks.tiny_cnn(tmp_path / "tiny.onnx"))
        assert [(member.count, member.workload.name) for member in network.members] == [
            (1, "conv2d 1x3x16x16 k3x3 -> 12"),
            (1, "conv2d 1x12x16x16 k3x3 s2x2 g12 -> 12"),
            (1, "conv2d 1x12x8x8 k1x1 -> 20"),
            (1, "conv2d 1x12x8x8 k3x3 g4 -> 20"),
            (1, "dense 1x20 -> 10"),
        ] or len(network.members) == 5
        assert network.macs == 27 * 12 * 256 + 9 * 12 * 64 + 27 * 20 * 64 + 12 * 20 * 64 + 200

    def test_dynamic_products_stay_on_the_host(self, tmp_path: Path) -> None:
        network = load(networks.attention_block(tmp_path / "attention.onnx"))
        assert sum(member.count for member in network.members) == 5
        assert {operator.name: operator.count for operator in network.host}["matmul"] == 2

    def test_equal_products_share_a_kernel(self, tmp_path: Path) -> None:
        network = load(networks.attention_block(tmp_path / "attention.onnx"))
        assert [member.count for member in network.members if "16x32 -> 32" in member.workload.name] == [3]

    def test_resnet18_has_12_workloads(self, tmp_path: Path) -> None:
        network = load(networks.resnet18(tmp_path / "resnet18.onnx"))
        assert network.macs == networks.RESNET18_MACS
        assert (len(network.members), sum(member.count for member in network.members)) == (12, 21)

    @pytest.mark.parametrize("bits", [1, 17])
    def test_bits_out_of_range(self, bits: int, tmp_path: Path) -> None:
        with pytest.raises(OptionError, match="2 to 16 bits are possible"):
            load(tmp_path / "any.onnx", activation_bits=bits)


class TestValues:
    @pytest.mark.parametrize(("bits", "least"), [(4, 0.9), (8, 0.9995), (12, 0.9999999), (16, 0.9999999)])
    def test_more_bits_come_closer_to_float(self, bits: int, least: float, tmp_path: Path) -> None:
        path = networks.tiny_cnn(tmp_path / "tiny.onnx")
        network = load(path, activation_bits=bits, weight_bits=bits)
        image = np.random.default_rng(0).normal(size=(1, 3, 16, 16)).astype("float32")
        (output,) = build_program(network.program)(image)
        assert cosine(output, reference(path, {"input": image})) > least

    def test_attention_block(self, tmp_path: Path) -> None:
        path = networks.attention_block(tmp_path / "attention.onnx")
        tokens = np.random.default_rng(0).normal(size=(1, 16, 32)).astype("float32")
        (output,) = build_program(load(path).program)(tokens)
        assert cosine(output, reference(path, {"input": tokens})) > 0.999

    def test_zeros_in_give_what_float_gives(self, tmp_path: Path) -> None:
        path = networks.tiny_cnn(tmp_path / "tiny.onnx")
        zeros = np.zeros((1, 3, 16, 16), "float32")
        (output,) = build_program(load(path).program)(zeros)
        assert cosine(output, reference(path, {"input": zeros})) > 0.999

    @pytest.mark.slow
    def test_text_direction_is_read_like_onnxruntime(self) -> None:
        program = build_program(load(model_file(), shapes={INPUT: SHAPE}).program)
        for text in ("cyclecast", "a longer line of text 42"):
            for upside_down in (False, True):
                line = line_of_text(text, upside_down)
                (scores,) = program(line)
                expected = reference(model_file(), {INPUT: line})
                assert scores.argmax() == expected.argmax() == int(upside_down)
                assert cosine(scores, expected) > 0.99
