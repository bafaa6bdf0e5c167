"""Types of the C drivers, and compilation of their sources for this machine."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory

from cyclecast.errors import OptionError
from cyclecast.simulator._parameters import FIELDS, LEVELS, Parameters

COMPILERS = ("cc", "gcc", "clang")
FLAGS = ("-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-ffp-contract=off", "-fwrapv")
"""Contraction of products and sums is off, because it would round differently from the compiled network."""
OF_DRIVERS, OF_OTHERS = "-O3", "-O1"
"""Optimisation levels. Drivers compute the products; code around them runs a few times and compiles in half the
time."""
REFERENCE = (
    "cyclecast_device.h",
    "cyclecast_device.c",
    "cyclecast_reference.h",
    "cyclecast_reference.c",
    "cyclecast_slots.c",
    "cyclecast_array.c",
    "cyclecast_tile.c",
    "cyclecast_encode.c",
    "cyclecast_multiply.c",
)
DRIVER_FILES = (
    *REFERENCE,
    "cyclecast_host.h",
    "cyclecast_windows.h",
    "cyclecast_windows.c",
    "cyclecast_mock.c",
)
"""Files of a generated project that are copied, not generated."""

OK = 0
TYPES: dict[int, type[ctypes.c_uint32] | type[ctypes.c_uint64]] = {32: ctypes.c_uint32, 64: ctypes.c_uint64}


class CPlace(ctypes.Structure):
    """`cyclecast_place` of the C interface."""

    _fields_ = (("depth", ctypes.c_uint32), ("at", ctypes.c_uint32 * LEVELS))


class CCall(ctypes.Structure):
    """`cyclecast_call` of the C interface."""

    _fields_ = (
        ("operation", ctypes.c_int),
        ("place", CPlace),
        ("slot", ctypes.c_uint32),
        ("count", ctypes.c_uint32),
        ("filters", ctypes.c_uint32),
        ("values", ctypes.POINTER(ctypes.c_int32)),
        ("sums", ctypes.POINTER(ctypes.c_int64)),
        ("name", ctypes.c_char_p),
    )


class CCounters(ctypes.Structure):
    """`cyclecast_counters` of the C interface."""

    _fields_ = (
        *((name, ctypes.c_uint64) for name in ("compute_fs", "write_fs", "programs", "products", "waits")),
        ("inputs", ctypes.c_uint64 * (LEVELS + 1)),
        ("sums", ctypes.c_uint64 * (LEVELS + 1)),
    )


class CParameters(ctypes.Structure):
    """`cyclecast_parameters` of the C interface."""

    _fields_ = tuple((name, TYPES[bits] * length if length > 1 else TYPES[bits]) for name, bits, length in FIELDS)


OBSERVER = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.POINTER(CCall))


def c_parameters(values: Parameters) -> CParameters:
    """The parameters as a C structure."""
    made = CParameters()
    for name, bits, length in FIELDS:
        value = values[name]
        setattr(made, name, (TYPES[bits] * length)(*value) if isinstance(value, tuple) else value)
    return made


def driver_source(name: str) -> str:
    """Text of a driver file."""
    return (files("cyclecast.simulator") / "driver" / name).read_text(encoding="utf-8")


def compiler() -> str:
    """Path of a C compiler. Raises `OptionError` if there is none."""
    found = next((path for name in COMPILERS if (path := shutil.which(name))), None)
    if found is None:
        raise OptionError("C compiler", "there is none", f"one of {', '.join(COMPILERS)}", "apt-get install gcc")
    return found


def compile_library(
    sources: Sequence[Path], library: Path, include: Path, extra: Sequence[str] = (), objects: Sequence[Path] = ()
) -> None:
    """Compile C files in parallel, and link them with `objects` to a shared library.

    Raises `OptionError` with the compiler's first error.
    """
    with TemporaryDirectory(prefix="cyclecast-") as folder:
        made = _compiled(sources, Path(folder), include, extra)
        _compile([*extra, "-shared", *map(str, [*made, *objects]), "-o", str(library), "-lm"])


def _compiled(sources: Sequence[Path], folder: Path, include: Path, extra: Sequence[str] = ()) -> list[Path]:
    """Object files of C files, in a folder."""
    flags = [*FLAGS, *extra, "-fPIC", f"-I{include}"]
    objects = [folder / f"{number}.o" for number in range(len(sources))]
    with ThreadPoolExecutor(os.cpu_count()) as workers:
        pairs = zip(sources, objects, strict=True)
        list(workers.map(_compile, ([*flags, _level(file), "-c", str(file), "-o", str(made)] for file, made in pairs)))
    return objects


def _level(file: Path) -> str:
    return OF_DRIVERS if file.name in DRIVER_FILES else OF_OTHERS


def _compile(arguments: Sequence[str]) -> None:
    done = subprocess.run([compiler(), *arguments], capture_output=True, text=True)
    if done.returncode:
        complaints = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines()
        raise OptionError("C compiler", "it refuses the files", (complaints or ["without a message"])[0])


def load_library(path: Path) -> ctypes.CDLL:
    """Load a library that contains a driver, and set the types of its functions."""
    library = ctypes.CDLL(str(path))
    device, call = ctypes.c_void_p, ctypes.POINTER(CCall)
    for name, arguments, result in (
        ("open", (ctypes.POINTER(CParameters), ctypes.POINTER(ctypes.c_void_p)), ctypes.c_int),
        (
            "reference_open_within",
            (ctypes.POINTER(CParameters), ctypes.c_uint64, ctypes.POINTER(ctypes.c_void_p)),
            ctypes.c_int,
        ),
        ("close", (device,), None),
        ("message", (device,), ctypes.c_char_p),
        ("observe", (device, OBSERVER, ctypes.c_void_p), None),
        ("execute", (device, call), ctypes.c_int),
        ("read_counters", (device,), ctypes.POINTER(CCounters)),
    ):
        function = getattr(library, f"cyclecast_{name}")
        function.argtypes, function.restype = arguments, result
    return library


@lru_cache(maxsize=1)
def _kept() -> TemporaryDirectory[str]:
    """A folder that is deleted at the end of the process."""
    return TemporaryDirectory(prefix="cyclecast-")


@lru_cache(maxsize=1)
def reference_objects() -> Sequence[Path]:
    """Object files of the reference driver, compiled on first use."""
    folder = Path(_kept().name)
    for name in REFERENCE:
        (folder / name).write_text(driver_source(name), encoding="utf-8")
    return _compiled(sorted(folder.glob("*.c")), folder, folder)


@lru_cache(maxsize=1)
def reference_library() -> ctypes.CDLL:
    """The reference driver as a loaded library."""
    with TemporaryDirectory(prefix="cyclecast-") as folder:
        library = Path(folder) / "reference.so"
        compile_library([], library, Path(folder), objects=reference_objects())
        return load_library(library)
