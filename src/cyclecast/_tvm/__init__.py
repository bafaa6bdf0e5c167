"""The door to TVM: the only modules, with the rest of row 6, that may import it."""

from __future__ import annotations

from cyclecast._tvm import _guard as _guard
