"""An auto-scheduler for chips that do not exist yet."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from cyclecast.device import Device
from cyclecast.errors import CyclecastError

if TYPE_CHECKING:
    from cyclecast.building import build as compile
    from cyclecast.frontend import load
    from cyclecast.placing import place
    from cyclecast.report import write_report
    from cyclecast.tuning import estimate, tune

__all__ = ["CyclecastError", "Device", "compile", "estimate", "load", "place", "tune", "write_report"]

_LAZY = {
    "compile": ("cyclecast.building", "build"),
    "estimate": ("cyclecast.tuning", "estimate"),
    "load": ("cyclecast.frontend", "load"),
    "place": ("cyclecast.placing", "place"),
    "tune": ("cyclecast.tuning", "tune"),
    "write_report": ("cyclecast.report", "write_report"),
}
"""Names that need TVM, which takes seconds to import: fetched when first used."""


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'cyclecast' has no attribute '{name}'")
    module, attribute = _LAZY[name]
    return getattr(import_module(module), attribute)
