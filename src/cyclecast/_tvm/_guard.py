"""Preparations of the installed TVM before its first use; importing this module runs most of them."""

from __future__ import annotations

import sys
import types
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from cyclecast.errors import OptionError

FIRST_BROKEN_FFI = (0, 1, 15)
"""First version of the FFI package in which any serialisation of a TVM 0.27 object crashes the process."""

TENSOR_INTRINSICS = "tvm.s_tir.tensor_intrin"
"""Package of TVM's own hardware intrinsics; MetaSchedule imports all of them, which takes half a minute."""


def require_good_ffi() -> None:
    """Raise `OptionError` if TVM is not installed, or if its FFI package has a version that crashes it."""
    try:
        installed = version("apache-tvm-ffi")
    except PackageNotFoundError:
        raise OptionError("TVM", "it is not installed", lever="pip install 'cyclecast[tvm]'") from None
    if tuple(int(part) for part in installed.split(".")[:3]) >= FIRST_BROKEN_FFI:
        raise OptionError(
            "apache-tvm-ffi",
            f"version {installed} is installed",
            "TVM 0.27 crashes with 0.1.15 and later",
            "pip install 'apache-tvm-ffi<0.1.15'",
        )


def import_tvm_without_torch() -> None:
    """Import TVM without PyTorch, which TVM imports if it is installed: two seconds, 200 MB.

    TVM then accepts no tensors of PyTorch; cyclecast passes none. If PyTorch or TVM is imported already, do nothing.
    """
    if "torch" in sys.modules or "tvm_ffi" in sys.modules:
        return
    sys.modules["torch"] = None  # type: ignore[assignment] # `import torch` then raises ImportError
    try:
        import tvm.relax  # noqa: F401
    finally:
        del sys.modules["torch"]


def replace_hardware_intrinsics() -> None:
    """Replace TVM's package of hardware intrinsics by an empty one, unless it is imported already.

    A single module of it can still be imported: `from tvm.s_tir.tensor_intrin import cuda`.
    """
    if TENSOR_INTRINSICS in sys.modules:
        return
    import tvm.s_tir

    found = find_spec(TENSOR_INTRINSICS)
    empty = types.ModuleType(TENSOR_INTRINSICS)
    empty.__path__ = list(found.submodule_search_locations or ()) if found else []
    sys.modules[TENSOR_INTRINSICS] = empty
    tvm.s_tir.tensor_intrin = empty


def let_interrupts_through() -> None:
    """Let a KeyboardInterrupt of a function that TVM calls pass unchanged; else it becomes an empty `RuntimeError`."""
    from tvm_ffi import register_error

    register_error("KeyboardInterrupt", KeyboardInterrupt)


require_good_ffi()
import_tvm_without_torch()
let_interrupts_through()
replace_hardware_intrinsics()
