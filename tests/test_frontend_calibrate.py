"""Static quantisation: ranges from samples, files of samples, and the errors of layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

import networks
from cyclecast.errors import ModelError, OptionError
from cyclecast.executable import build_program
from cyclecast.frontend import Quantization, layer_errors, load, read_samples
from cyclecast.frontend.quantization._calibrate import BINS, Range, _ranges, fake_quantised, layers_of
from cyclecast.frontend.quantization._integers import scale_and_zero
from cyclecast.workflow.verification import cosine

pytestmark = pytest.mark.tvm

SHAPE = (1, 3, 16, 16)
SAMPLES = {"input": np.random.default_rng(0).normal(size=(8, *SHAPE)).astype("float32")}


@given(
    st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=50),
    st.integers(2, 16),
    st.sampled_from(["symmetric", "affine"]),
)
def test_a_chosen_scale_costs_no_more_than_the_whole_range(values: list[float], bits: int, scheme: Any) -> None:
    least, largest = min(*values, 0.0), max(*values, 0.0)
    seen = Range(least, largest, np.histogram(values, BINS, (least, largest or 1.0))[0])
    middles = least + (np.arange(BINS) + 0.5) * (largest - least) / BINS

    def cost(scale: Any, zero: Any) -> float:
        return float(((fake_quantised(middles, scale, zero, bits) - middles) ** 2 * seen.counts).sum())

    assert cost(*seen.scale(bits, scheme)) <= cost(*scale_and_zero(least, largest, bits, scheme)) * 1.001


@given(st.floats(-100, 0), st.floats(0, 100), st.integers(2, 16), st.sampled_from(["symmetric", "affine"]))
@example(-97.0, 1.6084022521972656, 15, "affine")
def test_a_scale_is_rounded_once(least: float, largest: float, bits: int, scheme: Any) -> None:
    """Of two numbers as of arrays of them: computed in float64, then rounded to float32."""
    several = scale_and_zero(np.array([least, 0.0]), np.array([largest, 1.0]), bits, scheme)
    assert [part[0] for part in several] == [*scale_and_zero(least, largest, bits, scheme)]


@pytest.mark.parametrize("value", [0, 1e-44, -1e-44, 1e-35])
def test_ranges_of_next_to_nothing(value: float, tmp_path: Path) -> None:
    graph = networks.Graph()
    path = graph.save(tmp_path / "small.onnx", [1, 4], graph.node("MatMul", "input", graph.he(4, 3, fan_in=4)), [1, 3])
    samples = {"input": np.full((2, 1, 4), value, "float32")}
    assert len(load(path, calibration=samples).members) == 1


def test_ranges_of_values_below_zero(tmp_path: Path) -> None:
    """Their histogram ends at zero as the range does."""
    graph = networks.Graph()
    data = graph.node("Neg", graph.relu("input"))
    path = graph.save(tmp_path / "below.onnx", [1, 4], graph.node("MatMul", data, graph.he(4, 3, fan_in=4)), [1, 3])
    samples = {"input": np.random.default_rng(0).normal(0, 0.1, (50, 1, 4)).astype("float32")}
    (found,) = _ranges(onnx.load(path), "below", layers_of(onnx.load(path)), samples).values()
    below = -np.maximum(samples["input"], 0).ravel()
    assert found.largest == 0
    assert found.counts.sum() == below.size
    assert np.array_equal(found.counts, np.histogram(below, BINS, (below.min(), 0))[0])


def test_outliers_are_cut_off_where_few_bits_are_left() -> None:
    counts = np.zeros(BINS)
    counts[:1024], counts[-1] = 1000, 1  # one value four times as large as all others
    scale, _ = Range(0.0, 4.0, counts).scale(4, "affine")
    assert scale * 15 < 2
    assert Range(0.0, 4.0, counts).scale(12, "affine")[0] * 4095 == pytest.approx(4)


@pytest.mark.parametrize("activations", ["symmetric", "affine"])
@pytest.mark.parametrize(("bits", "least"), [(5, 0.98), (8, 0.9995), (12, 0.9999999), (16, 0.9999999)])
def test_calibrated_networks_are_near_float(activations: Any, bits: int, least: float, tmp_path: Path) -> None:
    path = networks.tiny_cnn(tmp_path / "tiny.onnx")
    network = load(path, activation_bits=bits, weight_bits=bits, activations=activations, calibration=SAMPLES)
    assert sum(member.count for member in network.members) == 5
    assert {member.workload.input_bits for member in network.members} == {bits}
    image = SAMPLES["input"][3]
    (output,) = build_program(network.program)(image)
    assert cosine(output, onnxruntime.InferenceSession(str(path)).run(None, {"input": image})[0]) > least


def test_scales_do_not_depend_on_the_input(tmp_path: Path) -> None:
    """Values far beyond those of all samples saturate; with scales from the input itself they do not."""
    path = networks.tiny_cnn(tmp_path / "tiny.onnx")
    image = 20 * SAMPLES["input"][0]
    expected = onnxruntime.InferenceSession(str(path)).run(None, {"input": image})[0]
    alike = []
    for calibration in (SAMPLES, {}):
        (output,) = build_program(load(path, calibration=calibration).program)(image)
        alike.append(cosine(output, expected))
    assert alike[0] < 0.99 < 0.999 < alike[1]


def test_dynamic_errors_of_layers_are_of_one_vector_at_a_time(tmp_path: Path) -> None:
    """As the program computes them: with one scale for both vectors, all integers of the first one were zero."""
    graph = networks.Graph()
    random = np.random.default_rng(0)
    weights, values = random.normal(size=(16, 8)).astype("float32"), random.normal(size=(2, 16)).astype("float32")
    weights[0], values[:, 0], values[1, 1:] = 0, (0, 1e6), 0
    path = graph.save(tmp_path / "product.onnx", [2, 16], graph.node("MatMul", "input", graph.constant(weights)), None)
    (layer,) = layer_errors(path, Quantization(calibration={"input": values[None]}))
    (computed,) = build_program(load(path).program)(values)
    (real,) = onnxruntime.InferenceSession(str(path)).run(None, {"input": values})
    noise = np.square(real - computed, dtype="float64").sum() / np.square(real, dtype="float64").sum()
    assert layer.dynamic == pytest.approx(-10 * np.log10(noise), abs=0.1)
    assert layer.dynamic > 30 > layer.static


def test_errors_of_layers(tmp_path: Path) -> None:
    path = networks.tiny_cnn(tmp_path / "tiny.onnx")
    found = {bits: layer_errors(path, Quantization(bits, bits, "affine", "symmetric", SAMPLES)) for bits in (6, 8)}
    assert [layer.operator for layer in found[8]] == ["Conv"] * 4 + ["Gemm"]
    assert all(30 < layer.static < 60 and 30 < layer.dynamic < 60 for layer in found[8])
    for fewer, more in zip(found[6], found[8], strict=True):
        assert more.static - fewer.static == pytest.approx(12, abs=3)  # 6 dB for each bit


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        ({"image": np.ones((2, *SHAPE))}, "there are no samples for it, there are for image"),
        ({"input": np.ones((2, 3, 8, 8))}, r"samples of shape \(2, 3, 8, 8\), it takes \(1, 3, 16, 16\)"),
        ({"input": np.ones((0, *SHAPE))}, "samples of shape"),
        ({"input": np.full((1, *SHAPE), np.nan)}, "values that are no finite numbers"),
    ],
)
def test_samples_that_do_not_fit(samples: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=words):
        load(networks.tiny_cnn(tmp_path / "tiny.onnx"), calibration=samples)


class TestImages:
    INPUTS: ClassVar[Any] = {"input": (SHAPE, np.dtype("float32"))}

    def test_are_fitted_and_normalised(self, tmp_path: Path) -> None:
        Image.new("RGB", (40, 20), (255, 0, 51)).save(tmp_path / "b.png")
        Image.new("L", (16, 16), 0).save(tmp_path / "a.bmp")
        (tmp_path / "notes.txt").write_text("no image")
        samples = read_samples(tmp_path, self.INPUTS, mean=(0.5, 0, 0), deviation=(1, 1, 0.1))["input"]
        assert samples.shape == (2, 3, 16, 16)
        np.testing.assert_allclose(samples[1, :, 5, 5], [0.5, 0, 2], rtol=1e-6)
        np.testing.assert_allclose(samples[0, :, 5, 5], [-0.5, 0, 0])

    def test_channels_may_come_last_or_be_one(self, tmp_path: Path) -> None:
        Image.new("RGB", (4, 4), (255, 255, 255)).save(tmp_path / "a.png")
        shape = (1, 6, 8, 1)
        assert read_samples(tmp_path, {"x": (shape, np.dtype("float32"))})["x"].shape == (1, 6, 8, 1)

    def test_damaged_ones_are_named(self, tmp_path: Path) -> None:
        (tmp_path / "a.png").write_bytes(b"no image")
        with pytest.raises(ModelError, match=r"a\.png: it cannot be read as an image"):
            read_samples(tmp_path, self.INPUTS)

    def test_a_folder_without_images(self, tmp_path: Path) -> None:
        with pytest.raises(ModelError, match="there are no images in it"):
            read_samples(tmp_path, self.INPUTS)

    def test_a_network_that_takes_none(self, tmp_path: Path) -> None:
        Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
        with pytest.raises(ModelError, match=r"its inputs are tokens \(1, 16\)"):
            read_samples(tmp_path, {"tokens": ((1, 16), np.dtype("int64"))})

    @pytest.mark.parametrize("options", [{"mean": (0.5, 0.5)}, {"deviation": (0.0,)}, {"mean": (np.nan,)}])
    def test_bad_normalisation(self, options: dict[str, Any], tmp_path: Path) -> None:
        with pytest.raises(OptionError, match="one number, or one for each of three channels"):
            read_samples(tmp_path, self.INPUTS, **options)
