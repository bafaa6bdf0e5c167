"""What no mapping with at least so much to do is shorter than, asked of the timing model itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from cyclecast.device import Device
from cyclecast.enumeration import Numbers, Tilings
from cyclecast.errors import CyclecastError
from cyclecast.mapping import TILE_AXES, Factors, LevelFactors, Mapping
from cyclecast.mappings import ManyFactors, ManyLevelFactors, Mappings
from cyclecast.timing import TimingModel
from cyclecast.workload import Axis, Kind, Workload

PIXEL = TILE_AXES.index("pixel")
AT_ONCE = 1 << 14
"""Mappings in a chunk: what bounds memory, and what caches of a processor hold."""


def factors_of(along: Iterable[Numbers]) -> ManyFactors:
    """One factor for each axis, in the order of `TILE_AXES`."""
    return ManyFactors(**dict(zip(TILE_AXES, along, strict=True)))


def mappings_of(
    workload: Workload,
    device: Device,
    cut: Tilings,
    levels: Sequence[ManyFactors],
    temporal: Any,
    stationary: Numbers,
    ones: Numbers,
) -> Mappings:
    """Mappings with arrays of the length of `ones`."""
    names = (level.name for level in device.levels)
    return Mappings(
        workload,
        cut.word_lines * ones,
        cut.filters * ones,
        tuple(ManyLevelFactors(name, factors) for name, factors in zip(names, levels, strict=True)),
        ManyFactors(*(turns * ones for turns in temporal)),
        cut.packed * ones,
        tuple(sizes * ones for sizes in cut.window),
        stationary * ones,
    )


class Floor:
    """Lower bounds by the timing model itself: an array alone, with so many turns."""

    def __init__(self, workload: Workload, device: Device, model: TimingModel, most: int) -> None:
        self.workload, self.device, self.model, self.most = workload, device, model, most
        self.many = getattr(model, "times", None)
        self.calls = 0
        """Of a model that times one mapping at a time."""

    def times(self, cut: Tilings, passes: Any, stationary: Numbers, steps: Numbers, held: Any = 1) -> Numbers:
        """For each tiling with its passes and steps along the pixels: no mapping with as many is shorter [fs].

        So many arrays are `held` at a time by one copy of the weights, at least.
        """
        if self.many is None:
            turns = np.stack([*passes, steps]).T.tolist()
            found = [self._alone(cut, place, turns[place], bool(stationary[place])) for place in range(len(cut))]
            return np.array(found, dtype=object)
        totals = []
        for first in range(0, len(cut), AT_ONCE):
            some = slice(first, first + AT_ONCE)
            ones = np.ones(len(steps[some]), np.int64)
            alone = [ManyFactors(ones, ones, ones, ones)] * len(self.device.levels)
            turns = [numbers[some] for numbers in (*passes, steps)]
            relaxed = mappings_of(self.workload, self.device, cut[some], alone, turns, stationary[some], ones)
            relaxed.use(held[some] if isinstance(held, np.ndarray) else held * ones)
            totals.append(self.many(relaxed, self.device).total)
        return np.concatenate(totals) if totals else np.zeros(0, np.int64)

    def _alone(self, cut: Tilings, place: int, turns: list[int], stationary: bool) -> int:
        """The time of a workload that is one array's share: full tiles, but the last of several along an axis."""
        whole = self.workload
        tile = [int(sizes[place]) for sizes in (cut.packed, cut.word_lines, cut.filters)]
        extents = [size if count == 1 else size * (count - 1) + 1 for size, count in zip(tile, turns, strict=False)]
        kinds = zip((Kind.GROUP, Kind.REDUCTION, Kind.FILTER, Kind.PIXEL), (*extents, turns[PIXEL]), strict=True)
        axes = tuple(Axis(kind.value, extent, kind) for kind, extent in kinds)
        if self.calls >= self.most:
            return 0
        workload = Workload(whole.name, axes, whole.input_bits, whole.weight_bits)
        levels = tuple(LevelFactors(level.name, Factors()) for level in self.device.levels)
        mapping = Mapping(
            workload, tile[1], tile[2], levels, Factors(*turns), tile[0], (), stationary and turns[PIXEL] > 1
        )
        self.calls += 1
        try:
            return self.model.time(mapping, self.device).total.femtoseconds
        except CyclecastError:  # a mapping that the model refuses bounds nothing
            return 0
