"""Inline the stages of host operators.

A fused operator consists of one loop nest per stage, with a whole tensor between two stages. A stage with one reader is
inlined into it. This halves the code to compile and changes no values. Not inlined are:

* kernels of the device, whose loops are bound to levels;
* stages of 32-bit and wider integers: TVM simplifies their terms as if no sum could overflow;
* stages that would be computed several times per value and have more than a few operations;
* stages that TVM cannot inline.

All operators are defined for all operands before (`with_defined_operators`), so an index stays inside its tensor.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import tvm_ffi
from tvm import tirx
from tvm.ir import Call, IRModule, TensorLoad
from tvm.ir.prim import expr as prim
from tvm.s_tir import Schedule, ScheduleError
from tvm.s_tir.stmt import SBlock

MOST = 16
"""Most operations and loads, over all repetitions, of a stage that is computed several times per value."""
ARITHMETIC = (prim.Add, prim.Sub, prim.Mul, prim.Div, prim.FloorDiv, prim.Mod, prim.FloorMod, prim.Max, prim.Min)
LOGIC = (prim.EQ, prim.NE, prim.LT, prim.LE, prim.GT, prim.GE, prim.And, prim.Or, prim.Not)
OPERATIONS = (TensorLoad, Call, prim.Let, prim.Select, prim.Cast, *ARITHMETIC, *LOGIC)
WIDE = ("int32", "uint32", "int64", "uint64")
"""Types of stages that are not inlined."""


@dataclass(slots=True)
class _Stage:
    """The computation of one block."""

    output: Any
    inside: bool
    """Whether its output is not an output of the operator."""
    spatial: bool
    """Whether it computes every value once and does not read its own output."""
    loads: Counter[Any] = field(default_factory=Counter)
    """Loads per value, by buffer."""
    size: int = 0
    """Operations and loads per value."""
    calls: bool = False
    """Whether it calls functions, such as an exponential, or binds names."""

    def take(self, other: _Stage) -> None:
        """Inline another stage."""
        times = self.loads.pop(other.output)
        for buffer, count in other.loads.items():
            self.loads[buffer] += times * count
        self.size += times * other.size
        self.calls |= other.calls


def with_stages_inlined(program: IRModule) -> IRModule:
    """The program with the stages of its host operators inlined."""
    made = program.clone()
    for variable, function in program.functions.items():
        if isinstance(function, tirx.PrimFunc) and (names := _inlined(function)):
            schedule = Schedule(IRModule({"main": function}))
            for name in names:
                with suppress(ScheduleError):
                    schedule.compute_inline(schedule.get_sblock(name))
            made.update_func(variable, function.with_body(schedule.mod["main"].body))
    return made


def _inlined(function: Any) -> list[str]:
    """Names of the stages to inline, last first; empty for a kernel."""
    stages = _stages(function.body)
    found = []
    for name, stage in reversed(list(stages.items())):
        readers = [other for other in stages.values() if stage.output in other.loads]
        if len(readers) != 1 or not (stage.inside and stage.spatial and readers[0].spatial):
            continue
        times = readers[0].loads[stage.output]
        if stage.output.dtype in WIDE or (times > 1 and (stage.calls or times * stage.size > MOST)):
            continue
        readers[0].take(stages.pop(name))
        found.append(name)
    return found


def _stages(body: Any) -> dict[str, _Stage]:
    """The blocks of a host operator, by name and in order; empty if a block is not a plain loop nest."""
    found: list[SBlock] = []
    marked: list[Any] = []
    tvm_ffi.structural_walk(
        body,
        [(SBlock, found.append), (tirx.For, lambda loop: marked.append(loop) if loop.annotations else None)],
        order="pre",
    )
    blocks, inside = found[1:], set(found[0].alloc_buffers)  # the first block is the root
    plain = all(isinstance(block.body, tirx.BufferStore) and not block.annotations for block in blocks)
    names = {str(block.name_hint) for block in blocks}
    if marked or not plain or len(names) < max(len(blocks), 2):
        return {}
    return {str(block.name_hint): _stage(block, inside) for block in blocks}


def _stage(block: Any, inside: set[Any]) -> _Stage:
    output, axes = block.body.buffer, block.iter_vars
    stage = _Stage(output, output in inside, all(axis.iter_type == tirx.IterVar.DataPar for axis in axes))

    def operation(node: Any) -> None:
        stage.size += 1
        if isinstance(node, TensorLoad):
            stage.loads[node.source] += 1
        stage.calls |= isinstance(node, (Call, prim.Let))

    tvm_ffi.structural_walk(block.body.value, [(OPERATIONS, operation)], order="pre")
    stage.spatial &= stage.output not in stage.loads
    return stage
