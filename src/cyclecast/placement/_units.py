"""Pareto mappings of operators with digital units behind them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from cyclecast.mapping import Factors, LevelFactors, Mapping
from cyclecast.placement._pareto_mappings import ParetoMappings

SPREAD = ("pixel", "column", "group")
"""Axes whose factors may move outwards; row tiles stay together, as their sums are added up."""


def with_units(
    options: ParetoMappings, digital: Callable[[Mapping], int], alone: Callable[[Mapping], int], most: int
) -> ParetoMappings:
    """The Pareto front with the times of digital units.

    `digital` and `alone` give the times of a mapping on units, and on arrays and ports [fs]. Where units take the most
    time, the same tiles and replicas are also tried on more instances of the outermost level, `most` at most, whose
    units then share the work: on the fewest with which arrays take longer than units, else on the most.
    """
    found: list[tuple[int, int, int, Mapping]] = []
    for arrays, time, mapping in zip(options.arrays, options.times, options.mappings, strict=True):
        on_units = digital(mapping)
        found.append((arrays, max(time, on_units), len(found), mapping))
        wider = None
        for wider in spread(mapping, most) if on_units > time else ():
            on_units = digital(wider)
            if on_units <= time:
                break
        if wider is not None:
            found.append((arrays, max(alone(wider), on_units), len(found), wider))
    kept: list[tuple[int, int, int, Mapping]] = []
    for each in sorted(found):
        if not kept or each[1] < kept[-1][1]:
            kept.append(each)
    return replace(
        options,
        arrays=[each[0] for each in kept],
        times=[each[1] for each in kept],
        mappings=tuple(each[3] for each in kept),
    )


def spread(mapping: Mapping, most: int) -> Iterator[Mapping]:
    """The same tiles and replicas on ever more instances of the outermost level, `most` at most."""
    levels = list(mapping.levels)
    for axis in SPREAD:
        for inner in range(1, len(levels)):
            factor = getattr(levels[inner].factors, axis)
            room = most // levels[0].factors.product
            moved = max((part for part in range(1, factor + 1) if factor % part == 0 and part <= room), default=1)
            if moved > 1:
                levels[0] = _times(levels[0], axis, moved, 1)
                levels[inner] = _times(levels[inner], axis, 1, moved)
                yield replace(mapping, levels=tuple(levels))


def _times(entry: LevelFactors, axis: str, more: int, less: int) -> LevelFactors:
    factors: Factors = replace(entry.factors, **{axis: getattr(entry.factors, axis) * more // less})
    return LevelFactors(entry.level, factors)
