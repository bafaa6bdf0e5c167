"""Measure how close the evolutionary search comes to the proven optimum: every workload of ResNet-18, five seeds.

`make bench` runs this and writes bench/out/evolution.json. 200 trials each; a gap is the share by which the best time
found is above the least of all mappings. `docs/search.md` states the result.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from cyclecast import Device
from cyclecast.frontend import load
from cyclecast.search import Evolution, Exhaustive, Problem, Random, Strategy, begin, follow
from cyclecast.timing import Analytical
from cyclecast.tuning import problem
from networks import resnet18

OUT = Path(__file__).parent / "out"
TRIALS = 200
SEEDS = range(5)
GOAL = 0.05


def main() -> None:
    OUT.mkdir(exist_ok=True)
    device = Device.load("isaac")
    with tempfile.TemporaryDirectory() as folder:
        network = load(resnet18(Path(folder) / "resnet18.onnx"))
    results = {}
    for member in network.members:
        ask = partial(problem, member, network.program[member.kernel], device, Analytical(), trials=TRIALS)
        least = shortest(Exhaustive(), ask(seed=0))
        start = time.process_time()
        found = [shortest(Evolution(), ask(seed=seed)) for seed in SEEDS]
        seconds = (time.process_time() - start) / len(SEEDS)
        drawn = [shortest(Random(), ask(seed=seed)) for seed in SEEDS]
        results[member.workload.name] = {
            "least_fs": least,
            "evolution": [time / least - 1 for time in found],
            "random": [time / least - 1 for time in drawn],
            "seconds": seconds,
        }
    (OUT / "evolution.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    show(results)


def shortest(strategy: Strategy, asked: Problem) -> int:
    """The shortest time that the strategy finds [fs]."""
    batches = follow(begin(strategy, asked), asked)
    timed = (asked.model.time(batch.batch[batch.least() or 0], asked.device) for batch in batches)
    return min(timing.total.femtoseconds for timing in timed)


def show(results: dict[str, Any]) -> None:
    """A line for each workload: the gap of every seed, and the time of a search."""
    table = Table(title=f"gap to the least time after {TRIALS} trials, seeds 0 to {len(SEEDS) - 1}")
    for column in ("workload", "evolution", "worst", "random, worst", "CPU time of a search"):
        table.add_column(column, justify="left" if column == "workload" else "right")
    for name, result in results.items():
        gaps = ", ".join(f"{gap:.1%}" for gap in result["evolution"])
        worst, drawn = max(result["evolution"]), max(result["random"])
        style = "red" if worst > GOAL else ""
        table.add_row(name, gaps, f"{worst:.1%}", f"{drawn:.1%}", f"{result['seconds']:.1f} s", style=style)
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
