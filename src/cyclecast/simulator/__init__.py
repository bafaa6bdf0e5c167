"""Behaviour models: what the device computes, and the states it may be in while it does."""

from __future__ import annotations

from cyclecast.simulator._crossbar import Array, State
from cyclecast.simulator._run import Chip

__all__ = ["Array", "Chip", "State"]
