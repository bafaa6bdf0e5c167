"""Import of TFLite files, compared with LiteRT."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cyclecast.errors import ModelError, OperatorsError, OptionError, UnsupportedError
from cyclecast.executable import build_program
from cyclecast.frontend import input_shapes, load, reference, runtime_of
from cyclecast.workflow.verification import verify

pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed")
pytest.importorskip("tflite", reason="tflite is not installed")
import tflite_files as files

pytestmark = [pytest.mark.tvm, pytest.mark.filterwarnings("ignore:.*SwigPy.*:DeprecationWarning")]


def test_a_quantised_network_computes_what_litert_does(tmp_path: Path) -> None:
    path = files.quantised(tmp_path / "quantised.tflite")
    network = load(path)
    assert [member.workload.name for member in network.members] == [
        "conv2d 1x3x11x11 k3x3 s2x2 -> 6",
        "conv2d 1x6x5x5 k3x3 g6 -> 6",
        "dense 1x6 -> 4",
    ]
    program = build_program(network.program)
    random = np.random.default_rng(0)
    apart = []
    for _ in range(20):
        values = random.integers(-128, 128, (1, 8, 8, 3)).astype("int8")
        (expected,) = reference(path, {"t0": values}).values()
        apart.append(np.abs(program(values)[0].astype(int) - expected))
    assert (np.concatenate(apart) <= 1).mean() >= 0.99


def test_weights_of_half_precision_are_constants(tmp_path: Path) -> None:
    """The form in which most real files are published; its convolutions were left to the host."""
    path = files.half_precision(tmp_path / "half.tflite")
    network = load(path, activation_bits=16, weight_bits=16)
    assert [member.count for member in network.members] == [1]
    assert network.warning == ""
    values = np.random.default_rng(0).normal(size=(1, 8, 8, 3)).astype("float32")
    (expected,) = reference(path, {"t0": values}).values()
    np.testing.assert_allclose(build_program(network.program)(values)[0], expected, atol=5e-3)


@pytest.mark.parametrize("quantised", [False, True])
def test_transposed_convolutions_run_on_arrays(quantised: bool, tmp_path: Path) -> None:
    """They ended in a traceback after the whole search."""
    path = files.transposed(tmp_path / "transposed.tflite", quantised)
    network = load(path, activation_bits=16, weight_bits=16)
    assert [(member.workload.name, member.count) for member in network.members] == [("conv2d 1x6x6x7 k2x2 -> 12", 1)]
    data = np.random.default_rng(0).integers(-100, 100, (1, 4, 5, 6)).astype("int8" if quantised else "float32")
    (expected,) = reference(path, {"t0": data}).values()
    (found,) = build_program(network.program)(data)
    assert np.abs(found.astype("float64") - expected).max() <= (1 if quantised else 1e-3 * np.abs(expected).max())


def test_weights_of_four_bits(tmp_path: Path) -> None:
    """Two share a byte."""
    file, schema = files.File(), files.File().schema
    given = file.tensor((2, 4), "int8", [0.05], [3])
    values = file.random.integers(-8, 8, (6, 4)).astype("int8")
    scales = np.linspace(0.02, 0.03, 6, dtype="float32")
    weights = file.constant(values, scales)
    pairs = values.ravel().view("uint8") & 15
    file.model.buffers[-1].data = list(pairs[0::2] | pairs[1::2] << 4)
    file.graph.tensors[weights].type = schema.TensorType.INT4
    bias = file.constant(np.arange(6, dtype="int32"), (scales * np.float32(0.05)).astype("float32"))
    result = file.tensor((2, 6), "int8", [0.05], [0])
    file.operator("FULLY_CONNECTED", [given, weights, bias], result, "FullyConnectedOptions")
    path = file.save(tmp_path / "four.tflite", [given], [result])
    network, data = load(path), file.random.integers(-128, 128, (2, 4)).astype("int8")
    assert [member.workload.name for member in network.members] == ["dense 2x4 -> 6"]
    (expected,) = reference(path, {"t0": data}).values()
    assert np.abs(build_program(network.program)(data)[0].astype(int) - expected).max() <= 1


def test_results_of_another_shape_are_named(tmp_path: Path) -> None:
    file = files.File()
    given = file.tensor((2, 3), "float32")
    result = file.operator("TANH", [given], file.tensor((3, 2), "float32"))
    path = file.save(tmp_path / "other.tflite", [given], [result])
    words = r"node 't1' \(TANH\): TVM imports a result of \(2, 3\), the file has \(3, 2\)"
    with pytest.raises(UnsupportedError, match=words):
        load(path)


def test_tensors_of_one_name_stay_apart(tmp_path: Path) -> None:
    """The format goes by numbers, TVM's importer by names."""
    file = files.File()
    given = file.tensor((1, 4), "float32")
    first = file.operator("RELU", [given], file.tensor((1, 4), "float32"))
    second = file.operator("NEG", [given], file.tensor((1, 4), "float32"), "NegOptions")
    file.graph.tensors[second].name = file.graph.tensors[first].name
    result = file.operator("ADD", [first, second], file.tensor((1, 4), "float32"), "AddOptions")
    path = file.save(tmp_path / "same.tflite", [given], [result])
    values = np.array([[1, -2, 3, -4]], "float32")
    assert build_program(load(path).program)(values)[0].tolist() == [[0, 2, 0, 4]]


