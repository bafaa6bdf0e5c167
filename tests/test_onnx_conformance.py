"""ONNX's own node tests of all products, through our path: as they are, and with constant weights on arrays."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnx.backend.test.case.node import _NodeTestCases

from cyclecast.device import Device
from cyclecast.frontend import load
from cyclecast.workflow.building import compile
from cyclecast.workflow.tuning import estimate

pytestmark = [pytest.mark.tvm, pytest.mark.slow]

OPERATORS = (
    "Conv", "ConvInteger", "QLinearConv", "MatMul", "MatMulInteger", "QLinearMatMul", "Gemm", "ConvTranspose",
)  # fmt: skip
SKIPPED = {"test_matmul_1d_1d": "a product of two vectors is no matrix product"}
"""Cases, with the reason."""
ON_THE_HOST = {"matmul_1d_3d": "an operand is a vector", "matmul_4d_1d": "an operand is a vector"}
"""Cases without a kernel, with what is reported."""
WEIGHTS = {
    "QLinearConv": range(1, 9),
    "QLinearMatMul": range(1, 8),
    "ConvInteger": (1, 2, 3),
    "MatMulInteger": (1, 2, 3),
}
"""Inputs that are constants in real networks; of others, all but the first."""


@cache
def cases() -> dict[str, Any]:
    for operator in OPERATORS:  # each module makes its cases when it is imported
        import_module(f"onnx.backend.test.case.node.{operator.lower()}")
    return {case.name: case for case in _NodeTestCases if operator_of(case) in OPERATORS}


def operator_of(case: Any) -> str:
    return str(case.model.graph.node[0].op_type) if len(case.model.graph.node) == 1 else ""


def model_of(case: Any, constants: bool, path: Path) -> tuple[Path, list[Any]]:
    """The case's file, and the values of what is still an input."""
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    values = list(case.data_sets[0][0])
    names = [value.name for value in model.graph.input]
    fixed = WEIGHTS.get(operator_of(case), range(1, len(names))) if constants else ()
    for place in fixed:
        if place < len(names):
            model.graph.initializer.append(numpy_helper.from_array(np.asarray(values[place]), names[place]))
    onnx.save(model, path)
    return path, [value for place, value in enumerate(values) if place not in fixed]


def computed(case: Any, constants: bool, folder: Path) -> tuple[Any, Any]:
    """The outputs of the compiled program, and the network."""
    path, values = model_of(case, constants, folder / "case.onnx")
    network = load(path, activation_bits=16, weight_bits=16)
    device = Device.load("isaac16")
    return compile(estimate(network, device))(*values), network


def skipped(name: str) -> None:
    if name in SKIPPED:
        pytest.skip(SKIPPED[name])


@pytest.mark.parametrize("name", sorted(cases()))
def test_as_it_is(name: str, tmp_path: Path) -> None:
    skipped(name)
    case = cases()[name]
    outputs, _ = computed(case, constants=False, folder=tmp_path)
    for output, expected in zip(outputs, case.data_sets[0][1], strict=True):
        if np.issubdtype(expected.dtype, np.integer):
            assert np.array_equal(output, expected)
        else:
            np.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", sorted(cases()))
def test_with_constant_weights(name: str, tmp_path: Path) -> None:
    """Real operators with 16-bit integers: an error of 2^-16 of the largest operands for each of the products."""
    skipped(name)
    case = cases()[name]
    outputs, network = computed(case, constants=True, folder=tmp_path)
    if name.removeprefix("test_") in ON_THE_HOST:
        assert [operator.reason for operator in network.host if operator.macs] == [
            ON_THE_HOST[name.removeprefix("test_")]
        ]
    else:
        assert network.members
    inputs = [np.abs(np.asarray(value, "float64")).max(initial=0) for value in case.data_sets[0][0][:2]]
    for output, expected in zip(outputs, case.data_sets[0][1], strict=True):
        if np.issubdtype(expected.dtype, np.integer):
            rounds = operator_of(case) in ("QLinearConv", "QLinearMatMul")
            assert np.abs(output.astype(int) - expected.astype(int)).max() <= rounds
        else:
            terms = sum(member.workload.reduction for member in network.members)
            np.testing.assert_allclose(output, expected, rtol=1e-4, atol=terms * 2**-14 * inputs[0] * inputs[1] + 1e-5)
