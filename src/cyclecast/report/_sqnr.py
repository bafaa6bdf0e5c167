"""Quantisation errors of layers, as values and as a table."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.text import Text

from cyclecast.terminal import Table

if TYPE_CHECKING:
    from cyclecast.frontend import LayerError


def sqnr_info(errors: Sequence[LayerError]) -> dict[str, Any]:
    """Every layer, the worst first, and the medians [dB]."""
    layers = [
        {
            "name": layer.name,
            "operator": layer.operator,
            "weights": list(layer.weights),
            "static": layer.static,
            "dynamic": layer.dynamic,
        }
        for layer in sorted(errors, key=lambda layer: layer.static)
    ]
    kinds = ("static", "dynamic")
    medians = {kind: median(getattr(layer, kind) for layer in errors) if errors else None for kind in kinds}
    return {"layers": layers, "median": medians}


def sqnr_table(info: dict[str, Any], worst: int) -> RenderableType:
    """A table of the `worst` layers."""
    if not info["layers"]:
        return Text("no layer has constant float weights")
    table = Table(title="signal over quantisation noise, dB", title_justify="left")
    for column in ("layer", "operator", "weights"):
        table.add_column(column, overflow="fold")
    for column in ("static", "dynamic"):
        table.add_column(column, justify="right")
    for layer in info["layers"][:worst]:
        weights = "x".join(map(str, layer["weights"]))
        table.add_row(layer["name"], layer["operator"], weights, *(f"{layer[kind]:.1f}" for kind in info["median"]))
    medians = ", ".join(f"{kind} {value:.1f} dB" for kind, value in info["median"].items())
    return Group(table, Text(f"median of {len(info['layers'])} layers: {medians}"))
