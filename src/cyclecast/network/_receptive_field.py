"""What an operator of a network needs of the ones before it, pixel by pixel.

An operator's pixels are computed in *raster order*: along its raster axes, the last one fastest. Operators on the host
between two operators of the graph only change what is needed: a pooling window needs more of the one before it, a
softmax over pixels all of it.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from cyclecast.network._workload import Edge, Operator
from cyclecast.storage.reading import read_as


def receptive_field(edge: Edge, source: tuple[int, ...], target: tuple[int, ...], pixel: int) -> int:
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


def live_pixels(edge: Edge, source: tuple[int, ...]) -> int:
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
    """Rebuild operators from `operators_to_json`; `ValueError` names a field of a wrong type, or a wrong place."""
    operators = read_as(tuple[Operator, ...], values)
    for place, operator in enumerate(operators):
        if min(operator.raster, default=1) < 1:
            raise ValueError(f"operator {place}: its raster is {operator.raster}, extents are at least 1")
        for edge in operator.sources:
            if not 0 <= edge.source < place:
                raise ValueError(f"operator {place}: it needs operator {edge.source}, which is none before it")
            if len(edge.reach) != len(operators[edge.source].raster):
                raise ValueError(f"operator {place}: its reach has another number of axes than operator {edge.source}")
            if not all(along is None or 0 <= along.axis < len(operator.raster) for along in edge.reach):
                raise ValueError(f"operator {place}: its reach names an axis that its raster does not have")
    return operators
