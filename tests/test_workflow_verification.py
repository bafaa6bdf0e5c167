"""Comparing a program with onnxruntime."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import onnx
import pytest
from onnx import helper
from onnx.reference import ReferenceEvaluator
from typer.testing import CliRunner

import cyclecast as cc
import networks
from cyclecast._tvm._behaviour import running_on
from cyclecast.cli import app
from cyclecast.device import Device
from cyclecast.errors import ModelError
from cyclecast.executable import build_program
from cyclecast.frontend import load, random_inputs, random_values, reference
from cyclecast.simulator import Chip
from cyclecast.workflow import building
from cyclecast.workflow.tuning import Tuned
from cyclecast.workflow.verification import compared, cosine, verify

pytestmark = pytest.mark.tvm


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("verification")
    build_program(load(networks.tiny_cnn(path / "tiny.onnx")).program).save(path / "module.so")
    return path


def test_values_from_a_file(folder: Path) -> None:
    np.savez(folder / "in.npz", input=np.ones((1, 3, 16, 16)))
    result = verify(folder / "module.so", folder / "tiny.onnx", inputs=folder / "in.npz")
    assert result["outputs"][0]["cosine"] > 0.999


def test_the_command_tells_of_values_that_are_no_numbers(folder: Path) -> None:
    values = np.ones((1, 3, 16, 16), "float32")
    values[0, 0, 0, :3] = np.nan, np.inf, -np.inf
    np.savez(folder / "odd.npz", input=values)
    words = ["verify", str(folder), str(folder / "tiny.onnx"), "--inputs", str(folder / "odd.npz")]
    done = CliRunner().invoke(app, words)
    assert (done.exit_code, done.stderr) == (0, "")
    assert "; NaN or infinite and left out: 0, in the reference 10 3 values" in " ".join(done.stdout.split())
    assert done.stdout.endswith("\n3 values of the inputs are NaN or infinite: kernels clamp these\n")
    info = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)
    assert (info["not_finite"], info["outputs"][0]["not_finite_in_reference"]) == (3, 10)


def test_another_network_does_not_agree(folder: Path) -> None:
    graph = networks.Graph(seed=7)
    pooled = graph.node("Flatten", graph.node("GlobalAveragePool", graph.conv("input", 3, 10, 3)))
    other = graph.save(folder / "other.onnx", [1, 3, 16, 16], graph.dense(pooled, 10, 10), [1, 10])
    assert verify(folder / "module.so", other)["outputs"][0]["cosine"] < 0.9


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"input": np.ones((1, 3, 8, 8))}, r"shape \(1, 3, 8, 8\), the network wants shape \(1, 3, 16, 16\)"),
        ({"input": np.ones((2, 3, 16))}, "the network wants shape"),
        ({"input": np.ones((0, 3, 16, 16))}, "the network wants shape"),
        ({"image": np.ones((1, 3, 16, 16))}, "no such array"),
        (
            {"input": np.ones((3, 3, 16, 16)), "labels": np.ones(2)},
            "'labels': 2 of them, 3 outputs of 1x10 values need",
        ),
        ({"input": np.ones((3, 3, 16, 16)), "labels": np.ones(30)}, "'labels': 30 of them"),
    ],
)
def test_values_that_do_not_fit(folder: Path, values: dict[str, np.ndarray], words: str) -> None:
    np.savez(folder / "bad.npz", **values)  # type: ignore[arg-type] # NumPy's stub has no keyword arrays
    with pytest.raises(ModelError, match=words):
        verify(folder / "module.so", folder / "tiny.onnx", inputs=folder / "bad.npz")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 but no zip", b"text", None])
def test_a_file_that_is_no_npz(folder: Path, content: bytes | None) -> None:
    path = folder / "values.npz"
    path.write_bytes((folder / "tiny.onnx").read_bytes() if content is None else content)
    with pytest.raises(ModelError, match=r"it cannot be read as \.npz"):
        verify(folder / "module.so", folder / "tiny.onnx", inputs=path)


def test_a_missing_program(folder: Path) -> None:
    with pytest.raises(ModelError, match="there is no such file"):
        verify(folder / "nowhere.so", folder / "tiny.onnx")


def test_a_program_that_does_not_load(folder: Path) -> None:
    (folder / "broken.so").write_bytes(b"\x7fELF but not really")
    with pytest.raises(ModelError, match="it is no program"):
        verify(folder / "broken.so", folder / "tiny.onnx")


@pytest.mark.parametrize(
    ("left", "right", "expected"), [([1, 0], [0, 1], 0), ([1, 1], [2, 2], 1), ([0], [0], 1), ([0], [1], 0)]
)
def test_cosine(left: list[int], right: list[int], expected: float) -> None:
    assert cosine(np.array(left), np.array(right)) == pytest.approx(expected)


def identity_network(path: Path, kind: int, name: str = "input") -> Path:
    """A network that hands its input on, of any type and name."""
    values = [helper.make_tensor_value_info(value, kind, [2]) for value in (name, "output")]
    graph = helper.make_graph([helper.make_node("Identity", [name], ["output"])], "g", values[:1], values[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.mark.parametrize(("kind", "name"), [(onnx.TensorProto.BOOL, "input"), (onnx.TensorProto.FLOAT, "file")])
def test_outputs_of_other_types_and_inputs_of_any_name(kind: int, name: str, tmp_path: Path) -> None:
    path = identity_network(tmp_path / "same.onnx", kind, name)
    build_program(load(path).program).save(tmp_path / "same.so")
    assert verify(tmp_path / "same.so", path)["outputs"][0]["maximum_error"] == 0


def test_the_program_of_another_network(folder: Path) -> None:
    graph = networks.Graph()
    other = graph.save(folder / "flat.onnx", [1, 3, 16, 16], graph.node("Flatten", "input"), [1, 768])
    with pytest.raises(ModelError, match=r"outputs of shapes \[\(1, 10\)\], .* has \[\(1, 768\)\]"):
        verify(folder / "module.so", other)


@pytest.mark.parametrize(("kind", "least", "most"), [("int8", -128, 127), ("uint16", 0, 65535), ("int64", 0, 1)])
def test_drawn_integers_are_inputs_that_networks_take(kind: str, least: int, most: int) -> None:
    drawn = random_values(np.random.default_rng(0), (100_000,), np.dtype(kind))
    assert (drawn.min() - least, most - drawn.max()) == pytest.approx((0, 0), abs=3)
    assert str(drawn.dtype) == kind


HEADER = b"\x93NUMPY\x01\x00v\x00"


@pytest.mark.parametrize(
    "array",
    [
        (HEADER + b"{'descr': '<f8', 'fortran_order': False, 'shape': (10000000000000,), }").ljust(127) + b"\n",
        (HEADER + b"{'descr': " + b"(" * 60000).ljust(127),
        HEADER[:9],
        b"\x93NUMPY\x09\x00v\x00",
        b"no array",
    ],
)
def test_an_archive_with_something_else_than_arrays(folder: Path, array: bytes) -> None:
    path = folder / "odd.npz"
    with ZipFile(path, "w") as archive:
        archive.writestr("input.npy", array)
    with pytest.raises(ModelError, match=r"odd\.npz"):
        verify(folder / "module.so", folder / "tiny.onnx", inputs=path)


@pytest.mark.parametrize("kind", ["complex64", "U1", "S1", "M8[s]"])
def test_values_that_are_no_numbers(folder: Path, kind: str) -> None:
    np.savez(folder / "odd.npz", input=np.zeros((1, 3, 16, 16), kind))
    with pytest.raises(ModelError, match="arrays hold real numbers"):
        verify(folder / "module.so", folder / "tiny.onnx", inputs=folder / "odd.npz")


@pytest.fixture(scope="module")
def several(folder: Path) -> dict[str, Any]:
    values = np.random.default_rng(3).normal(size=(12, 3, 16, 16)).astype("float32")
    labels = np.concatenate([reference(folder / "tiny.onnx", {"input": value[None]})["output"] for value in values])
    labels = labels.argmax(axis=1)
    labels[:3] = (labels[:3] + 1) % 10
    np.savez(folder / "many.npz", input=values, labels=labels)
    return verify(folder / "module.so", folder / "tiny.onnx", inputs=folder / "many.npz")


class TestSamples:
    """Several samples, and labels."""

    def test_labels_give_top_1(self, several: dict[str, Any]) -> None:
        found = several["top1"]
        assert (several["samples"], found["labels"], found["right_in_reference"]) == (12, 12, 9)
        assert found["right"] - 9 <= 12 - found["agree"] <= 2

    def test_all_of_them_are_compared(self, several: dict[str, Any], folder: Path) -> None:
        (output,) = several["outputs"]
        with np.load(folder / "many.npz") as many:
            singles = [{"input": value[None]} for value in many["input"]]
        found = [verify(folder / "module.so", folder / "tiny.onnx", inputs=single)["outputs"][0] for single in singles]
        assert output["maximum_error"] == max(each["maximum_error"] for each in found)
        assert output["largest"] == max(each["largest"] for each in found)

    def test_the_command_tells_of_them(self, folder: Path, several: dict[str, Any]) -> None:
        words = ["verify", str(folder), str(folder / "tiny.onnx"), "--inputs", str(folder / "many.npz")]
        printed = CliRunner().invoke(app, words).stdout
        assert "onnxruntime on 12 samples of" in printed
        assert f"top-1: {several['top1']['right']} of 12 labels are right, 9 in the reference; " in printed

    def test_a_network_with_an_open_batch(self, folder: Path, tmp_path: Path) -> None:
        path = networks.tiny_cnn(tmp_path / "open.onnx", batch="n")
        np.savez(tmp_path / "in.npz", input=np.ones((2, 1, 3, 16, 16), "float32"))
        assert verify(folder / "module.so", path, inputs=tmp_path / "in.npz")["samples"] == 2


@pytest.mark.parametrize(("least", "code", "passed"), [("0.99", 0, True), ("0.9999999", 3, False)])
def test_the_exit_code_says_whether_values_depart(folder: Path, least: str, code: int, passed: bool) -> None:
    words = ["verify", str(folder), str(folder / "tiny.onnx"), "--min-cosine", least]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == code
    assert ("departs: module.so: output: cosine 0.9" in done.stderr) != passed
    told = CliRunner().invoke(app, [*words, "--json"])
    assert (told.exit_code, json.loads(told.stdout)["passed"], told.stderr) == (code, passed, "")


def test_drawn_values_are_of_the_calibrated_range(folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "module.so", tmp_path)
    inputs = {"input": {"shape": [1, 3, 16, 16], "range": [0.25, 0.5]}}
    (tmp_path / "result.json").write_text(json.dumps({"inputs": inputs}), encoding="utf-8")
    said = verify(tmp_path / "module.so", folder / "tiny.onnx")
    assert said["inputs"] == "random values of the range of the calibration, seed 0"
    drawn = random_inputs(
        folder / "tiny.onnx", {"input": ((1, 3, 16, 16), np.dtype("float32"))}, 0, {"input": (0.25, 0.5)}
    )
    assert 0.25 <= drawn["input"].min() < drawn["input"].max() <= 0.5
    assert verify(tmp_path / "module.so", folder / "tiny.onnx", inputs=drawn)["outputs"] == said["outputs"]


@pytest.mark.parametrize("text", ["", "[]", '{"inputs": 3}', '{"inputs": {"input": {"shape": "x", "range": null}}}'])
def test_what_tune_noted_must_be_that(folder: Path, tmp_path: Path, text: str) -> None:
    shutil.copy(folder / "module.so", tmp_path)
    (tmp_path / "result.json").write_text(text, encoding="utf-8")
    with pytest.raises(ModelError, match=r"result\.json: it is not what tune wrote"):
        verify(tmp_path / "module.so", folder / "tiny.onnx")


def embedding(path: Path, rows: int, shift: int = 0) -> Path:
    """Rows of a table, summed up and multiplied by a matrix."""
    graph = networks.Graph()
    ids = graph.node("Add", "ids", graph.constant(np.int64(shift))) if shift else "ids"
    found = graph.node("Gather", graph.he(rows, 8, fan_in=8), graph.node("Reshape", ids, graph.constant(np.array([6]))))
    graph.save(path, [1], graph.node("MatMul", found, graph.he(8, 4, fan_in=8)), [6, 4])
    model = onnx.load(path)
    model.graph.input[0].CopyFrom(helper.make_tensor_value_info("ids", onnx.TensorProto.INT64, [2, 3]))
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("rows", [2, 3, 1000])
def test_drawn_indices_are_those_of_the_table(rows: int, tmp_path: Path) -> None:
    path, kind = embedding(tmp_path / "ids.onnx", rows), np.dtype("int64")
    drawn = [random_inputs(path, {"ids": ((2, 3), kind)}, seed)["ids"] for seed in range(20)]
    assert (min(map(np.min, drawn)), max(map(np.max, drawn)) // (rows * 9 // 10)) == (
        pytest.approx(0, abs=rows / 40),
        1,
    )
    assert max(map(np.max, drawn)) < rows


def test_tune_ends_with_the_comparison(tmp_path: Path) -> None:
    words = ["tune", str(embedding(tmp_path / "ids.onnx", 50)), "--device", "tiny", "--out", str(tmp_path / "out")]
    found = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)
    assert found["verification"]["outputs"][0]["cosine"] > 0.999
    assert found["inputs"] == {"ids": {"shape": [2, 3], "range": None}}
    done = CliRunner().invoke(app, [*words, "--no-verify", "--json"])
    assert json.loads(done.stdout)["verification"] is None


def test_a_network_that_cannot_be_compared_is_tuned_all_the_same(tmp_path: Path) -> None:
    words = ["tune", str(embedding(tmp_path / "ids.onnx", 5, 7)), "--device", "tiny", "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0
    assert "not compared with the network: " in done.stdout
    assert "onnxruntime does not run it" in done.stdout


def test_the_reference_computes_operator_by_operator(tmp_path: Path) -> None:
    """With 16-bit activations onnxruntime's own optimisation changes values by many units in the last place."""
    random, graph = np.random.default_rng(0), networks.Graph()
    scale, zero = graph.constant(np.float32(1e-3)), graph.constant(np.uint16(32768))
    given = graph.node("DequantizeLinear", graph.node("QuantizeLinear", "input", scale, zero), scale, zero)
    weights = graph.constant(random.integers(-127, 128, (8, 4, 3, 3)).astype("int8"))
    real = graph.node("DequantizeLinear", weights, graph.constant(np.float32(0.01)), graph.constant(np.int8(0)))
    product = graph.node("Conv", given, real)
    scales = graph.constant(np.float32(2e-3)), graph.constant(np.uint16(30000))
    output = graph.node("DequantizeLinear", graph.node("QuantizeLinear", product, *scales), *scales)
    path = graph.save(tmp_path / "wide.onnx", [1, 4, 9, 9], output, [1, 8, 7, 7])
    model = onnx.load(path)
    model.opset_import[0].version = 21
    model.ir_version = 10
    onnx.save(model, path)
    value = random.normal(size=(1, 4, 9, 9)).astype("float32")
    (expected,) = ReferenceEvaluator(model).run(None, {"input": value})
    assert isinstance(expected, np.ndarray)
    np.testing.assert_allclose(reference(path, {"input": value})["output"], expected, atol=2.1e-3)


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    path = networks.tiny_cnn(tmp_path_factory.mktemp("lossy") / "tiny.onnx")
    device = Device.load("tiny").vary("array.adc_bits", 3)
    return cc.tune(load(path), device, strategy="random", trials=2)


