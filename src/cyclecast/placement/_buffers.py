"""Inputs that wait in the buffers of PEs, and the shortest period for which the buffers are large enough (A42)."""

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
"""Share of all buffers that a plan may fill."""


class Waiting(NamedTuple):
    """The results of one source that wait for an operator."""

    source: int
    """Position of the source in the network."""
    window: int
    """Live pixels: pixels of the source that the operator keeps at least."""
    wait: int
    """Waiting time of a pixel beside the live pixels [fs]."""
    pixels: int
    """Pixels of the source for one image."""
    size: int
    """Size of all pixels of an image [bytes]."""

    def bytes(self, period: int) -> int:
        """Most bytes that wait at the same time, with one image per period [fs]."""
        return int(ceil_div(self.size * (self.window + ceil_div(self.wait * self.pixels, period)), self.pixels))


def waiting(
    operators: Sequence[Operator],
    needs: Sequence[Sequence[Needs]],
    works: Mapping[int, Work],
    lines: Mapping[int, Line],
    bits: int,
) -> dict[int, list[Waiting]]:
    """The waiting results for every operator of `lines`, by its position; an activation has `bits` bits.

    If the results are reduced on the way, for example by pooling, only the operator's own inputs wait.
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
    """Bytes of an operator's results for one image, with `bits` bits each."""
    workload = operator.workload
    return int(ceil_div(workload.pixels * workload.groups * workload.filters * bits, 8))


def kept_of(
    found: Mapping[int, Sequence[Waiting]],
    works: Mapping[int, Work],
    sites: Mapping[int, Site],
    period: int,
    floor: Floorplan,
) -> tuple[Kept, ...]:
    """The inputs that every operator keeps at this period [fs], and its room."""
    parts = {
        place: tuple((each.source, each.bytes(max(1, period, works[place].time))) for each in waits)
        for place, waits in found.items()
    }
    return shared(parts, sites, floor)


def shared(
    parts: Mapping[int, tuple[tuple[int, int], ...]], sites: Mapping[int, Site], floor: Floorplan
) -> tuple[Kept, ...]:
    """The room of every operator, if all operators share all buffers.

    `parts` has (source, bytes kept) by operator. Every operator gets the bytes that it keeps and an equal part of the
    rest; if all buffers together are too small, rooms are in proportion to the kept bytes. Bytes that the buffers of
    its own PEs cannot hold wait in other PEs.
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
    """The shortest period for which all buffers together are large enough [fs]; 0 if they have no stated size.

    Plans fill only the share `FILLED`, as some operators need more for a while. The live pixels, and as many bytes
    again, are assumed to fit. The period is at most the latency, as then only one image is in the pipeline.
    """
    buffer, every = floor.chip.levels[0].buffer, [each for waits in found.values() for each in waits]
    if buffer is None or not every:
        return 0
    size = FILLED * buffer.bytes * floor.pes * floor.chips
    window = sum(Fraction(each.size * each.window, each.pixels) for each in every)
    longer = sum(each.size * each.wait for each in every)
    return min(latency, int(longer / max(size - window, window)) + 1)
