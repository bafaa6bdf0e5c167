"""Compile lowered networks for this machine."""

from __future__ import annotations

import cyclecast._tvm as _door  # noqa: F401 - first of all, TVM must be one that works
from cyclecast.executable._executable import Executable, build_program, load_executable

__all__ = ["Executable", "build_program", "load_executable"]