@pytest.mark.parametrize("quantised", [True, False])
def test_zeros_around_what_is_multiplied_without_them_too(quantised: bool, tmp_path: Path) -> None:
    """The integers of the input are known, and padded for the second layer."""
    path = files.padded_beside(tmp_path / "padded.tflite", quantised)
    network = load(path, activation_bits=12, weight_bits=12)
    assert sum(member.count for member in network.members) == 2
    random = np.random.default_rng(0)
    real = random.normal(1, 1, (1, 6, 6, 2)).astype("float32")
    values = random.integers(-128, 128, (1, 6, 6, 2)).astype("int8") if quantised else real
    (expected,) = reference(path, {"t1" if quantised else "t0": values}).values()
    np.testing.assert_allclose(build_program(network.program)(values)[0], expected, atol=0.02)


def test_averages_are_rounded_as_litert_does(tmp_path: Path) -> None:
    path = files.pooled(tmp_path / "pooled.tflite")
    values = np.random.default_rng(2).integers(-128, 128, (1, 16, 16, 4)).astype("int8")
    (expected,) = reference(path, {"t0": values}).values()
    assert np.array_equal(build_program(load(path).program)(values)[0], expected)


def test_a_real_network_is_quantised(tmp_path: Path) -> None:
    path = files.real(tmp_path / "real.tflite")
    network = load(path, activation_bits=16, weight_bits=16)
    assert [member.workload.name for member in network.members] == ["conv2d 1x2x6x6 k3x3 -> 4"]
    values = np.random.default_rng(1).normal(size=(1, 6, 6, 2)).astype("float32")
    (expected,) = reference(path, {"t0": values}).values()
    np.testing.assert_allclose(build_program(network.program)(values)[0], expected, atol=1e-3)


def test_the_program_is_compared_with_litert(tmp_path: Path) -> None:
    path = files.quantised(tmp_path / "quantised.tflite")
    build_program(load(path).program).save(tmp_path / "module.so")
    result = verify(tmp_path / "module.so", path)
    assert result["runtime"] == runtime_of(path) == "LiteRT"
    assert result["outputs"][0]["maximum_error"] <= 1


def test_inputs(tmp_path: Path) -> None:
    path = files.quantised(tmp_path / "quantised.tflite")
    assert input_shapes(path, {}) == {"t0": ((1, 8, 8, 3), np.dtype("int8"))}


def test_operators_of_somebody_s_own_are_named(tmp_path: Path) -> None:
    with pytest.raises(OperatorsError, match=r"operators CUSTOM Folly \(1: t1\)"):
        load(files.unknown(tmp_path / "unknown.tflite"))


@pytest.mark.parametrize(
    ("shapes", "words"),
    [({"x": (1, 8, 8, 3)}, "there is no such input, there are t0"), ({"t0": (2, 8, 8, 3)}, "the file fixes 1,8,8,3")],
)
def test_shapes_that_do_not_fit(shapes: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=words):
        load(files.quantised(tmp_path / "quantised.tflite"), shapes=shapes)


def test_calibration_is_for_others(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="ONNX and PyTorch networks are calibrated"):
        load(files.real(tmp_path / "real.tflite"), calibration={"t0": np.zeros((1, 1, 6, 6, 2))})


@pytest.mark.parametrize("change", [lambda content: b"", lambda content: content[:300], lambda content: b"text " * 99])
def test_damaged_files(change: Callable[[bytes], bytes], tmp_path: Path) -> None:
    path = files.quantised(tmp_path / "network.tflite")
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ModelError, match="it cannot be read as TFLite"):
        load(path)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there is no such file"):
        load(tmp_path / "none.tflite")


def test_mutated_files_are_refused_or_loaded(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    original = files.quantised(tmp_path / "network.tflite").read_bytes()
    path = tmp_path / "mutant.tflite"
    for _ in range(60):
        content = bytearray(original)
        for _ in range(random.integers(1, 12)):
            content[int(random.integers(len(content)))] = int(random.integers(256))
        path.write_bytes(bytes(content))
        with suppress(ModelError):
            load(path)


def test_without_the_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = files.real(tmp_path / "real.tflite")
    monkeypatch.setitem(__import__("sys").modules, "ai_edge_litert", None)
    with pytest.raises(OptionError, match="pip install tflite"):
        load(path)


def wide(file: files.File, operator: str, options: str, count: int, result: list[int]) -> tuple[int, int]:
    given, made = file.tensor([1, 4], "float32"), file.tensor(result, "float32")
    return given, file.operator(operator, [given] * count, made, options)


@pytest.mark.parametrize(
    ("operator", "options", "count", "result", "reason"),
    [
        ("ADD_N", "AddNOptions", 5000, [1, 4], "operator 0: 5,000 operands or results, at most 1,000"),
        ("CONCATENATION", "ConcatenationOptions", 10_000, [10_000, 4], "10,000 operands or results, at most 1,000"),
        ("RESHAPE", "ReshapeOptions", 1, [1] * 10_000 + [4], "tensor 't1': 10,001 axes, at most 32"),
    ],
)
def test_wide_operators(
    operator: str, options: str, count: int, result: list[int], reason: str, tmp_path: Path
) -> None:
    """Each ended the process by a fault."""
    file = files.File()
    given, made = wide(file, operator, options, count, result)
    with pytest.raises(UnsupportedError, match=reason):
        load(file.save(tmp_path / "wide.tflite", [given], [made]))


def test_sums_of_hundreds(tmp_path: Path) -> None:
    file = files.File()
    given, made = wide(file, "ADD_N", "AddNOptions", 900, [1, 4])
    assert load(file.save(tmp_path / "wide.tflite", [given], [made])).members == ()
