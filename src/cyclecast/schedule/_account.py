"""Account for every loop and block of a decided function: the marked product is computed once, the rest is the host's.

What is timed is one product, in full. So the loops around it are its own iterators, each of them once; every other
block computes each of its values once, and sums nothing up. Whatever else there is would take time that nobody counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import tvm_ffi
from tvm import tirx
from tvm.ir import Range, TensorLoad
from tvm.s_tir.stmt import SBlock, SBlockRealize
from tvm.sym import detect_iter_map

from cyclecast._tvm._block import operands_of
from cyclecast.errors import ScheduleError
from cyclecast.schedule._marks import IM2COL, PREFIX, SKETCH

Loops = Sequence[Any]
"""Outermost first."""
_LEVER = "the module as the rules and the lowering leave it"


def refused(where: str, what: str, bound: str) -> ScheduleError:
    """The error of something that is in no time."""
    return ScheduleError(where, what, bound, _LEVER)


def marked_blocks(function: Any) -> list[Any]:
    """The blocks that a sketch rule has marked, whatever stands around them."""
    found: list[Any] = []

    def visit(block: Any) -> None:
        if SKETCH in block.annotations:
            found.append(block)

    tvm_ffi.structural_walk(function.body, [(SBlock, visit)], order="pre")
    return found


def decided_block(function: Any) -> Any | None:
    """The block that a sketch rule has marked, or None; `ScheduleError` for what no time would have in it."""
    complaint: ScheduleError | None = None
    marked: list[tuple[Any, Loops]] = []
    for nest in _nests(function.body):
        loops: list[Any] = []
        statement = nest
        while type(statement) is tirx.For:
            loops.append(statement)
            statement = statement.body
        if type(statement) is SBlockRealize and SKETCH in statement.block.annotations:
            marked.append((statement, loops))
        else:
            inside, wrong = _host_nest(_Same(nest))
            marked += inside
            complaint = complaint or wrong
    if not marked:
        return None
    if len(marked) > 1:
        names = ", ".join(str(realize.block.name_hint) for realize, _ in marked)
        raise ScheduleError(
            "module", f"{len(marked)} marked blocks in one function ({names})", "one is timed", "a function for each"
        )
    ((realize, around),) = marked
    if complaint is not None and operands_of(realize.block) is not None:
        raise complaint
    _require_plain(around)
    require_once(realize, around)
    return realize.block


def account_for(function: Any, block: str) -> None:
    """Raise `ScheduleError` for what no time would have in it, were the block of this name the marked one."""

    def marked(source: Any) -> Any:
        if str(source.name_hint) != block:
            return source
        names = ("iter_vars", "reads", "writes", "name_hint", "body", "init", "alloc_buffers", "match_buffers")
        fields = {name: getattr(source, name) for name in names}
        return SBlock(**fields, annotations=dict(source.annotations) | {SKETCH: IM2COL})

    found = decided_block(function.with_body(tvm_ffi.structural_map(function.body, [(SBlock, marked)])))
    if found is not None:
        require_product(found)


def _nests(body: Any) -> Sequence[Any]:
    """The statements of the root block; the body itself where there is no plain one."""
    if type(body) is not SBlockRealize or SKETCH in body.block.annotations or len(body.block.iter_vars):
        return (body,)
    inner, annotations = body.block.body, body.block.annotations
    if len(annotations) and any(str(name).startswith(PREFIX) for name in annotations):
        return (body,)
    return list(inner.seq) if type(inner) is tirx.SeqStmt else (inner,)


class _Same:
    """A statement as the key of a cache: the candidates of one workload share what their decisions leave alone."""

    __slots__ = ("statement",)

    def __init__(self, statement: Any) -> None:
        self.statement = statement

    def __hash__(self) -> int:
        return hash(self.statement)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and bool(self.statement.same_as(other.statement))


@lru_cache(maxsize=512)
def _host_nest(key: _Same) -> tuple[list[tuple[Any, Loops]], ScheduleError | None]:
    """The marked blocks of a nest, each with its loops, and the first thing in it that no time would count."""
    marked: list[tuple[Any, Loops]] = []
    try:
        for realize, loops in _blocks(key.statement, ()):
            if SKETCH in realize.block.annotations:
                marked.append((realize, loops))
            else:
                _require_host(realize, loops)
    except ScheduleError as error:
        everywhere: list[Any] = []
        tvm_ffi.structural_walk(key.statement, [(SBlockRealize, everywhere.append)], order="pre")
        return [(realize, ()) for realize in everywhere if SKETCH in realize.block.annotations], error
    return marked, None


def _blocks(statement: Any, loops: tuple[Any, ...]) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """Every block under the statement with the loops around it, those inside another block from there on."""
    match statement:
        case tirx.For():
            yield from _blocks(statement.body, (*loops, statement))
        case tirx.SeqStmt():
            for part in statement.seq:
                yield from _blocks(part, loops)
        case SBlockRealize():
            _require_plain(loops)
            yield statement, loops
            if not isinstance(statement.block.body, tirx.BufferStore):
                yield from _blocks(statement.block.body, ())
        case _:
            inside = f"under {', '.join(str(loop.loop_var.name) for loop in loops)}" if loops else "between blocks"
            raise refused("module", f"{_named(statement)} {inside}", "loops around blocks are read, and nothing else")


def _named(statement: Any) -> str:
    return "a condition" if isinstance(statement, tirx.IfThenElse) else f"a statement {type(statement).__name__}"


def _require_plain(loops: Loops) -> None:
    """Raise `ScheduleError` unless each loop goes from 0 in steps of 1 to a number, and is bound to nothing."""
    for loop in loops:
        name, first, extent = loop.loop_var, loop.min, loop.extent
        if type(extent) is not tirx.IntImm or type(first) is not tirx.IntImm or first.value != 0:
            raise refused(
                "module", f"loop {name} from {first} over {extent}", "loops go from 0 to a number that is known"
            )
        if loop.step is not None and not (isinstance(loop.step, tirx.IntImm) and loop.step.value == 1):
            raise refused("module", f"loop {name} in steps of {loop.step}", "loops go in steps of 1")
        if len(loop.annotations) and any(str(key).startswith(PREFIX) for key in loop.annotations):
            found = ", ".join(f"{key}: {value}" for key, value in loop.annotations.items())
            raise refused(
                "module", f"loop {name} with {found}", "loops are bound to levels when the product is lowered"
            )


def require_once(realize: Any, loops: Loops) -> None:
    """Raise `ScheduleError` unless the loops take the block's iterators through every value exactly once."""
    block = realize.block
    if type(realize.predicate) is not tirx.IntImm or realize.predicate.value != 1:
        raise refused(
            f"block {block.name_hint}", f"a condition {realize.predicate}", "blocks are computed for every index"
        )
    bound = _bound(_Same(realize.iter_values), _Same(block.iter_vars))
    met = 0
    for loop in loops:
        extent, needed = loop.extent.value, bound.get(loop.loop_var)
        if extent == needed:
            met += 1
        elif needed is None and extent != 1 and len(bound) == len(block.iter_vars):
            raise refused(
                f"block {block.name_hint}",
                f"a loop {loop.loop_var} of {extent} around it",
                "its own iterators give one loop for each of them",
            )
    if met != len(block.iter_vars):
        _require_bijective(realize, loops)


