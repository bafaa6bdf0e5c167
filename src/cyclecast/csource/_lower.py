"""Lower scheduled functions to flat loops over flat buffers, with TVM's passes before its code generators."""

from __future__ import annotations

from typing import Any

import tvm_ffi
from tvm import s_tir, tirx
from tvm.ir import Call, IRModule
from tvm.ir.transform import Sequential
from tvm.target import Target

from cyclecast._tvm._defined import is_open, with_defined_accesses
from cyclecast.csource._expression import DIVISIONS, stable_tanh

PASSES = (
    s_tir.transform.CanonicalizeLoop(),
    s_tir.transform.LowerInitBlock(),
    s_tir.transform.PlanAndUpdateBufferAllocationLocation(),
    s_tir.transform.ConvertBlocksToOpaque(),
    s_tir.transform.CompactBufferAllocation(),
    s_tir.transform.LowerMatchBuffer(),
    s_tir.transform.StmtSimplify(),
    s_tir.transform.LowerOpaqueBlock(),
    tirx.transform.FlattenBuffer(),
    tirx.transform.NarrowDataType(32),
    tirx.transform.StmtSimplify(),
    tirx.transform.RemoveNoOp(),
    tirx.transform.LowerIntrin(),
)
"""No vectorisation, unrolling or shared storage, so that the loops look as scheduled."""


def flat_functions(program: Any) -> dict[str, Any]:
    """Every TIR function of a program, by name, as flat loops that call C's mathematical functions."""
    functions = {
        variable: _prepared(function)
        for variable, function in program.functions.items()
        if isinstance(function, tirx.PrimFunc)
    }
    module = Sequential(PASSES)(IRModule(functions))
    return {str(variable.name_hint): function for variable, function in module.functions.items()}


def _prepared(function: Any) -> Any:
    def rewritten(call: Any) -> Any:
        return stable_tanh(call) if str(getattr(call.op, "name", "")) == "tirx.tanh" else call

    operators = [(Call, rewritten), (tuple(DIVISIONS), _division)]
    body = tvm_ffi.structural_map(with_defined_accesses(function.body), operators)
    return function.with_body(body).with_attr("target", Target("c"))


def _division(division: Any) -> Any:
    """A call of a function of `cyclecast_host.h` that is defined for all divisors."""
    kind = str(division.ty)
    if not is_open(division):
        return division
    wide = kind if kind[-2:] in ("32", "64") else "int32"
    name = f"{DIVISIONS[type(division)]}_{wide.replace('uint', 'u').replace('int', 'i')}"
    operands = [part if wide == kind else tirx.Cast(wide, part) for part in (division.a, division.b)]
    made = tirx.call_pure_extern(wide, name, *operands)
    return made if wide == kind else tirx.Cast(kind, made)
