"""The door to TVM: only modules of this room and of the rows above may import it."""

from __future__ import annotations

from cyclecast._tvm import _guard as _guard
