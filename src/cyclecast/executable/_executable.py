"""A network compiled for this machine: run it, save it, load it."""

from __future__ import annotations

import os
import shutil
import tempfile
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import tvm
from tvm import relax
from tvm.target import Target

from cyclecast._tvm._defined import with_defined_operators
from cyclecast._tvm._native import without_native_chatter
from cyclecast.errors import ModelError, OptionError, UnsupportedError, is_of_tvm
from cyclecast.executable._inline import with_stages_inlined
from cyclecast.storage.folders import output_file, require_file_unchanged

OURS = r"\A\x7fELF(?s:.*)__tvm_ffi__library_bin"
"""Pattern of a TVM program, an ELF file with constants and bytecode under this symbol."""


class Executable:
    """A compiled network. Call it with one array per input; it returns one array per output."""

    def __init__(self, compiled: Any) -> None:
        self._compiled = compiled

    def __call__(self, *inputs: Any) -> list[Any]:
        """Run the network on NumPy arrays of its input shapes and types. Raises `ModelError` for others."""
        tensors = [tvm.runtime.tensor(np.asarray(value, order="C")) for value in inputs]
        try:
            result = self._machine["main"](*tensors)
        except (RuntimeError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise ModelError("program", "it does not run on these inputs", reason, "other shapes or types") from error
        outputs = [result] if hasattr(result, "numpy") else list(result)
        return [output.numpy() for output in outputs]

    @cached_property
    def _machine(self) -> Any:
        """TVM's virtual machine; created on first use, since saving a program does not need it."""
        with without_native_chatter():
            return relax.VirtualMachine(self._compiled, tvm.cpu())

    def save(self, path: str | Path, *, force: bool = False) -> None:
        """Write a shared library that `load_executable`, or TVM's runtime alone, can load in any process.

        The file is written completely or not at all. An existing file must be such a program, unless `force` is set.
        Raises `OptionError` if there is no C compiler, no folder or no room.
        """
        if not any(map(shutil.which, LINKERS)):
            raise OptionError("saving a program", "no C compiler", "gcc or clang links it", "apt-get install gcc")
        folder = Path(path).parent
        if not folder.is_dir():
            raise OptionError(f"saving {path}", "there is no such folder", lever=f"mkdir -p {folder}")
        _require_room(ROOM)
        try:
            with output_file(path, OURS, force=force, within=None) as place, without_native_chatter():
                self._compiled.export_library(str(place))
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise OptionError(f"saving {path}", "it cannot be linked", reason, "another path") from error


def _require_room(bytes_: int) -> None:
    """Raise `OptionError` if the temporary folder is full: LLVM would end the process."""
    folder = tempfile.gettempdir()
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            os.posix_fallocate(file.fileno(), 0, bytes_)
    except OSError as error:
        what = f"it has no room for {bytes_:,} bytes of object files"
        raise OptionError(folder, what, str(error.strerror), "another folder in TMPDIR") from error


LONGEST = 400
"""Longest message of TVM, in characters."""
ROOM = 4 << 20
"""Bytes for object files."""
LINKERS = ("g++", "gcc", "clang++", "clang", "c++", "cc")
"""Programs that TVM can link with."""

TARGET = {"kind": "llvm", "opt-level": 2, "cl-opt": ["-unroll-threshold-default:uint=100"]}
"""Optimisation level 3 takes half as long again to compile, and these kernels run no faster; the same holds for loops
that LLVM unrolls at its default threshold, of 150 instructions."""


CONFIG = {"tirx.disable_assert": True}
"""Without assertions: every function would check every operand, which is most of the code. The virtual machine checks
the inputs of the network."""


def build_program(program: Any) -> Executable:
    """Compile a Relax program for this machine's processor.

    Raises `UnsupportedError`, which names the function, if TVM cannot compile it.
    """
    with tvm.transform.PassContext(config=CONFIG):
        legal = with_stages_inlined(with_defined_operators(relax.transform.LegalizeOps()(program)))
        try:
            return Executable(tvm.compile(legal, target=Target(TARGET)))
        except Exception as error:
            if not is_of_tvm(error):
                raise
            name, reason = _first_refused(legal), _line(error)
    where = f"operator '{name}'" if name else "program"
    raise UnsupportedError(where, "TVM cannot compile it", reason, "exporting the network without it")


def _first_refused(program: Any) -> str:
    """Name of the first function that cannot be compiled alone; empty if there is none."""
    for variable, function in program.functions.items():
        if isinstance(function, tvm.tirx.PrimFunc):
            try:
                tvm.compile(tvm.IRModule({variable: function}), target=Target(TARGET))
            except Exception:  # TVM raises errors of many classes
                return str(variable.name_hint)
    return ""


def _line(error: BaseException) -> str:
    """TVM's error in one line: its first line, with the second if the first ends in a colon."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    whole = " ".join(lines[:2]) if lines and lines[0].endswith(":") else next(iter(lines), type(error).__name__)
    return whole[:LONGEST]


def load_executable(path: str | Path) -> Executable:
    """Load a program that `Executable.save` wrote. The file is machine code: load only files from trusted sources.

    Raises `ModelError` if it is no program, or if `cyclecast.json` beside it has the hash of another file.
    """
    if not Path(path).is_file():
        raise ModelError(str(path), "there is no such file", lever="the folder that tune wrote")
    require_file_unchanged(Path(path))
    try:
        with without_native_chatter():
            return Executable(tvm.runtime.load_module(str(path)))
    except RuntimeError as error:
        raise ModelError(str(path), "it is no program", "programs are shared libraries", "building it again") from error
