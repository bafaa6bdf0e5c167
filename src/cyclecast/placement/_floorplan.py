"""Where arrays are: dealt to the operators in order, block after block, and how far apart that is.

PE stands for an instance of the outermost level. Routers of the mesh are gone through row by row, every other row
backwards, so that what follows in the network is near on the chip.
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
    """Arrays in one PE."""

    pe: int
    """Counted over all chips."""
    arrays: int


class Run(NamedTuple):
    """PEs in a row that have as many arrays each."""

    first: int
    """Counted over all chips."""
    pes: int
    arrays: int
    """In each of them."""


class Site(NamedTuple):
    """Where the arrays of one operator are."""

    runs: tuple[Run, ...]
    """In the order of the PEs, as few as possible."""

    @classmethod
    def of(cls, runs: Iterable[tuple[int, int, int]]) -> Site:
        """From first PE, number of PEs and arrays in each, in any order, no PE twice."""
        found: list[Run] = []
        for first, count, arrays in sorted(runs):
            if found and found[-1].first + found[-1].pes == first and found[-1].arrays == arrays:
                found[-1] = Run(found[-1].first, found[-1].pes + count, arrays)
            else:
                found.append(Run(first, count, arrays))
        return cls(tuple(found))

    @property
    def shares(self) -> tuple[PeShare, ...]:
        """The arrays in every PE."""
        return tuple(PeShare(run.first + place, run.arrays) for run in self.runs for place in range(run.pes))

    @property
    def pes(self) -> int:
        """Count of PEs that have arrays of it."""
        return sum(run.pes for run in self.runs)

    @property
    def arrays(self) -> int:
        """All of them."""
        return sum(run.pes * run.arrays for run in self.runs)


Line = dict[int, int]
"""Count in each row of routers, or in each column."""
Places = dict[int, tuple[int, Line, Line]]
"""Of every chip: arrays, those in each row of routers, and in each column."""


@dataclass(frozen=True, slots=True)
class Floorplan:
    """PEs and routers of some chips of one device."""

    chip: Device
    chips: int
    _lines: dict[tuple[int, int], tuple[Line, Line]] = field(default_factory=dict, repr=False, compare=False)
    _known: dict[Site, Places] = field(default_factory=dict, repr=False, compare=False)

    @property
    def pes(self) -> int:
        """Of one chip."""
        return self.chip.levels[0].count

    @property
    def arrays_per_pe(self) -> int:
        """In each of them."""
        return self.chip.arrays // self.pes

    def chips_of(self, site: Site) -> set[int]:
        """The chips that have arrays of the site."""
        each = (range(run.first // self.pes, (run.first + run.pes - 1) // self.pes + 1) for run in site.runs)
        return set(chain.from_iterable(each))

    def router(self, pe: int) -> tuple[int, int, int]:
        """The chip of a PE, and row and column of its router; all in one place where the device states no network."""
        chip, place = divmod(pe, self.pes)
        network = self.chip.network
        if network is None:
            return chip, 0, 0
        number = place // ceil_div(self.pes, network.rows * network.cols)
        row, col = divmod(number, network.cols)
        return chip, row, col if row % 2 == 0 else network.cols - 1 - col

    def hops(self, source: Site, target: Site) -> float:
        """The mean way from an array of the source to one of the target, in links between routers.

        To another chip and from it, a way leads over the first router, where the links are. Rows and columns add up, so
        it is enough to know how many arrays are in each of them.
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
        """PEs in each row of routers, and in each column, of so many PEs of a chip from the first on."""
        found = self._lines.get((first, count))
        if found is None:
            routers = [self.router(pe) for pe in range(first, first + count)]
            found = Counter(row for _, row, _ in routers), Counter(col for _, _, col in routers)
            self._lines[first, count] = found
        return found

    @property
    def links(self) -> int:
        """Links between neighbouring routers of one chip, both ways counted apart."""
        network = self.chip.network
        if network is None:
            return 0
        return 2 * (network.rows * (network.cols - 1) + network.cols * (network.rows - 1))


def _apart(one: Mapping[int, int], other: Mapping[int, int]) -> int:
    return sum(abs(first - second) * a * b for first, a in one.items() for second, b in other.items())


def _away(line: Mapping[int, int]) -> int:
    return sum(place * arrays for place, arrays in line.items())


