"""Plans of other tools under one evaluator: replicas from PIMCOMP, tiles from ZigZag.

`python 11_plans_of_other_tools.py [MappingResult.txt [complete.json ...]]` reads what PIMCOMP writes to `output/` and
what ZigZag saves for each layer; without files it reads short samples in the same forms. The network is the demo's: a
plan has one number of replicas for each of its operators on arrays.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping
from math import prod
from pathlib import Path
from typing import Any

import cyclecast as cc
from cyclecast.device import Device
from cyclecast.mapping import Mapping as Placed
from cyclecast.mapspace import FILTERS, WORD_LINES, default_mapping, grant
from cyclecast.network import Workload
from cyclecast.workflow import tuning
from text_direction import INPUT, SHAPE, model_file

ROW = re.compile(r"\s*(\d+)\s+(\d+)\s+\d+\s*\|")
"""Of PIMCOMP's table: node, index of the replica, index inside it, then what is in the array group."""
REDUCTION, FILTER = ("C", "FX", "FY"), ("K",)
"""Loop dimensions of ZigZag that lie along word lines and along columns."""


def replicas_of_pimcomp(text: str) -> list[int]:
    """Replicas of every node in order: one more than the largest index in the mapping result."""
    found: dict[int, int] = {}
    for node, index in (map(int, row.groups()) for row in map(ROW.match, text.splitlines()) if row):
        found[node] = max(found.get(node, 0), index + 1)
    return [found[node] for node in sorted(found)]


def tiles_of_zigzag(saved: Mapping[str, Any]) -> tuple[int, int]:
    """Word lines and filters of an array: what ZigZag unrolls over two dimensions of its operational array."""
    spatial = saved["inputs"]["spatial_mapping"]
    unrolled = [pair for dimension in ("D1", "D2") for pair in spatial.get(dimension, {}).items()]

    def along(names: Iterable[str]) -> int:
        return prod(int(factor) for name, factor in unrolled if name in names)

    return along(REDUCTION), along(FILTER)


def mapping_of(workload: Workload, device: Device, tiles: tuple[int, int]) -> Placed:
    """Such tiles as far as the workload and an array allow, in as many arrays as there are."""
    return grant(workload, device, {WORD_LINES: tiles[0], FILTERS: tiles[1]})


def sample_of_pimcomp(pixels: Iterable[int]) -> str:
    """Two replicas of every node with several pixels, in the form of `output/MappingResult.txt`."""
    nodes = [(node, index) for node, count in enumerate(pixels, 1) for index in range(min(2, count))]
    rows = (f"{node:7} {index:6} {0:7} | {0:9} {1:9} {33:10}" for node, index in nodes)
    return "core_0\n   node  r_index  index_r  | AG_index  xbar_num  input_cycle\n" + "\n".join(rows)


SAMPLE_OF_ZIGZAG = '{"inputs": {"spatial_mapping": {"D1": {"K": 32}, "D2": {"C": 8, "FX": 3, "FY": 3}}}}'


def main(arguments: list[str]) -> None:
    device = cc.Device.load("isaac")
    network = cc.load(model_file(), device, shapes={INPUT: SHAPE})
    tuned = tuning.estimate(network, device)
    pixels = [operator.workload.pixels for operator in network.operators if not operator.is_dynamic]
    text = Path(arguments[0]).read_text(encoding="utf-8") if arguments else sample_of_pimcomp(pixels)
    theirs = cc.place(tuned, replicas=replicas_of_pimcomp(text))
    ours = cc.place(tuned, arrays=theirs.arrays)
    print(f"PIMCOMP's replicas: {theirs.interval} in {theirs.arrays:,} arrays; ours in as many: {ours.interval}")

    saved = [Path(name).read_text(encoding="utf-8") for name in arguments[1:]] or [SAMPLE_OF_ZIGZAG]
    tiles = [tiles_of_zigzag(json.loads(each)) for each in saved]
    mappings = {
        member.kernel: mapping_of(member.workload, device, tiles[min(place, len(tiles) - 1)])
        for place, member in enumerate(network.members)
    }
    timed = tuning.estimate(network, device, mappings=mappings)
    usual = {member.kernel: default_mapping(member.workload, device) for member in network.members}
    full = tuning.estimate(network, device, mappings=usual)
    print(f"ZigZag's tiles: {timed.total}; tiles as large as arrays: {full.total}")


if __name__ == "__main__":
    main(sys.argv[1:])
