"""Sketch and annotation rules for CIM devices."""

from __future__ import annotations

from cyclecast.space.rules._bind import Bind
from cyclecast.space.rules._im2col import Im2col

__all__ = ["Bind", "Im2col"]
