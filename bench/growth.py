"""Measure how time and memory grow: with layers (load, tune, place, report, compile), arrays and chips (place).

`python bench/growth.py [CASE ...]` prints CPU seconds and peak memory of a process for each size, and slopes: of a
straight line through all sizes in a log-log plot (least squares), and from the last size but one to the last, which
constant parts do not flatten, but where one more simulation counts as growth. It ends with a note, and exit code 1,
where the first slope is above 1.15 or a verb above its limit. `--before COMMIT` measures that commit, too, and prints
how many times longer it takes at each size. Results are in bench/out/growth.json.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from commits import ROOT, importing, of_this_process, roots
from rich.console import Console
from rich.table import Table

OUT = ROOT / "bench" / "out"
sys.path.insert(0, str(ROOT / "tests"))

SIZES = {
    "identical": (10, 100, 400, 2000),
    "distinct": (10, 30, 100, 300),
    "arrays": (2_016, 16_128, 129_024, 1_032_192),
    "chips": (1, 4, 16, 64, 256, 1024),
}
SLOPE, SECONDS, MEBIBYTES = 1.15, 60, 2000
"""Limits: of a slope, and of a verb; of distinct layers, single ones take up to 20 s to tune."""
SHORT = 0.05
"""CPU seconds that say nothing about growth."""
LONGEST = 1800
"""Seconds of a measurement, after which it has no result."""
Measured = dict[str, tuple[float, int]]
"""CPU seconds of a verb, and the peak of memory until then [MiB]."""


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("cases", nargs="*", default=list(SIZES), help="of " + ", ".join(SIZES))
    arguments.add_argument("--before", metavar="COMMIT", help="measure this commit, too")
    arguments.add_argument("--most", type=int, default=10**9, help="no size above this")
    arguments.add_argument("--one", nargs=2, metavar=("CASE", "SIZE"), help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.one:
        print(json.dumps(measure(given.one[0], int(given.one[1]))))  # noqa: T201 # to the process that asked
        return 0
    with roots(given.before) as commits:
        results, notes = {}, list[str]()
        for case in given.cases:
            sizes = [size for size in SIZES[case] if size <= given.most]
            found = {name: [run(root, case, size) for size in sizes] for name, root in commits.items()}
            results[case] = {"sizes": sizes, **found}
            notes += show(case, sizes, found)
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "growth.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    for note in notes:
        Console().print(note, soft_wrap=True)
    return int(bool(notes))


def run(root: Path, case: str, size: int) -> Measured:
    """One size in a process of its own, by the package of that tree; nothing where that fails or takes too long."""
    command = [sys.executable, __file__, "--one", case, str(size)]
    try:
        done = subprocess.run(command, env=importing(root), capture_output=True, text=True, timeout=LONGEST)
        done.check_returncode()
        return dict(json.loads(done.stdout.splitlines()[-1]))
    except (subprocess.TimeoutExpired, subprocess.CalledProcessError) as error:
        Console(stderr=True).print(f"{case} {size}: {type(error).__name__}", (error.stderr or "")[-500:], markup=False)
        return {}


def measure(case: str, size: int) -> Measured:
    """In this process."""
    return layers(size, case == "distinct") if case in ("identical", "distinct") else chips(case, size)


class Clock:
    """CPU seconds of this process and of those that it waited for, verb by verb."""

    def __init__(self) -> None:
        self.found: Measured = {}

    def __call__(self, verb: str, do: Callable[[], Any]) -> Any:
        begin = of_this_process()
        result = do()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
        self.found[verb] = round(of_this_process() - begin, 3), peak
        return result


def layers(count: int, distinct: bool) -> Measured:
    """A chain of 3 x 3 convolutions of 14 x 14 pixels, all alike or no two alike, on as many chips as hold it."""
    import cyclecast as cc
    from cyclecast import frontend, report  # noqa: F401 # imported before the clock runs
    from networks import Graph

    building = sys.modules[cc.compile.__module__]  # which other commits may have elsewhere
    graph, data, clock = Graph(), "input", Clock()
    channels = widths(count) if distinct else [16] * (count + 1)
    for before, after in pairwise(channels):
        data = graph.relu(graph.conv(data, before, after, 3))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shape = [1, channels[0], 14, 14], [1, channels[-1], 14, 14]
        path = graph.save(folder / "chain.onnx", shape[0], data, shape[1])
        del graph
        network = clock("load", lambda: cc.load(path))
        tuned = clock("tune", lambda: cc.tune(network, cc.Device.load("isaac")))
        placed = clock("place", lambda: cc.place(tuned, chips=None))
        clock("report", lambda: cc.write_report(placed, folder / "report.html"))
        clock("compile", lambda: building.generate(placed, folder / "c"))
    return clock.found


def widths(count: int, values: int = 19) -> list[int]:
    """Channels of which no two follow each other twice, for fewer than 19 x 18 layers."""
    place, found = 0, [0]
    for step in range(1, values):
        for _ in range(values):
            place = (place + step) % values
            found.append(place)
    return [16 + 4 * each for each in found[: count + 1]]


def chips(case: str, size: int) -> Measured:
    """ResNet-18 on a chip of so many arrays, or on so many chips."""
    from cyclecast import Device
    from placed import placed, resnet18

    chip, clock = Device.load("isaac"), Clock()
    if case == "arrays":
        chip = chip.vary("levels.pe.count", size * chip.levels[0].count // chip.arrays)
    clock("place", lambda: placed(resnet18(), chip, chips=size if case == "chips" else 1))
    return clock.found


def show(case: str, sizes: list[int], found: dict[str, list[Measured]]) -> list[str]:
    """A table, and what is above its limit."""
    table, notes = Table(title=case, title_justify="left"), []
    for name in ("", *(f"{size:,}" for size in sizes), "slope", "at the end"):
        table.add_column(name, justify="left" if not name else "right")
    for verb in found["now"][0]:
        each = [of.get(verb) for of in found["now"]]
        before = [of.get(verb) for of in found.get("before", [{}] * len(sizes))]
        cells = [cell(*pair) for pair in zip(each, before, strict=True)]
        points = [(size, of[0]) for size, of in zip(sizes, each, strict=True) if of and of[0] >= SHORT]
        slopes = [slope(points), slope(points[-2:])]
        table.add_row(verb, *cells, *("" if value is None else f"{value:.2f}" for value in slopes))
        notes += [f"{case}, {verb}: grows with n^{value:.2f}" for value in slopes[:1] if value and value > SLOPE]
        for size, of in zip(sizes, each, strict=True):
            if of is None or of[1] > MEBIBYTES or (of[0] > SECONDS and case != "distinct"):
                notes.append(f"{case}, {verb}, {size:,}: {cell(of, None)}, above {SECONDS} s or {MEBIBYTES:,} MiB")
    Console(width=150).print(table)
    return notes


def cell(now: tuple[float, int] | None, before: tuple[float, int] | None) -> str:
    """Seconds, peak of memory, and how many times longer it took before."""
    if now is None:
        return "no result"
    times = f", before {before[0] / max(now[0], 1e-3):.1f}x" if before else ""
    return f"{now[0]:.2f} s, {now[1]:,} MiB{times}"


def slope(points: list[tuple[int, float]]) -> float | None:
    """Of a straight line through these points in a log-log plot; None for fewer than two."""
    if len(points) < 2:
        return None
    size, seconds = np.log(np.array(points)).T
    return float(np.polyfit(size, seconds, 1)[0])


if __name__ == "__main__":
    sys.exit(main())
