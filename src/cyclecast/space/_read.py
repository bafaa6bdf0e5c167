"""Read a scheduled module as a mapping: the only code that walks TIR.

Two readings give the same answer. A *decided* module still has its contraction, with the decisions as annotations
of the block: the mapping is what the device grants. A *lowered* module has no decisions left: the mapping is read off
its loops (`cim.loop` names the level and axis that a loop is bound to) and off the tile that its intrinsic multiplies.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Any

import tvm_ffi
from tvm import tirx
from tvm.ir import IRModule
from tvm.s_tir.stmt import SBlock, SBlockRealize

from cyclecast._tvm._block import Contraction, contraction_of
from cyclecast._tvm._nest import ARRAY_SCOPE, LOOP, TIME
from cyclecast.decisions import grant
from cyclecast.device import Device
from cyclecast.errors import FitError, ScheduleError
from cyclecast.mapping import Mapping, mapping_from_json, require_fit
from cyclecast.space._lower import FORM, WORKLOAD
from cyclecast.space._marks import PREFIX, SKETCH
from cyclecast.workload import Workload


def read(module: IRModule, device: Device) -> Mapping:
    """The mapping of the one function of the module; `ScheduleError` where there is none to read."""
    function = only_function(module)
    block = _decided_block(function)
    if block is not None:
        return _read_decisions(block, device)
    return _read_loops(function, device)


def only_function(module: IRModule) -> Any:
    """The module's only `PrimFunc`."""
    functions = [function for function in module.functions.values() if isinstance(function, tirx.PrimFunc)]
    if len(functions) != 1:
        raise ScheduleError("module", f"{len(functions)} functions to read", "there must be exactly one")
    return functions[0]


def _decided_block(function: Any) -> Any | None:
    found: list[Any] = []

    def visit(block: Any) -> None:
        if SKETCH in block.annotations:
            found.append(block)

    tvm_ffi.structural_walk(function.body, [(SBlock, visit)], order="pre")
    if len(found) > 1:
        names = ", ".join(str(block.name_hint) for block in found)
        raise ScheduleError(
            "module", f"{len(found)} marked blocks in one function ({names})", "one is timed", "a function for each"
        )
    return found[0] if found else None


def decided_contraction(function: Any) -> Contraction:
    """The contraction that a sketch rule has marked; `ScheduleError` if none is."""
    block = _decided_block(function)
    contraction = None if block is None else contraction_of(block, str(block.name_hint))
    if contraction is None:
        raise ScheduleError("module", "no block is marked by a sketch rule", lever="the space of this device's rules")
    return contraction


def on_device(workload: Workload, device: Device) -> Workload:
    """The workload with the device's bits; `FitError` where the operands' type has more."""
    for what, have, limit in (
        ("input", workload.input_bits, device.bits.activation),
        ("weight", workload.weight_bits, device.bits.weight),
    ):
        if have > 8 and limit <= 8:
            raise FitError(
                f"{workload.name} on {device.name}",
                f"{have}-bit {what}s",
                f"the device takes {limit} bits",
                "a network quantised to the device's bits",
            )
    return replace(workload, input_bits=device.bits.activation, weight_bits=device.bits.weight)


def _read_decisions(block: Any, device: Device) -> Mapping:
    contraction = _contraction(_SameBody(block))
    if contraction is None:
        raise ScheduleError(str(block.name_hint), "a sketch is marked on a block that is no integer contraction")
    decisions = {
        str(name).removeprefix(PREFIX): int(value)
        for name, value in block.annotations.items()
        if name != SKETCH and str(name).startswith(PREFIX)
    }
    return grant(on_device(contraction.workload, device), device, decisions)


class _SameBody:
    """A block as the key of a cache: candidates of one workload differ in annotations only and share the body."""

    __slots__ = ("block",)

    def __init__(self, block: Any) -> None:
        self.block = block

    def __hash__(self) -> int:
        return hash(self.block.body)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _SameBody) and bool(self.block.body.same_as(other.block.body))


@lru_cache(maxsize=128)
def _contraction(key: _SameBody) -> Contraction | None:
    return contraction_of(key.block, str(key.block.name_hint))


def _read_loops(function: Any, device: Device) -> Mapping:
    order: dict[str, int] = {}
    tile: tuple[int, int] | None = None
    workload: str | None = None
    form: dict[str, Any] = {"packed": 1, "window": ()}
    for block, loops in _blocks(function.body, ()):
        if WORKLOAD in block.annotations:
            workload = str(block.annotations[WORKLOAD])
        if FORM in block.annotations:
            form = json.loads(str(block.annotations[FORM]))
        arrays = [region for region in block.reads if region.source.scope() == ARRAY_SCOPE]
        if arrays and tile is None:
            extents = [int(part.extent) for part in arrays[0].region]
            tile = (extents[-2], extents[-1])
            order = {str(loop.annotations[LOOP]): int(loop.extent) for loop in loops if LOOP in loop.annotations}
    if tile is None or workload is None:
        raise ScheduleError(
            "module",
            "neither decisions nor lowered loops",
            "one of the two is read",
            "the space of this device's rules",
        )
    if any(size % form["packed"] for size in tile):
        raise ScheduleError("module", f"a tile of {tile}", f"it has as many rows for each of {form['packed']} groups")
    mapping = _mapping_of(order, json.loads(workload), tile, form)
    require_fit(mapping, device)
    return mapping


def _mapping_of(
    loops: dict[str, int], workload: dict[str, Any], tile: tuple[int, int], form: dict[str, Any]
) -> Mapping:
    """The mapping of bound loops, outermost first, around a tile."""
    factors: dict[str, dict[str, int]] = {}
    for name, extent in loops.items():
        level, axis = name.split(".")
        factors.setdefault(level, {})[axis] = extent
    names = list(loops)
    steps, passes = f"{TIME}.pixel", f"{TIME}.group"
    temporal = factors.pop(TIME, {})
    return mapping_from_json(
        {
            "workload": workload,
            "word_lines": tile[0] // form["packed"],
            "filters": tile[1] // form["packed"],
            "levels": [{"level": level, "factors": along} for level, along in factors.items()],
            "temporal": temporal,
            "packed": form["packed"],
            "window": form["window"],
            "input_stationary": {steps, passes} <= loops.keys() and names.index(steps) < names.index(passes),
        }
    )


def _blocks(statement: Any, loops: tuple[Any, ...]) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """Every block under the statement, with the loops around it, outermost first."""
    match statement:
        case tirx.For():
            yield from _blocks(statement.body, (*loops, statement))
        case tirx.SeqStmt():
            for part in statement.seq:
                yield from _blocks(part, loops)
        case SBlockRealize():
            yield statement.block, loops
            yield from _blocks(statement.block.body, loops)
        case tirx.IfThenElse():
            yield from _blocks(statement.then_case, loops)
            if statement.else_case is not None:
                yield from _blocks(statement.else_case, loops)
        case _:
            return
