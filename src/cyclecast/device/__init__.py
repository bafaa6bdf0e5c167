"""Devices: the description of a chip, its file format, and its breakdowns by component."""

from cyclecast.device._breakdown import Breakdown, Share
from cyclecast.device._doubts import Doubt, doubts, load_doubted
from cyclecast.device._file import library
from cyclecast.device._parts import (
    Array,
    Bits,
    Component,
    Dynamic,
    Encoding,
    Event,
    Host,
    Inputs,
    Level,
    Mesh,
    OperationClass,
    Pipeline,
    Unit,
    Write,
)
from cyclecast.device._schema import Device

__all__ = [
    "Array",
    "Bits",
    "Breakdown",
    "Component",
    "Device",
    "Doubt",
    "Dynamic",
    "Encoding",
    "Event",
    "Host",
    "Inputs",
    "Level",
    "Mesh",
    "OperationClass",
    "Pipeline",
    "Share",
    "Unit",
    "Write",
    "doubts",
    "library",
    "load_doubted",
]
