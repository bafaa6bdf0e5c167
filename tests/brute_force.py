"""Small networks on odd chips, and brute-force enumeration of their resident mappings."""

from __future__ import annotations

from itertools import product as every_pair
from typing import Any

import numpy as np

from cyclecast._integers import ceil_div
from cyclecast.device import Device
from cyclecast.mapping import TILE_AXES, Form, ManyFactors, ManyLevelFactors, Mappings
from cyclecast.mapspace._tilings import combinations, windows
from cyclecast.network import Network, Workload
from cyclecast.timing import Analytical
from placed import Build, network

TINY: dict[str, Any] = Device.load("tiny").to_json()
NAMES = ("pe", "cu", "array")


def drawn_device(random: np.random.Generator, ports: bool) -> Device:
    """A device of one to three levels, with few arrays and counts that are mostly no powers of two."""
    counts = random.integers(1, 8, random.integers(1, 4))
    levels: list[dict[str, Any]] = []
    for name, count in zip(NAMES[3 - len(counts) :], counts.tolist(), strict=True):
        level: dict[str, Any] = {"name": name, "count": count}
        if ports and random.random() < 0.5:
            level |= {way: f"{random.choice([1, 2, 20, 200])} MB/s" for way in ("input_bandwidth", "output_bandwidth")}
            level["shared_port"] = bool(random.random() < 0.5)
        if ports and random.random() < 0.3:
            level |= {"merge_bandwidth": f"{random.choice([2, 20])} MB/s", "merge_hop": "1 ns"}
        levels.append(level)
    array = TINY["array"] | {"write": TINY["array"]["write"] | {"during_inference": False}}
    array |= {"rows": int(random.choice([4, 6, 8])), "cols": int(random.choice([4, 8, 12])), "active_rows": 2}
    return Device.from_json(TINY | {"levels": levels, "array": array | {"active_cols": 4, "adc_bits": 8}})


def drawn_network(random: np.random.Generator, operators: int) -> Network:
    """A chain of convolutions, depthwise ones and dense layers with few weights."""
    build, last = Build(), list[int]()
    for _ in range(operators):
        size, channels, filters = (int(random.integers(1, most)) for most in (6, 5, 7))
        match int(random.integers(3)):
            case 0:
                last = [build.conv(last[:0], size, channels, filters, int(random.choice([1, 2, 3])))]
            case 1:
                last = [build.dense(last, int(random.integers(1, 25)), filters)]
            case _:
                build.conv([], size, channels, channels, 1)
                last = [build.depthwise(len(build.operators) - 1, size, channels)]
    return network("drawn", build.operators)


def resident(workload: Workload, device: Device) -> dict[int, int]:
    """Least busy time of the arrays per image [fs], by the number of arrays in use."""
    best: dict[int, int] = {}
    for form in _forms(workload, device):
        mappings = _mappings(workload, device, *form)
        if mappings is None:
            continue
        timings = Analytical().times(mappings, device)
        times = timings.total - timings.phases["fill"] - timings.phases["ends"] - timings.phases["write"]
        for arrays, time in zip(np.asarray(mappings.arrays).tolist(), times.tolist(), strict=True):
            best[arrays] = min(time, best.get(arrays, time))
    return best


def _forms(workload: Workload, device: Device) -> list[tuple[tuple[int, ...], int, int, int]]:
    """Every window, number of packed groups, word lines and filters that fit an array."""
    tall, wide = device.word_lines_per_array, device.filters_per_array
    found = []
    for window in windows(workload, device):
        form = Form(workload, window)
        for packed in range(1, workload.groups + 1):
            lines = range(1, min(form.values, tall // packed) + 1)
            filters = range(1, min(form.results, wide // packed) + 1)
            found += [(window, packed, *sizes) for sizes in every_pair(lines, filters)]
    return found


def _mappings(
    workload: Workload, device: Device, window: tuple[int, ...], packed: int, lines: int, filters: int
) -> Mappings | None:
    """Every mapping that holds all weights in one pass."""
    form = Form(workload, window)
    tiles = ceil_div(workload.groups, packed), ceil_div(form.values, lines), ceil_div(form.results, filters)
    tables = [combinations(level.count) for level in device.levels]
    places = np.indices([len(table) for table in tables]).reshape(len(tables), -1)
    factors = [table[place] for table, place in zip(tables, places, strict=True)]
    spatial = np.multiply.reduce(factors)
    holding = (spatial[:, :3] >= np.array(tiles)).all(axis=1)
    if not holding.any():
        return None
    ones = np.ones(int(holding.sum()), np.int64)
    levels = tuple(
        ManyLevelFactors(level.name, ManyFactors(**dict(zip(TILE_AXES, each[holding].T, strict=True))))
        for level, each in zip(device.levels, factors, strict=True)
    )
    turns = ManyFactors(ones, ones, ones, ceil_div(form.vectors, spatial[holding, 3]))
    sizes = tuple(size * ones for size in window or (1,) * len(workload.slides))
    tile = lines * ones, filters * ones
    return Mappings(workload, *tile, levels, turns, packed=packed * ones, window=sizes, input_stationary=0 * ones)


def least_interval(of: Network, device: Device) -> int | None:
    """Least time of the slowest operator over all combinations of mappings that fit together [fs]."""
    reached: dict[int, int] = {0: 0}  # for so many arrays in use
    known: dict[Workload, dict[int, int]] = {}
    for operator in of.operators:
        ways = known.setdefault(operator.workload, {}) or resident(operator.workload, device)
        known[operator.workload] = ways
        then: dict[int, int] = {}
        for (used, longest), (arrays, time) in every_pair(reached.items(), ways.items()):
            if used + arrays <= device.arrays:
                slowest = max(longest, time)
                then[used + arrays] = min(slowest, then.get(used + arrays, slowest))
        reached = then
    return min(reached.values(), default=None)
