"""Operators of programs, defined for all operands: conversions, divisions and shifts of integers, indices.

C and LLVM leave some of them undefined, so the result of a program would depend on the machine. Here:

| operator | result |
|---|---|
| a real number as an integer | rounded towards zero, clamped to the type's range; 0 for NaN |
| a division by 0, and its remainder | 0; the smallest integer divided by -1 is itself |
| a shift by a negative number, or by all bits | 0 |
| a computed index beyond the tensor | the nearest index of the tensor |

`with_defined_operators` is for TVM's compiler. Generated C uses `with_defined_accesses`, which has the last two, and
functions of `cyclecast_host.h` for the others. Sums beyond their type keep the lowest bits there (`-fwrapv`). TVM's
compiler does the same for nearly all sums, but it simplifies terms as if no sum overflowed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import tvm_ffi
from tvm import tirx
from tvm.ir import Expr, IRModule, TensorLoad, Var
from tvm.ir.prim import expr as prim

REALS = ("float16", "bfloat16", "float32", "float64")
Division: TypeAlias = prim.Div | prim.FloorDiv
Remainder: TypeAlias = prim.Mod | prim.FloorMod
DIVISIONS = (prim.Div, prim.FloorDiv)
REMAINDERS = (prim.Mod, prim.FloorMod)
SHIFTS = (prim.LShift, prim.RShift)


def with_defined_operators(program: IRModule) -> IRModule:
    """The program with all operators of its functions defined for all operands."""
    made = program.clone()
    for variable, function in program.functions.items():
        if isinstance(function, tirx.PrimFunc):
            operators = [(prim.Cast, _cast), (DIVISIONS, _quotient), (REMAINDERS, _remainder)]
            body = tvm_ffi.structural_map(with_defined_accesses(function.body), operators)
            made.update_func(variable, function.with_body(body))
    return made


def with_defined_accesses(body: tirx.Stmt) -> tirx.Stmt:
    """The statements with defined shifts, and with computed indices clamped to their tensors."""
    computed: set[Var] = set()

    def note(binding: tirx.Bind | prim.Let) -> None:
        if _is_computed(binding.value, computed):
            computed.add(binding.var)

    def load(found: TensorLoad) -> Expr:
        indices = _inside(found.source, found.indices, computed)
        return tirx.BufferLoad(found.source, indices) if indices else found

    def store(found: tirx.BufferStore) -> tirx.BufferStore:
        indices = _inside(found.buffer, found.indices, computed)
        return tirx.BufferStore(found.buffer, found.value, indices) if indices else found

    tvm_ffi.structural_walk(body, [((tirx.Bind, prim.Let), note)], order="pre")
    return tvm_ffi.structural_map(body, [(SHIFTS, _shift), (TensorLoad, load), (tirx.BufferStore, store)])


def _is_computed(expression: Expr, computed: set[Var]) -> bool:
    """Whether a value depends on values of tensors, not only on loops."""
    found: list[Expr] = []

    def variable(used: Var) -> None:
        if used in computed:
            found.append(used)

    tvm_ffi.structural_walk(expression, [(TensorLoad, found.append), (Var, variable)], order="pre")
    return bool(found)


def _inside(buffer: Expr, indices: Sequence[Expr], computed: set[Var]) -> list[Expr] | None:
    """The indices with computed ones clamped to the buffer; None if no index is computed."""
    which = [_is_computed(index, computed) for index in indices]
    every = zip(indices, buffer.shape, which, strict=True)
    return [_clamped(index, int(extent)) if it else index for index, extent, it in every] if any(which) else None


def _clamped(index: Expr, extent: int) -> Expr:
    kind = str(index.ty)
    bits = int(kind.lstrip("uint"))
    zero, last = tirx.const(0, kind), tirx.const(min(extent - 1, (1 << (bits - (kind[0] != "u"))) - 1), kind)
    below = tirx.Select(index < last, index, last)
    return below if kind[0] == "u" else tirx.Select(index < zero, zero, below)


def is_open(division: Division | Remainder) -> bool:
    """Whether a division or remainder of integers may be undefined: its divisor is no constant, or is 0 or -1."""
    divisor = division.b
    fixed = isinstance(divisor, prim.IntImm) and int(divisor.value) not in (0, -1)
    return not fixed and str(division.ty).startswith(("int", "uint"))


def _quotient(division: Division) -> Expr:
    kind, (one, other) = str(division.ty), (division.a, division.b)
    if not is_open(division):
        return division
    zero, quotient = tirx.const(0, kind), type(division)(one, _harmless(other))
    if kind.startswith("u"):
        return tirx.Select(other == zero, zero, quotient)
    least = tirx.min_value(kind)
    negative = tirx.Select(one == least, least, zero - one)
    return tirx.Select(other == zero, zero, tirx.Select(other == tirx.const(-1, kind), negative, quotient))


def _remainder(division: Remainder) -> Expr:
    return type(division)(division.a, _harmless(division.b)) if is_open(division) else division


def _harmless(divisor: Expr) -> Expr:
    """The divisor, but 1 for 0 and -1: the remainder is 0."""
    kind = str(divisor.ty)
    unwanted = divisor == tirx.const(0, kind)
    unwanted = unwanted if kind.startswith("u") else prim.Or(unwanted, divisor == tirx.const(-1, kind))
    return tirx.Select(unwanted, tirx.const(1, kind), divisor)


def _shift(shift: prim.LShift | prim.RShift) -> Expr:
    kind = str(shift.b.ty)
    if isinstance(shift.b, prim.IntImm):
        return shift
    bits = int(str(shift.a.ty).lstrip("uint"))
    good = shift.b < tirx.const(bits, kind)
    good = good if kind[0] == "u" else prim.And(shift.b >= tirx.const(0, kind), good)
    return tirx.Select(
        good, type(shift)(shift.a, prim.BitwiseAnd(shift.b, tirx.const(bits - 1, kind))), tirx.const(0, str(shift.ty))
    )


def _cast(cast: prim.Cast) -> Expr:
    kind, given = str(cast.ty), str(cast.value.ty)
    if given not in REALS or not kind.startswith(("int", "uint")):
        return cast
    bits, unsigned = int(kind.lstrip("uint")), kind.startswith("u")
    least = 0 if unsigned else -(1 << (bits - 1))
    end = 1 << (bits if unsigned else bits - 1)
    wide = "float64" if given == "float64" else "float32"  # holds the limits of all integer types
    value, zero = tirx.Var("value", wide), tirx.const(0, kind)
    below = tirx.Select(value < tirx.const(float(end), wide), tirx.Cast(kind, value), tirx.max_value(kind))
    clamped = tirx.Select(value >= tirx.const(float(least), wide), below, tirx.min_value(kind))
    source = cast.value if given == wide else tirx.Cast(wide, cast.value)
    return tirx.Let(value, source, tirx.Select(tirx.isnan(value), zero, clamped))
