"""Read the mapping of a lowered module from its loops, and check it by lowering the module's kernel again.

`cim.loop` names the level and axis of a loop; the tile is the region that the intrinsic multiplies. The block that
writes results back carries notes (`_notes.py`). A module that differs from its kernel, lowered again by the mapping, is
refused; only loops of extent 1 may be missing, because a simplification removes them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import asdict
from threading import Lock
from typing import Any, cast

import tvm_ffi
from tvm import tirx
from tvm.ir import IRModule, Var
from tvm.s_tir.stmt import SBlock, SBlockRealize
from tvm.s_tir.transform import StmtSimplify

from cyclecast._tvm._block import contractions_in
from cyclecast._tvm._nest import ARRAY_SCOPE, LOOP, TIME
from cyclecast.device import Device
from cyclecast.errors import ScheduleError
from cyclecast.mapping import TILE_AXES, Mapping, mapping_from_json, require_fit
from cyclecast.mapspace import Decision
from cyclecast.schedule._account import account_for, refused
from cyclecast.schedule._intrinsics import IMPLEMENTATIONS, Implementation
from cyclecast.schedule._lower import lower_function
from cyclecast.schedule._notes import (
    DEVICE,
    FORM,
    IMPLEMENTATION,
    KERNEL,
    NOTES,
    WORKLOAD,
    kernel_of,
    notes,
    require_device,
    understood,
)


def read_lowered(function: Any, device: Device) -> Mapping:
    """The mapping of a lowered function.

    Raises `ScheduleError` if its kernel, lowered by this mapping, gives another function.
    """
    said: dict[str, str] = {}
    order: dict[str, int] | None = None
    tile = (0, 0)
    for block, loops in _blocks(function.body, ()):
        said |= _notes_of(block, said)
        arrays = [region for region in block.reads if region.source.scope() == ARRAY_SCOPE]
        if arrays and order is None:
            tile, order = _tile_of(arrays[0]), _bound(loops)
    if order is None or WORKLOAD not in said:
        raise ScheduleError(
            "module",
            "neither decisions nor lowered loops",
            "one of the two is read",
            "the space of this device's rules",
        )
    mapping = _mapping_of(order, said, tile, device)
    require_fit(mapping, device)
    require_device(said.get(DEVICE), device)
    _require_bits(mapping, device)
    _require_same(function, mapping, said, device)
    return mapping


def _notes_of(block: Any, before: dict[str, str]) -> dict[str, str]:
    """Notes of a block. Raises `ScheduleError` for a note that is no text, or that another block has, too."""
    found = {str(name): value for name, value in block.annotations.items() if str(name) in NOTES}
    for name, value in found.items():
        if not isinstance(value, str):
            raise refused(f"block {block.name_hint}", f"{name} is {value!r}", "it must be a text")
        if name in before:
            raise refused(f"block {block.name_hint}", f"a second {name}", "one block writes results back")
    return {name: str(value) for name, value in found.items()}


def _tile_of(region: Any) -> tuple[int, int]:
    """Word lines and filters of a region of an array's buffer."""
    extents = [getattr(part.extent, "value", None) for part in region.region]
    if len(extents) < 2 or None in extents:
        raise refused("module", f"an array's tile of {extents}", "word lines and filters are numbers")
    return cast("tuple[int, int]", tuple(extents[-2:]))


def _bound(loops: tuple[Any, ...]) -> dict[str, int]:
    """Extent of every loop around the product, by the level and axis that it is bound to, outermost first."""
    order: dict[str, int] = {}
    for loop in loops:
        variable, extent = str(loop.loop_var.name), getattr(loop.extent, "value", None)
        name = loop.annotations.get(LOOP)
        if extent is None:
            raise refused(
                "module", f"loop {variable} over {loop.extent} around the product", "its extent must be a number"
            )
        if name is None and extent != 1:
            raise refused("module", f"a loop {variable} of {extent} around the product", f"no {LOOP} binds it")
        if name is not None:
            if Decision.of(str(name)) is None:
                raise refused("module", f"{LOOP} is {name!r}", f"it must be LEVEL.AXIS, of {', '.join(TILE_AXES)}")
            if str(name) in order:
                raise refused("module", f"two loops around the product are {name}", "a level has one for each axis")
            order[str(name)] = int(extent)
    return order


def _mapping_of(loops: dict[str, int], said: dict[str, str], tile: tuple[int, int], device: Device) -> Mapping:
    """The mapping of bound loops, outermost first, around a tile; a missing loop has extent 1."""
    form = understood(FORM, said.get(FORM, "{}"), lambda: _form(json.loads(said.get(FORM, "{}"))))
    packed, window = form
    if any(size % packed for size in tile):
        raise ScheduleError("module", f"a tile of {tile}", f"its size must be a multiple of {packed} groups")
    factors: dict[str, dict[str, int]] = {}
    for name, extent in loops.items():
        level, axis = name.split(".")
        factors.setdefault(level, {})[axis] = extent
    names = list(loops)
    inside = names[names.index(f"{TIME}.pixel") + 1 :] if f"{TIME}.pixel" in names else []
    temporal = factors.pop(TIME, {})
    levels = [level.name for level in device.levels]
    found = levels if factors.keys() <= set(levels) else list(factors)
    value = {
        "word_lines": tile[0] // packed,
        "filters": tile[1] // packed,
        "levels": [{"level": level, "factors": factors.get(level, {})} for level in found],
        "temporal": temporal,
        "packed": packed,
        "window": window,
        "input_stationary": any(name.startswith(f"{TIME}.") for name in inside),
    }
    text = said[WORKLOAD]
    return cast(
        "Mapping", understood(WORKLOAD, text, lambda: mapping_from_json({"workload": json.loads(text), **value}))
    )


