"""Hostile files: each ends in one clear error, in bounded time and memory, and opens no other file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import networks
from cyclecast.errors import ModelError, OperatorsError, UnsupportedError
from cyclecast.frontend import load

pytestmark = pytest.mark.tvm


def network(path: Path, *nodes: Any, constants: dict[str, Any] | None = None, shape: tuple[int, ...] = (1, 4)) -> Path:
    graph = helper.make_graph(
        list(nodes),
        "hostile",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, None)],
        [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()],
    )
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path


def large_constant(path: Path) -> Path:
    node = helper.make_node("ConstantOfShape", ["n"], ["a"])
    return network(
        path, node, helper.make_node("Add", ["input", "a"], ["output"]), constants={"n": np.array([10**9, 4])}
    )


def large_range(path: Path) -> Path:
    """Larger than the shapes say: its length is computed."""
    nodes = [
        helper.make_node("Mul", ["n", "n"], ["m"]),
        helper.make_node("Range", ["zero", "m", "one"], ["a"]),
        helper.make_node("ReduceSum", ["a"], ["b"], keepdims=0),
        helper.make_node("Add", ["input", "b"], ["output"]),
    ]
    constants = {"n": np.float32(10**5), "zero": np.float32(0), "one": np.float32(1)}
    return network(path, *nodes, constants=constants)


def slow_constants(path: Path) -> Path:
    """Products of constants: few values, and 25 billion operations."""
    nodes = [helper.make_node("ConstantOfShape", ["n"], ["a"])]
    nodes += [helper.make_node("MatMul", [f"{'a' * k}", "a"], [f"{'a' * (k + 1)}"]) for k in range(1, 200)]
    nodes += [
        helper.make_node("ReduceSum", ["a" * 200], ["b"], keepdims=0),
        helper.make_node("Add", ["input", "b"], ["output"]),
    ]
    return network(path, *nodes, constants={"n": np.array([400, 400])})


def large_weight(path: Path) -> Path:
    model = onnx.load(networks.tiny_cnn(path))
    model.graph.initializer[0].dims[0] = 10**9
    onnx.save(model, path)
    return path


def large_input(path: Path) -> Path:
    return network(path, helper.make_node("Relu", ["input"], ["output"]), shape=(10**5, 10**5))


def wrong_type(path: Path) -> Path:
    model = onnx.load(networks.tiny_cnn(path))
    model.graph.initializer[0].data_type = TensorProto.INT64
    onnx.save(model, path)
    return path


def strange_names(path: Path) -> Path:
    return network(path, helper.make_node("Folly\n\x1b[2J", ["input"], ["output"], name="a\nb", domain="nowhere"))


def deep(path: Path) -> Path:
    """Branches in branches in branches."""
    values = [helper.make_tensor_value_info("o", TensorProto.FLOAT, None)]
    flat = graph = helper.make_graph([helper.make_node("Identity", ["input"], ["o"])], "g", [], values)
    for _ in range(15):
        branch = helper.make_node("If", ["c"], ["o"], then_branch=graph, else_branch=flat)
        graph = helper.make_graph([branch], "g", [], values)
    nodes = [
        helper.make_node("ReduceSum", ["input"], ["s"], keepdims=0),
        helper.make_node("Cast", ["s"], ["c"], to=TensorProto.BOOL),
        helper.make_node("If", ["c"], ["output"], then_branch=graph, else_branch=flat),
    ]
    return network(path, *nodes)


def twice(path: Path) -> Path:
    """Two nodes of one output."""
    return network(path, *[helper.make_node("Relu", ["input"], ["output"])] * 2)


def without_input(path: Path) -> Path:
    return network(path, helper.make_node("Relu", ["nowhere"], ["output"]))


@pytest.mark.parametrize(
    "make",
    [large_constant, large_range, large_weight, large_input, wrong_type, strange_names, deep, twice, without_input],
)
def test_one_clear_error(make: Any, tmp_path: Path) -> None:
    path = make(tmp_path / "network.onnx")
    with pytest.raises(ModelError) as raised:
        load(path)
    text = str(raised.value)
    assert text.startswith(str(path))
    assert text.isprintable()
    assert len(text) < 600
    assert raised.value.lever


def test_folding_ends_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cyclecast.frontend._apart.SECONDS", 0.01)
    with pytest.raises(ModelError, match="reading it takes too long"):
        load(slow_constants(tmp_path / "network.onnx"))


def test_folded_constants_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cyclecast.frontend.graphs._constant_folding.LARGEST_FOLDED", 1 << 20)
    node = helper.make_node("ConstantOfShape", ["n"], ["a"])
    product = helper.make_node("MatMul", ["input", "a"], ["output"])
    with pytest.raises(ModelError, match=r"its folded constants take more than 1,04\d,\d+ bytes"):
        load(network(tmp_path / "network.onnx", node, product, constants={"n": np.array([4, 10**6])}))


class TestExternalData:
    """Weights in other files: of the model's folder, and of nowhere else."""

    def saved(self, folder: Path, location: str, **entries: str) -> Path:
        model = onnx.load(networks.tiny_cnn(folder / "tiny.onnx"))
        weight = model.graph.initializer[0]
        weight.ClearField("raw_data")
        weight.data_location = TensorProto.EXTERNAL
        for key, value in {"location": location, **entries}.items():
            weight.external_data.append(onnx.StringStringEntryProto(key=key, value=value))
        path = folder / "external.onnx"
        path.write_bytes(model.SerializeToString())
        return path

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        (tmp_path / "secret.bin").write_bytes(bytes(1296))
        inner = tmp_path / "model"
        inner.mkdir()
        (inner / "weights.bin").write_bytes(bytes(1296))
        (inner / "link.bin").symlink_to(tmp_path / "secret.bin")
        (inner / "folder").mkdir()
        os.mkfifo(inner / "pipe.bin")
        return inner

    def test_beside_the_model(self, folder: Path) -> None:
        assert load(self.saved(folder, "weights.bin", length="1296")).members

    @pytest.mark.parametrize(
        "location",
        ["../secret.bin", "folder/../../secret.bin", "link.bin", "/etc/passwd", "folder", "pipe.bin", "", "\0"],
    )
    def test_outside_of_its_folder(self, folder: Path, location: str) -> None:
        with pytest.raises(ModelError, match="its weights are in another file, which cannot be read"):
            load(self.saved(folder, location))

    def test_of_a_name_that_is_no_text(self, folder: Path) -> None:
        path = self.saved(folder, "weights.bin", length="1296")
        name = onnx.load(path, load_external_data=False).graph.initializer[0].name.encode()
        path.write_bytes(path.read_bytes().replace(name, b"\xff" * len(name)))
        with pytest.raises(ModelError, match="its weights are in another file, which cannot be read"):
            load(path)

    @pytest.mark.parametrize(
        "entries", [{"offset": "-5"}, {"offset": "99999999"}, {"length": "1" * 30}, {"length": "x"}]
    )
    def test_beyond_the_file(self, folder: Path, entries: dict[str, str]) -> None:
        with pytest.raises(ModelError):
            load(self.saved(folder, "weights.bin", **entries))


