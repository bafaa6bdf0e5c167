"""Stages of host operators, computed where they are used.

A fused operator comes as one loop nest for each of its stages, with the whole tensor between them. A stage that one
other stage reads becomes part of it: about half of the code to compile, and no values change. Left as they are:

* kernels of the device, whose loops say where they run;
* stages of 32-bit and wider integers: TVM simplifies terms of them as if no sum were ever beyond its type;
* stages that would be computed several times for one value, and are more than a few operations;
* stages that TVM cannot inline.

Every stage is defined for all operands before (`with_defined_operators`), so an index stays inside of the tensor that
it is an index of.
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
"""Operations and loads of a stage that is computed several times for one value, over all these times."""
ARITHMETIC = (prim.Add, prim.Sub, prim.Mul, prim.Div, prim.FloorDiv, prim.Mod, prim.FloorMod, prim.Max, prim.Min)
LOGIC = (prim.EQ, prim.NE, prim.LT, prim.LE, prim.GT, prim.GE, prim.And, prim.Or, prim.Not)
OPERATIONS = (TensorLoad, Call, prim.Let, prim.Select, prim.Cast, *ARITHMETIC, *LOGIC)
WIDE = ("int32", "uint32", "int64", "uint64")
"""Types of stages that stay."""


@dataclass(slots=True)
class _Stage:
    """A stage: what one block computes."""

    output: Any
    inside: bool
    """Whether its output is none of the operator."""
    spatial: bool
    """Whether it computes every value once, from others than its own."""
    loads: Counter[Any] = field(default_factory=Counter)
    """Reads of each buffer for one value."""
    size: int = 0
    """Operations and loads."""
    calls: bool = False
    """Whether functions are called, such as an exponential, or values get names."""

    def take(self, other: _Stage) -> None:
        """Compute the other stage here, wherever it is read."""
        times = self.loads.pop(other.output)
        for buffer, count in other.loads.items():
            self.loads[buffer] += times * count
        self.size += times * other.size
        self.calls |= other.calls


def with_stages_inlined(program: IRModule) -> IRModule:
    """The program, the stages of its host operators computed where they are used."""
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
    """The stages to inline, last first; none of a kernel."""
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
    """The blocks of a host operator by their names, in their order; none where one of them is more than a loop nest."""
    found: list[SBlock] = []
    marked: list[Any] = []
    tvm_ffi.structural_walk(
        body,
        [(SBlock, found.append), (tirx.For, lambda loop: marked.append(loop) if loop.annotations else None)],
        order="pre",
    )
    blocks, inside = found[1:], set(found[0].alloc_buffers)  # the first is the root
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
