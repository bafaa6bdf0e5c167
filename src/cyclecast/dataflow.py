"""What an operator of a network needs of the ones before it, pixel by pixel.

An operator's pixels are computed in *raster order*: along its raster axes, the last one fastest. Operators on the host
between two operators of the graph only change what is needed: a pooling window needs more of the one before it, a
softmax over pixels all of it.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from cyclecast.errors import MappingError
from cyclecast.workload import MOST, Along, Edge, Operator, text, whole, workload_from_json


def needed(edge: Edge, source: tuple[int, ...], target: tuple[int, ...], pixel: int) -> int:
    """How many pixels of the source, in raster order, must be there before this pixel of the target is computed.

    `source` and `target` are the rasters of the two; pixels count from 0.
    """
    place = []
    for extent in reversed(target):
        pixel, index = divmod(pixel, extent)
        place.append(index)
    place.reverse()
    last = 0
    for extent, along in zip(source, edge.reach, strict=True):
        index = extent - 1 if along is None else along.scale * place[along.axis] + along.offset
        last = last * extent + min(extent - 1, max(0, index))
    return last + 1


def lines(edge: Edge, source: tuple[int, ...]) -> int:
    """How many pixels of the source one pixel of the target keeps alive: for a window of k x k, k - 1 rows and k."""
    last, whole = 0, 1
    for extent, along in zip(source, edge.reach, strict=True):
        last = last * extent + (extent - 1 if along is None else min(extent - 1, along.span))
        whole *= extent
    return min(whole, last + 1)


def operators_to_json(operators: tuple[Operator, ...]) -> list[dict[str, Any]]:
    """Plain values for JSON; `operators_from_json` is the inverse."""
    return [asdict(operator) for operator in operators]


def operators_from_json(values: list[dict[str, Any]]) -> tuple[Operator, ...]:
    """Rebuild operators from `operators_to_json`; `MappingError` where a number is none or names none."""
    found: list[Operator] = []
    for place, value in enumerate(values):
        where = f"operator {place}"
        raster = tuple(whole(extent, f"{where}: raster") for extent in value["raster"])
        kernel = text(value["kernel"], f"{where}: kernel")
        edges = tuple(_edge(edge, found, len(raster), where) for edge in value["sources"])
        found.append(Operator(kernel, workload_from_json(value["workload"]), raster, edges))
    return tuple(found)


def _edge(value: dict[str, Any], before: list[Operator], axes: int, where: str) -> Edge:
    """What an operator, whose raster has so many axes, needs of one of those before it."""
    source, reach = whole(value["source"], f"{where}: source", 0), value["reach"]
    if source >= len(before) or len(reach) != len(before[source].raster):
        raise MappingError(
            f"{where}: source", f"{source} with {len(reach)} axes", "there is no such operator before it"
        )
    return Edge(source, tuple(along and _along(along, axes, where) for along in reach))


def _along(value: dict[str, Any], axes: int, where: str) -> Along:
    least = {"scale": -MOST, "offset": -MOST}
    found = Along(**{name: whole(number, f"{where}: {name}", least.get(name, 0)) for name, number in value.items()})
    if found.axis >= axes:
        raise MappingError(f"{where}: axis", f"{found.axis}", f"it has {axes} axes")
    return found
