"""A mapping in one line."""

from __future__ import annotations

from cyclecast.mapping import TILE_AXES, Mapping

MARKS = {"group": "g", "row": "r", "column": "c", "pixel": "p"}
"""One letter for each axis, as mappings are written in one line."""


def mapping_text(mapping: Mapping) -> str:
    """A mapping in one line: window, tile, packed groups, the factors above 1 from the arrays outwards, the order."""
    parts = ["x".join(map(str, mapping.window)) + " window"] if mapping.window else []
    parts.append(f"{mapping.word_lines}x{mapping.filters}")
    if mapping.packed > 1:
        parts.append(f"{mapping.packed} packed")
    for name, factors in [*((e.level, e.factors) for e in reversed(mapping.levels)), ("time", mapping.temporal)]:
        above_one = [f"{MARKS[axis]}{factors.along(axis)}" for axis in TILE_AXES if factors.along(axis) > 1]
        if above_one:
            parts.append(f"{name} {' '.join(above_one)}")
    if mapping.input_stationary:
        parts.append("input-stationary")
    return " | ".join(parts)