def test_a_network_of_many_unknown_operators_lists_them_all(tmp_path: Path) -> None:
    names = ["input", *(f"t{place}" for place in range(7)), "output"]
    nodes = [
        helper.make_node("Folly" if place % 2 else "Nonsense", [names[place]], [names[place + 1]], domain="nowhere")
        for place in range(8)
    ]
    with pytest.raises(OperatorsError) as raised:
        load(network(tmp_path / "network.onnx", *nodes))
    rows = raised.value.refused
    assert [(row.operator, row.count, len(row.nodes)) for row in rows] == [("Folly", 4, 3), ("Nonsense", 4, 3)]
    assert all(row.advice for row in rows)
    assert isinstance(raised.value, UnsupportedError)


@pytest.mark.parametrize("as_json", [False, True])
def test_the_command_line_says_which_where_and_what_to_do(as_json: bool, tmp_path: Path) -> None:
    path = network(tmp_path / "network.onnx", helper.make_node("Folly", ["input"], ["output"], name="here"))
    program = [sys.executable, "-m", "cyclecast.cli", "estimate", str(path), *(["--json"] if as_json else [])]
    done = subprocess.run(program, capture_output=True, text=True, timeout=100)
    assert done.returncode == 2
    if as_json:
        (row,) = json.loads(done.stdout)["error"]["operators"]
        assert (row["operator"], row["count"], row["nodes"]) == ("Folly", 1, ["here"])
    else:
        assert "operators that cannot be imported" in done.stderr
        assert "Traceback" not in done.stderr


def test_long_recurrences_do_not_overflow_a_small_stack(tmp_path: Path) -> None:
    """As three LSTMs of 160 steps do one of 8 MiB: passes of TVM go into a program as deep as it is long."""
    graph = networks.Graph()
    gates = [graph.he(1, 16, 4, fan_in=4) for _ in range(2)]
    path = graph.save(tmp_path / "long.onnx", [40, 1, 4], graph.node("LSTM", "input", *gates, hidden_size=4), None)
    command = "import sys, threading; from pathlib import Path; from cyclecast.frontend import load\n"
    command += "threading.stack_size(1 << 19); threading.Thread(target=load, args=(Path(sys.argv[1]),)).start()"
    done = subprocess.run([sys.executable, "-c", command, str(path)], capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stderr) == (0, "")
