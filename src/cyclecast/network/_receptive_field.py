"""Pixels that an operator of a network needs from the operators before it.

An operator's pixels are computed in *raster order*: along its raster axes, the last one fastest. Host operators between
two operators only change the need: a pooling window needs more pixels, a softmax over pixels needs all.
"""

from __future__ import annotations

from dataclasses import asdict

from cyclecast.network._network import Edge, Operator
from cyclecast.storage.reading import Json, read_as


def receptive_field(edge: Edge, source: tuple[int, ...], target: tuple[int, ...], pixel: int) -> int:
    """Number of source pixels, in raster order, that must exist before a target pixel is computed.

    `source` and `target` are the rasters of the two operators; `pixel` counts from 0.
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
    """Number of source pixels that one target pixel keeps alive: for a window of k x k, k - 1 rows and k pixels."""
    last, whole = 0, 1
    for extent, along in zip(source, edge.reach, strict=True):
        last = last * extent + (extent - 1 if along is None else min(extent - 1, along.span))
        whole *= extent
    return min(whole, last + 1)


def operators_to_json(operators: tuple[Operator, ...]) -> list[dict[str, Json]]:
    """Operators as plain values for JSON; `operators_from_json` is the inverse."""
    return [asdict(operator) for operator in operators]


def operators_from_json(values: object) -> tuple[Operator, ...]:
    """Rebuild operators from `operators_to_json`. Raises `ValueError`, which names the wrong field or place."""
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
