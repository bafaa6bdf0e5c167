"""Sketch and annotation rules for CIM devices; each sees the decisions of the rules before it."""

from __future__ import annotations

from cyclecast.device import Device
from cyclecast.schedule._base import Rule
from cyclecast.schedule.rules._bind import BindTiles
from cyclecast.schedule.rules._im2col import Im2col
from cyclecast.schedule.rules._order import Order
from cyclecast.schedule.rules._pack import Pack
from cyclecast.schedule.rules._reduction import SplitReduction
from cyclecast.schedule.rules._replicas import Replicas
from cyclecast.schedule.rules._sizes import TileSizes
from cyclecast.schedule.rules._windows import Windows

__all__ = [
    "BindTiles",
    "Im2col",
    "Order",
    "Pack",
    "Replicas",
    "SplitReduction",
    "TileSizes",
    "Windows",
    "annotation_rules",
    "sketch_rules",
]


def sketch_rules(device: Device) -> list[Rule]:
    """All sketch rules, in their order."""
    return [Im2col(), Windows(device), Pack(device), Order(device)]


def annotation_rules(device: Device) -> list[Rule]:
    """All annotation rules."""
    return [TileSizes(device), SplitReduction(device), BindTiles(device), Replicas(device)]
