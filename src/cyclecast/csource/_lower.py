"""From scheduled functions to flat loops over flat buffers: TVM's own passes, up to where its code generators begin."""

from __future__ import annotations

from typing import Any

import tvm_ffi
from tvm import s_tir, tirx
from tvm.ir import Call, IRModule
from tvm.ir.transform import Sequential
from tvm.target import Target

from cyclecast.csource._expression import stable_tanh

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
"""Without vectors, unrolling or shared storage: what is left reads as it was scheduled."""


def flat_functions(program: Any) -> dict[str, Any]:
    """Every TIR function of a program, by name, as flat loops with calls of C's mathematical functions."""
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

    body = tvm_ffi.structural_map(function.body, [(Call, rewritten)])
    return function.with_body(body).with_attr("target", Target("c"))
