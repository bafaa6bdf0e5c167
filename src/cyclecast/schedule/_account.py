"""Checks that a decided function computes its marked product once, and that the host computes everything else.

Only one product is timed. So the loops around it must be its own iterators, each once. Every other block must compute
each of its values once and must not sum. Anything else would take time that the timing model does not count.
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
"""Loops, outermost first."""
_LEVER = "the module as the rules and the lowering leave it"


def refused(where: str, what: str, bound: str) -> ScheduleError:
    """The error for a part of a module that no timing counts."""
    return ScheduleError(where, what, bound, _LEVER)


def marked_blocks(function: Any) -> list[Any]:
    """All blocks that a sketch rule has marked."""
    found: list[Any] = []

    def visit(block: Any) -> None:
        if SKETCH in block.annotations:
            found.append(block)

    tvm_ffi.structural_walk(function.body, [(SBlock, visit)], order="pre")
    return found


def decided_block(function: Any) -> Any | None:
    """The block that a sketch rule has marked, or None. Raises `ScheduleError` for anything that no timing counts."""
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
    """Raise `ScheduleError` for anything that no timing counts, if the block of this name were marked."""

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
    """The loop nests of the root block; the body itself if there is no plain root block."""
    if type(body) is not SBlockRealize or SKETCH in body.block.annotations or len(body.block.iter_vars):
        return (body,)
    inner, annotations = body.block.body, body.block.annotations
    if len(annotations) and any(str(name).startswith(PREFIX) for name in annotations):
        return (body,)
    return list(inner.seq) if type(inner) is tirx.SeqStmt else (inner,)


class _Same:
    """A statement as a cache key, compared by identity: candidates of one workload share unchanged statements."""

    __slots__ = ("statement",)

    def __init__(self, statement: Any) -> None:
        self.statement = statement

    def __hash__(self) -> int:
        return hash(self.statement)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and bool(self.statement.same_as(other.statement))


@lru_cache(maxsize=512)
def _host_nest(key: _Same) -> tuple[list[tuple[Any, Loops]], ScheduleError | None]:
    """The marked blocks of a nest with their loops, and the error for the first part that no timing counts."""
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
    """Every block in the statement with its loops; for a nested block, the loops inside its parent."""
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
    """Raise `ScheduleError` unless each loop goes from 0 in steps of 1 to a constant and is bound to no level."""
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
    """Raise `ScheduleError` unless the loops visit every value of the block's iterators exactly once."""
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
                "only the block's own iterators may have loops",
            )
    if met != len(block.iter_vars):
        _require_bijective(realize, loops)


@lru_cache(maxsize=512)
def _bound(values: _Same, iterators: _Same) -> dict[Any, int]:
    """Extent of each iterator that is bound to a single variable, by that variable."""
    found: dict[Any, int] = {}
    for iterator, value in zip(iterators.statement, values.statement, strict=True):
        extent, first = (getattr(end, "value", None) for end in (iterator.dom.extent, iterator.dom.min))
        if extent is None or first != 0:
            raise refused(f"iterator {iterator.var}", f"a range {iterator.dom}", "iterators go from 0 to a number")
        if isinstance(value, tirx.Var):
            found[value] = extent
    return found


def _require_bijective(realize: Any, loops: Loops) -> None:
    """Raise `ScheduleError` unless split, fused or removed loops visit every value of the iterators once."""
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
            f"its iterators have {values} values, each computed once",
        )


def require_product(block: Any) -> None:
    """Raise `ScheduleError` unless a contraction adds to its own output and reads its operands from global memory."""
    store = block.body
    name = f"block {block.name_hint}"
    before = store.value.a
    own = isinstance(before, TensorLoad) and before.source.same_as(store.buffer)
    if not own or not tvm_ffi.structural_equal(list(before.indices), list(store.indices), map_free_vars=False):
        raise refused(name, f"a product added to {before}", "it is added to what the block stores")
    if len(block.match_buffers) or len(block.alloc_buffers):
        raise refused(name, "buffers of its own", "a product has only its operands")
    for load in (before, *operands_of(block)[:2]):  # type: ignore[index] # a contraction has them
        if str(load.source.scope()) != "global":
            raise refused(name, f"{load.source.name} in scope {load.source.scope()}", "operands are in global memory")


def _require_host(realize: Any, loops: Loops) -> None:
    """Raise `ScheduleError` unless an unmarked block has no sum and no decision, and computes each value once."""
    block = realize.block
    name = str(block.name_hint)
    require_once(realize, loops)
    for annotation, value in block.annotations.items():
        if str(annotation).startswith(PREFIX):
            raise refused(f"block {name}", f"{annotation}: {value}", "only a marked block has decisions")
    sums = block.init is not None or any(i.iter_type == tirx.IterVar.CommReduce for i in block.iter_vars)
    if sums or (isinstance(block.body, tirx.BufferStore) and _loads(block.body.value, block.body.buffer)):
        raise refused(f"block {name}", "a sum without a mark", "only the marked product is timed")


def _loads(value: Any, buffer: Any) -> bool:
    found: list[Any] = []
    tvm_ffi.structural_walk(value, [(TensorLoad, found.append)], order="pre")
    return any(load.source.same_as(buffer) for load in found)
