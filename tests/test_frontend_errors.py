"""Errors for networks on which TVM, onnxruntime or the machine fails: operator, reason, and what helps."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import onnx
import pytest
from onnx import TensorProto, helper
from tvm import relax

from cyclecast.errors import OperatorsError, OptionError, UnsupportedError
from cyclecast.executable import build_program
from cyclecast.frontend import load
from cyclecast.frontend._words import first_line
from test_frontend_operators import saved

pytestmark = pytest.mark.tvm


def test_what_cannot_be_lowered_or_compiled_names_the_operator(tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    ends = [helper.make_tensor_value_info(name, TensorProto.INT32, [2, 3]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Pow", ["x", "x"], ["y"])], "g", ends[:1], ends[1:])
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)]), path)
    words = (
        r"operator 'power' of int32 \(2, 3\) and int32 \(2, 3\): TVM cannot lower it, .+ power only applies to float"
    )
    with pytest.raises(UnsupportedError, match=words):
        load(path)
    builder, given = relax.BlockBuilder(), relax.Var("x", relax.TensorType((2, 3), "bool"))
    with builder.function("main", [given]):
        builder.emit_func_output(builder.emit(relax.op.equal(given, given)))
    with pytest.raises(UnsupportedError, match=r"operator 'equal': TVM cannot compile it, .*: Invalid operand types"):
        build_program(builder.get())


@pytest.mark.parametrize(
    ("operator", "advice"),
    [
        ("DynamicQuantizeLSTM", "quantising the network without its LSTM"),
        ("QAttention", "using the file from before onnxruntime optimised or quantised it"),
    ],
)
def test_advice_fits_the_operator(operator: str, advice: str, tmp_path: Path) -> None:
    """No export avoids what onnxruntime's tools write into the file."""
    node = helper.make_node(operator, ["x"], ["y"], domain="com.microsoft")
    with pytest.raises(OperatorsError, match=f"does not know them; try {advice}") as raised:
        load(saved(tmp_path / "a.onnx", [node], [1, 4], {}))
    (row,) = raised.value.refused
    assert row.advice.split()[1:] == raised.value.lever.split()[1:]


def test_a_full_disk_is_not_blamed_on_the_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise RuntimeError("Protobuf serialization failed.")

    monkeypatch.setattr("onnxruntime.InferenceSession", full)
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=0))
    path = saved(tmp_path / "a.onnx", [helper.make_node("Relu", ["x"], ["y"])], [1, 4], {})
    with pytest.raises(OptionError, match="the disk is full; try another folder in TMPDIR"):
        load(path)


def test_messages_are_not_cut_where_they_begin_to_say_something() -> None:
    said = "The shapes of the operands are wrong. " * 8 + "However, the given shape is (3, 4)"
    assert first_line(RuntimeError(said)) == said
    announced = "Verification failed with the following errors:\n  Invalid operand types\n at 0x1"
    assert first_line(RuntimeError(announced)) == "Verification failed with the following errors: Invalid operand types"
