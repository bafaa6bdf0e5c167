"""Measure whether the analytical model (L1) ranks mappings as the event simulation (L2) does.

`make bench` runs this and writes bench/out/rank.json: for each of ten layers, Kendall's tau-b of 200 random legal
mappings on ISAAC, and how many of L2's best 3 % are among L1's best 3 %. The seed is fixed; `docs/fidelity.md` states
the result.
"""

from __future__ import annotations

import json
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from cyclecast import Device
from cyclecast.decisions import choices, grant
from cyclecast.mapping import Mapping
from cyclecast.timing import Analytical, EventDriven
from cyclecast.workload import Axis, Kind, Workload

OUT = Path(__file__).parent / "out"
MAPPINGS = 200
BEST = 6
"""3 % of them."""
GOAL = 0.9

LAYERS = {  # name: groups, pixels, filters, reduction
    "ResNet-18 conv1 7x7": (1, 112 * 112, 64, 3 * 49),
    "ResNet-18 layer1 3x3": (1, 56 * 56, 64, 64 * 9),
    "ResNet-18 layer2 3x3": (1, 28 * 28, 128, 128 * 9),
    "ResNet-18 layer4 3x3": (1, 7 * 7, 512, 512 * 9),
    "ResNet-18 dense": (1, 1, 1000, 512),
    "VGG-16 conv1_2 3x3": (1, 224 * 224, 64, 64 * 9),
    "VGG-16 conv4_2 3x3": (1, 28 * 28, 512, 512 * 9),
    "VGG-16 fc8": (1, 1, 1000, 4096),
    "MobileNetV2 expansion 1x1": (1, 56 * 56, 144, 24),
    "MobileNetV2 depthwise 3x3": (144, 56 * 56, 1, 9),
}


def main() -> None:
    OUT.mkdir(exist_ok=True)
    begin = time.perf_counter()
    results = {name: layer(name, *extents) for name, extents in LAYERS.items()}
    seconds = time.perf_counter() - begin
    (OUT / "rank.json").write_text(json.dumps({"seconds": seconds, "layers": results}, indent=2) + "\n", "utf-8")
    show(results, seconds)


def layer(name: str, groups: int, pixels: int, filters: int, reduction: int) -> dict[str, Any]:
    """How the two models agree about the layer's mappings."""
    axes = zip((groups, pixels, filters, reduction), (Kind.GROUP, Kind.PIXEL, Kind.FILTER, Kind.REDUCTION), strict=True)
    workload = Workload(name, tuple(Axis(kind.value, extent, kind) for extent, kind in axes))
    device = Device.load("isaac")
    mappings = sample(workload, device)
    quick = [Analytical().time(mapping, device).total.femtoseconds for mapping in mappings]
    begin = time.process_time()
    simulated = [EventDriven().simulate(mapping, device) for mapping in mappings]
    spent = time.process_time() - begin
    slow = [found.timing.total.femtoseconds for found in simulated]
    return {
        "mappings": len(mappings),
        "tau": tau_b(quick, slow),
        "recall": recall(quick, slow),
        "ratio": float(np.median([long / short for short, long in zip(quick, slow, strict=True)])),
        "error": max(found.error / found.timing.total for found in simulated),
        "seconds": spent / len(mappings),
    }


def sample(workload: Workload, device: Device) -> list[Mapping]:
    """Different mappings that random decisions are granted; fewer where there are not so many."""
    rng, offers, found = random.Random(0), choices(workload, device), dict[Mapping, None]()
    for _ in range(100 * MAPPINGS):
        found[grant(workload, device, {name: rng.choice(values) for name, values in offers.items()})] = None
        if len(found) == MAPPINGS:
            break
    return list(found)


def tau_b(one: list[int], other: list[int]) -> float:
    """Kendall's tau-b: pairs in the same order less those in the other, over the pairs that are no ties."""
    first, second = (np.sign(np.subtract.outer(values, values)) for values in (np.array(one), np.array(other)))
    untied = np.sqrt(float(np.sum(first != 0)) * float(np.sum(second != 0)))
    return float(np.sum(first * second)) / untied if untied else 1.0


def recall(quick: list[int], slow: list[int]) -> float:
    """The share of the slow model's best that the quick one has among its best, those that tie with them included."""
    worst = sorted(quick)[min(BEST, len(quick)) - 1]
    best = sorted(range(len(slow)), key=slow.__getitem__)[:BEST]
    return sum(quick[position] <= worst for position in best) / len(best)


def show(results: dict[str, dict[str, Any]], seconds: float) -> None:
    """The same as a table."""
    table = Table(title=f"L1 against L2 on ISAAC, {seconds:.0f} s", title_justify="left")
    for column in ("", "mappings", "tau-b", "recall of the best 3 %", "L2 / L1", "stated error", "ms a simulation"):
        table.add_column(column, justify="right" if column else "left")
    for name, row in results.items():
        table.add_row(
            name,
            str(row["mappings"]),
            f"{row['tau']:.3f}" + ("" if row["tau"] >= GOAL else " *"),
            f"{row['recall']:.2f}",
            f"{row['ratio']:.3f}",
            f"{100 * row['error']:.2g} %",
            f"{1000 * row['seconds']:.1f}",
        )
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
