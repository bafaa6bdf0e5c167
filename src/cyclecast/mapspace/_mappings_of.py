"""Mappings as arrays, from tilings and the factors of every level and of time: the one builder."""

from __future__ import annotations

from collections.abc import Sequence

from cyclecast._integers import Numbers
from cyclecast.device import Device
from cyclecast.mapping import ManyFactors, ManyLevelFactors, Mappings
from cyclecast.mapspace._tilings import Tilings
from cyclecast.network import Workload


def mappings_of(
    workload: Workload,
    device: Device,
    cut: Tilings,
    levels: Sequence[Sequence[Numbers]],
    temporal: Sequence[Numbers],
    stationary: Numbers,
    ones: Numbers | int = 1,
) -> Mappings:
    """Mapping i has tiling i (whose numbers of tiles are not read), and these factors for each axis of `TILE_AXES`.

    `levels` are in the order of the device's; `stationary` is 0 or 1. `ones`, an array, gives all numbers its length
    where they have one element.
    """

    def factors(along: Sequence[Numbers]) -> ManyFactors:
        return ManyFactors(*(numbers * ones for numbers in along))

    return Mappings(
        workload,
        cut.word_lines * ones,
        cut.filters * ones,
        tuple(ManyLevelFactors(level.name, factors(along)) for level, along in zip(device.levels, levels, strict=True)),
        factors(temporal),
        packed=cut.packed * ones,
        window=tuple(sizes * ones for sizes in cut.window),
        input_stationary=stationary * ones,
    )
