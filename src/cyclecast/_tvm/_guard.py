"""What must be true of the installed TVM before its first use; importing this module makes it so."""

from __future__ import annotations

import sys
import types
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from cyclecast.errors import OptionError

FIRST_BROKEN_FFI = (0, 1, 15)
"""From here on any serialisation of a TVM 0.27 object crashes the process."""

TENSOR_INTRINSICS = "tvm.s_tir.tensor_intrin"
"""TVM's own hardware intrinsics; MetaSchedule imports them all, which takes half a minute of parsing."""


def require_good_ffi() -> None:
    """Raise `OptionError` when TVM is missing, or its FFI package is one that crashes it."""
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
    """Import TVM, which imports PyTorch wherever that is installed: two seconds, 200 MB.

    It takes tensors of PyTorch then, which nobody here gives it. A program that has imported PyTorch itself keeps that.
    """
    if "torch" in sys.modules or "tvm_ffi" in sys.modules:
        return
    sys.modules["torch"] = None  # type: ignore[assignment] # which makes importing it an ImportError
    try:
        import tvm.relax  # noqa: F401
    finally:
        del sys.modules["torch"]


def replace_hardware_intrinsics() -> None:
    """Put an empty package in the place of TVM's hardware intrinsics, unless somebody has loaded them.

    Each of them is imported as usual: `from tvm.s_tir.tensor_intrin import cuda`.
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
    """Have Ctrl-C inside a function that TVM calls leave TVM as what it is, not as a `RuntimeError` without words."""
    from tvm_ffi import register_error

    register_error("KeyboardInterrupt", KeyboardInterrupt)


require_good_ffi()
import_tvm_without_torch()
let_interrupts_through()
replace_hardware_intrinsics()
