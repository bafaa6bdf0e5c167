"""The intrinsics of one array: described and implemented alike, one for each tile and type."""

from __future__ import annotations

import re

import numpy as np
import pytest
import tvm
from hypothesis import given, settings
from hypothesis import strategies as st
from tvm.ir import IRModule
from tvm.s_tir import TensorIntrin

from cyclecast.schedule._intrinsics import (
    MVM_CALL,
    PROGRAM_CALL,
    Implementation,
    Tile,
    mvm_intrinsic,
    program_intrinsic,
)
from kernels import TARGET

pytestmark = pytest.mark.tvm

TYPES = [("int8", "int8", "int32"), ("int16", "int16", "int32"), ("uint8", "int8", "int32")]


@pytest.mark.parametrize(
    ("implementation", "name"),
    [("native", "cim_mvm_native_3x2_int8_int16_int32"), ("behaviour", "cim_mvm_behaviour_3x2_int8_int16_int32")],
)
def test_the_name_says_everything(implementation: Implementation, name: str) -> None:
    assert mvm_intrinsic(Tile(3, 2, "int8", "int16", "int32"), implementation) == name


def test_writing_an_array_has_a_name_of_its_own() -> None:
    assert program_intrinsic(Tile(3, 2, "int8", "int16", "int32")) == "cim_program_behaviour_3x2_int8_int16_int32"


def test_an_intrinsic_is_registered_once() -> None:
    tile = Tile(3, 5, "int8", "int8", "int32")
    first = TensorIntrin.get(mvm_intrinsic(tile, "native"))
    assert TensorIntrin.get(mvm_intrinsic(tile, "native")).same_as(first)


@pytest.mark.parametrize("types", TYPES, ids=lambda types: "-".join(types))
@pytest.mark.parametrize("part", ["desc", "impl"])
@settings(max_examples=3)
@given(lines=st.integers(1, 9), filters=st.integers(1, 5), seed=st.integers(0, 99))
def test_description_and_native_implementation_add_the_product(
    types: tuple[str, str, str], part: str, lines: int, filters: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    shapes = ((filters,), (lines,), (lines, filters))
    least = 0 if types[0].startswith("u") else -99
    sums, inputs, weights = (random.integers(least, 99, shape) for shape in shapes)
    tensors = [
        tvm.runtime.tensor(value.astype(kind))
        for value, kind in zip((sums, inputs, weights), (types[2], *types[:2]), strict=True)
    ]
    function = getattr(TensorIntrin.get(mvm_intrinsic(Tile(lines, filters, *types), "native")), part)
    module = IRModule({"main": function.with_attr("global_symbol", "main")})
    tvm.compile(module, target=TARGET)["main"](*tensors)
    np.testing.assert_array_equal(tensors[0].numpy(), sums + inputs @ weights)


@pytest.mark.parametrize("size", [(1, 1), (1, 4), (4, 1), (4, 4)])
def test_the_behaviour_implementation_is_one_call(size: tuple[int, int]) -> None:
    tile = Tile(*size, "int8", "int8", "int32")
    for name, call in (
        (mvm_intrinsic(tile, "behaviour"), MVM_CALL),
        (program_intrinsic(tile), PROGRAM_CALL),
    ):
        intrinsic = TensorIntrin.get(name)
        assert re.findall(r'T\.call_packed\("([a-z.]+)"', intrinsic.impl.script()) == [call]
        assert "call_packed" not in intrinsic.desc.script()
