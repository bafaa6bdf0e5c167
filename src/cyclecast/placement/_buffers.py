"""Inputs that wait in the buffers of PEs, and the period that the room for them allows (A42)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

from cyclecast._integers import ceil_div
from cyclecast.network import Operator
from cyclecast.placement._base import Kept, part_of
from cyclecast.placement._floorplan import Floorplan, Site, rooms
from cyclecast.placement._pipeline import Line, Needs, Work, waits_of

FILLED = Fraction(3, 4)
"""Of all buffers, what plans count on."""


class Waiting(NamedTuple):
    """What waits for an operator from one of its sources."""

    source: int
    window: int
    """Pixels of the source that it keeps at least."""
    wait: int
    """How long a pixel waits beside that [fs]."""
    pixels: int
    """Of the source, for an image."""
    size: int
    """Of all of these [bytes]."""

    def bytes(self, period: int) -> int:
        """At the same time, with one image in every such period, at most."""
        return int(ceil_div(self.size * (self.window + ceil_div(self.wait * self.pixels, period)), self.pixels))


def waiting(
    operators: Sequence[Operator],
    needs: Sequence[Sequence[Needs]],
    works: Mapping[int, Work],
    lines: Mapping[int, Line],
    bits: int,
) -> dict[int, list[Waiting]]:
    """For every operator of `lines` what waits for it, activations being so wide.

    Of a source that is reduced on its way (by pooling, say) no more is kept than the operator takes in.
    """
    found: dict[int, list[Waiting]] = {place: [] for place in lines}
    waits = waits_of(works, needs, lines)
    for place in lines:
        taken = ceil_div(operators[place].workload.inputs * operators[place].workload.input_bits, 8)
        for need in needs[place]:
            if (need.source, place) in waits:
                size = min(taken, result_bytes(operators[need.source], bits))
                wait = waits[need.source, place]
                found[place].append(Waiting(need.source, need.live_pixels, wait, need.pixels, int(size)))
    return found


def result_bytes(operator: Operator, bits: int) -> int:
    """Results of an operator for one image, each so many bits wide."""
    workload = operator.workload
    return int(ceil_div(workload.pixels * workload.groups * workload.filters * bits, 8))


def kept_of(
    found: Mapping[int, Sequence[Waiting]],
    works: Mapping[int, Work],
    sites: Mapping[int, Site],
    period: int,
    floor: Floorplan,
) -> tuple[Kept, ...]:
    """What every operator keeps at this period [fs], and its room."""
    parts = {
        place: tuple((each.source, each.bytes(max(1, period, works[place].time))) for each in waits)
        for place, waits in found.items()
    }
    return shared(parts, sites, floor)


def shared(
    parts: Mapping[int, tuple[tuple[int, int], ...]], sites: Mapping[int, Site], floor: Floorplan
) -> tuple[Kept, ...]:
    """The room of every operator, of which `parts` says what it keeps, by source [bytes]: all buffers are shared.

    Everybody has what it keeps and an equal part of the rest; where all buffers together are too small, parts in
    proportion. What the buffers of its own PEs do not hold waits elsewhere.
    """
    whole = {place: sum(held for _, held in each) for place, each in parts.items()}
    buffer, total = floor.chip.levels[0].buffer, sum(whole.values())
    if buffer is None:
        return tuple(Kept(place, whole[place], None, each) for place, each in parts.items())
    size = buffer.bytes * floor.pes * floor.chips
    own = rooms(sites, whole, buffer.bytes)

    def room(place: int) -> int:
        return part_of(whole[place], total, len(whole), size)

    return tuple(
        Kept(place, whole[place], room(place), each, max(0, min(whole[place], room(place)) - own[place]))
        for place, each in parts.items()
    )


def room_period(found: Mapping[int, Sequence[Waiting]], floor: Floorplan, latency: int) -> int:
    """The shortest period for which all buffers together are large enough [fs]; 0 where they have no stated size.

    Only a part of them is counted on, as it is not known beforehand who needs more for a while. Windows always fit, and
    as much again. No period is longer than the latency: then there is one image at a time.
    """
    buffer, every = floor.chip.levels[0].buffer, [each for waits in found.values() for each in waits]
    if buffer is None or not every:
        return 0
    size = FILLED * buffer.bytes * floor.pes * floor.chips
    window = sum(Fraction(each.size * each.window, each.pixels) for each in every)
    longer = sum(each.size * each.wait for each in every)
    return min(latency, int(longer / max(size - window, window)) + 1)
