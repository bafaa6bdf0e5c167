"""Where arrays are: dealt to the operators in order, block after block, and how far apart that is.

PE stands for an instance of the outermost level. Routers of the mesh are gone through row by row, every other row
backwards, so that what follows in the network is near on the chip.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from cyclecast.device import Device
from cyclecast.exact import ceil_div


class Share(NamedTuple):
    """Arrays in one PE."""

    pe: int
    """Counted over all chips."""
    arrays: int


class Site(NamedTuple):
    """Where the arrays of one operator are."""

    shares: tuple[Share, ...]

    @property
    def arrays(self) -> int:
        """All of them."""
        return sum(share.arrays for share in self.shares)


Places = dict[int, tuple[int, dict[int, int], dict[int, int]]]
"""Of every chip: arrays, those in each row of routers, and in each column."""


@dataclass(frozen=True, slots=True)
class Floor:
    """PEs and routers of some chips of one device."""

    chip: Device
    chips: int
    _routers: dict[int, tuple[int, int, int]] = field(default_factory=dict, repr=False, compare=False)
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
        return {share.pe // self.pes for share in site.shares}

    def router(self, pe: int) -> tuple[int, int, int]:
        """The chip of a PE, and row and column of its router; all in one place where the device states no network."""
        if pe not in self._routers:
            self._routers[pe] = self._router(pe)
        return self._routers[pe]

    def _router(self, pe: int) -> tuple[int, int, int]:
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
        total = 0
        for chip, (arrays, *lines) in one.items():
            for there, (more, *others) in other.items():
                if chip == there:
                    total += sum(_apart(first, second) for first, second in zip(lines, others, strict=True))
                else:
                    total += sum(more * _away(line) for line in lines) + sum(arrays * _away(line) for line in others)
        return total / (source.arrays * target.arrays)

    def _places(self, site: Site) -> Places:
        if site not in self._known:
            self._known[site] = self._counted(site)
        return self._known[site]

    def _counted(self, site: Site) -> Places:
        found: Places = {}
        for pe, arrays in site.shares:
            chip, row, col = self.router(pe)
            known, rows, cols = found.get(chip, (0, {}, {}))
            rows[row], cols[col] = rows.get(row, 0) + arrays, cols.get(col, 0) + arrays
            found[chip] = known + arrays, rows, cols
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


def deal(floor: Floor, blocks: Mapping[int, tuple[int, int]], busy: Mapping[int, int] | None = None) -> dict[int, Site]:
    """Arrays for each operator, one operator after another: so many, in blocks of so many in a PE.

    Each block goes to the next PE that has room for it, as its arrays share the PE's port; when no PE has, it is parted
    among what is free, the next PE first. There are no more arrays in all than the floor has. With blocks of 0 arrays
    all that is free is filled up in order: ports are shared by more, and ways are shorter. With `busy` (how long
    a block of each operator keeps a port busy [fs]) the PE with the least of it comes first.
    """
    count = floor.pes * floor.chips
    free, loads = [floor.arrays_per_pe] * count, [0] * count
    sites, begin = {}, 0
    for place, (arrays, block) in blocks.items():
        order = [*range(begin, count), *range(begin)]
        if busy is not None:
            order.sort(key=loads.__getitem__)
        taken = _taken(order, free, arrays, block)
        for pe, share in taken.items():
            free[pe] -= share
            loads[pe] += ceil_div(busy[place] * share, max(1, block)) if busy else 0
        sites[place] = Site(tuple(Share(pe, taken[pe]) for pe in sorted(taken)))
        begin = next(iter(taken))
    return sites


def _taken(order: Sequence[int], free: Sequence[int], arrays: int, block: int) -> dict[int, int]:
    """Where so many arrays go: a block in each PE with room for one, then whatever is free."""
    taken: dict[int, int] = {}
    for pe in order if block else ():
        share = min(block, arrays)
        if free[pe] >= share:
            taken[pe], arrays = share, arrays - share
            if not arrays:
                return taken
    for pe in order:
        share = min(arrays, free[pe] - taken.get(pe, 0))
        if share:
            taken[pe], arrays = taken.get(pe, 0) + share, arrays - share
            if not arrays:
                break
    return taken


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


def port_loads(sites: Mapping[int, Site], demands: Mapping[int, Demand]) -> tuple[dict[int, int], dict[int, PortUse]]:
    """How long the port of every PE is busy for one image [fs], and what every operator asks of its busiest one."""
    users: dict[int, dict[int, int]] = {}
    for place, site in sites.items():
        for pe, arrays in site.shares if demands[place].busy else ():
            users.setdefault(pe, {})[place] = demands[place].of(arrays)
    loads = {pe: sum(each.values()) for pe, each in users.items()}
    uses = {}
    for place, site in sites.items():
        if demands[place].busy:
            share = max(site.shares, key=lambda each: (loads[each.pe], each.arrays))
            there = users[share.pe]
            steps = [demands[other].wait(time) for other, time in there.items() if other != place]
            uses[place] = PortUse(share.pe, there[place], max(*steps, sum(steps) // 2) if steps else 0)
    return loads, uses


def rooms(sites: Mapping[int, Site], kept: Mapping[int, int], size: int) -> dict[int, int]:
    """The bytes that each operator has in the buffers of its PEs, of so many bytes each.

    What it keeps is spread evenly over its PEs. Those who share a buffer have what they keep, and equal parts of what
    is left; where it is too small, parts in proportion.
    """
    each = {place: kept[place] / len(site.shares) for place, site in sites.items()}
    users: dict[int, list[float]] = {}
    for place, site in sites.items():
        for share in site.shares:
            users.setdefault(share.pe, []).append(each[place])

    def room(pe: int, keeps: float) -> float:
        wanted = sum(users[pe])
        return keeps + (size - wanted) / len(users[pe]) if wanted <= size else keeps * size / wanted

    return {place: int(sum(room(share.pe, each[place]) for share in site.shares)) for place, site in sites.items()}
