"""Read a lowered module: the mapping off its loops, believed once its kernel, lowered again by it, is the same.

`cim.loop` names the level and axis that a loop is bound to; the tile is what the intrinsic multiplies. The block that
writes results back carries notes (`_notes.py`). Whatever a module has more, less or otherwise than the lowering of its
own kernel by the mapping that was read is refused, except for loops of one turn that a simplification has dropped.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Any, cast

import tvm_ffi
from tvm import tirx
from tvm.s_tir.stmt import SBlockRealize

from cyclecast._tvm._block import contractions_in
from cyclecast._tvm._nest import ARRAY_SCOPE, LOOP, TIME
from cyclecast.device import Device
from cyclecast.errors import ScheduleError
from cyclecast.mapping import TILE_AXES, Mapping, mapping_from_json, require_fit
from cyclecast.space._account import refused
from cyclecast.space._intrinsics import IMPLEMENTATIONS, Implementation
from cyclecast.space._lower import lower_function
from cyclecast.space._notes import DEVICE, FORM, IMPLEMENTATION, KERNEL, NOTES, WORKLOAD
from cyclecast.space._notes import kernel_of, require_device, understood


def read_lowered(function: Any, device: Device) -> Mapping:
    """The mapping of a lowered function; `ScheduleError` where it is not what its kernel gives by that mapping."""
    notes: dict[str, str] = {}
    order: dict[str, int] | None = None
    tile = (0, 0)
    for block, loops in _blocks(function.body, ()):
        notes |= _notes_of(block, notes)
        arrays = [region for region in block.reads if region.source.scope() == ARRAY_SCOPE]
        if arrays and order is None:
            tile, order = _tile_of(arrays[0]), _bound(loops)
    if order is None or WORKLOAD not in notes:
        raise ScheduleError(
            "module",
            "neither decisions nor lowered loops",
            "one of the two is read",
            "the space of this device's rules",
        )
    mapping = _mapping_of(order, notes, tile, device)
    require_fit(mapping, device)
    require_device(notes.get(DEVICE), device)
    _require_bits(mapping, device)
    _require_same(function, mapping, notes, device)
    return mapping


def _notes_of(block: Any, before: dict[str, str]) -> dict[str, str]:
    """The notes of a block; each is a text, and stands on one block alone."""
    found = {str(name): value for name, value in block.annotations.items() if str(name) in NOTES}
    for name, value in found.items():
        if not isinstance(value, str):
            raise refused(f"block {block.name_hint}", f"{name} is {value!r}", "it is a text")
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
    """The extent of every loop around the product by the level and axis that it is bound to, outermost first."""
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
            level, _, axis = str(name).partition(".")
            if not level or axis not in TILE_AXES:
                raise refused("module", f"{LOOP} is {name!r}", f"it must be LEVEL.AXIS, of {', '.join(TILE_AXES)}")
            if str(name) in order:
                raise refused("module", f"two loops around the product are {name}", "a level has one for each axis")
            order[str(name)] = int(extent)
    return order


def _mapping_of(loops: dict[str, int], notes: dict[str, str], tile: tuple[int, int], device: Device) -> Mapping:
    """The mapping of bound loops, outermost first, around a tile; a loop that is not there has one turn."""
    form = understood(FORM, notes.get(FORM, "{}"), lambda: _form(json.loads(notes.get(FORM, "{}"))))
    packed, window = form
    if any(size % packed for size in tile):
        raise ScheduleError("module", f"a tile of {tile}", f"it has as many rows for each of {packed} groups")
    factors: dict[str, dict[str, int]] = {}
    for name, extent in loops.items():
        level, axis = name.split(".")
        factors.setdefault(level, {})[axis] = extent
    names = list(loops)
    steps, passes = f"{TIME}.pixel", f"{TIME}.group"
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
        "input_stationary": {steps, passes} <= loops.keys() and names.index(steps) < names.index(passes),
    }
    text = notes[WORKLOAD]
    return cast("Mapping", understood(WORKLOAD, text, lambda: mapping_from_json({"workload": json.loads(text), **value})))


def _form(value: dict[str, Any]) -> tuple[int, tuple[int, ...]]:
    """How many groups an array holds, and the window."""
    packed, window = value.get("packed", 1), tuple(value.get("window", ()))
    if any(type(size) is not int or size < 1 for size in (packed, *window)):
        raise ValueError(f"{value} has a size that is no positive integer")
    return packed, window


def _require_bits(mapping: Mapping, device: Device) -> None:
    """Raise `ScheduleError` unless the workload has the bits of the device, as every decided module has."""
    have = mapping.workload.input_bits, mapping.workload.weight_bits
    want = device.bits.activation, device.bits.weight
    if have != want:
        raise ScheduleError(
            "module",
            f"lowered for inputs of {have[0]} bits and weights of {have[1]}",
            f"{device.name} takes {want[0]} and {want[1]}",
            "lowering the decided module again, for this device",
        )


def _require_same(function: Any, mapping: Mapping, notes: dict[str, str], device: Device) -> None:
    """Raise `ScheduleError` unless the function is what its own kernel gives when it is lowered by the mapping."""
    kernel, implementation = notes.get(KERNEL), notes.get(IMPLEMENTATION)
    if kernel is None or implementation not in IMPLEMENTATIONS:
        missing = KERNEL if kernel is None else f"{IMPLEMENTATION} of {', '.join(IMPLEMENTATIONS)}"
        raise ScheduleError("module", f"no {missing}", "lowered loops are compared with it", "lowering the module again")
    here = device if DEVICE in notes else None
    expected = _lowered_again(kernel, mapping, cast("Implementation", implementation), here)
    plain = tirx.PrimFunc(function.params, function.body, function.ret_type)
    if tvm_ffi.structural_equal(plain, expected, map_free_vars=True):
        return
    found = tvm_ffi.get_first_structural_mismatch(plain, expected, map_free_vars=True)
    raise refused("module", "something that the lowering does not make", f"first at {found}")


@lru_cache(maxsize=64)
def _lowered_again(text: str, mapping: Mapping, implementation: Implementation, device: Device | None) -> Any:
    """The kernel of a note as the mapping lowers it."""
    kernel = kernel_of(text)
    found = contractions_in(kernel, "kernel")
    bits = {"input_bits": mapping.workload.input_bits, "weight_bits": mapping.workload.weight_bits}
    if len(found) != 1 or replace(found[0].workload, **bits) != mapping.workload:
        raise refused("module", f"{WORKLOAD} says {mapping.workload}", "its kernel computes something else")
    return lower_function(kernel, found[0], mapping, implementation, device)


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
