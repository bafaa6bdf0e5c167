"""Builds mappings as arrays from tilings, spatial factors of every level, and temporal factors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

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
    """n mappings: mapping i has tiling i of `cut`, without its numbers of tiles, and element i of every factor.

    `levels` has the factors of each level of the device, outermost first, by axis of `TILE_AXES`; `temporal` those in
    time. `stationary` is 0 or 1. An array `ones` of shape (n,) extends arrays of one element to n mappings; arrays of
    that shape are taken as they are.
    """

    def each(numbers: Numbers) -> Numbers:
        return numbers if np.shape(numbers) == np.shape(ones) else numbers * ones

    def factors(along: Sequence[Numbers]) -> ManyFactors:
        return ManyFactors(*map(each, along))

    return Mappings(
        workload,
        each(cut.word_lines),
        each(cut.filters),
        tuple(ManyLevelFactors(level.name, factors(along)) for level, along in zip(device.levels, levels, strict=True)),
        factors(temporal),
        packed=each(cut.packed),
        window=tuple(map(each, cut.window)),
        input_stationary=each(stationary),
    )
