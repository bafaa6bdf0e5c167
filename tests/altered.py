"""Helpers that change a decided or lowered module of one kernel."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import tvm_ffi
from tvm import tirx
from tvm.ir import IRModule
from tvm.s_tir import Schedule
from tvm.s_tir.stmt import SBlock, SBlockRealize
from tvm.script import from_source

from cyclecast.device import Device
from cyclecast.errors import FitError, MappingError, ScheduleError
from cyclecast.mapping import Mapping
from cyclecast.mapspace import default_mapping
from cyclecast.schedule import decided_schedule, lowered
from kernels import Window, conv

TINY = Device.load("tiny")
KERNEL = conv(size=(5, 5), channels=3, filters=7, kernel=(3, 3), window=Window(1, 1))
DEFAULT = default_mapping(KERNEL.workload, TINY)
CONV = "conv2d_nchw"
NEVER = tirx.IntImm("bool", 0)
ZERO = tirx.IntImm("int64", 0)
REFUSED = (ScheduleError, FitError, MappingError)


def decided(mapping: Mapping = DEFAULT) -> Any:
    return decided_schedule(KERNEL.function, TINY, mapping).mod


LOWERED = lowered(decided(), TINY)


def changed(module: Any, kind: Any, which: Callable[[Any], bool], change: Callable[[Any], Any]) -> Any:
    """The module with one node changed: the first of its kind, innermost first, for which the predicate holds."""
    function = module["main"]
    done: list[Any] = []

    def visit(node: Any) -> Any:
        if done or not which(node):
            return node
        done.append(node)
        return change(node)

    body = tvm_ffi.structural_map(function.body, [(kind, visit)])
    assert done
    return IRModule({"main": function.with_body(body)})


def loop(source: Any, **fields: Any) -> Any:
    """The loop with other fields."""
    names = ("loop_var", "min", "extent", "kind", "body", "thread_binding", "annotations", "step")
    return tirx.For(**({name: getattr(source, name) for name in names} | fields))


def block(source: Any, **fields: Any) -> Any:
    names = ("iter_vars", "reads", "writes", "name_hint", "body", "init", "alloc_buffers", "match_buffers")
    return SBlock(**({name: getattr(source, name) for name in (*names, "annotations")} | fields))


def many(statement: Any, times: int = 50, step: int | None = None) -> Any:
    """The statement inside an extra loop."""
    return tirx.For(tirx.Var("again", "int64"), 0, times, tirx.ForKind.SERIAL, statement, step=step)


def text(module: Any, pattern: str, replacement: str) -> Any:
    """The module with its text changed at the only match."""
    found, times = re.subn(pattern, replacement, module.script())
    assert times == 1, pattern
    return from_source(found)


def filters_loop(**fields: Any) -> Any:
    """The decided module with another loop over the filters."""
    return changed(decided(), tirx.For, lambda f: str(f.loop_var.name) == "ff", lambda f: loop(f, **fields))


def of(name: str) -> Callable[[Any], bool]:
    return lambda realize: str(realize.block.name_hint) == name


def of_loop(name: str) -> Callable[[Any], bool]:
    return lambda source: str(source.annotations.get("cim.loop")) == name


def nests(module: Any, change: Callable[[list[Any]], list[Any]]) -> Any:
    """The module with the statements of its root block changed."""
    function = module["main"]
    root = function.body.block
    body = tirx.SeqStmt(change(list(root.body.seq)))
    return IRModule({"main": function.with_body(SBlockRealize([], True, block(root, body=body)))})


def without_mark(statement: Any) -> Any:
    def visit(source: Any) -> Any:
        return block(source, annotations={})

    return tvm_ffi.structural_map(statement, [(SBlock, visit)])


def annotated(module: Any, name: str, value: Any, at: str = CONV) -> Any:
    schedule = Schedule(module)
    target = schedule.get_sblock(at)
    if name in schedule.get(target).annotations:
        schedule.unannotate(target, name)
    schedule.annotate(target, name, value)
    return schedule.mod


def with_beside(other: Any) -> Any:
    module = decided()
    return IRModule({"main": module["main"], "beside": other})


def one_or_many(statements: list[Any]) -> Any:
    return statements[0] if len(statements) == 1 else tirx.SeqStmt(statements)
