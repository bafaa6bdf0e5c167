"""Where arrays are, and how far apart."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cyclecast.device import Device
from cyclecast.placement import Floorplan, PeShare, Site
from cyclecast.placement._floorplan import Demand, deal, port_loads, rooms

CHIP = Device.load("isaac").vary_all({"levels.pe.count": 12, "network.rows": 2, "network.cols": 3})
FLOOR = Floorplan(CHIP, 2)
ALL = 2 * CHIP.arrays


@st.composite
def blocks(draw: st.DrawFn) -> dict[int, tuple[int, int]]:
    """Arrays and the size of a block of some operators that fit together."""
    found, left = {}, ALL
    for place in range(draw(st.integers(1, 6))):
        arrays = draw(st.integers(1, 700))
        if arrays <= left:
            found[place], left = (arrays, draw(st.integers(1, min(96, arrays)))), left - arrays
    return found or {0: (1, 1)}


@given(blocks())
def test_everybody_gets_arrays_that_nobody_else_has(wanted: dict[int, tuple[int, int]]) -> None:
    sites = deal(FLOOR, wanted)
    assert {place: site.arrays for place, site in sites.items()} == {place: n for place, (n, _) in wanted.items()}
    used: Counter[int] = Counter()
    for site in sites.values():
        assert len({share.pe for share in site.shares}) == len(site.shares)
        used.update({share.pe: share.arrays for share in site.shares})
    assert max(used.values()) <= FLOOR.arrays_per_pe
    assert max(used) < FLOOR.pes * FLOOR.chips


def pe_by_pe(wanted: dict[int, tuple[int, int]], busy: dict[int, int] | None) -> dict[int, tuple[tuple[int, int], ...]]:
    """`deal`, with a look at every PE for every operator."""
    count = FLOOR.pes * FLOOR.chips
    free, loads, begin, found = [FLOOR.arrays_per_pe] * count, [0] * count, 0, {}
    for place, (arrays, block) in wanted.items():
        order = [*range(begin, count), *range(begin)]
        if busy is not None:
            order.sort(key=loads.__getitem__)
        taken: dict[int, int] = {}
        for in_blocks, pe in product((True, False), order):
            room = free[pe] - taken.get(pe, 0)
            share = min(arrays, block if in_blocks else room)
            if share and room >= share:
                taken[pe], arrays = taken.get(pe, 0) + share, arrays - share
        for pe, share in taken.items():
            free[pe] -= share
            loads[pe] += -(-busy[place] * share // max(1, block)) if busy else 0
        found[place], begin = tuple(sorted(taken.items())), next(iter(taken))
    return found


@given(blocks(), st.booleans(), st.data())
def test_pes_in_a_row_are_dealt_as_one_by_one(
    wanted: dict[int, tuple[int, int]], dense: bool, data: st.DataObject
) -> None:
    busy = {place: data.draw(st.integers(0, 3)) for place in wanted} if data.draw(st.booleans()) else None
    if dense:
        wanted = {place: (arrays, 0) for place, (arrays, _) in wanted.items()}
    sites = deal(FLOOR, wanted, busy)
    assert {place: site.shares for place, site in sites.items()} == pe_by_pe(wanted, busy)
    for site in sites.values():
        assert Site.of((share.pe, 1, share.arrays) for share in site.shares) == site
        assert site.pes == len(site.shares)


@given(blocks(), st.data())
def test_ports_are_loaded_as_one_by_one(wanted: dict[int, tuple[int, int]], data: st.DataObject) -> None:
    sites = deal(FLOOR, wanted)
    demands = {place: Demand(data.draw(st.integers(1, 9)), data.draw(st.integers(0, 99)), 3) for place in sites}
    each = {
        place: {share.pe: demands[place].of(share.arrays) for share in site.shares} for place, site in sites.items()
    }
    wanted_loads = Counter[int]()
    for place, times in each.items():
        wanted_loads.update(times if demands[place].busy else {})
    loads, uses = port_loads(sites, demands)
    assert {pe: load.time for load in loads for pe in range(load.first, load.first + load.pes)} == wanted_loads
    if loads:
        assert max(loads, key=lambda load: load.time).first == max(wanted_loads, key=wanted_loads.__getitem__)
    for place, use in uses.items():
        busiest = max(sites[place].shares, key=lambda share: (wanted_loads[share.pe], share.arrays))
        assert (use.pe, use.own) == (busiest.pe, each[place][busiest.pe])


def test_a_thousand_chips_are_a_few_runs() -> None:
    """As many steps for a thousand chips as for one."""
    many = Floorplan(CHIP, 1000)
    sites = deal(many, {place: (many.arrays_per_pe * many.pes * 45 + place, 96) for place in range(20)})
    assert sum(len(site.runs) for site in sites.values()) < 100
    assert max(len(site.runs) for site in deal(many, {0: (1000 * 1000, 7), 1: (99, 3)}, {0: 5, 1: 9}).values()) < 5


def test_blocks_stay_together_where_there_is_room() -> None:
    sites = deal(FLOOR, {0: (160, 80), 1: (32, 16)})
    assert sites[0].shares == (PeShare(0, 80), PeShare(1, 80))
    assert sites[1].shares == (PeShare(0, 16), PeShare(1, 16))


def test_arrays_without_blocks_fill_up_in_order() -> None:
    sites = deal(FLOOR, {0: (100, 0), 1: (10, 0)})
    assert sites[0].shares == (PeShare(0, 96), PeShare(1, 4))
    assert sites[1].shares == (PeShare(1, 10),)


def test_blocks_of_one_array_have_a_port_each() -> None:
    """All in one PE they took turns at its port, and `place` was half as fast as a mapping with a PE for each."""
    (site,) = deal(FLOOR, {0: (4, 1)}).values()
    assert site.shares == tuple(PeShare(pe, 1) for pe in range(4))


@given(blocks())
def test_hops_are_the_mean_over_all_pairs(wanted: dict[int, tuple[int, int]]) -> None:
    sites = deal(FLOOR, wanted)
    one, other = sites[0], sites[max(sites)]

    def way(source: int, target: int) -> int:
        (chip, row, col), (there, down, right) = FLOOR.router(source), FLOOR.router(target)
        return abs(row - down) + abs(col - right) if chip == there else row + col + down + right

    total = sum(a.arrays * b.arrays * way(a.pe, b.pe) for a, b in product(one.shares, other.shares))
    assert FLOOR.hops(one, other) == pytest.approx(total / (one.arrays * other.arrays))


def test_every_router_has_as_many_pes_and_neighbours_follow() -> None:
    routers = [FLOOR.router(pe) for pe in range(FLOOR.pes)]
    assert set(Counter(routers).values()) == {2}
    ways = [abs(a[1] - b[1]) + abs(a[2] - b[2]) for a, b in pairwise(routers)]
    assert max(ways) == 1
    assert FLOOR.router(FLOOR.pes)[0] == 1
    assert FLOOR.links == 14


def test_a_device_without_a_network_has_no_distances() -> None:
    floor = Floorplan(Device.load("tiny"), 1)
    assert floor.links == 0
    assert floor.hops(Site.of([(0, 1, 1)]), Site.of([(1, 1, 1)])) == 0


def test_a_port_is_busy_for_all_who_share_it() -> None:
    sites = {0: Site.of([(0, 2, 48)]), 1: Site.of([(1, 1, 24)])}
    loads, uses = port_loads(sites, {0: Demand(96, 1000, 10), 1: Demand(12, 300, 4)})
    assert loads == [(0, 1, 500), (1, 1, 500 + 600)]
    assert uses[0] == (1, 500, 112)  # 150 a step, of which one in four meets nobody
    assert uses[1] == (1, 600, 45)


@given(st.lists(st.integers(0, 5000), min_size=1, max_size=4))
def test_buffers_are_shared_out(kept: list[int]) -> None:
    sites = {place: Site.of([(0, 1, 1), (place + 1, 1, 1)]) for place in range(len(kept))}
    found = rooms(sites, dict(enumerate(kept)), 4000)
    assert sum(found.values()) <= 4000 * (1 + len(kept))
    if sum(kept) <= 4000:
        assert all(found[place] >= keeps for place, keeps in enumerate(kept))
