"""Mutation rules: each changes one decision of a candidate to another legal one."""

from __future__ import annotations

from cyclecast.search.mutators._base import Choices, Mutator, change_one
from cyclecast.search.mutators._level import RebindLevel
from cyclecast.search.mutators._rebind import RebindTiles
from cyclecast.search.mutators._replicate import Replicate
from cyclecast.search.mutators._resize import ResizeTile
from cyclecast.search.mutators._retile import Retile

__all__ = ["Choices", "Mutator", "RebindLevel", "RebindTiles", "Replicate", "ResizeTile", "Retile", "change_one"]
