"""Measure the exhaustive search on whole networks: the best mapping of every workload, and the proof of it.

`python bench/networks.py` writes bench/out/networks.json; with `--docs` also docs/optima.md. Each workload is searched
four ways: the default mapping, only sizes and factors that divide what they cut, only im2col, and everything. Each
winner is lowered, read back, and timed again. Seconds are of wall time; machines differ and are noisy.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from cyclecast import Device
from cyclecast.frontend import load
from cyclecast.mapping import Mapping
from cyclecast.mapspace import default_mapping
from cyclecast.network import Network
from cyclecast.report import mapping_text
from cyclecast.schedule import decided_schedule, lowered, read
from cyclecast.search import Exhaustive, Problem, SearchResult, follow
from cyclecast.timing import Analytical
from large_networks import LARGE_NETWORKS
from networks import RESNET18_MACS, resnet18

ROOT = Path(__file__).parent.parent
OUT = ROOT / "bench" / "out"
DOCS = ROOT / "docs" / "optima.md"
NETWORKS = {"resnet18": (resnet18, RESNET18_MACS)} | LARGE_NETWORKS
PLANS = {"perfect": Exhaustive(perfect=True), "im2col": Exhaustive(im2col=True), "best": Exhaustive()}
TITLES = {"resnet18": "ResNet-18", "resnet50": "ResNet-50", "vgg16": "VGG-16", "mobilenet_v2": "MobileNetV2"}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--docs", action="store_true", help="write docs/optima.md")
    arguments.add_argument("names", nargs="*", default=list(NETWORKS), help="of " + ", ".join(NETWORKS))
    chosen = arguments.parse_args()
    OUT.mkdir(exist_ok=True)
    results = {name: measure(name) for name in chosen.names}
    (OUT / "networks.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    for name, result in results.items():
        show(name, result)
    if chosen.docs:
        DOCS.write_text(page(results), encoding="utf-8")


def measure(name: str) -> dict[str, Any]:
    """Search one network; its workloads, and how long all of them took."""
    make, macs = NETWORKS[name]
    with tempfile.TemporaryDirectory() as folder:
        network = load(make(Path(folder) / f"{name}.onnx"))
    assert network.macs == macs
    device = Device.load("isaac")
    begin = time.perf_counter()
    winners = [search(member.workload, device, PLANS["best"]) for member in network.members]
    searched = time.perf_counter() - begin
    begin = time.perf_counter()
    for member, (mapping, cycles, _) in zip(network.members, winners, strict=True):
        check(network.program[member.kernel], mapping, cycles, device)
    return {
        "search": searched,
        "lower": time.perf_counter() - begin,
        "workloads": [row(network, place, winner, device) for place, winner in enumerate(winners)],
    }


def search(workload: Any, device: Device, plan: Exhaustive) -> tuple[Mapping, int, SearchResult]:
    """The best mapping, its cycles, and what the search says about it."""
    problem = Problem(workload=workload, device=device, model=Analytical(), trials=1, seed=0)
    running = plan.start(problem)
    found = [timed.batch[timed.least() or 0] for timed in follow(running, problem)]
    best = min(found, key=lambda mapping: (problem.model.time(mapping, device).total, mapping.arrays))
    return best, problem.model.time(best, device).cycles, running.outcome()


def check(function: Any, mapping: Mapping, cycles: int, device: Device) -> None:
    """Lower the winner: what is read back is the same mapping with the same time."""
    decided = decided_schedule(function, device, mapping).mod
    assert read(decided, device) == mapping
    again = read(lowered(decided, device), device)
    assert again == mapping
    assert Analytical().time(again, device).cycles == cycles


def row(network: Network, place: int, winner: tuple[Mapping, int, SearchResult], device: Device) -> dict[str, Any]:
    """One line of the table."""
    member, (mapping, cycles, outcome) = network.members[place], winner
    certificate = outcome.certificate
    assert certificate is not None
    default = default_mapping(member.workload, device)
    return {
        "workload": member.workload.name,
        "count": member.count,
        "default": Analytical().time(default, device).cycles,
        "perfect": search(member.workload, device, PLANS["perfect"])[1],
        "im2col": search(member.workload, device, PLANS["im2col"])[1],
        "best": cycles,
        "gap": certificate.gap,
        "points": sum(sketch.legal for sketch in outcome.sketches),
        "timed": certificate.timed,
        "mapping": mapping_text(mapping),
    }


COLUMNS = ("default", "perfect", "im2col", "best")


def totals(result: dict[str, Any]) -> list[int]:
    """Cycles of the network, counts included, for each way."""
    return [sum(line["count"] * line[column] for line in result["workloads"]) for column in COLUMNS]


def show(name: str, result: dict[str, Any]) -> None:
    """A table for a terminal."""
    table = Table(title=f"{TITLES[name]} on isaac: cycles of one occurrence", title_justify="left")
    table.add_column("workload", overflow="fold")
    for column in ("count", *COLUMNS, "legal points", "timed"):
        table.add_column(column, justify="right")
    for line in result["workloads"]:
        numbers = [line[column] for column in ("count", *COLUMNS)]
        table.add_row(line["workload"], *map(str, numbers), f"{line['points']:.2g}", f"{line['timed']:,}")
    table.add_row("all", "", *(f"{total:,}" for total in totals(result)), "", "", style="bold")
    Console(width=140).print(table, f"searched in {result['search']:.2f} s, lowered in {result['lower']:.2f} s\n")


def page(results: dict[str, Any]) -> str:
    """docs/optima.md."""
    lines = [
        INTRODUCTION,
        "| network | default | perfect | im2col | best | search | workloads |",
        "|---|" + 6 * "---:|",
    ]
    for name, result in results.items():
        cells = [f"{total:,}" for total in totals(result)]
        lines.append(
            f"| {TITLES[name]} | {' | '.join(cells)} | {result['search']:.1f} s | {len(result['workloads'])} |"
        )
    for name, result in results.items():
        lines += ["", f"## {TITLES[name]}", "", "| workload | count | default | perfect | im2col | best | mapping |"]
        lines.append("|---|" + 5 * "---:|" + "---|")
        for line in result["workloads"]:
            numbers = " | ".join(str(line[column]) for column in ("count", *COLUMNS))
            lines.append(f"| {line['workload']} | {numbers} | {line['mapping'].replace('|', '/')} |")
    return "\n".join(lines) + "\n"


INTRODUCTION = """# Proven optima of whole networks

Cycles on `isaac` (224x224 images, one at a time, the analytical model), one operator after another; written by
`python bench/networks.py --docs`. *default* is the mapping without any search; *perfect* the best of those whose sizes
and factors divide what they cut, of every sketch; *im2col* the best without windows, packed groups and stationary
inputs; *best* the best of all. All but the first are proven: no legal mapping of that space is shorter. Every
winner was lowered, read back as the same mapping, and timed the same.
"""


if __name__ == "__main__":
    main()
