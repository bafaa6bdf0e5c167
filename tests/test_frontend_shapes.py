"""The shapes of inputs: given, found by name, left open."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from cyclecast.errors import ModelError, UnsupportedError
from cyclecast.frontend import input_shapes, load

pytestmark = pytest.mark.tvm

Stated = Sequence[int | str | None] | None


def sum_of(path: Path, first: Stated, second: Stated) -> Path:
    """A network that adds its inputs `a` and `b`, of the stated shapes."""
    graph = helper.make_graph(
        [helper.make_node("Add", ["a", "b"], ["output"])],
        "sum",
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name, shape in (("a", first), ("b", second))
        ],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, None)],
    )
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path


def extents(path: Path, **shapes: Sequence[int]) -> dict[str, tuple[int, ...]]:
    return {name: shape for name, (shape, _) in input_shapes(path, shapes).items()}


def test_a_name_means_the_same_in_all_inputs(tmp_path: Path) -> None:
    path = sum_of(tmp_path / "sum.onnx", ["batch", "tokens", 4], ["batch", "tokens", 4])
    assert extents(path, b=(2, 3, 4)) == {"a": (2, 3, 4), "b": (2, 3, 4)}


def test_a_name_of_two_extents_means_nothing_elsewhere(tmp_path: Path) -> None:
    path = sum_of(tmp_path / "sum.onnx", ["?", "?", "n"], ["?", "?", "n"])
    assert extents(path, a=(2, 3, 4), b=(2, 3, 4)) == {"a": (2, 3, 4), "b": (2, 3, 4)}
    with pytest.raises(UnsupportedError, match=r"input 'b': dimension 1 is open \(\?\)"):
        input_shapes(path, {"a": (3, 3, 4)})


def test_an_open_batch_becomes_1_in_all_inputs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="cyclecast")
    path = sum_of(tmp_path / "sum.onnx", ["batch", 4], [None, 4])
    assert extents(path) == {"a": (1, 4), "b": (1, 4)}
    assert f"{path}: input 'a': batch dimension is open, taken as 1" in caplog.messages
    assert f"{path}: input 'b': batch dimension is open, taken as 1" in caplog.messages


def test_an_unstated_shape_can_be_given(tmp_path: Path) -> None:
    path = sum_of(tmp_path / "sum.onnx", [2, 3], None)
    assert extents(path, b=(2, 3)) == {"a": (2, 3), "b": (2, 3)}


def test_numpy_integers_are_extents(tmp_path: Path) -> None:
    path = sum_of(tmp_path / "sum.onnx", ["n", "m"], ["n", "m"])
    assert extents(path, a=list(np.array([5, 6]))) == {"a": (5, 6), "b": (5, 6)}


def test_scalars_need_no_shape(tmp_path: Path) -> None:
    assert extents(sum_of(tmp_path / "sum.onnx", [], [3])) == {"a": (), "b": (3,)}


@pytest.mark.parametrize(
    ("stated", "given", "error", "text"),
    [
        (
            [1, 3, "height", "width"], {}, UnsupportedError,
            "input 'a': dimension 2 is open (height), shapes must be fixed; try --shape a=1,3,N,N",
        ),
        (
            [None, 3, None, 8], {}, UnsupportedError,
            "input 'a': dimension 2 is open (?), shapes must be fixed; try --shape a=1,3,N,8",
        ),
        (["tokens"], {}, UnsupportedError, "input 'a': dimension 0 is open (tokens), shapes must be fixed"),
        (None, {}, UnsupportedError, "input 'a': the file does not state its shape, shapes must be fixed"),
        ([2, 3], {"c": (2, 3)}, ModelError, "input 'c': there is no such input, there are a, b; try one of these"),
        ([2, 3], {"a": (2,)}, ModelError, "input 'a': 1 dimensions given, it has 2; try --shape a=2,3"),
        ([2, 3], {"a": (2, 4)}, ModelError, "input 'a': dimension 1 given as 4, the file fixes it at 3"),
        (["n", 3], {"a": (0, 3)}, ModelError, "input 'a': a shape of 0,3, extents are integers from 1 to 2^31"),
        (["n", 3], {"a": (-1, 3)}, ModelError, "input 'a': a shape of -1,3, extents are integers from 1 to 2^31"),
        (["n", 3], {"a": (1.5, 3)}, ModelError, "input 'a': a shape of 1.5,3, extents are integers from 1 to 2^31"),
        (["n", 3], {"a": ("x", 3)}, ModelError, "input 'a': a shape of x,3, extents are integers from 1 to 2^31"),
        (["n", 1 << 20], {"a": (1 << 12, 1 << 20)}, UnsupportedError, "input 'a': more than 2^31 values"),
    ],
)  # fmt: skip
def test_shapes_that_cannot_be(
    stated: Stated, given: dict[str, tuple[int, ...]], error: type[ModelError], text: str, tmp_path: Path
) -> None:
    path = sum_of(tmp_path / "sum.onnx", stated, [1])
    with pytest.raises(error) as raised:
        load(path, shapes=given)
    assert type(raised.value) is error
    assert str(raised.value).startswith(f"{path}: {text}")
    assert raised.value.lever


def test_inputs_are_tensors(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("ConcatFromSequence", ["a"], ["output"], axis=0)],
        "sequence",
        [helper.make_tensor_sequence_value_info("a", TensorProto.FLOAT, [1, 3])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, None)],
    )
    onnx.save(helper.make_model(graph, ir_version=8), tmp_path / "sequence.onnx")
    with pytest.raises(UnsupportedError, match="input 'a': it is of type 'sequence', inputs are tensors"):
        load(tmp_path / "sequence.onnx")
