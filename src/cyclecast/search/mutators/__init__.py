"""Mutation rules: each changes some decisions of a candidate to other values on offer."""

from __future__ import annotations

from cyclecast.search.mutators._base import Choices, Mutator, change_one
from cyclecast.search.mutators._level import RebindLevel
from cyclecast.search.mutators._rebind import RebindTiles
from cyclecast.search.mutators._replicate import Replicate
from cyclecast.search.mutators._resize import ResizeTile
from cyclecast.search.mutators._retile import Retile

__all__ = ["Choices", "Mutator", "RebindLevel", "RebindTiles", "Replicate", "ResizeTile", "Retile", "change_one"]
