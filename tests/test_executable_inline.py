"""Stages of host operators are inlined, and no value changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import tvm
import tvm_ffi
from tvm import relax, tirx
from tvm.relax import op
from tvm.s_tir import Schedule, ScheduleError
from tvm.s_tir.stmt import SBlock

from cyclecast.executable import _executable, _inline, build_program
from cyclecast.executable._inline import with_stages_inlined

pytestmark = pytest.mark.tvm

ODD = np.array([[0.0, -0.0, 0.5, -2.5, 3e9, np.inf, -np.inf, np.nan, 1e38, -1e-40]], "float32")


def real(value: float) -> Any:
    return relax.const(value, "float32")


def whole(value: int) -> Any:
    return relax.const(value, "int32")


def chain(x: Any) -> Any:
    return op.negative(op.exp(op.round(op.multiply(x, real(3.0)))))


def narrow(x: Any) -> Any:
    return op.astype(op.clip(op.round(op.divide(x, real(0.1))), -128, 127), "int8")


def wide(x: Any) -> Any:
    return op.subtract(op.add(op.multiply(op.astype(x, "int32"), whole(2**30)), whole(2**30)), whole(2**30))


def few_operations_twice(x: Any) -> Any:
    added = op.add(x, real(1.0))
    return op.where(op.isnan(added), real(7.0), added)


def a_call_twice(x: Any) -> Any:
    grown = op.exp(x)
    return op.multiply(grown, grown)


def doubled(x: Any) -> Any:
    for _ in range(12):
        x = op.add(op.multiply(x, real(0.5)), x)
    return x


def reduced(x: Any) -> Any:
    return op.nn.softmax(op.multiply(x, real(2.0)))


NETWORKS: list[tuple[Callable[[Any], Any], int, int]] = [
    (chain, 4, 1),
    (narrow, 4, 1),
    (wide, 4, 4),
    (few_operations_twice, 3, 1),
    (a_call_twice, 2, 2),
]
"""An operator of several stages, how many they are, and how many are left."""
ALL = [*(network for network, *_ in NETWORKS), doubled, reduced]


def fused(network: Callable[[Any], Any]) -> Any:
    """A program that is one fused operator."""
    builder, data = relax.BlockBuilder(), relax.Var("data", relax.TensorType(ODD.shape, "float32"))
    with builder.function("main", [data]):
        with builder.dataflow():
            result = builder.emit_output(network(data))
        builder.emit_func_output(result)
    passes: Sequence[Any] = [
        relax.transform.LegalizeOps(),
        relax.transform.AnnotateTIROpPattern(),
        relax.transform.FuseOps(),
        relax.transform.FuseTIR(),
    ]
    return tvm.transform.Sequential(passes)(builder.get())


def stages(program: Any) -> int:
    """The loop nests in all functions."""
    found: list[str] = []
    for function in program.functions.values():
        if isinstance(function, tirx.PrimFunc):
            tvm_ffi.structural_walk(function.body, [(SBlock, lambda block: found.append(str(block.name_hint)))])
    return sum(name != "root" for name in found)


@pytest.mark.parametrize(("network", "before", "after"), NETWORKS, ids=lambda value: getattr(value, "__name__", ""))
def test_what_becomes_one_stage(network: Callable[[Any], Any], before: int, after: int) -> None:
    program = fused(network)
    text = program.script()
    assert (stages(program), stages(with_stages_inlined(program))) == (before, after)
    assert program.script() == text, "the program itself is as it was"


def test_what_is_read_twice_again_and_again_does_not_grow_without_end() -> None:
    program = fused(doubled)
    assert stages(with_stages_inlined(program)) < stages(program)
    assert len(with_stages_inlined(program).script()) < 5 * len(program.script())


@pytest.mark.parametrize("network", ALL)
def test_no_value_changes(network: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    program = fused(network)
    (inlined,) = build_program(program)(ODD)
    monkeypatch.setattr(_executable, "with_stages_inlined", lambda program: program)
    (apart,) = build_program(program)(ODD)
    assert inlined.tobytes() == apart.tobytes()


def test_a_stage_that_tvm_cannot_inline_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing(Schedule):  # type: ignore[misc] # TVM is untyped
        def compute_inline(self, block: Any) -> None:
            raise ScheduleError("not this one")

    monkeypatch.setattr(_inline, "Schedule", Refusing)
    program = fused(chain)
    assert stages(_inline.with_stages_inlined(program)) == stages(program)
