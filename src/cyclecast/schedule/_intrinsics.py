"""Tensor intrinsics of a CIM array, one pair per tile size, registered on first use.

An array of R word lines and F filters is written once (`program`: R x F weights) and then multiplied by input vectors
(`mvm`: output[F] += input[R] . weights[R, F]). Three implementations compute the same values:

* `native`: plain loops that the back end compiles; fast, without a library;
* `behaviour`: calls of the behaviour model (`cyclecast.simulator`), which tracks the state of each array;
* `driver`: like `native`, with the result in a separate matrix; the C source replaces it by calls of a driver.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import RLock
from typing import Any, Literal, get_args

from tvm.s_tir import TensorIntrin
from tvm.script.ir_builder import IRBuilder
from tvm.tirx.script import builder as T

from cyclecast._tvm._nest import ARRAY_SCOPE, INPUT_SCOPE, OUTPUT_SCOPE

Implementation = Literal["native", "behaviour", "driver"]
IMPLEMENTATIONS: tuple[Implementation, ...] = get_args(Implementation)

REGISTRY = RLock()
"""Lock for registering and looking up intrinsics: MetaSchedule lowers candidates in several threads.

TVM refuses a name that is registered twice, and its table must not grow while another thread reads it."""
PROGRAM_CALL = "cyclecast.program"
"""Packed function (array address, weights address, weights row stride, word lines, filters, weight type)."""
MVM_CALL = "cyclecast.mvm"
"""Packed function (output address, input address, array address, word lines, filters, input type, output type)."""


@dataclass(frozen=True, slots=True)
class Tile:
    """Size and types of one array's product."""

    word_lines: int
    filters: int
    input_type: str
    weight_type: str
    output_type: str


Loops = Sequence[tuple[str, int, str]]
"""Name, extent and kind ("S" spatial, "R" reduction) of each loop, outermost first."""


def mvm_intrinsic(tile: Tile, implementation: Implementation) -> str:
    """Register the matrix-vector product of one array if needed; return its name."""
    loops = (("f", tile.filters, "S"), ("r", tile.word_lines, "R"))

    def described() -> Any:
        return _mvm(tile, lambda *buffers: _updates(loops, tile, *buffers))

    def implemented() -> Any:
        if implementation == "behaviour":
            return _mvm(tile, lambda *buffers: _mvm_call(tile, *buffers))
        return _mvm(tile, lambda *buffers: _updates(tuple(reversed(loops)), tile, *buffers))

    return _registered(_name("mvm", tile, implementation), described, implemented)


def program_intrinsic(tile: Tile) -> str:
    """Register the writing of one array in the behaviour model if needed; return its name."""
    loops = (("r", tile.word_lines, "S"), ("f", tile.filters, "S"))

    def described() -> Any:
        return _program(tile, lambda source, array, _: _copies(loops, source, array))

    def implemented() -> Any:
        return _program(tile, lambda *operands: _program_call(tile, *operands))

    return _registered(_name("program", tile, "behaviour"), described, implemented)


def _name(operation: str, tile: Tile, implementation: Implementation) -> str:
    types = f"{tile.input_type}_{tile.weight_type}_{tile.output_type}"
    return f"cim_{operation}_{implementation}_{tile.word_lines}x{tile.filters}_{types}"


def _mvm(tile: Tile, body: Callable[[Any, Any, Any], None]) -> Any:
    """A function of the product; `body` emits statements on the buffers of output, input and weights."""
    with IRBuilder() as builder, T.prim_func(s_tir=True):
        T.func_name("main")
        handles = [T.arg(name, T.handle()) for name in "oiw"]
        sizes = ((tile.filters,), (tile.word_lines,), (tile.word_lines, tile.filters))
        types = (tile.output_type, tile.input_type, tile.weight_type)
        scopes = (OUTPUT_SCOPE, INPUT_SCOPE, ARRAY_SCOPE)
        buffers = [
            _named(name, T.match_buffer(handle, size, kind, offset_factor=1, scope=scope))
            for name, handle, size, kind, scope in zip("OIW", handles, sizes, types, scopes, strict=True)
        ]
        with T.sblock("root"):
            T.reads(*(_whole(buffer, size) for buffer, size in zip(buffers, sizes, strict=True)))
            T.writes(_whole(buffers[0], sizes[0]))
            body(*buffers)
    return builder.get()


def _program(tile: Tile, body: Callable[[Any, Any, Any], None]) -> Any:
    """A function that writes an array; `body` emits statements on weights, array and the stride of a row."""
    with IRBuilder() as builder, T.prim_func(s_tir=True):
        T.func_name("main")
        handles = [T.arg(name, T.handle()) for name in "aw"]
        strides = [_named(name, T.int64()) for name in ("s0", "s1")]
        size, kind = (tile.word_lines, tile.filters), tile.weight_type
        source = _named("A", T.match_buffer(handles[0], size, kind, offset_factor=1, strides=strides))
        array = _named("W", T.match_buffer(handles[1], size, kind, offset_factor=1, scope=ARRAY_SCOPE))
        with T.sblock("root"):
            T.reads(_whole(source, size))
            T.writes(_whole(array, size))
            body(source, array, strides[0])
    return builder.get()


def _updates(loops: Loops, tile: Tile, output: Any, given: Any, weights: Any) -> None:
    with _block(loops) as at:
        product = T.Cast(tile.output_type, given[at["r"]]) * T.Cast(tile.output_type, weights[at["r"], at["f"]])
        T.buffer_store(output, output[at["f"]] + product, [at["f"]])


def _copies(loops: Loops, source: Any, array: Any) -> None:
    with _block(loops) as at:
        T.buffer_store(array, source[at["r"], at["f"]], [at["r"], at["f"]])


def _mvm_call(tile: Tile, output: Any, given: Any, weights: Any) -> None:
    pointers = output.access_ptr("rw"), given.access_ptr("r"), weights.access_ptr("r")
    types = tile.input_type, tile.output_type
    T.evaluate(T.call_packed(MVM_CALL, *pointers, tile.word_lines, tile.filters, *types))


def _program_call(tile: Tile, source: Any, array: Any, stride: Any) -> None:
    pointers = array.access_ptr("w"), source.access_ptr("r")
    T.evaluate(T.call_packed(PROGRAM_CALL, *pointers, stride, tile.word_lines, tile.filters, tile.weight_type))


@contextmanager
def _block(loops: Loops) -> Iterator[dict[str, Any]]:
    """Context: the loops around one block; yields the block's iterators by loop name.

    Blockizing drops block iterators of extent 1, so the description has none either.
    """
    with T.grid(*(extent for _, extent, _ in loops)) as variables:
        for (name, _, _), variable in zip(loops, variables, strict=True):
            _named(name, variable)
        with T.sblock("update"):
            at: dict[str, Any] = {}
            for (name, extent, kind), variable in zip(loops, variables, strict=True):
                at[name] = _named(f"v{name}", T.axis.remap(kind, [variable])) if extent > 1 else 0
            yield at


def _named(name: str, value: Any) -> Any:
    IRBuilder.name(name, value)
    return value


def _whole(buffer: Any, size: tuple[int, ...]) -> Any:
    """The region of the whole buffer."""
    return buffer[tuple(slice(0, extent) for extent in size)]


def _registered(name: str, described: Callable[[], Any], implemented: Callable[[], Any]) -> str:
    with REGISTRY:
        if TensorIntrin.get(name, allow_missing=True) is None:
            TensorIntrin.register(name, described(), implemented())
    return name
