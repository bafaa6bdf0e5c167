"""The door to TVM: the only modules, with those of the rows above, that may import it."""

from __future__ import annotations

from cyclecast._tvm import _guard as _guard