def _form(value: dict[str, Any]) -> tuple[int, tuple[int, ...]]:
    """Number of groups in an array, and the window."""
    packed, window = value.get("packed", 1), tuple(value.get("window", ()))
    if any(type(size) is not int or size < 1 for size in (packed, *window)):
        raise ValueError(f"{value} has a size that is no positive integer")
    return packed, window


def _require_bits(mapping: Mapping, device: Device) -> None:
    """Raise `ScheduleError` unless the workload has the device's bits."""
    have = mapping.workload.input_bits, mapping.workload.weight_bits
    want = device.bits.activation, device.bits.weight
    if have != want:
        raise ScheduleError(
            "module",
            f"lowered for inputs of {have[0]} bits and weights of {have[1]}",
            f"{device.name} takes {want[0]} and {want[1]}",
            "lowering the decided module again, for this device",
        )


def _require_same(function: Any, mapping: Mapping, said: dict[str, str], device: Device) -> None:
    """Raise `ScheduleError` unless the function equals its own kernel, lowered by the mapping."""
    kernel, implementation = said.get(KERNEL), said.get(IMPLEMENTATION)
    if kernel is None or implementation not in IMPLEMENTATIONS:
        missing = KERNEL if kernel is None else f"{IMPLEMENTATION} of {', '.join(IMPLEMENTATIONS)}"
        raise ScheduleError(
            "module", f"no {missing}", "lowered loops are compared with it", "lowering the module again"
        )
    expected = _lowered_again(kernel, mapping, implementation, device if DEVICE in said else None)
    forms = _plain(function), expected
    if _equal(*forms) or _equal(*map(_simplified, forms)):
        return
    found = tvm_ffi.get_first_structural_mismatch(*forms, map_free_vars=True)
    place = _place(function, str(found[0])) if found else "the function"
    raise refused("module", f"{place} is not as lowered", "its kernel, lowered by the mapping of its loops, differs")


def _place(function: Any, path: str) -> str:
    """The innermost loop or block on an access path, and the rest of the path."""
    node, named, rest = function, "the function", ""
    for attribute, place in re.findall(r"\.(\w+)|\[(\d+)\]", path):
        rest = f"{rest}.{attribute}" if attribute else f"{rest}[{place}]"
        node = getattr(node, attribute, None) if attribute else node[int(place)] if node is not None else None
        if isinstance(node, tirx.For):
            named, rest = f"loop {node.loop_var} of {getattr(node.extent, 'value', node.extent)}", ""
        elif isinstance(node, SBlock):
            named, rest = f"block {node.name_hint}", ""
    return f"{named} ({rest.removeprefix('.')})" if rest else named


def _plain(function: Any) -> Any:
    """The function without attributes, which do not affect its time."""
    return tirx.PrimFunc(function.params, function.body, function.ret_type)


def _equal(one: Any, other: Any) -> bool:
    return bool(tvm_ffi.structural_equal(one, other, map_free_vars=True))


def _simplified(function: Any) -> Any:
    """The function with simplified indices and without loops of extent 1, as TVM's passes may leave it."""

    def unrolled(loop: Any) -> Any:
        if getattr(loop.extent, "value", None) != 1 or getattr(loop.min, "value", None) != 0:
            return loop
        zero = tirx.IntImm(str(loop.loop_var.ty), 0)
        return tvm_ffi.structural_map(loop.body, [(Var, lambda at: zero if at.same_as(loop.loop_var) else at)])

    body = tvm_ffi.structural_map(function.body, [(tirx.For, unrolled)], order="post")
    module = IRModule({"main": tirx.PrimFunc(function.params, body, function.ret_type)})
    return StmtSimplify()(module)["main"]


def _lowered_again(text: str, mapping: Mapping, implementation: Implementation, device: Device | None) -> Any:
    """The kernel of a note, lowered by the mapping; cached."""
    key = text, mapping, implementation, device
    made = _MADE.get(key)
    if made is None:
        kernel = kernel_of(text)
        found = contractions_in(kernel, "kernel")
        said = mapping.workload
        bits = {"input_bits": said.input_bits, "weight_bits": said.weight_bits}
        if len(found) != 1 or asdict(found[0].workload) | bits | {"name": said.name} != asdict(said):
            raise refused("module", f"{WORKLOAD} says {said}", "its kernel computes something else")
        account_for(kernel, found[0].block)
        said_of_it = notes(text, mapping, implementation, device)
        made = lower_function(kernel, found[0], mapping, implementation, said_of_it)
        remember(made, *key)
    return made


def remember(function: Any, text: str, mapping: Mapping, implementation: Implementation, device: Device | None) -> None:
    """Cache the result of lowering a kernel, so that reading it does not lower the kernel again."""
    with _MADE_LOCK:
        while len(_MADE) >= _MOST_KEPT:
            _MADE.pop(next(iter(_MADE)))
        _MADE[text, mapping, implementation, device] = _plain(function)


_MADE: dict[tuple[str, Mapping, Implementation, Device | None], Any] = {}
_MADE_LOCK = Lock()
_MOST_KEPT = 256
"""Cached functions: more than one batch of MetaSchedule's candidates."""


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
