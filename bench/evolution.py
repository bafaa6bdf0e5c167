"""Measure how close the evolutionary search comes to the proven optimum: devices x 18 workloads x three seeds.

`make bench` runs this and writes bench/out/evolution.json. The workloads are the 12 of ResNet-18 and six others. A gap
is the share by which the best time of 200 trials is above the least time of all mappings, under the same timing model.
A device that cannot hold a workload gets more instances of its outermost level; the name in the table says how many.
`docs/search.md` states the result.

    python bench/evolution.py [DEVICE ...] [--seeds N] [--only PART_OF_A_WORKLOAD_NAME]
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from cyclecast import Device
from cyclecast.errors import FitError
from cyclecast.frontend import load
from cyclecast.mapspace import default_mapping
from cyclecast.network import Member, Network, Workload
from cyclecast.search import Evolution, Exhaustive, Problem, Random, Strategy, begin, follow
from cyclecast.timing import Analytical
from cyclecast.workflow.job import problem
from networks import Graph, resnet18

OUT = Path(__file__).parent / "out"
DEVICES = ("isaac", "hermes64", "jia2020", "puma", "neurram")
TRIALS = 200
SEEDS = 3
GOAL = 0.05


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the evolutionary search against the proven optimum.")
    parser.add_argument("devices", nargs="*", default=DEVICES)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--only", default="")
    given = parser.parse_args()
    OUT.mkdir(exist_ok=True)
    results: dict[str, Any] = {}
    for name in given.devices:
        results[name] = measured(Device.load(name), given.seeds, given.only)
        (OUT / "evolution.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
        show(name, results[name])
    summarise(results)


def measured(device: Device, seeds: int, only: str) -> dict[str, Any]:
    """The gaps of both strategies that draw, and the seconds of an evolution, by workload."""
    results = {}
    for network, member in members(device):
        if only not in member.workload.name:
            continue
        roomy = with_room(device, member.workload)
        ask = partial(problem, member, network.program[member.kernel], roomy, Analytical(), trials=TRIALS)
        least, gap = shortest(Exhaustive(), ask(seed=0))
        start = time.process_time()
        found = [shortest(Evolution(), ask(seed=seed))[0] for seed in range(seeds)]
        seconds = (time.process_time() - start) / seeds
        drawn = [shortest(Random(), ask(seed=seed))[0] for seed in range(seeds)]
        results[label(member.workload, device, roomy)] = {
            "least_fs": least,
            "unproven": gap,
            "evolution": [time / least - 1 for time in found],
            "random": [time / least - 1 for time in drawn],
            "seconds": seconds,
        }
    return results


def members(device: Device) -> Iterator[tuple[Network, Member]]:
    """The workloads, with the bits of the device."""
    bits = {"activation_bits": device.bits.activation, "weight_bits": device.bits.weight}
    with tempfile.TemporaryDirectory() as folder:
        for write in (resnet18, *OTHERS):
            network = load(write(Path(folder) / "network.onnx"), **bits)
            yield from ((network, member) for member in network.members)


def one_layer(channels: int, filters: int, kernel: int, size: int, *, stride: int = 1, groups: int = 1) -> Any:
    """From a path to an ONNX file of one convolution."""

    def write(path: Path) -> Path:
        graph = Graph()
        made = graph.conv("input", channels, filters, kernel, stride, groups)
        return graph.save(path, [1, channels, size, size], made, None)

    return write


def one_dense(path: Path) -> Path:
    """A dense layer of one vector."""
    graph = Graph()
    return graph.save(path, [1, 2048], graph.dense("input", 2048, 1000), None)


OTHERS = (
    one_layer(3, 32, 3, 224, stride=2),  # the first layer of MobileNetV2
    one_layer(96, 96, 3, 56, groups=96),  # depthwise
    one_layer(24, 144, 1, 56),  # an expansion
    one_layer(48, 64, 5, 28),  # 5x5, as in Inception
    one_layer(320, 320, 3, 20),  # many channels, as in a detector
    one_dense,
)


def with_room(device: Device, workload: Workload) -> Device:
    """The device with its outermost level doubled until it holds the workload."""
    outermost = device.levels[0]
    while True:
        try:
            default_mapping(workload, device)
        except FitError:
            device = device.vary(f"levels.{outermost.name}.count", 2 * device.levels[0].count)
        else:
            return device


def label(workload: Workload, device: Device, roomy: Device) -> str:
    """The workload's name, and what the device got to hold it."""
    level = roomy.levels[0]
    return workload.name if roomy == device else f"{workload.name}, {level.count} {level.name}s"


def shortest(strategy: Strategy, asked: Problem) -> tuple[int, float]:
    """The shortest time that the strategy finds [fs], and the share of it that is unproven."""
    search = begin(strategy, asked)
    least = min(timed.value(place)[0] for timed in follow(search, asked) if (place := timed.least()) is not None)
    certificate = search.outcome().certificate
    return least, certificate.gap if certificate else 1.0


def show(device: str, results: dict[str, Any]) -> None:
    """A line for each workload: the gap of every seed, and the time of a search."""
    table = Table(title=f"{device}: gap to the least time after {TRIALS} trials")
    for column in ("workload", "least", "evolution", "worst", "random, worst", "CPU time of a search"):
        table.add_column(column, justify="left" if column == "workload" else "right")
    for name, result in results.items():
        gaps = ", ".join(f"{gap:.1%}" for gap in result["evolution"])
        worst, drawn = max(result["evolution"]), max(result["random"])
        least = f"{result['least_fs'] / 1e9:.4g} us"
        seconds = f"{result['seconds']:.1f} s"
        style = "red" if worst > GOAL or result["unproven"] else ""
        table.add_row(name, least, gaps, f"{worst:.1%}", f"{drawn:.1%}", seconds, style=style)
    Console(width=140).print(table)


def summarise(results: dict[str, Any]) -> None:
    """A line for each device: what `docs/search.md` states."""
    table = Table(title=f"gap to the least time after {TRIALS} trials, all workloads and seeds")
    for column in ("device", "runs", "worst", "median", f"within {GOAL:.0%}", "at the optimum", "random, worst"):
        table.add_column(column, justify="left" if column == "device" else "right")
    for device, found in results.items():
        gaps = [gap for result in found.values() for gap in result["evolution"]]
        drawn = max(gap for result in found.values() for gap in result["random"])
        near, at = sum(gap <= GOAL for gap in gaps), sum(gap == 0 for gap in gaps)
        row = (f"{max(gaps):.1%}", f"{statistics.median(gaps):.1%}", str(near), str(at), f"{drawn:.1%}")
        table.add_row(device, str(len(gaps)), *row)
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
