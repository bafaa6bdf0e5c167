"""Inputs that select a branch: bound to constants they are no inputs any more, and the other branch is removed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from typer.testing import CliRunner, Result

from cyclecast.cli import app
from cyclecast.errors import UnsupportedError
from cyclecast.executable import build_program
from cyclecast.frontend import bound, input_shapes, load, reference
from cyclecast.frontend.graphs._nodes import names_read
from cyclecast.frontend.readers._onnx_graph import _foldable
from tflite_files import real

pytestmark = pytest.mark.tvm

RANDOM = np.random.default_rng(0)


def graph(name: str, weight: str, inner: list[Any] | None = None, at: str = "") -> Any:
    """A branch: a product with `x` of the outside, and a name that the other branch has, too."""
    nodes = [helper.make_node("MatMul", ["x", weight], [f"{at}h"])]
    nodes += inner or [helper.make_node("Relu", [f"{at}h"], [f"{at}r"])]
    return helper.make_graph(nodes, name, [], [helper.make_tensor_value_info(f"{at}r", TensorProto.FLOAT, None)])


def detector(path: Path, rate: list[int | str] | None = None) -> Path:
    """As a voice detector for two rates: a convolution of one or the other, and an operator that nobody knows."""
    inner = helper.make_node(
        "If",
        ["is_high"],
        ["r"],
        then_branch=helper.make_graph(
            [helper.make_node("Tanh", ["h"], ["t"])], "then", [], [helper.make_tensor_value_info("t", 1, None)]
        ),
        else_branch=graph("else", "v", at="inner "),
    )
    other = graph("other", "v", [helper.make_node("Folly", ["h"], ["r"], domain="mine")])
    nodes = [
        helper.make_node("Equal", ["rate", "high"], ["is_high"]),
        helper.make_node("If", ["is_high"], ["y"], then_branch=graph("first", "w", [inner]), else_branch=other),
    ]
    ends = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])]
    ends.append(helper.make_tensor_value_info("rate", TensorProto.INT64, rate or []))
    parts = [numpy_helper.from_array(RANDOM.normal(size=(4, 3)).astype("float32"), name) for name in "wv"]
    parts.append(numpy_helper.from_array(np.full([1] * len(rate or []), 16000, "int64"), "high"))
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3])
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("mine", 1)]
    whole = helper.make_graph(nodes, "detector", ends, [result], parts)
    onnx.save(helper.make_model(whole, ir_version=8, opset_imports=imports), path)
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.mark.parametrize("rate", [None, [1], ["length"]])
def test_a_bound_input_chooses_the_branch(rate: Any, tmp_path: Path) -> None:
    path = detector(tmp_path / "vad.onnx", rate)
    network = load(path, constants={"rate": 16000}, activation_bits=16, weight_bits=16)
    assert [(member.workload.name, member.count) for member in network.members] == [("dense 1x4 -> 3", 1)]
    assert network.name == "vad"
    data = RANDOM.normal(size=(1, 4)).astype("float32")
    whole = bound(path, {"rate": 16000})
    assert list(input_shapes(whole, {})) == ["x"]
    (expected,) = reference(whole, {"x": data}).values()
    np.testing.assert_allclose(build_program(network.program)(data)[0], expected, atol=1e-3)
    weights = numpy_helper.to_array(onnx.load(path).graph.initializer[0])
    np.testing.assert_allclose(expected, np.tanh(data @ weights), atol=1e-5)


def test_the_branch_that_is_taken_is_looked_at(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match=r"operators Folly \(1: r\)"):
        load(detector(tmp_path / "vad.onnx"), constants={"rate": 8000})


def test_a_shape_chooses_the_branch(tmp_path: Path) -> None:
    """That one is known once it is fixed."""
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"], start=1),
        helper.make_node("Equal", ["shape", "four"], ["is_four"]),
        helper.make_node("Squeeze", ["is_four"], ["chosen"]),
    ]
    other = graph("other", "v", [helper.make_node("Folly", ["h"], ["r"], domain="mine")])
    nodes.append(helper.make_node("If", ["chosen"], ["y"], then_branch=graph("then", "w"), else_branch=other))
    parts = [numpy_helper.from_array(RANDOM.normal(size=(4, 3)).astype("float32"), name) for name in "wv"]
    parts.append(numpy_helper.from_array(np.array([4]), "four"))
    ends = [helper.make_tensor_value_info("x", 1, [1, "width"]), helper.make_tensor_value_info("y", 1, [1, 3])]
    whole = helper.make_graph(nodes, "g", ends[:1], ends[1:], parts)
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("mine", 1)]
    path = tmp_path / "shape.onnx"
    onnx.save(helper.make_model(whole, ir_version=8, opset_imports=imports), path)
    network = load(path, shapes={"x": (1, 4)}, activation_bits=16, weight_bits=16)
    data = RANDOM.normal(size=(1, 4)).astype("float32")
    (expected,) = reference(path, {"x": data}).values()
    np.testing.assert_allclose(build_program(network.program)(data)[0], expected, atol=1e-3)


def test_on_the_command_line(tmp_path: Path) -> None:
    path, out = detector(tmp_path / "vad.onnx"), tmp_path / "out"
    bind = ("--constant", "rate=16000")
    assert run("estimate", path, *bind).exit_code == 0
    assert run("tune", path, "--out", out, *bind, "--device", "tiny", "--strategy", "random").exit_code == 0
    answer = run("verify", out, path, *bind, "--json")
    assert json.loads(answer.stdout)["outputs"][0]["cosine"] > 0.99
    np.savez(tmp_path / "samples.npz", x=RANDOM.normal(size=(8, 1, 4)).astype("float32"))
    answer = run("sqnr", path, *bind, "--calibrate", tmp_path / "samples.npz", "--json")
    assert len(json.loads(answer.stdout)["layers"]) == 1


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("speed=1", "input 'speed': there is no such input, there are x, rate"),
        ("rate=fast", "it must be NAME=N or NAME=N,N,..."),
        ("rate", "it must be NAME=N or NAME=N,N,..."),
        ("rate=0.5", "input 'rate': a constant 0.5, it is of type int64"),
        ("rate=1e40", "input 'rate': a constant 1.e+40, it is of type int64"),
        ("rate=99999999999999999999", "input 'rate': a constant 99999999999999999999, constants are numbers"),
        ("x=1,2,3", "input 'x': a constant of shape (3,), the file has (1, 4)"),
    ],
)
def test_constants_that_do_not_fit(option: str, words: str, tmp_path: Path) -> None:
    answer = run("estimate", detector(tmp_path / "vad.onnx"), "--constant", option)
    assert answer.exit_code == 2
    assert words in answer.stderr
    assert len(answer.stderr.strip().splitlines()) == 1


def test_vectors_are_bound(tmp_path: Path) -> None:
    """One axis of theirs may be missing."""
    whole = bound(detector(tmp_path / "vad.onnx"), {"x": [1, 2, 3, 4], "rate": True})
    assert input_shapes(whole, {}) == {}


@pytest.mark.parametrize("option", [("--image-mean", "a"), ("--image-mean", "1,2"), ("--image-deviation", "0")])
def test_numbers_of_channels_are_checked_without_images(option: tuple[str, str], tmp_path: Path) -> None:
    """They were not looked at."""
    answer = run("estimate", detector(tmp_path / "vad.onnx"), "--constant", "rate=16000", *option)
    assert answer.exit_code == 2
    assert f"{option[0].removeprefix('--image-')}: " in answer.stderr


def test_other_networks_have_no_constants(tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed")
    with pytest.raises(UnsupportedError, match="constants for inputs, ONNX networks take them"):
        load(real(tmp_path / "a.tflite"), constants={"t0": 1})


def test_branches_that_read_inputs_are_not_folded(tmp_path: Path) -> None:
    """However constant the condition is: what a branch reads from outside is an operand."""
    node = helper.make_node("If", ["c"], ["y"], then_branch=graph("then", "w"), else_branch=graph("else", "w"))
    assert {"c", "x", "w"} == set(names_read(node))
    parts = [numpy_helper.from_array(np.array(True), "c"), numpy_helper.from_array(np.ones((4, 3), "float32"), "w")]
    assert _foldable(helper.make_model(helper.make_graph([node], "g", [], [], parts))) == []


def test_an_open_branch_is_refused(tmp_path: Path) -> None:
    words = r"operators If \(1: y\), .+ try exporting the branch that is taken, or bind its input with --constant"
    with pytest.raises(UnsupportedError, match=words):
        load(detector(tmp_path / "vad.onnx"))
