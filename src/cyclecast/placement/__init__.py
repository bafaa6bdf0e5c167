"""Placements: a whole network in the arrays of one or more chips."""

from __future__ import annotations

from cyclecast.placement._base import (
    Bottleneck,
    Busy,
    Check,
    DynamicCost,
    Kept,
    ParetoPlacement,
    Placement,
    Segment,
    Stage,
    Stall,
    Told,
    Wear,
    system,
)
from cyclecast.placement._event import simulate
from cyclecast.placement._floorplan import Floorplan, PeShare, Site
from cyclecast.placement._place import place
from cyclecast.placement._sensitivity import Change, next_changes

__all__ = [
    "Bottleneck",
    "Busy",
    "Change",
    "Check",
    "DynamicCost",
    "Floorplan",
    "Kept",
    "ParetoPlacement",
    "PeShare",
    "Placement",
    "Segment",
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
