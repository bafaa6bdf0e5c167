"""Read a scheduled module as a mapping. Each loop and block belongs to the mapping or to the host, or is refused.

There are two kinds of modules. A *decided* module still has its contraction, with decisions as annotations of the
block: the mapping is what the device grants. A *lowered* module has no decisions: the mapping is read from its loops,
and its kernel, lowered again by that mapping, must be equal (`_lowered.py`).
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from itertools import permutations
from typing import Any

from tvm import tirx
from tvm.ir import IRModule

from cyclecast._tvm._block import Contraction, contraction_of
from cyclecast.device import Device
from cyclecast.errors import FitError, ScheduleError
from cyclecast.mapping import TILE_AXES, Mapping
from cyclecast.mapspace import (
    FILTERS,
    INPUT_STATIONARY,
    ORDER,
    PACK,
    PACKED,
    WINDOWS,
    WORD_LINES,
    Decision,
    grant,
    window_name,
)
from cyclecast.network import Slide, Workload
from cyclecast.schedule._account import decided_block, marked_blocks, refused, require_product
from cyclecast.schedule._lowered import read_lowered
from cyclecast.schedule._marks import IM2COL, PREFIX, SKETCH, mark


def read(module: IRModule, device: Device) -> Mapping:
    """The mapping of the only function of the module.

    Raises `ScheduleError` if there is none, or if the module has a loop, block or annotation that the mapping does not
    contain; `FitError` and `MappingError` if this device, or no device, allows such a mapping.
    """
    function = only_function(module)
    block = decided_block(function)
    if block is not None:
        return _read_decisions(block, device)
    return read_lowered(function, device)


def only_function(module: IRModule) -> Any:
    """The module's only function, a `PrimFunc`."""
    functions = list(module.functions.values())
    if len(functions) != 1:
        raise ScheduleError("module", f"{len(functions)} functions to read", "there must be exactly one")
    if not isinstance(functions[0], tirx.PrimFunc):
        raise ScheduleError("module", f"a function of {type(functions[0]).__name__}", "a PrimFunc is read")
    return functions[0]


def decided_contraction(function: Any) -> Contraction:
    """The contraction that a sketch rule has marked. Raises `ScheduleError` unless there is exactly one."""
    blocks = marked_blocks(function)
    if len(blocks) > 1:
        decided_block(function)  # says which
    contraction = contraction_of(blocks[0], str(blocks[0].name_hint)) if blocks else None
    if contraction is None:
        raise ScheduleError("module", "no block is marked by a sketch rule", lever="the space of this device's rules")
    return contraction


def on_device(workload: Workload, device: Device) -> Workload:
    """The workload with the device's bits. Raises `FitError` if the operands' type has more."""
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
    contraction = _contraction(_SameProduct(block))
    if contraction is None:
        raise ScheduleError(str(block.name_hint), "a sketch rule has marked a block that is no integer contraction")
    workload = on_device(contraction.workload, device)
    return grant(
        workload, device, _decisions(block, _names(tuple(level.name for level in device.levels), workload.slides))
    )


def _decisions(block: Any, names: dict[str, str]) -> dict[str, int]:
    """Decisions in the block's annotations, by name."""
    found = {}
    for annotation, value in block.annotations.items():
        decision = names.get(annotation)
        if decision is not None:
            found[decision] = (
                value if type(value) is int and value == 1 else _number(block, annotation, decision, value)
            )
        elif annotation == SKETCH:
            _require_sketch(str(block.name_hint), value)
        elif str(annotation).startswith(PREFIX):
            raise refused(
                f"block {block.name_hint}", f"{annotation} is no decision", f"there are {', '.join(sorted(names))}"
            )
    return found


def _number(block: Any, annotation: str, decision: str, value: Any) -> int:
    """The value of a decision's annotation."""
    if isinstance(value, tirx.IntImm) and str(value.ty).startswith("int"):
        value = int(value.value)
    least, most = (0, 1) if decision == INPUT_STATIONARY else (1, value)
    if type(value) is not int or not least <= value <= most:
        wanted = "0 or 1" if decision == INPUT_STATIONARY else "an integer from 1 on"
        raise refused(f"block {block.name_hint}", f"{annotation} is {value!r}", f"it must be {wanted}")
    return value


def _require_sketch(block: str, value: Any) -> None:
    if not isinstance(value, str) or str(value) not in _SKETCHES:
        raise refused(
            f"block {block}", f"{SKETCH} is {value!r}", f"sketches are {IM2COL} and {WINDOWS}, {PACK}, {ORDER} added"
        )


_MORE = (WINDOWS, PACK, ORDER)
_SKETCHES = {"+".join((IM2COL, *parts)) for count in range(len(_MORE) + 1) for parts in permutations(_MORE, count)}


@lru_cache(maxsize=128)
def _names(levels: tuple[str, ...], slides: tuple[Slide, ...]) -> dict[str, str]:
    """Name of the decision of each possible annotation, for a workload with these slides on these levels."""
    decisions = [WORD_LINES, FILTERS, PACKED, INPUT_STATIONARY, *map(window_name, slides)]
    decisions += [Decision(level, axis).name for level in levels for axis in TILE_AXES]
    return {mark(decision): decision for decision in decisions}


class _SameProduct:
    """A block as a cache key: candidates of one workload differ in annotations only."""

    __slots__ = ("block", "parts")

    def __init__(self, block: Any) -> None:
        self.block = block
        self.parts = block.body, block.iter_vars, block.init, block.match_buffers, block.alloc_buffers

    def __hash__(self) -> int:
        return hash(self.parts[0])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _SameProduct) and all(
            mine is theirs or (mine is not None and mine.same_as(theirs))
            for mine, theirs in zip(self.parts, other.parts, strict=True)
        )


@lru_cache(maxsize=128)
def _contraction(key: _SameProduct) -> Contraction | None:
    contraction = contraction_of(key.block, str(key.block.name_hint))
    if contraction is not None:
        require_product(key.block)
    return contraction
