"""Networks as C sources with a driver interface; they build and run without Python."""

from __future__ import annotations

import cyclecast._tvm as _door  # noqa: F401 - first of all, TVM must be one that works
from cyclecast.csource._library import Library
from cyclecast.csource._plan import Tensor
from cyclecast.csource._project import Generated, write_project

__all__ = ["Generated", "Library", "Tensor", "write_project"]
