"""Devices: what a file says, and what follows from it."""

from cyclecast.device._load import library, load
from cyclecast.device._model import Array, Bits, Device, Level, Pipeline, Write

__all__ = ["Array", "Bits", "Device", "Level", "Pipeline", "Write", "library", "load"]
