"""An auto-scheduler for chips that do not exist yet."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cyclecast.device import Device
    from cyclecast.errors import CyclecastError
    from cyclecast.frontend import load
    from cyclecast.report import write_report
    from cyclecast.workflow.building import build as compile
    from cyclecast.workflow.placing import place
    from cyclecast.workflow.tuning import estimate, tune

__all__ = ["CyclecastError", "Device", "compile", "estimate", "load", "place", "tune", "write_report"]

_LAZY = {
    "CyclecastError": ("cyclecast.errors", "CyclecastError"),
    "Device": ("cyclecast.device", "Device"),
    "compile": ("cyclecast.workflow.building", "build"),
    "estimate": ("cyclecast.workflow.tuning", "estimate"),
    "load": ("cyclecast.frontend", "load"),
    "place": ("cyclecast.workflow.placing", "place"),
    "tune": ("cyclecast.workflow.tuning", "tune"),
    "write_report": ("cyclecast.report", "write_report"),
}
"""Fetched when first used: TVM takes seconds to import, and the command line is to answer Ctrl-C before."""


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'cyclecast' has no attribute '{name}'")
    from importlib import import_module

    module, attribute = _LAZY[name]
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
