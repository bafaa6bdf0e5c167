"""Versions of packages, machine and sources, which results depend on."""

from __future__ import annotations

import platform
from contextlib import suppress
from functools import cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = (
    *("cyclecast", "apache-tvm", "apache-tvm-ffi", "numpy", "pillow", "onnx", "onnxscript", "onnxruntime"),
    *("ai-edge-litert", "tflite", "torch"),
)
"""Packages that read networks and samples, compile, or compute values; some are optional."""
SOURCES = (".py", ".c", ".h", ".yaml")
__version__ = version("cyclecast")


@cache
def built_by() -> str:
    """Versions, machine, and a digest of this package's sources."""
    digest = sha256()
    for path in sorted(path for path in Path(__file__).parents[1].rglob("*") if path.suffix in SOURCES):
        digest.update(path.read_bytes())
    found = [f"Python {platform.python_version()}"]
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            found.append(f"{name} {version(name)}")
    return f"{', '.join(found)}, {platform.machine()}, {digest.hexdigest()}"
