"""Comparing a program with onnxruntime."""

from __future__ import annotations

import json
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import onnx
import pytest
from onnx import helper
from typer.testing import CliRunner

import networks
from cyclecast.cli import app
from cyclecast.errors import ModelError
from cyclecast.executable import build_program
from cyclecast.frontend import load, random_values
from cyclecast.verification import cosine, verify

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
        ({"input": np.ones((1, 3, 8, 8))}, "the file fixes it at 16"),
        ({"image": np.ones((1, 3, 16, 16))}, "no such input"),
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
    with pytest.raises(ModelError, match="the program does not run"):
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


@pytest.mark.parametrize(("kind", "least", "most"), [("int8", -128, 127), ("uint16", 0, 65535), ("int64", 0, 9)])
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
