"""`place` against brute force, on small chips with odd counts that are nearly full."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from brute_force import drawn_device, drawn_network, least_interval, resident
from cyclecast.device import Device
from cyclecast.errors import FitError
from cyclecast.network import Axis, Kind, Network, Operator, Workload
from cyclecast.placement import Placement
from cyclecast.placement._pareto_mappings import pareto_mappings
from cyclecast.timing import Analytical
from placed import network, placed

FEW, MANY, BLOCK = 50, 2150, 50


def blocks(count: int) -> list[range]:
    return [range(first, first + BLOCK) for first in range(0, count, BLOCK)]


def placement(of: Network, device: Device) -> Placement | None:
    try:
        return placed(of, device)
    except FitError:
        return None


def check_front(seed: int) -> None:
    """With ports, merging, windows and packing: every point of the front, and the bounds."""
    random = np.random.default_rng(seed)
    device = drawn_device(random, ports=True)
    for operator in drawn_network(random, 1).operators:
        best, front = resident(operator.workload, device), list[tuple[int, int]]()
        for arrays in sorted(best):
            if not front or best[arrays] < front[-1][1]:
                front.append((arrays, best[arrays]))
        found = pareto_mappings(operator.workload, device, Analytical(), device.arrays)
        assert list(zip(found.arrays, found.times, strict=True) if found else ()) == front, seed
        if found:
            assert found.least_time == front[-1][1]
            assert found.least_work == min(arrays * time for arrays, time in front)


def check_interval(seed: int) -> None:
    """Without ports that operators share; with them, bounds are below."""
    random = np.random.default_rng(seed)
    ports = bool(seed % 2)
    device, of = drawn_device(random, ports), drawn_network(random, int(random.integers(1, 4)))
    least, found = least_interval(of, device), placement(of, device)
    assert (found is None) == (least is None), seed
    if found is None or least is None:
        return
    if ports and len(of.operators) > 1:
        assert found.interval.femtoseconds >= least, seed
    else:
        # the simulation may prefer a plan that is longer by the closed form
        assert min(point.interval for point in found.front).femtoseconds == least, seed
        assert ports or found.interval.femtoseconds == least, seed
    assert all(bound.time <= found.interval for bound in found.bounds), seed
    assert all(bound.time.femtoseconds <= least for bound in found.bounds if bound.what in ("workload", "work")), seed
    assert found.gain is None or found.gain >= 1, seed
    assert found.independent is None or found.independent >= found.interval or (len(of.operators) > 1 and ports), seed


@pytest.mark.parametrize("seeds", blocks(FEW), ids=str)
def test_place_is_as_good_as_brute_force(seeds: range) -> None:
    for seed in seeds:
        check_front(seed)
        check_interval(seed)


@pytest.mark.long
@pytest.mark.parametrize("seeds", blocks(MANY), ids=str)
def test_place_is_as_good_as_brute_force_in_many_cases(seeds: range) -> None:
    for seed in seeds:
        check_front(FEW + seed)
        check_interval(FEW + seed)


SEVEN = (("pe", 7), ("cu", 2), ("array", 3))


def test_a_smaller_tiling_may_take_more_arrays() -> None:
    """7 x 17 -> 3 on 7 x 2 x 3 arrays: three row tiles in two column tiles fill a PE, five in one do not."""
    levels = [{"name": name, "count": count} for name, count in SEVEN]
    tiny: dict[str, Any] = Device.load("tiny").to_json()
    device = Device.from_json(tiny | {"levels": levels, "array": tiny["array"] | {"active_rows": 4}})
    axes = Axis("p", 7, Kind.PIXEL), Axis("f", 3, Kind.FILTER), Axis("k", 17, Kind.REDUCTION)
    workload = Workload("dense 7x17 -> 3", axes)
    found = placed(network("seven", [Operator("dense", workload, (7,), ())]), device)
    assert found.interval.femtoseconds == min(resident(workload, device).values()) == 160 * 10**6
    assert max(bound.time for bound in found.bounds) <= found.interval
