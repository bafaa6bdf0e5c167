"""Comparison operator by operator: faults are told from quantisation errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tvm import relax
from typer.testing import CliRunner

import networks
from cyclecast.cli import app
from cyclecast.errors import UnsupportedError
from cyclecast.frontend import Quantization
from cyclecast.frontend.quantization import _quantize
from cyclecast.frontend.quantization._integers import quantize_weights
from cyclecast.workflow.departures import Departures, find

pytestmark = pytest.mark.tvm

VALUE = np.random.default_rng(2).normal(size=(1, 3, 16, 16)).astype("float32")
EIGHT, FOUR = Quantization(), Quantization(4, 4, "symmetric", "affine")


def recurrent(path: Path) -> Path:
    """Steps of an LSTM, whose products add up what was computed before."""
    random, graph = np.random.default_rng(0), networks.Graph()
    gates = [graph.constant(random.normal(0, 0.3, shape).astype("float32")) for shape in ((1, 16, 6), (1, 16, 4))]
    steps, _, _ = (name for name in graph.nodes_of("LSTM", 3, "input", *gates, hidden_size=4))
    return graph.save(path, [5, 1, 6], steps, [5, 1, 1, 4])


def small(path: Path) -> Path:
    graph = networks.Graph()
    hidden = graph.node("Sigmoid", graph.conv("input", 3, 8, 3, stride=2))
    pooled = graph.node("Flatten", graph.node("GlobalAveragePool", graph.relu(graph.conv(hidden, 8, 12, 3))))
    return graph.save(path, [1, 3, 16, 16], graph.dense(pooled, 12, 10), [1, 10])


def checked(model: Path, quantization: Quantization, value: Any = VALUE) -> Departures:
    return find(model, quantization, {"input": value})


@pytest.mark.parametrize("quantization", [EIGHT, FOUR, Quantization(calibration={"input": VALUE})])
def test_what_quantisation_explains_is_no_departure(quantization: Quantization, tmp_path: Path) -> None:
    found = checked(networks.tiny_cnn(tmp_path / "tiny.onnx"), quantization)
    products = [each for each in found.operators if each.is_product]
    assert found.first is None
    assert len(products) == 5
    assert [each.error for each in products] == pytest.approx([each.explained for each in products], rel=1e-3)
    assert min(each.explained for each in products) > 1e-4


def test_steps_of_a_recurrent_layer(tmp_path: Path) -> None:
    found = checked(
        recurrent(tmp_path / "lstm.onnx"), EIGHT, np.random.default_rng(1).normal(size=(5, 1, 6)).astype("float32")
    )
    products = [each for each in found.operators if each.is_product]
    assert (found.first, len(products) > 4) == (None, True)
    assert max(each.explained for each in products) < 0.1


def test_weights_that_are_wrong_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = small(tmp_path / "small.onnx")

    def wrong(values: Any, *options: Any) -> Any:
        return quantize_weights(values * (1.05 if values.shape == (12, 8, 3, 3) else 1), *options)

    monkeypatch.setattr(_quantize, "quantize_weights", wrong)
    found = checked(model, EIGHT)
    assert [(each.operator, each.is_product) for each in found.operators if each.departs] == [("Conv", True)]
    assert found.first is not None
    assert found.first.error == pytest.approx(0.05, rel=0.1)


def test_an_operator_of_the_host_that_is_wrong_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = small(tmp_path / "small.onnx")
    monkeypatch.setattr(relax.op, "sigmoid", relax.op.tanh)  # which the importer takes
    found = checked(model, EIGHT)
    assert [each.operator for each in found.operators if each.departs] == ["Sigmoid"]


def test_integers_differ_by_one_at_most_where_they_are_rounded(tmp_path: Path) -> None:
    graph = networks.Graph()
    scale, zero = graph.constant(np.float32(0.05)), graph.constant(np.int8(3))
    given = graph.node("DequantizeLinear", graph.node("QuantizeLinear", "input", scale, zero), scale, zero)
    product = graph.node("QuantizeLinear", graph.conv(given, 3, 4, 3), graph.constant(np.float32(0.1)), zero)
    output = graph.node("DequantizeLinear", product, graph.constant(np.float32(0.1)), zero)
    found = checked(graph.save(tmp_path / "qdq.onnx", [1, 3, 16, 16], output, [1, 4, 16, 16]), EIGHT)
    assert found.first is None
    assert {each.operator for each in found.operators} == {"Conv", "QuantizeLinear", "DequantizeLinear"}


def test_the_command_says_what_departs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, out = small(tmp_path / "small.onnx"), tmp_path / "out"
    runner = CliRunner()
    assert (
        runner.invoke(
            app, ["tune", str(model), "--device", "tiny", "--out", str(out), "--strategy", "random"]
        ).exit_code
        == 0
    )
    words = ["verify", str(out), str(model), "--layers"]
    done = runner.invoke(app, words)
    assert (done.exit_code, done.stderr) == (0, "")
    assert "no operator departs by more than quantisation explains: 3 with weights, " in done.stdout
    other = runner.invoke(app, [*words, "--weights", "affine"])
    assert (
        "warning: module.so computes other values: give --calibrate, --activations and --weights as to tune"
        in other.stdout
    )
    monkeypatch.setattr(_quantize, "quantize_weights", lambda values, *options: quantize_weights(values * 2, *options))
    told = runner.invoke(app, words)
    assert told.exit_code == 3
    assert "departs: " in told.stderr
    assert "first operator that departs: " in told.stdout
    info = json.loads(runner.invoke(app, [*words, "--json"]).stdout)
    assert (info["passed"], info["layers"]["same_program"], info["layers"]["first"]["operator"]) == (
        False,
        False,
        "Conv",
    )


def test_networks_without_a_graph_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tflite").write_bytes(b"TFL3")
    with pytest.raises(UnsupportedError, match="its operators one by one, ONNX and PyTorch networks"):
        checked(tmp_path / "a.tflite", EIGHT)