@pytest.fixture(scope="module")
def written(tuned: Tuned, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("lossy") / "tuned"
    building.save(tuned, place)
    shutil.copy(folder / "module.so", place)
    return place


class TestLossyConverters:
    """The device's own values, where ADCs have too few bits."""

    def test_they_are_those_of_the_behaviour_model(self, tuned: Tuned, written: Path, folder: Path) -> None:
        value = np.random.default_rng(5).normal(size=(1, 3, 16, 16)).astype("float32")
        found = verify(written / "module.so", folder / "tiny.onnx", inputs={"input": value})
        with running_on(Chip(tuned.device)):
            simulated = build_program(building.lowered_program(tuned, "behaviour"))(value)
        expected = reference(folder / "tiny.onnx", {"input": value})["output"]
        (output,) = found["device"]["outputs"]
        assert output == {"name": "output"} | compared(expected, simulated[0])
        assert output["cosine"] < found["outputs"][0]["cosine"] - 1e-4
        assert found["loss"].startswith("3-bit ADCs cut off sums of ")

    def test_every_verb_says_so(self, written: Path, folder: Path, tmp_path: Path) -> None:
        model = str(folder / "tiny.onnx")
        for words in (
            ["verify", str(written), model],
            ["place", str(written)],
            ["report", str(written)],
            ["compile", str(written), "--out", str(tmp_path / "code")],
        ):
            done = CliRunner().invoke(app, words)
            assert (done.exit_code, "warning: 3-bit ADCs cut off sums of " in done.stdout) == (0, True), done.output
        page = (written / "report.html").read_text(encoding="utf-8")
        assert "<strong>warning: 3-bit ADCs cut off sums of " in page
        assert "**Warning**: 3-bit ADCs cut off" in (tmp_path / "code" / "README.md").read_text(encoding="utf-8")
        device = tmp_path / "device.yaml"
        device.write_text(Device.load("tiny").vary("array.adc_bits", 3).to_yaml(), encoding="utf-8")
        done = CliRunner().invoke(app, ["estimate", model, "--device", str(device)])
        assert done.stdout.startswith("warning: 3-bit ADCs cut off sums of ")

    def test_the_simulation_can_be_left_out(self, written: Path, folder: Path) -> None:
        words = ["verify", str(written), str(folder / "tiny.onnx"), "--no-device", "--json"]
        found = json.loads(CliRunner().invoke(app, words).stdout)
        assert found["device"] is None
        assert found["loss"]

    def test_a_device_that_cannot_compute_them_says_why(self, folder: Path, tmp_path: Path) -> None:
        """NeuRRAM drives signs and magnitudes: it has no least integer, which zero points may need."""
        device = Device.load("neurram")
        network = load(folder / "tiny.onnx", activation_bits=4, weight_bits=4, activations="affine")
        building.save(cc.tune(network, device, strategy="random", trials=2), tmp_path / "tuned")
        shutil.copy(folder / "module.so", tmp_path / "tuned")
        done = CliRunner().invoke(app, ["verify", str(tmp_path / "tuned"), str(folder / "tiny.onnx")])
        assert done.exit_code == 0
        assert "values of NeuRRAM: not simulated: generated network: status 1, an input out of range" in done.stdout


def test_constants_of_tune_are_those_of_verify(tmp_path: Path) -> None:
    graph = networks.Graph()
    path = graph.save(tmp_path / "gain.onnx", [1, 4], graph.node("Mul", graph.dense("input", 4, 3), "gain"), [1, 3])
    model = onnx.load(path)
    model.graph.input.append(helper.make_tensor_value_info("gain", onnx.TensorProto.FLOAT, [1]))
    onnx.save(model, path)
    words = [str(path), "--constant", "gain=4"]
    tuned = CliRunner().invoke(app, ["tune", *words, "--device", "tiny", "--out", str(tmp_path / "out")])
    assert tuned.exit_code == 0
    assert CliRunner().invoke(app, ["verify", str(tmp_path / "out"), *words, "--min-cosine", "0.999"]).exit_code == 0
    done = CliRunner().invoke(app, ["verify", str(tmp_path / "out"), str(path)])
    assert done.exit_code == 2
    assert "gain.onnx: input 'gain': the program has none, its inputs are input; try --constant gain=N" in done.stderr
