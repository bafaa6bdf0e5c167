"""TIR functions as C: flat loops, buffers in a workspace that the caller gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import tvm_ffi
from tvm import tirx
from tvm.ir import Call, TensorLoad

from cyclecast.csource._expression import Expressions, type_of
from cyclecast.csource._text import BYTES, Lines, Names, c_type
from cyclecast.errors import UnsupportedError

ALIGNMENT = 64
"""Of every tensor in a workspace [bytes]."""
MOST_ON_STACK = 256
"""Larger buffers are in the workspace [bytes]."""
RESERVED = frozenset(("device", "workspace"))


@dataclass(frozen=True, slots=True)
class Written:
    """A function in C."""

    name: str
    declaration: str
    """Without the semicolon."""
    text: str
    workspace: int
    """Bytes of workspace that a call needs."""
    on_device: bool
    """Whether it takes the device and returns a status."""


class Writer:
    """Writes one function; a nest of loops on the device is left to `on_device`."""

    def __init__(self, name: str, function: Any, on_device: Callable[[Writer, Any], None] | None = None) -> None:
        self.lines = Lines()
        self.names = Names(RESERVED)
        self.workspace = 0
        self._called: dict[Any, str] = {}
        self._expressions = Expressions(self._called.__getitem__)
        self._on_device = on_device
        self._name, self._function = name, function

    def written(self, comment: str) -> Written:
        """The function, with a comment before it."""
        stored = _stored(self._function.body)
        params = []
        for param in self._function.params:
            self._called[param] = self.names.new(str(param.name))
            constant = "" if self._called_later(param) & stored else "const "
            params.append(f"{constant}{c_type(str(param.dtype))} *restrict {self._called[param]}")
        body = Lines()
        body, self.lines = self.lines, body
        self._statement(self._function.body)
        inner, self.lines = self.lines, body
        scratch = ["unsigned char *restrict workspace"] if self.workspace else []
        first = ["cyclecast_device *device"] if self._on_device else []
        kind = "cyclecast_status" if self._on_device else "void"
        declaration = f"{kind} {self._name}({', '.join([*first, *params, *scratch])})"
        self.lines.comment(comment)
        with self.lines.function(declaration):
            self.lines.add(*inner.lines)
            if self._on_device:
                self.lines.add("return CYCLECAST_OK;")
        return Written(self._name, declaration, str(self.lines), self.workspace, self._on_device is not None)

    def name_of(self, variable: Any) -> str:
        """What a variable or a buffer is called."""
        return self._called[variable]

    def allocate(self, kind: str, extent: int, wanted: str) -> str:
        """A new buffer in the workspace, declared; its name."""
        name, c_kind = self.names.new(wanted), c_type(kind)
        self.lines.add(f"{c_kind} *const {name} = ({c_kind} *){_offset(self.workspace)};")
        self.workspace += -(-extent * BYTES[kind] // ALIGNMENT) * ALIGNMENT
        return name

    def _called_later(self, param: Any) -> set[Any]:
        """The buffers that are other names of a parameter."""
        found = {param}

        def visit(declared: Any) -> None:
            if declared.data.args[0] in found:
                found.add(declared.buffer)

        tvm_ffi.structural_walk(self._function.body, [(tirx.DeclBuffer, visit)], order="pre")
        return found

    def _statement(self, statement: Any) -> None:
        match statement:
            case tirx.SeqStmt():
                for part in statement.seq:
                    self._statement(part)
            case tirx.For():
                self._loop(statement)
            case tirx.BufferStore():
                (index,) = statement.indices
                place = f"{self._called[statement.buffer]}[{self._expressions.text(index)}]"
                self.lines.add(f"{place} = {self._expressions.text(statement.value)};")
            case tirx.IfThenElse():
                with self.lines.block(f"if ({self._expressions.text(statement.condition)})"):
                    self._statement(statement.then_case)
                if statement.else_case is not None:
                    with self.lines.block("else"):
                        self._statement(statement.else_case)
            case tirx.DeclBuffer():
                self._called[statement.buffer] = self._called[statement.data.args[0]]
            case tirx.AllocBuffer():
                self._allocation(statement.buffer)
            case tirx.Bind():
                name = self._called[statement.var] = self.names.new(str(statement.var.name))
                kind, value = c_type(type_of(statement.var)), self._expressions.text(statement.value)
                self.lines.add(f"const {kind} {name} = {value};")
            case tirx.AttrStmt():
                self._statement(statement.body)
            case tirx.Evaluate() if not isinstance(statement.value, Call):
                pass
            case _:
                what = f"a {type(statement).__name__} in {self._name}"
                raise UnsupportedError("generated C", what, "it has loops and stores", "--target llvm")

    def _loop(self, loop: Any) -> None:
        if self._on_device and any(str(name) == "cim.loop" for name in loop.annotations):
            self._on_device(self, loop)
            return
        name = self._called[loop.loop_var] = self.names.new(str(loop.loop_var.name))
        first, extent = self._expressions.text(loop.min), self._expressions.text(loop.min + loop.extent)
        with self.lines.block(f"for ({c_type(type_of(loop.loop_var))} {name} = {first}; {name} < {extent}; ++{name})"):
            self._statement(loop.body)

    def _allocation(self, buffer: Any) -> None:
        kind, extent = str(buffer.dtype), prod(int(size) for size in buffer.shape)
        if extent * BYTES.get(kind, 0) > MOST_ON_STACK:
            self._called[buffer] = self.allocate(kind, extent, str(buffer.name))
            return
        name = self._called[buffer] = self.names.new(str(buffer.name))
        self.lines.add(f"{c_type(kind)} {name}[{extent}];")


def _offset(bytes_before: int) -> str:
    return f"(workspace + {bytes_before})" if bytes_before else "workspace"


def _stored(body: Any) -> set[Any]:
    found: set[Any] = set()
    tvm_ffi.structural_walk(body, [(tirx.BufferStore, lambda store: found.add(store.buffer))], order="pre")
    return found


def loaded(statement: Any) -> list[Any]:
    """The buffers that a statement loads from, each once."""
    found: list[Any] = []

    def visit(load: Any) -> None:
        if load.source not in found:
            found.append(load.source)

    tvm_ffi.structural_walk(statement, [(TensorLoad, visit)], order="pre")
    return found
