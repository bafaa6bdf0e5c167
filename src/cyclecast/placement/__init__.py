"""Placements: a whole network in the arrays of some chips."""

from __future__ import annotations

from cyclecast.placement._base import (
    Busy,
    Check,
    DynamicCost,
    Kept,
    Limit,
    Placement,
    Point,
    Segment,
    Stage,
    Stall,
    Told,
    Wear,
    system,
)
from cyclecast.placement._event import simulate
from cyclecast.placement._floor import Floor, Share, Site
from cyclecast.placement._place import place
from cyclecast.placement._sensitivity import Change, next_changes

__all__ = [
    "Busy",
    "Change",
    "Check",
    "DynamicCost",
    "Floor",
    "Kept",
    "Limit",
    "Placement",
    "Point",
    "Segment",
    "Share",
    "Site",
    "Stage",
    "Stall",
    "Told",
    "Wear",
    "next_changes",
    "place",
    "simulate",
    "system",
]