def deal(
    floor: Floorplan, blocks: Mapping[int, tuple[int, int]], busy: Mapping[int, int] | None = None
) -> dict[int, Site]:
    """Arrays for each operator, one operator after another: so many, in blocks of so many in a PE.

    Each block goes to the next PE that has room for it, as its arrays share the PE's port; when no PE has, it is parted
    among what is free, the next PE first. There are no more arrays in all than the floor has. With blocks of 0 arrays
    all that is free is filled up in order: ports are shared by more, and ways are shorter. With `busy` (how long
    a block of each operator keeps a port busy [fs]) the PE with the least of it comes first.
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
    """PEs in a row that are as free and as busy."""

    first: int
    pes: int
    free: int
    """Arrays in each of them."""
    load: int
    """Busy time of their ports [fs]."""

    def parts(self, counts: Sequence[tuple[int, int]]) -> list[tuple[Piece, int]]:
        """So many of the PEs and so many arrays of each, one part after another; no arrays of what is left."""
        found, first = [], self.first
        for count, taken in (*counts, (self.pes - sum(count for count, _ in counts), 0)):
            if count:
                found.append((Piece(first, count, self.free, self.load), taken))
                first += count
        return found


Parts = list[tuple[Piece, int]]
"""PEs, and the arrays that are taken of each."""


def _cut(state: list[Piece], begin: int) -> int:
    """The place of the piece that begins with this PE, cut off from the one before."""
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
    """Where so many arrays go: a block in each PE with room for one, then whatever is free; and the first PE."""
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
    """The first PE of which arrays are taken; -1 for none."""
    return next((piece.first for piece, taken in parts if taken), -1)


def _in_blocks(order: Sequence[Piece], arrays: int, block: int) -> tuple[Parts, int]:
    """A block in each PE with room for one, the last perhaps smaller; and the arrays that are left over."""
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
    """All that is free, part after part, beside what is taken already."""
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
    """Count of the pieces that the parts are of."""
    left, seen = sum(piece.pes for piece, _ in parts), 0
    while left > 0:
        left, seen = left - order[seen].pes, seen + 1
    return seen


class Demand(NamedTuple):
    """What one image asks of the ports of an operator's PEs."""

    together: int
    """Arrays that its mapping has in one PE,"""
    busy: int
    """and how long these keep the port busy [fs],"""
    steps: int
    """in so many steps."""

    def wait(self, time: int) -> int:
        """How long others wait for a step, if all take so long; who takes only one step is done before they come."""
        return time // self.steps * (self.steps - 1) // self.steps

    def of(self, arrays: int) -> int:
        """How long so many arrays do [fs]."""
        return int(ceil_div(self.busy * arrays, self.together))


class PortUse(NamedTuple):
    """What an operator asks of the port of the busiest of its PEs."""

    pe: int
    own: int
    """For one image, by the operator alone [fs]."""
    other: int
    """The longest step of another operator there, or half of one of each, if that is longer [fs]."""


class PortLoad(NamedTuple):
    """Busy time of the ports of some PEs in a row, for one image."""

    first: int
    pes: int
    time: int
    """[fs]"""


def port_loads(sites: Mapping[int, Site], demands: Mapping[int, Demand]) -> tuple[list[PortLoad], dict[int, PortUse]]:
    """The ports of all PEs that are busy, those of the first operators first, and what every operator asks of one.

    It is the busiest of those that it uses.
    """
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
    """PEs in a row that the same operators use, as cells: where each begins, and the cells and arrays of operators.

    After the last cell stands where it ends.
    """
    runs = {place: site.runs for place, site in sites.items()}
    cuts = sorted({cut for each in runs.values() for run in each for cut in (run.first, run.first + run.pes)})
    number = {cut: cell for cell, cut in enumerate(cuts)}
    return cuts, {
        place: [(cell, run.arrays) for run in each for cell in range(number[run.first], number[run.first + run.pes])]
        for place, each in runs.items()
    }


def rooms(sites: Mapping[int, Site], kept: Mapping[int, int], size: int) -> dict[int, int]:
    """The bytes that each operator has in the buffers of its PEs, of so many bytes each.

    What it keeps is spread evenly over its PEs. Those who share a buffer have what they keep, and equal parts of what
    is left; where it is too small, parts in proportion.
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
