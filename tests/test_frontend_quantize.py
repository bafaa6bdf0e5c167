"""Integer kernels: which products become one, their values, and the error of the whole network."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any, get_args

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import networks
from cyclecast.device import Device
from cyclecast.errors import DeviceError, FitError, OptionError
from cyclecast.executable import build_program
from cyclecast.frontend import Scheme, load
from cyclecast.frontend.quantization._integers import quantize_weights
from cyclecast.network import HostOperator
from cyclecast.workflow.tuning import estimate
from cyclecast.workflow.verification import cosine
from kernels import Kernel
from text_direction import INPUT, SHAPE, line_of_text, model_file

pytestmark = pytest.mark.tvm


def reference(path: Path, inputs: dict[str, Any]) -> Any:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, inputs)[0]


@dataclass(frozen=True)
class Layer:
    """One ONNX operator with a constant weight."""

    kind: str
    data: tuple[int, ...]
    weight: tuple[int, ...]
    name: str = ""
    attributes: dict[str, Any] = field(default_factory=dict)

    def values(self) -> Any:
        return np.random.default_rng(1).normal(size=self.data).astype("float32")

    def save(self, path: Path) -> Path:
        graph = networks.Graph()
        weight = graph.he(*self.weight, fan_in=4)
        output = graph.node(self.kind, "input", weight, **self.attributes)
        return graph.save(path, list(self.data), output, None)


def check_layer(layer: Layer, bits: int, numpy: Callable[[Any, Any], Any], activations: Scheme = "affine") -> None:
    """The layer is one kernel; it computes what numpy does, also of the largest integers; the program is near float."""
    most = 2 ** (bits - 1) - 1
    with tempfile.TemporaryDirectory() as folder:
        path = layer.save(Path(folder) / "layer.onnx")
        network = load(path, activation_bits=bits, weight_bits=bits, activations=activations)
        (member,) = network.members
        assert layer.name in ("", member.workload.name)
        assert (member.count, member.workload.input_bits, member.workload.weight_bits) == (1, bits, bits)
        kernel = Kernel(member.kernel, network.program[member.kernel], numpy)
        data, weight = (tuple(int(extent) for extent in part.shape) for part in kernel.function.params[:2])
        random = np.random.default_rng(0)
        for integers in (random.integers(-most, most, data, endpoint=True), np.full(data, -most)):
            weights = np.where(random.random(weight) < 0.1, random.integers(-most, most, weight, endpoint=True), most)
            np.testing.assert_array_equal(kernel.run(kernel.function, integers, weights), numpy(integers, weights))
        (output,) = build_program(network.program)(layer.values())
        expected = reference(path, {"input": layer.values()})
    scale = np.abs(layer.values()).max() * 3 * prod(layer.weight) ** 0.5
    assert output.shape == expected.shape
    assert np.abs(output - expected).max() <= scale / most


def few(most: int) -> st.SearchStrategy[int]:
    return st.integers(min_value=1, max_value=most)


@st.composite
def convolutions(draw: st.DrawFn) -> Layer:
    """One or two axes, each with a stride, a dilation and paddings of its own; groups up to depthwise."""
    axes, groups = draw(few(3)), draw(few(4))
    kernel, strides, dilations = (tuple(draw(few(3)) for _ in range(axes)) for _ in range(3))
    pads = [draw(st.integers(0, 2)) for _ in range(2 * axes)]
    size = tuple((k - 1) * d + draw(few(4)) for k, d in zip(kernel, dilations, strict=True))
    channels, filters = draw(few(3)), groups * draw(few(3))
    attributes = {"strides": strides, "dilations": dilations, "pads": pads, "group": groups}
    return Layer("Conv", (draw(few(2)), groups * channels, *size), (filters, channels, *kernel), "", attributes)


def convolved(data: Any, weight: Any, layer: Layer) -> Any:
    """The convolution of integers, one output position after another; larger data is padded already."""
    strides, dilations, pads, groups = (layer.attributes[name] for name in ("strides", "dilations", "pads", "group"))
    pads = pads if data.shape == layer.data else [0] * len(pads)
    axes = len(strides)
    padded = np.pad(data, [(0, 0), (0, 0), *zip(pads[:axes], pads[axes:], strict=True)])
    reach = [(k - 1) * d + 1 for k, d in zip(weight.shape[2:], dilations, strict=True)]
    out = [(n - r) // s + 1 for n, r, s in zip(padded.shape[2:], reach, strides, strict=True)]
    result = np.zeros((len(data), len(weight), *out), "int64")
    grouped = weight.reshape(groups, -1, *weight.shape[1:])
    for place in np.ndindex(*out):
        cut = tuple(slice(p * s, p * s + r, d) for p, s, r, d in zip(place, strides, reach, dilations, strict=True))
        window = padded[(slice(None), slice(None), *cut)].reshape(len(data), groups, -1)
        sums = np.einsum("ngk,gfk->ngf", window, grouped.reshape(groups, grouped.shape[1], -1))
        result[(slice(None), slice(None), *place)] = sums.reshape(len(data), -1)
    return result


class TestWeights:
    @given(
        arrays.arrays("float32", (3, 2, 2), elements=st.floats(-1e6, 1e6, width=32)),
        st.integers(2, 16),
        st.sampled_from(["symmetric", "affine"]),
    )
    def test_each_is_near_its_value(self, values: Any, bits: int, scheme: Scheme) -> None:
        """Within half a step of the channel; affine within one, since the zero point is rounded too."""
        weights = quantize_weights(values, (0,), bits, scheme)
        assert weights.scale.shape == weights.zero.shape == (3, 1, 1)
        assert np.abs(weights.integers).max() <= 2 ** (bits - 1) - (scheme == "symmetric")
        real = (weights.integers - weights.zero) * weights.scale.astype("float64")
        assert (np.abs(real - values) <= (0.5001 if scheme == "symmetric" else 1.0001) * weights.scale).all()
        assert (real[values == 0] == 0).all()

    def test_a_channel_of_zeros_stays_zero(self) -> None:
        for scheme in get_args(Scheme):
            weights = quantize_weights(np.zeros((2, 3), "float32"), (0,), 8, scheme)
            assert (weights.integers == weights.zero).all()
            assert (weights.scale > 0).all()


class TestKernels:
    def test_counts_and_names(self, tmp_path: Path) -> None:
        network = load(networks.tiny_cnn(tmp_path / "tiny.onnx"))
        assert [(member.count, member.workload.name) for member in network.members] == [
            (1, "conv2d 1x3x16x16 k3x3 -> 12"),
            (1, "conv2d 1x12x16x16 k3x3 s2x2 g12 -> 12"),
            (1, "conv2d 1x12x8x8 k1x1 -> 20"),
            (1, "conv2d 1x12x8x8 k3x3 g4 -> 20"),
            (1, "dense 1x20 -> 10"),
        ]
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


class TestLayers:
    """Single layers: the kernel exactly as numpy has it, the whole as close to float as its bits allow."""

    @settings(max_examples=10)
    @given(layer=convolutions(), bits=st.sampled_from([3, 8, 12, 16]), activations=st.sampled_from(get_args(Scheme)))
    def test_convolutions(self, layer: Layer, bits: int, activations: Scheme) -> None:
        check_layer(layer, bits, lambda x, w: convolved(x, w, layer), activations)

    @pytest.mark.parametrize("bits", [8, 16])
    @pytest.mark.parametrize(
        ("data", "weight", "name"),
        [
            ((5, 6), (6, 7), "dense 5x6 -> 7"),
            ((2, 3, 5, 6), (6, 7), "dense 2x3x5x6 -> 7"),
            ((4, 5, 6), (4, 6, 7), "batch_matmul 4x5x6 -> 7"),
            ((2, 4, 5, 6), (4, 6, 7), "batch_matmul 2x4x5x6 -> 7"),
            ((4, 5, 6), (1, 6, 7), "batch_matmul 4x5x6 -> 7"),
            ((1, 5, 6), (4, 6, 7), "batch_matmul 1x5x6 -> 7"),
        ],
    )
    def test_products(self, data: tuple[int, ...], weight: tuple[int, ...], name: str, bits: int) -> None:
        check_layer(Layer("MatMul", data, weight, name), bits, np.matmul)

    @pytest.mark.parametrize(
        ("data", "weight", "attributes"),
        [
            ((5, 6), (7, 6), {"transB": 1}),
            ((6, 5), (6, 7), {"transA": 1, "alpha": 0.5}),
            ((6, 5), (7, 6), {"transA": 1, "transB": 1, "alpha": 2.0}),
        ],
    )
    def test_gemm(self, data: tuple[int, ...], weight: tuple[int, ...], attributes: dict[str, Any]) -> None:
        check_layer(Layer("Gemm", data, weight, "dense 5x6 -> 7", attributes), 8, np.matmul)

    @pytest.mark.parametrize(
        ("kind", "data", "weight"),
        [
            ("MatMul", (6,), (6, 7)),
            ("MatMul", (5, 6), (6,)),
        ],
    )
    def test_others_stay_on_the_host(self, kind: str, data: tuple[int, ...], weight: tuple[int, ...]) -> None:
        layer = Layer(kind, data, weight)
        with tempfile.TemporaryDirectory() as folder:
            path = layer.save(Path(folder) / "layer.onnx")
            network = load(path)
            values = layer.values()
            (output,) = build_program(network.program)(values)
            assert network.members == ()
            assert sum(operator.count for operator in network.host) == 1
            np.testing.assert_allclose(output, reference(path, {"input": values}), rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize(("terms", "bits"), [(140_000, 8), (1000, 16)])
    def test_the_largest_sums_do_not_overflow(self, terms: int, bits: int, tmp_path: Path) -> None:
        graph = networks.Graph()
        output = graph.node("MatMul", "input", graph.constant(np.ones((terms, 2), "float32")))
        path = graph.save(tmp_path / "sum.onnx", [1, terms], output, [1, 2])
        network = load(path, activation_bits=bits, weight_bits=bits)
        (result,) = build_program(network.program)(np.ones((1, terms), "float32"))
        np.testing.assert_allclose(result, terms, rtol=1e-5)

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_weights_without_integers_stay_on_the_host(self, value: float, tmp_path: Path) -> None:
        graph = networks.Graph()
        weights = np.ones((4, 2), "float32")
        weights[1, 1] = value
        output = graph.node("MatMul", "input", graph.constant(weights))
        network = load(graph.save(tmp_path / "network.onnx", [1, 4], output, [1, 2]))
        assert network.members == ()
        assert [operator.reason for operator in network.host] == ["its weights are no finite numbers"]

    @pytest.mark.parametrize(("activations", "roundings"), [("symmetric", 1), ("affine", 2)])
    def test_products_of_one_input_quantise_it_once(self, activations: Scheme, roundings: int, tmp_path: Path) -> None:
        """Rounded are values, and zero points."""
        network = load(networks.attention_block(tmp_path / "attention.onnx"), activations=activations)
        assert len(re.findall(r"call_tir\(\S*round", network.program["main"].script())) == 3 * roundings

    @pytest.mark.parametrize("activations", get_args(Scheme))
    @pytest.mark.parametrize(
        ("layer", "axis"),
        [
            (Layer("Conv", (2, 3, 4, 4), (5, 3, 3, 3), attributes={"pads": [1, 1, 1, 1]}), 0),
            (Layer("MatMul", (1, 2, 6), (6, 7)), 1),
            (Layer("MatMul", (3, 2, 6), (3, 6, 7)), 1),
            (Layer("Gemm", (2, 6), (7, 6), attributes={"transB": 1}), 0),
            (Layer("Gemm", (6, 2), (6, 7), attributes={"transA": 1}), 1),
        ],
    )
    def test_vectors_and_images_do_not_see_each_other(
        self, layer: Layer, axis: int, activations: Scheme, tmp_path: Path
    ) -> None:
        """The second one is a thousand times as large: with one scale, all integers of the first one were zero."""
        path = layer.save(tmp_path / "layer.onnx")
        program, values = build_program(load(path, activations=activations).program), layer.values()
        (alone,) = program(values)
        np.moveaxis(values, axis, 0)[1] *= 1000
        (beside,) = program(values)
        expected = reference(path, {"input": values})
        first, before, real = (np.take(part, 0, -2 * (layer.kind != "Conv")) for part in (beside, alone, expected))
        np.testing.assert_array_equal(first, before)
        assert cosine(first, real) > 0.999

    def test_a_device_says_the_bits(self, tmp_path: Path) -> None:
        """All of it in Python, as on the command line; other bits are refused when they are said, and when tuned."""
        path = networks.tiny_cnn(tmp_path / "tiny.onnx")
        device = Device.load("isaac").vary_all({"bits.activation": 5, "bits.weight": 4})
        network = load(path, device)
        found = {(member.workload.input_bits, member.workload.weight_bits) for member in network.members}
        assert found == {(5, 4)}
        assert estimate(network, device).workloads
        assert load(path, device, weight_bits=4) == network
        with pytest.raises(OptionError, match="weight_bits: 8, ISAAC-CE 8-bit takes 4; try leaving it out"):
            load(path, device, activation_bits=5, weight_bits=8)
        with pytest.raises(FitError, match=r"8-bit activations, the device takes 5 bits; .*cc.load\(source, device\)"):
            estimate(load(path), device)
        with pytest.raises(DeviceError, match=r"bits\.weight: 1 bit, networks are quantised to 2 to 16 bits"):
            load(path, device.vary("bits.weight", 1))

    @pytest.mark.parametrize(
        ("name", "scheme"),
        [("isaac", "affine"), ("yan2022", "affine"), ("isaac_ou", "symmetric"), ("neurram", "symmetric")],
    )
    def test_a_device_says_the_better_scheme(self, name: str, scheme: str, tmp_path: Path) -> None:
        """What saturates should not add up zeros that are large integers; magnitudes have no least integer."""
        path, device = networks.tiny_cnn(tmp_path / "tiny.onnx"), Device.load(name)
        script = load(path, device).program["main"].script()
        bits = {"activation_bits": device.bits.activation, "weight_bits": device.bits.weight}
        assert script == load(path, activations=scheme, **bits).program["main"].script()  # type: ignore[arg-type]
        other = "symmetric" if scheme == "affine" else "affine"
        if name == "neurram":
            with pytest.raises(OptionError, match="activations: 'affine', NeuRRAM drives signs and magnitudes"):
                load(path, device, activations="affine")
        else:
            assert load(path, device, activations=other).program["main"].script() != script  # type: ignore[arg-type]

    @pytest.mark.parametrize(("activation_bits", "weight_bits"), [(4, 8), (8, 3), (12, 6), (2, 16)])
    def test_widths_of_their_own(self, activation_bits: int, weight_bits: int, tmp_path: Path) -> None:
        path = networks.tiny_cnn(tmp_path / "tiny.onnx")
        network = load(path, activation_bits=activation_bits, weight_bits=weight_bits)
        found = {(member.workload.input_bits, member.workload.weight_bits) for member in network.members}
        assert found == {(activation_bits, weight_bits)}
        kinds = [{str(part.dtype) for part in network.program[member.kernel].params[:2]} for member in network.members]
        assert all(len(kind) == 1 + ((activation_bits > 8) != (weight_bits > 8)) for kind in kinds)


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

    @pytest.mark.long
    def test_text_direction_is_read_like_onnxruntime(self) -> None:
        program = build_program(load(model_file(), shapes={INPUT: SHAPE}).program)
        for text in ("cyclecast", "a longer line of text 42"):
            for upside_down in (False, True):
                line = line_of_text(text, upside_down)
                (scores,) = program(line)
                expected = reference(model_file(), {INPUT: line})
                assert scores.argmax() == expected.argmax() == int(upside_down)
                assert cosine(scores, expected) > 0.99


class TestHost:
    """Operations and bytes of what stays on the host."""

    def host(self, kind: str, data: list[int], folder: Path, *more: Any, **attributes: Any) -> HostOperator:
        graph = networks.Graph()
        constants = [graph.constant(np.asarray(value)) for value in more]
        path = graph.save(folder / "one.onnx", data, graph.node(kind, "input", *constants, **attributes), None)
        (operator,) = load(path).host
        return operator

    @pytest.mark.parametrize(
        ("kind", "attributes", "name", "operations", "moved"),
        [
            ("Relu", {}, "relu", 96, 2 * 96 * 4),
            ("Exp", {}, "exp", 16 * 96, 2 * 96 * 4),
            ("Softmax", {"axis": -1}, "softmax", 20 * 96, 2 * 96 * 4),
            ("Flatten", {}, "reshape", 0, 0),
            ("Transpose", {"perm": [0, 1, 3, 2]}, "permute_dims", 0, 2 * 96 * 4),
            ("GlobalAveragePool", {}, "mean", 96, (96 + 6) * 4),
            ("MaxPool", {"kernel_shape": [2, 2], "strides": [2, 2]}, "max_pool2d", 4 * 24, (96 + 24) * 4),
        ],
    )
    def test_by_hand(
        self, kind: str, attributes: dict[str, Any], name: str, operations: int, moved: int, tmp_path: Path
    ) -> None:
        found = self.host(kind, [1, 6, 4, 4], tmp_path, **attributes)
        assert found == HostOperator(name, count=1, operations=operations, bytes=moved)

    def test_constants_are_loaded(self, tmp_path: Path) -> None:
        added = HostOperator("add", count=1, operations=24, bytes=51 * 4)
        assert self.host("Add", [2, 3, 4], tmp_path, np.ones((3, 1), "float32")) == added

    def test_products_are_two_operations_for_each_multiply_accumulate(self, tmp_path: Path) -> None:
        matrix = np.ones((4, 7), "float32")
        found = self.host("Einsum", [2, 3, 4], tmp_path, matrix, equation="bij,jk->bik")
        assert (found.operations, found.bytes) == (2 * 2 * 3 * 4 * 7, (24 + 28 + 42) * 4)
        network = load(networks.attention_block(tmp_path / "attention.onnx"))
        products = next(operator for operator in network.host if operator.name == "matmul")
        assert products.operations == 2 * (16 * 32 * 16) * 2

    def test_nothing_but_views_is_free(self, tmp_path: Path) -> None:
        for path in (networks.tiny_cnn(tmp_path / "a.onnx"), networks.attention_block(tmp_path / "b.onnx")):
            network = load(path)
            assert {operator.name for operator in network.host if not operator.bytes} <= {"reshape"}
            assert 0.8 < network.coverage < 1
