"""Real numbers as integers, defined for all of them: clamped to the type's range, 0 for what is no number.

LLVM leaves the conversion of anything else undefined. Generated C calls the functions `*_of_*` of `cyclecast_host.h`,
which compute the same.
"""

from __future__ import annotations

from typing import Any

import tvm_ffi
from tvm import tirx
from tvm.ir import IRModule
from tvm.ir.prim import expr as prim

REALS = ("float16", "bfloat16", "float32", "float64")


def with_defined_casts(program: IRModule) -> IRModule:
    """The program, every conversion to an integer type in its functions clamped."""
    made = program.clone()
    for variable, function in program.functions.items():
        if isinstance(function, tirx.PrimFunc):
            body = tvm_ffi.structural_map(function.body, [(prim.Cast, _defined)])
            made.update_func(variable, function.with_body(body))
    return made


def _defined(cast: Any) -> Any:
    kind, given = str(cast.ty), str(cast.value.ty)
    if given not in REALS or not kind.startswith(("int", "uint")):
        return cast
    bits, unsigned = int(kind.lstrip("uint")), kind.startswith("u")
    least = 0 if unsigned else -(1 << (bits - 1))
    end = 1 << (bits if unsigned else bits - 1)
    wide = "float64" if given == "float64" else "float32"  # which hold the ends of all types
    value, zero = tirx.Var("value", wide), tirx.const(0, kind)
    below = tirx.Select(value < tirx.const(float(end), wide), tirx.Cast(kind, value), tirx.max_value(kind))
    clamped = tirx.Select(value >= tirx.const(float(least), wide), below, tirx.min_value(kind))
    source = cast.value if given == wide else tirx.Cast(wide, cast.value)
    return tirx.Let(value, source, tirx.Select(tirx.isnan(value), zero, clamped))
