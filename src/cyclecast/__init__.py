"""An auto-scheduler for chips that do not exist yet."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cyclecast.device import Device
    from cyclecast.errors import CyclecastError
    from cyclecast.frontend import load
    from cyclecast.mapping import Mapping
    from cyclecast.network import Network, Workload
    from cyclecast.placement import Placement
    from cyclecast.report import write_report
    from cyclecast.schedule import Space
    from cyclecast.timing import Timing
    from cyclecast.workflow.building import compile
    from cyclecast.workflow.database import Database
    from cyclecast.workflow.placing import place
    from cyclecast.workflow.tuning import Tuned, estimate, tune

    __version__: str

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
"""onnxruntime reads it when it is imported; by default it keeps events in the home folder and sends them away."""

__all__ = [
    "CyclecastError",
    "Database",
    "Device",
    "Mapping",
    "Network",
    "Placement",
    "Space",
    "Timing",
    "Tuned",
    "Workload",
    "__version__",
    "compile",
    "estimate",
    "load",
    "place",
    "tune",
    "write_report",
]

_ROOMS = {
    "cyclecast.device": ("Device",),
    "cyclecast.errors": ("CyclecastError",),
    "cyclecast.frontend": ("load",),
    "cyclecast.mapping": ("Mapping",),
    "cyclecast.network": ("Network", "Workload"),
    "cyclecast.placement": ("Placement",),
    "cyclecast.report": ("write_report",),
    "cyclecast.schedule": ("Space",),
    "cyclecast.storage.versions": ("__version__",),
    "cyclecast.timing": ("Timing",),
    "cyclecast.workflow.building": ("compile",),
    "cyclecast.workflow.database": ("Database",),
    "cyclecast.workflow.placing": ("place",),
    "cyclecast.workflow.tuning": ("Tuned", "estimate", "tune"),
}
_LAZY = {name: room for room, names in _ROOMS.items() for name in names}
"""Names imported on first use: TVM takes seconds to import, and the command line must react to Ctrl-C before."""


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'cyclecast' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
