"""Mappings: the tiles of a workload in the arrays of a device and in time; one mapping, or many as arrays."""

from __future__ import annotations

from cyclecast.mapping._batch import ManyFactors, ManyLevelFactors, Mappings
from cyclecast.mapping._losses import loss_of, network_loss
from cyclecast.mapping._mapped import MappedNetwork
from cyclecast.mapping._mapping import (
    MARKS,
    TILE_AXES,
    Factors,
    Form,
    LevelFactors,
    Mapping,
    TileAxis,
    mapping_from_json,
    mapping_text,
    mappings_from_json,
    require_fit,
)

__all__ = [
    "MARKS",
    "TILE_AXES",
    "Factors",
    "Form",
    "LevelFactors",
    "ManyFactors",
    "ManyLevelFactors",
    "MappedNetwork",
    "Mapping",
    "Mappings",
    "TileAxis",
    "loss_of",
    "mapping_from_json",
    "mapping_text",
    "mappings_from_json",
    "network_loss",
    "require_fit",
]
