"""Where arrays are, and how far apart."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cyclecast.device import Device
from cyclecast.placement import Floor, Share, Site
from cyclecast.placement._floor import Demand, deal, port_loads, rooms

CHIP = Device.load("isaac").vary_all({"levels.pe.count": 12, "network.rows": 2, "network.cols": 3})
FLOOR = Floor(CHIP, 2)
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


def test_blocks_stay_together_where_there_is_room() -> None:
    sites = deal(FLOOR, {0: (160, 80), 1: (32, 16)})
    assert sites[0].shares == (Share(0, 80), Share(1, 80))
    assert sites[1].shares == (Share(0, 16), Share(1, 16))


def test_arrays_without_blocks_fill_up_in_order() -> None:
    sites = deal(FLOOR, {0: (100, 0), 1: (10, 0)})
    assert sites[0].shares == (Share(0, 96), Share(1, 4))
    assert sites[1].shares == (Share(1, 10),)


def test_blocks_of_one_array_have_a_port_each() -> None:
    """All in one PE they took turns at its port, and `place` was half as fast as a mapping with a PE for each."""
    (site,) = deal(FLOOR, {0: (4, 1)}).values()
    assert site.shares == tuple(Share(pe, 1) for pe in range(4))


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
    floor = Floor(Device.load("tiny"), 1)
    assert floor.links == 0
    assert floor.hops(Site((Share(0, 1),)), Site((Share(1, 1),))) == 0


def test_a_port_is_busy_for_all_who_share_it() -> None:
    sites = {0: Site((Share(0, 48), Share(1, 48))), 1: Site((Share(1, 24),))}
    loads, uses = port_loads(sites, {0: Demand(96, 1000, 10), 1: Demand(12, 300, 4)})
    assert loads == {0: 500, 1: 500 + 600}
    assert uses[0] == (1, 500, 112)  # 150 a step, of which one in four meets nobody
    assert uses[1] == (1, 600, 45)


@given(st.lists(st.integers(0, 5000), min_size=1, max_size=4))
def test_buffers_are_shared_out(kept: list[int]) -> None:
    sites = {place: Site((Share(0, 1), Share(place + 1, 1))) for place in range(len(kept))}
    found = rooms(sites, dict(enumerate(kept)), 4000)
    assert sum(found.values()) <= 4000 * (1 + len(kept))
    if sum(kept) <= 4000:
        assert all(found[place] >= keeps for place, keeps in enumerate(kept))
