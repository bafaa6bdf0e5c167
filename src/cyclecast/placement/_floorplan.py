"""The floorplan: the allocation of arrays to operators, and distances in the mesh of routers.

A PE is an instance of the outermost level. PEs are numbered along the rows of routers, every second row backwards, so
that PEs with near numbers are near on the chip.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, repeat
from typing import NamedTuple

from cyclecast._integers import ceil_div
from cyclecast.device import Device


class PeShare(NamedTuple):
    """The arrays of one operator in one PE."""

    pe: int
    """Number of the PE, over all chips."""
    arrays: int


class Run(NamedTuple):
    """Consecutive PEs with an equal number of arrays of one operator."""

    first: int
    """Number of the first PE, over all chips."""
    pes: int
    arrays: int
    """Arrays in each PE."""


class Site(NamedTuple):
    """The arrays of one operator."""

    runs: tuple[Run, ...]
    """Runs in the order of the PEs; adjacent runs differ in their number of arrays."""

    @classmethod
    def of(cls, runs: Iterable[tuple[int, int, int]]) -> Site:
        """A site from (first PE, number of PEs, arrays in each), in any order; no PE may occur twice."""
        found: list[Run] = []
        for first, count, arrays in sorted(runs):
            if found and found[-1].first + found[-1].pes == first and found[-1].arrays == arrays:
                found[-1] = Run(found[-1].first, found[-1].pes + count, arrays)
            else:
                found.append(Run(first, count, arrays))
        return cls(tuple(found))

    @property
    def shares(self) -> tuple[PeShare, ...]:
        """The arrays in every PE of the site."""
        return tuple(PeShare(run.first + place, run.arrays) for run in self.runs for place in range(run.pes))

    @property
    def pes(self) -> int:
        """Number of PEs of the site."""
        return sum(run.pes for run in self.runs)

    @property
    def arrays(self) -> int:
        """Number of arrays of the site."""
        return sum(run.pes * run.arrays for run in self.runs)


Line = dict[int, int]
"""Counts by row of routers, or by column."""
Places = dict[int, tuple[int, Line, Line]]
"""By chip: number of arrays, arrays by row of routers, arrays by column."""


@dataclass(frozen=True, slots=True)
class Floorplan:
    """The PEs and routers of some equal chips."""

    chip: Device
    chips: int
    _lines: dict[tuple[int, int], tuple[Line, Line]] = field(default_factory=dict, repr=False, compare=False)
    _known: dict[Site, Places] = field(default_factory=dict, repr=False, compare=False)

    @property
    def pes(self) -> int:
        """Number of PEs of one chip."""
        return self.chip.levels[0].count

    @property
    def arrays_per_pe(self) -> int:
        """Number of arrays of one PE."""
        return self.chip.arrays // self.pes

    def chips_of(self, site: Site) -> set[int]:
        """Numbers of the chips of a site."""
        each = (range(run.first // self.pes, (run.first + run.pes - 1) // self.pes + 1) for run in site.runs)
        return set(chain.from_iterable(each))

    def router(self, pe: int) -> tuple[int, int, int]:
        """(Chip, row, column) of the router of a PE; row and column are 0 if the device states no network."""
        chip, place = divmod(pe, self.pes)
        network = self.chip.network
        if network is None:
            return chip, 0, 0
        number = place // ceil_div(self.pes, network.rows * network.cols)
        row, col = divmod(number, network.cols)
        return chip, row, col if row % 2 == 0 else network.cols - 1 - col

    def hops(self, source: Site, target: Site) -> float:
        """Mean distance from an array of the source to an array of the target, in links between routers.

        Between chips the route leads over the first router of each, where the chip's links are. Distances are sums over
        rows and columns, so only the numbers of arrays by row and by column are needed.
        """
        one, other = self._places(source), self._places(target)
        away, back = ({chip: sum(map(_away, lines)) for chip, (_, *lines) in each.items()} for each in (one, other))
        total = source.arrays * sum(back.values()) + target.arrays * sum(away.values())
        for chip in one.keys() & other.keys():
            (arrays, *lines), (more, *others) = one[chip], other[chip]
            total += sum(_apart(first, second) for first, second in zip(lines, others, strict=True))
            total -= arrays * back[chip] + more * away[chip]
        return total / (source.arrays * target.arrays)

    def _places(self, site: Site) -> Places:
        if site not in self._known:
            self._known[site] = self._counted(site)
        return self._known[site]

    def _counted(self, site: Site) -> Places:
        found: Places = {}
        for first, count, arrays in site.runs:
            for chip in range(first // self.pes, (first + count - 1) // self.pes + 1):
                begin, end = max(first, chip * self.pes), min(first + count, (chip + 1) * self.pes)
                known, *lines = found.get(chip, (0, {}, {}))
                for line, many in zip(lines, self._many(begin % self.pes, end - begin), strict=True):
                    for place, pes in many.items():
                        line[place] = line.get(place, 0) + pes * arrays
                found[chip] = known + (end - begin) * arrays, lines[0], lines[1]
        return found

    def _many(self, first: int, count: int) -> tuple[Line, Line]:
        """Numbers of PEs by row and by column of routers, for `count` PEs of a chip from `first` on."""
        found = self._lines.get((first, count))
        if found is None:
            routers = [self.router(pe) for pe in range(first, first + count)]
            found = Counter(row for _, row, _ in routers), Counter(col for _, _, col in routers)
            self._lines[first, count] = found
        return found

    @property
    def links(self) -> int:
        """Number of links between neighbouring routers of one chip; the two directions count as two."""
        network = self.chip.network
        if network is None:
            return 0
        return 2 * (network.rows * (network.cols - 1) + network.cols * (network.rows - 1))


def _apart(one: Mapping[int, int], other: Mapping[int, int]) -> int:
    """Sum of the distances between all pairs, one from each, along rows or columns."""
    return sum(abs(first - second) * a * b for first, a in one.items() for second, b in other.items())


def _away(line: Mapping[int, int]) -> int:
    """Sum of the distances to the first router, along rows or columns."""
    return sum(place * arrays for place, arrays in line.items())


def deal(
    floor: Floorplan, blocks: Mapping[int, tuple[int, int]], busy: Mapping[int, int] | None = None
) -> dict[int, Site]:
    """Allocate arrays to operators, one operator after another.

    `blocks` gives (number of arrays, arrays of a block) by operator; all arrays together must fit into the floor. Each
    block goes to the next PE with room for it, as its arrays share the PE's port. If no PE has room, the block is split
    among the free arrays, the next PE first. With blocks of 0 arrays the free arrays are filled in order: more
    operators share a port, but distances are shorter. With `busy`, the time for which a block of each operator
    occupies a port [fs], the PEs with the least busy ports come first.
    """
    state, begin, sites = [Piece(0, floor.pes * floor.chips, floor.arrays_per_pe, 0)], 0, {}
    for place, (arrays, block) in blocks.items():
        first = _cut(state, begin)
        order = state[first:] + state[:first]
        if busy is not None:
            order.sort(key=lambda piece: piece.load)
        parts, begin = _taken(order, arrays, block)
        sites[place] = Site.of((piece.first, piece.pes, taken) for piece, taken in parts if taken)
        longer = busy[place] if busy else 0
        after = [
            Piece(*piece[:2], piece.free - taken, piece.load + ceil_div(longer * taken, max(1, block)))
            for piece, taken in parts
        ]
        seen = _seen(order, parts)
        if busy is None and first + seen <= len(state):
            state[first : first + seen] = after
        else:
            state = sorted([*after, *order[seen:]])
    return sites


class Piece(NamedTuple):
    """Consecutive PEs with equally many free arrays and equally busy ports."""

    first: int
    pes: int
    free: int
    """Free arrays in each PE."""
    load: int
    """Busy time of the port of each PE [fs]."""

    def parts(self, counts: Sequence[tuple[int, int]]) -> list[tuple[Piece, int]]:
        """The piece split by (number of PEs, arrays taken of each); a rest follows, with no arrays taken."""
        found, first = [], self.first
        for count, taken in (*counts, (self.pes - sum(count for count, _ in counts), 0)):
            if count:
                found.append((Piece(first, count, self.free, self.load), taken))
                first += count
        return found


Parts = list[tuple[Piece, int]]
"""Pieces, and the number of arrays taken of each of their PEs."""


def _cut(state: list[Piece], begin: int) -> int:
    """Split the pieces before PE `begin`; return the position of the piece that begins with it."""
    place = bisect_right(state, begin, key=lambda piece: piece.first) - 1
    first, count, free, load = state[place]
    if first < begin:
        state[place : place + 1] = (
            Piece(first, begin - first, free, load),
            Piece(begin, first + count - begin, free, load),
        )
        return place + 1
    return place


def _taken(order: Sequence[Piece], arrays: int, block: int) -> tuple[Parts, int]:
    """The parts for `arrays` arrays: a block in each PE with room for one, then free arrays; and the first PE."""
    if not block:
        parts = _filled(((piece, 0) for piece in order), arrays)
        return parts, _first(parts)
    parts, left = _in_blocks(order, arrays, block)
    begin = _first(parts)
    if left:
        rest = iter(parts)
        parts = [*_filled(rest, left), *rest]
    return parts, _first(parts) if begin < 0 else begin


def _first(parts: Parts) -> int:
    """The first PE of which arrays are taken; -1 if there is none."""
    return next((piece.first for piece, taken in parts if taken), -1)


def _in_blocks(order: Sequence[Piece], arrays: int, block: int) -> tuple[Parts, int]:
    """A block in each PE with room for one, the last one maybe smaller; and the number of arrays left over."""
    parts: Parts = []
    for piece in order:
        counts = [(min(piece.pes, arrays // block) if piece.free >= block else 0, block)]
        arrays -= counts[0][0] * block
        if 0 < arrays < block and piece.free >= arrays and counts[0][0] < piece.pes:
            counts.append((1, arrays))
            arrays = 0
        parts += piece.parts(counts)
        if not arrays:
            break
    return parts, arrays


def _filled(parts: Iterator[tuple[Piece, int]], arrays: int) -> Parts:
    """The parts with free arrays taken in order, in addition to those already taken."""
    found: Parts = []
    for piece, taken in parts:
        free = piece.free - taken
        many = min(piece.pes, arrays // free) if free else 0
        arrays -= many * free
        counts = [(many, piece.free)]
        if arrays and free and many < piece.pes:
            counts.append((1, taken + arrays))
            arrays = 0
        found += [(part, share or taken) for part, share in piece.parts(counts)]
        if not arrays:
            break
    return found


def _seen(order: Sequence[Piece], parts: Parts) -> int:
    """Number of pieces that the parts come from."""
    left, seen = sum(piece.pes for piece, _ in parts), 0
    while left > 0:
        left, seen = left - order[seen].pes, seen + 1
    return seen


class Demand(NamedTuple):
    """The demand of an operator on the ports of its PEs, for one image."""

    together: int
    """Arrays of its mapping in one PE."""
    busy: int
    """Time for which these arrays occupy the port [fs]."""
    steps: int
    """Number of steps in which they do so."""

    def wait(self, time: int) -> int:
        """Waiting time of others for one of its steps [fs], if all its steps take `time`; 0 for a single step."""
        return time // self.steps * (self.steps - 1) // self.steps

    def of(self, arrays: int) -> int:
        """Time for which `arrays` arrays occupy the port [fs]."""
        return int(ceil_div(self.busy * arrays, self.together))


IDLE = Demand(1, 0, 1)
"""The demand of an operator that does not use a port or unit."""


class PortUse(NamedTuple):
    """Use of the busiest port among an operator's PEs, for one image."""

    pe: int
    own: int
    """Time of the operator itself [fs]."""
    other: int
    """Longest step of another operator there, or half the sum of their steps if that is longer [fs]."""