@lru_cache(maxsize=512)
def _bound(values: _Same, iterators: _Same) -> dict[Any, int]:
    """The extent of each iterator by the variable that it is bound to, of those that are bound to one alone."""
    found: dict[Any, int] = {}
    for iterator, value in zip(iterators.statement, values.statement, strict=True):
        extent, first = (getattr(end, "value", None) for end in (iterator.dom.extent, iterator.dom.min))
        if extent is None or first != 0:
            raise refused(f"iterator {iterator.var}", f"a range {iterator.dom}", "iterators go from 0 to a number")
        if isinstance(value, tirx.Var):
            found[value] = extent
    return found


def _require_bijective(realize: Any, loops: Loops) -> None:
    """Raise `ScheduleError` unless loops that are split, fused or gone still meet every value of the iterators once."""
    domains = {loop.loop_var: Range(loop.min, loop.extent) for loop in loops}
    found = detect_iter_map(list(realize.iter_values), domains, check_level="bijective")
    runs, values = 1, 1
    for loop in loops:
        runs *= loop.extent.value
    for iterator in realize.block.iter_vars:
        values *= iterator.dom.extent.value
    if runs != values or len(found.indices) != len(realize.iter_values):
        raise refused(
            f"block {realize.block.name_hint}",
            f"{runs} runs of its loops",
            f"its iterators have {values} values, each of them once",
        )


def require_product(block: Any) -> None:
    """Raise `ScheduleError` where a contraction adds to something else than its own sum, or to only a part of it."""
    store = block.body
    name = f"block {block.name_hint}"
    before = store.value.a
    own = isinstance(before, TensorLoad) and before.source.same_as(store.buffer)
    if not own or not tvm_ffi.structural_equal(list(before.indices), list(store.indices), map_free_vars=False):
        raise refused(name, f"a product added to {before}", "it is added to what the block stores")
    if len(block.match_buffers) or len(block.alloc_buffers):
        raise refused(name, "buffers of its own", "a product has those of its operands")
    for load in (before, *operands_of(block)[:2]):  # type: ignore[index] # a contraction has them
        if str(load.source.scope()) != "global":
            raise refused(name, f"{load.source.name} in scope {load.source.scope()}", "operands are in global memory")


def _require_host(realize: Any, loops: Loops) -> None:
    """Raise `ScheduleError` unless a block without a mark is the host's: no sum, no decision, no value twice."""
    block = realize.block
    name = str(block.name_hint)
    require_once(realize, loops)
    for annotation, value in block.annotations.items():
        if str(annotation).startswith(PREFIX):
            raise refused(f"block {name}", f"{annotation}: {value}", "no sketch is marked on it")
    sums = block.init is not None or any(i.iter_type == tirx.IterVar.CommReduce for i in block.iter_vars)
    if sums or (isinstance(block.body, tirx.BufferStore) and _loads(block.body.value, block.body.buffer)):
        raise refused(f"block {name}", "a sum without a mark", "the marked product is timed and no other")


def _loads(value: Any, buffer: Any) -> bool:
    found: list[Any] = []
    tvm_ffi.structural_walk(value, [(TensorLoad, found.append)], order="pre")
    return any(load.source.same_as(buffer) for load in found)
