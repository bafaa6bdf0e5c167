"""TIR functions as C: flat loops, with buffers in a workspace that the caller provides."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import tvm_ffi
from tvm import tirx
from tvm.ir import TensorLoad

from cyclecast.csource._expression import Expressions, type_of
from cyclecast.csource._text import BYTES, CodeLines, Names, c_type, wrapped
from cyclecast.errors import UnsupportedError

ALIGNMENT = 64
"""Alignment of every tensor in a workspace [bytes]."""
MOST_ON_STACK = 256
"""Largest buffer on the stack [bytes]; larger ones are in the workspace."""
RESERVED = frozenset(("device", "workspace"))


@dataclass(frozen=True, slots=True)
class Written:
    """A function as C."""

    name: str
    declaration: str
    """Declaration without the semicolon."""
    text: str
    workspace: int
    """Workspace of a call [bytes]."""
    on_device: bool
    """Whether it takes the device and returns a status."""


class FunctionWriter:
    """Writes one function; `on_device` writes the loop nests of the device."""

    def __init__(
        self, name: str, function: Any, on_device: Callable[[FunctionWriter, Any], None] | None = None
    ) -> None:
        self.lines = CodeLines()
        self.names = Names(RESERVED)
        self.workspace = 0
        self._called: dict[Any, str] = {}
        self._expressions = Expressions(self._called.__getitem__)
        self._on_device = on_device
        self._forms: Mapping[type, Callable[[Any], None]] = {
            tirx.SeqStmt: self._sequence,
            tirx.For: self._loop,
            tirx.BufferStore: self._store,
            tirx.IfThenElse: self._condition,
            tirx.DeclBuffer: self._declaration,
            tirx.AllocBuffer: self._allocation,
            tirx.Bind: self._binding,
            tirx.AttrStmt: lambda statement: self._statement(statement.body),
        }
        self._name, self._function = name, function
        self._loaded = _buffers(function.body, TensorLoad, "source")
        self._dead: set[Any] = set()
        """Buffers that are never read; stores to them are omitted."""

    def written(self, comment: str) -> Written:
        """The function, after a comment."""
        stored = _buffers(self._function.body, tirx.BufferStore, "buffer")
        params, unused = [], []
        for param in self._function.params:
            self._called[param] = self.names.new(str(param.name))
            self._called[param.elem_offset] = "0"  # may be a variable; tensors have no offset
            names = self._other_names(param)
            constant = "" if names & stored else "const "
            params.append(f"{constant}{c_type(str(param.dtype))} *restrict {self._called[param]}")
            unused += [] if names & (stored | self._loaded) else [f"(void){self._called[param]};"]
        self.lines.add(*unused)
        self._statement(self._function.body)
        inner, self.lines = self.lines, CodeLines()
        scratch = ["unsigned char *restrict workspace"] if self.workspace else []
        first = ["cyclecast_device *device"] if self._on_device else []
        kind = "cyclecast_status" if self._on_device else "void"
        declaration = f"{kind} {self._name}({', '.join([*first, *params, *scratch])})"
        self.lines.comment(comment)
        with self.lines.function(declaration):
            self.lines.add(*inner.lines)
            if self._on_device:
                self.lines.add("return CYCLECAST_OK;")
        declaration = "\n".join(wrapped(declaration, "    "))
        return Written(self._name, declaration, str(self.lines), self.workspace, self._on_device is not None)

    def name_of(self, variable: Any) -> str:
        """C name of a variable or a buffer."""
        return self._called[variable]

    def allocate(self, kind: str, extent: int, wanted: str) -> str:
        """Declare a new buffer in the workspace; return its name."""
        name, c_kind = self.names.new(wanted), c_type(kind)
        self.lines.add(f"{c_kind} *const {name} = ({c_kind} *){_offset(self.workspace)};")
        self.workspace += -(-extent * BYTES[kind] // ALIGNMENT) * ALIGNMENT
        return name

    def _other_names(self, param: Any) -> set[Any]:
        """Buffers that alias a parameter."""
        found = {param}

        def visit(declared: Any) -> None:
            if declared.data.args[0] in found:
                found.add(declared.buffer)

        tvm_ffi.structural_walk(self._function.body, [(tirx.DeclBuffer, visit)], order="pre")
        return found

    def _statement(self, statement: Any) -> None:
        form = self._forms.get(type(statement))
        if form is None:
            what = f"a {type(statement).__name__} in {self._name}"
            raise UnsupportedError("generated C", what, "it has loops and stores", "--target llvm")
        form(statement)

    def _sequence(self, statement: Any) -> None:
        for part in statement.seq:
            self._statement(part)

    def _store(self, store: Any) -> None:
        if store.buffer in self._dead:
            return
        (index,) = store.indices
        place = f"{self._called[store.buffer]}[{self._expressions.text(index)}]"
        self.lines.add(f"{place} = {self._expressions.text(store.value)};")

    def _condition(self, condition: Any) -> None:
        with self.lines.block(f"if ({self._expressions.text(condition.condition)})"):
            self._statement(condition.then_case)
        if condition.else_case is not None:
            with self.lines.block("else"):
                self._statement(condition.else_case)

    def _declaration(self, declared: Any) -> None:
        self._called[declared.buffer] = self._called[declared.data.args[0]]

    def _binding(self, binding: Any) -> None:
        name = self._called[binding.var] = self.names.new(str(binding.var.name))
        kind, value = c_type(type_of(binding.var)), self._expressions.text(binding.value)
        self.lines.add(f"const {kind} {name} = {value};")

    def _loop(self, loop: Any) -> None:
        if self._on_device and any(str(name) == "cim.loop" for name in loop.annotations):
            self._on_device(self, loop)
            return
        name = self._called[loop.loop_var] = self.names.new(str(loop.loop_var.name))
        first, extent = self._expressions.text(loop.min), self._expressions.text(loop.min + loop.extent)
        with self.lines.block(f"for ({c_type(type_of(loop.loop_var))} {name} = {first}; {name} < {extent}; ++{name})"):
            self._statement(loop.body)

    def _allocation(self, allocated: Any) -> None:
        buffer = allocated.buffer
        if buffer not in self._loaded:
            self._dead.add(buffer)
            return
        kind, extent = str(buffer.dtype), prod(int(size) for size in buffer.shape)
        if extent * BYTES.get(kind, 0) > MOST_ON_STACK:
            self._called[buffer] = self.allocate(kind, extent, str(buffer.name))
            return
        name = self._called[buffer] = self.names.new(str(buffer.name))
        self.lines.add(f"{c_type(kind)} {name}[{extent}] = {{0}};")


def _offset(bytes_before: int) -> str:
    return f"(workspace + {bytes_before})" if bytes_before else "workspace"


def _buffers(body: Any, kind: type, attribute: str) -> set[Any]:
    """The buffers of all stores or loads in a body."""
    found: set[Any] = set()
    tvm_ffi.structural_walk(body, [(kind, lambda node: found.add(getattr(node, attribute)))], order="pre")
    return found
