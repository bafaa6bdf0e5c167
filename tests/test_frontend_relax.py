"""Relax programs as a source."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tvm import relax, tirx
from tvm.ir import IRModule

from cyclecast.errors import ModelError, UnsupportedError
from cyclecast.executable import build_program
from cyclecast.frontend import input_shapes, load, reference

pytestmark = pytest.mark.tvm

RANDOM = np.random.default_rng(0)


def program(kind: str = "float32", batch: Any = 1, rows: Any = 8, dataflow: bool = True) -> IRModule:
    """A convolution, channels last, and what follows it."""
    builder = relax.BlockBuilder()
    image = relax.Var("image", relax.TensorType((batch, rows, 8, 3), kind))
    whole = kind.endswith("int8")
    values = RANDOM.integers(0, 100, (3, 3, 3, 5)) if whole else RANDOM.normal(size=(3, 3, 3, 5))
    with builder.function("main", [image]):
        made = relax.op.nn.conv2d(
            image, relax.const(values.astype(kind)), padding=1, data_layout="NHWC", kernel_layout="HWIO",
            out_dtype="int32" if whole else None,
        )  # fmt: skip
        if dataflow:
            with builder.dataflow():
                result = builder.emit_output(builder.emit(made))
            builder.emit_func_output(result)
        else:
            builder.emit_func_output(builder.emit(relax.op.nn.relu(builder.emit(made))))
    return builder.get()


def test_the_reference_converts_what_is_no_number_as_programs_do() -> None:
    builder = relax.BlockBuilder()
    image = relax.Var("image", relax.TensorType((5,), "float32"))
    with builder.function("main", [image]):
        builder.emit_func_output(builder.emit(relax.op.astype(image, "int8")))
    source = builder.get()
    (found,) = reference(source, {"image": np.array([np.nan, np.inf, -np.inf, 1e38, -1.9], "float32")}).values()
    assert found.tolist() == [0, 127, -128, 127, -1]


@pytest.mark.parametrize("dataflow", [False, True])
def test_real_programs_are_quantised(dataflow: bool) -> None:
    source = program(dataflow=dataflow)
    network = load(source, activation_bits=16, weight_bits=16)
    assert [member.workload.name for member in network.members] == ["conv2d 1x3x8x8 k3x3 -> 5"]
    assert network.name == "IRModule"
    values = RANDOM.normal(size=(1, 8, 8, 3)).astype("float32")
    (expected,) = reference(source, {"image": values}).values()
    np.testing.assert_allclose(build_program(network.program)(values)[0], expected, atol=2e-3)


@pytest.mark.parametrize("kind", ["int8", "uint8"])
def test_products_of_integers_are_kernels_as_they_are(kind: str) -> None:
    source = program(kind)
    network = load(source)
    assert len(network.members) == 1
    values = RANDOM.integers(0, 256, (1, 8, 8, 3)).astype(kind)
    (expected,) = reference(source, {"image": values}).values()
    assert np.array_equal(build_program(network.program)(values)[0], expected)


def test_open_extents_are_bound_by_name() -> None:
    source = program(batch=tirx.Var("batch", "int64"), rows=tirx.Var("rows", "int64"))
    assert input_shapes(source, {"image": (2, 6, 8, 3)}) == {"image": ((2, 6, 8, 3), np.dtype("float32"))}
    assert load(source, shapes={"image": (2, 6, 8, 3)}).macs == 2 * 6 * 8 * 27 * 5
    with pytest.raises(UnsupportedError, match=r"dimension 1 is open \(rows\), shapes must be fixed"):
        load(source)


@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        ({"x": (1,)}, "there is no such input, there are image"),
        ({"image": (1, 8)}, "2 dimensions given, it has 4"),
        ({"image": (1, 9, 8, 3)}, "dimension 1 given as 9, it is 8"),
    ],
)
def test_shapes_that_do_not_fit(shapes: dict[str, Any], words: str) -> None:
    with pytest.raises(ModelError, match=words):
        load(program(), shapes=shapes)


def test_a_program_without_a_network() -> None:
    with pytest.raises(ModelError, match="there is no function 'main'"):
        load(IRModule({}))


def test_operators_of_a_branch_become_the_loops_of_the_standards() -> None:
    """TVM's own ones start from finite numbers."""
    data, which = (
        relax.Var("data", relax.TensorType((2, 3), "float32")),
        relax.Var("which", relax.TensorType((), "bool")),
    )
    branches = []
    for reduced in (relax.op.max(data, axis=[1]), relax.op.min(data, axis=[1])):
        result = relax.Var("result", relax.TensorType((2,), "float32"))
        branches.append(relax.SeqExpr([relax.BindingBlock([relax.VarBinding(result, reduced)])], result))
    builder = relax.BlockBuilder()
    with builder.function("main", [data, which]):
        builder.emit_func_output(builder.emit(relax.If(which, *branches)))
    run = build_program(load(builder.get()).program)
    for value in (-np.inf, np.inf):
        for taken in (True, False):
            (found,) = run(np.full((2, 3), value, "float32"), np.array(taken))
            assert found.tolist() == [value] * 2
