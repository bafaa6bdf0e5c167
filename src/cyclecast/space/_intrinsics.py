"""Tensor intrinsics of a CIM array, one pair per tile size, registered when first asked for.

An array of R word lines and F filters is written once (`program`: R x F weights) and then multiplied by input vectors
(`mvm`: output[F] += input[R] . weights[R, F]). Three implementations compute the same values:

* `native`: plain loops that the back end compiles, for fast programs without any library;
* `behaviour`: calls into the behaviour model (`cyclecast.simulator`), which knows an array's states;
* `driver`: like `native`, with the result in a matrix of its own; the C source puts calls of a driver in its place.
"""

from __future__ import annotations

from dataclasses import dataclass
from threading import RLock
from typing import Literal, get_args

from tvm.s_tir import TensorIntrin
from tvm.script import from_source

from cyclecast._tvm._nest import ARRAY_SCOPE, INPUT_SCOPE, OUTPUT_SCOPE

Implementation = Literal["native", "behaviour", "driver"]
IMPLEMENTATIONS: tuple[Implementation, ...] = get_args(Implementation)

REGISTRY = RLock()
"""Held by whoever registers an intrinsic or has TVM look one up: MetaSchedule lowers candidates in several threads.

TVM refuses a name that is registered twice, and its table must not grow while another thread reads it.
"""
PROGRAM_CALL = "cyclecast.program"
"""Packed function (array address, weights address, weights row stride, word lines, filters, weight type)."""
MVM_CALL = "cyclecast.mvm"
"""Packed function (output address, input address, array address, word lines, filters, input type, output type)."""


@dataclass(frozen=True, slots=True)
class Tile:
    """The size and the types of one array's work."""

    word_lines: int
    filters: int
    input_type: str
    weight_type: str
    output_type: str


_MVM = """
@T.prim_func(s_tir=True)
def main(o: T.handle, i: T.handle, w: T.handle) -> None:
    O = T.match_buffer(o, ({F},), "{output}", offset_factor=1, scope="{output_scope}")
    I = T.match_buffer(i, ({R},), "{input}", offset_factor=1, scope="{input_scope}")
    W = T.match_buffer(w, ({R}, {F}), "{weight}", offset_factor=1, scope="{array_scope}")
    with T.sblock("root"):
        T.reads(O[0:{F}], I[0:{R}], W[0:{R}, 0:{F}])
        T.writes(O[0:{F}])
{body}"""

_PROGRAM = """
@T.prim_func(s_tir=True)
def main(a: T.handle, w: T.handle) -> None:
    s0 = T.int64()
    s1 = T.int64()
    A = T.match_buffer(a, ({R}, {F}), "{weight}", offset_factor=1, strides=[s0, s1])
    W = T.match_buffer(w, ({R}, {F}), "{weight}", offset_factor=1, scope="{array_scope}")
    with T.sblock("root"):
        T.reads(A[0:{R}, 0:{F}])
        T.writes(W[0:{R}, 0:{F}])
{body}"""

_MVM_UPDATE = 'O[{f}] = O[{f}] + T.Cast("{output}", I[{r}]) * T.Cast("{output}", W[{r}, {f}])'
_MVM_CALL = (
    'T.evaluate(T.call_packed("{call}", O.access_ptr("rw"), I.access_ptr("r"), W.access_ptr("r"), '
    '{R}, {F}, "{input}", "{output}"))'
)
_PROGRAM_COPY = "W[{r}, {f}] = A[{r}, {f}]"
_PROGRAM_CALL = 'T.evaluate(T.call_packed("{call}", W.access_ptr("w"), A.access_ptr("r"), s0, {R}, {F}, "{weight}"))'


def mvm_intrinsic(tile: Tile, implementation: Implementation) -> str:
    """Register, unless it is, the matrix-vector product on one array; return its name."""
    name = _name("mvm", tile, implementation)
    loops = (("f", tile.filters, "S"), ("r", tile.word_lines, "R"))
    described = _nest(loops, _MVM_UPDATE, tile)
    if implementation == "behaviour":
        body = " " * 8 + _fill(_MVM_CALL, tile, call=MVM_CALL)
    else:
        body = _nest(tuple(reversed(loops)), _MVM_UPDATE, tile)
    _register(name, _fill(_MVM, tile, body=described), _fill(_MVM, tile, body=body))
    return name


def program_intrinsic(tile: Tile) -> str:
    """Register, unless it is, the writing of one array in the behaviour model; return its name."""
    name = _name("program", tile, "behaviour")
    loops = (("r", tile.word_lines, "S"), ("f", tile.filters, "S"))
    described = _nest(loops, _PROGRAM_COPY, tile)
    body = " " * 8 + _fill(_PROGRAM_CALL, tile, call=PROGRAM_CALL)
    _register(name, _fill(_PROGRAM, tile, body=described), _fill(_PROGRAM, tile, body=body))
    return name


def _name(operation: str, tile: Tile, implementation: Implementation) -> str:
    types = f"{tile.input_type}_{tile.weight_type}_{tile.output_type}"
    return f"cim_{operation}_{implementation}_{tile.word_lines}x{tile.filters}_{types}"


def _nest(loops: tuple[tuple[str, int, str], ...], update: str, tile: Tile) -> str:
    """The loops around one update. Blockizing drops block iterators of extent 1, so the description has none either."""
    indices = {name: f"v{name}" if extent > 1 else "0" for name, extent, _ in loops}
    long = [loop for loop in loops if loop[1] > 1]
    names = ", ".join(name for name, _, _ in loops)
    extents = ", ".join(str(extent) for _, extent, _ in loops)
    lines = [f"        for {names} in T.grid({extents}):", '            with T.sblock("update"):']
    if long:
        variables = ", ".join(f"v{name}" for name, _, _ in long)
        kinds = "".join(kind for _, _, kind in long)
        bound = ", ".join(name for name, _, _ in long)
        lines.append(f'                {variables} = T.axis.remap("{kinds}", [{bound}])')
    lines.append(f"                {_fill(update, tile, **indices)}")
    return "\n".join(lines) + "\n"


def _fill(template: str, tile: Tile, **more: str) -> str:
    return template.format(
        R=tile.word_lines,
        F=tile.filters,
        input=tile.input_type,
        weight=tile.weight_type,
        output=tile.output_type,
        input_scope=INPUT_SCOPE,
        array_scope=ARRAY_SCOPE,
        output_scope=OUTPUT_SCOPE,
        **more,
    )


def _register(name: str, described: str, implemented: str) -> None:
    with REGISTRY:
        if TensorIntrin.get(name, allow_missing=True) is None:
            TensorIntrin.register(name, from_source(described), from_source(implemented))
