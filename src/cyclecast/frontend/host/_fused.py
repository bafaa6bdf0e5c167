"""Lower float operators to loops and fuse them; equal operators are lowered once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tvm import relax, tirx
from tvm.ir import GenericConst, Op
from tvm_ffi import StructuralKey

from cyclecast.frontend.host._legal import LEGAL
from cyclecast.frontend.host._relax_constants import values_of

MOST_BYTES = 4096
"""Largest constant whose values may be an attribute (a number, a shape, an index) and not only an operand."""


def fuse_host(program: Any) -> Any:
    """Legalise and fuse the float operators; the kernels are legal already and do not change."""
    for step in (
        _without_dead_code,
        relax.transform.DeadCodeElimination(),
        _legalised,
        relax.transform.AnnotateTIROpPattern(),
        relax.transform.FoldConstant(),
        relax.transform.FuseOps(),
        relax.transform.FuseTIR(),
        relax.transform.DeadCodeElimination(),
    ):
        program = step(program)
    return program


def _without_dead_code(program: Any) -> Any:
    """Remove unused bindings, in linear time; TVM's own pass needs quadratic time."""
    main, blocks = program["main"], []
    needed = set(relax.analysis.free_vars(main.body.body))
    for block in reversed(main.body.blocks):
        kept = []
        for binding in reversed(block.bindings):
            is_pure = isinstance(block, relax.DataflowBlock) and isinstance(binding, relax.VarBinding)
            if binding.var in needed or not is_pure:  # others define extents or have side effects
                kept.append(binding)
                needed.update(relax.analysis.free_vars(binding.value))
        blocks.append(type(block)(kept[::-1]))
    body = relax.SeqExpr(blocks[::-1], main.body.body)
    whole = program.clone()
    whole.update_func(
        program.get_global_var("main"), relax.Function(main.params, body, main.ret_ty, main.is_pure, main.attrs)
    )
    return whole


def _legalised(program: Any) -> Any:
    """Lower every operator to a call of a loop nest; equal operators are lowered once."""
    names: set[str] = set()

    def visit(part: Any) -> None:
        if isinstance(part, relax.Call) and isinstance(part.op, Op):
            names.add(part.op.name)

    for function in program.functions.values():  # branches included
        if isinstance(function, relax.Function):
            relax.analysis.post_order_visit(function, visit)
    known = {name: LEGAL.get(name) or Op.get(name).get_attr("FLegalize") for name in names}
    return relax.transform.LegalizeOps({name: _Remembered(legal) for name, legal in known.items() if legal})(program)


class _Remembered:
    """Lowers calls of one operator and caches the results."""

    def __init__(self, legal: Callable[[Any, Any], Any]) -> None:
        self.legal = legal
        self.made: dict[Any, tuple[Any, list[int]]] = {}

    def __call__(self, builder: Any, call: Any) -> Any:
        operands = [part for argument in call.args for part in getattr(argument, "fields", [argument])]
        if not all(map(_is_fixed, (call, *operands))):
            return self.legal(builder, call)
        key = _key(call, operands)
        if key not in self.made:
            result = self.legal(builder, call)
            places = _places(result, operands)
            if places is not None:
                self.made[key] = result, places
            return result
        made, places = self.made[key]
        taken = relax.Tuple([operands[at] for at in places])
        return relax.Call(made.op, [made.args[0], taken], made.attrs, made.ty_args)


def _is_fixed(part: Any) -> bool:
    """Whether all extents are numbers; a symbolic extent is valid in one place only."""
    shape = part.values if isinstance(part, relax.ShapeExpr) else getattr(part.ty, "shape", None)
    return shape is not None and all(isinstance(extent, tirx.IntImm) for extent in shape)


def _key(call: Any, operands: list[Any]) -> tuple[Any, ...]:
    """Cache key of a call: attributes, types, and values of small constants."""
    shape = tuple(len(getattr(argument, "fields", ())) for argument in call.args)
    same = tuple(next(at for at, other in enumerate(operands) if other.same_as(part)) for part in operands)
    return _structure(call.attrs), shape, same, *map(_described, operands)


def _described(operand: Any) -> tuple[Any, bytes]:
    if isinstance(operand, relax.Var):
        return _structure(operand.ty), b""
    if not isinstance(operand, GenericConst):
        return _structure(operand), b""
    values = values_of(operand)
    return _structure(operand.ty), values.tobytes() if values.nbytes <= MOST_BYTES else b""


def _structure(part: Any) -> Any:
    return StructuralKey(part)  # type: ignore[call-arg] # as documented


def _places(result: Any, operands: list[Any]) -> list[int] | None:
    """Indices of the operands that the lowered call takes; None if it takes others or is no such call."""
    if not isinstance(result, relax.Call) or result.op.name != "relax.call_tir" or len(result.args) != 2:
        return None
    if not isinstance(result.args[1], relax.Tuple):
        return None
    taken = [[at for at, part in enumerate(operands) if part.same_as(field)][:1] for field in result.args[1].fields]
    return [at for found in taken for at in found] if all(taken) else None