class PortLoad(NamedTuple):
    """Load of the ports of some consecutive PEs, for one image."""

    first: int
    pes: int
    time: int
    """Busy time of each port [fs]."""


def port_loads(sites: Mapping[int, Site], demands: Mapping[int, Demand]) -> tuple[list[PortLoad], dict[int, PortUse]]:
    """The loads of all busy ports, those of the first operators first; and every operator's use of its busiest port."""
    cuts, cells = cells_of({place: site for place, site in sites.items() if demands[place].busy})
    users: dict[int, dict[int, int]] = {}
    for place, each in cells.items():
        for cell, arrays in each:
            users.setdefault(cell, {})[place] = demands[place].of(arrays)
    loads = {cell: sum(each.values()) for cell, each in users.items()}
    uses = {}
    for place, each in cells.items():
        cell, _ = max(each, key=lambda found: (loads[found[0]], found[1]))
        there, own = users[cell], users[cell][place]
        steps = [demands[other].wait(time) for other, time in there.items() if other != place]
        uses[place] = PortUse(cuts[cell], own, max(*steps, sum(steps) // 2) if steps else 0)
    return [PortLoad(cuts[cell], cuts[cell + 1] - cuts[cell], time) for cell, time in loads.items()], uses


def cells_of(sites: Mapping[int, Site]) -> tuple[list[int], dict[int, list[tuple[int, int]]]]:
    """Cells: maximal runs of PEs that the same operators use.

    Returns the first PE of every cell, followed by the end of the last one; and (cell, arrays in each PE) by operator.
    """
    runs = {place: site.runs for place, site in sites.items()}
    cuts = sorted({cut for each in runs.values() for run in each for cut in (run.first, run.first + run.pes)})
    number = {cut: cell for cell, cut in enumerate(cuts)}
    return cuts, {
        place: [(cell, run.arrays) for run in each for cell in range(number[run.first], number[run.first + run.pes])]
        for place, each in runs.items()
    }


def rooms(sites: Mapping[int, Site], kept: Mapping[int, int], size: int) -> dict[int, int]:
    """Room of every operator in the buffers of its own PEs [bytes]; a buffer has `size` bytes.

    The bytes that an operator keeps are spread evenly over its PEs. The operators that share a buffer get the bytes
    that they keep and equal parts of the rest; if the buffer is too small, parts in proportion to the kept bytes.
    """
    each = {place: kept[place] / site.pes for place, site in sites.items()}
    cuts, cells = cells_of(sites)
    users: dict[int, list[float]] = {}
    for place, found in cells.items():
        for cell, _ in found:
            users.setdefault(cell, []).append(each[place])
    wanted = {cell: sum(keeps) for cell, keeps in users.items()}

    def room(cell: int, keeps: float) -> float:
        whole = wanted[cell]
        return keeps + (size - whole) / len(users[cell]) if whole <= size else keeps * size / whole

    def rooms_of(place: int) -> Iterator[float]:
        for cell, _ in cells[place]:
            yield from repeat(room(cell, each[place]), cuts[cell + 1] - cuts[cell])

    return {place: int(sum(rooms_of(place))) for place in sites}
