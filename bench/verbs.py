"""Measure how long users wait: CPU seconds and peak memory of commands, beside another commit.

`python bench/verbs.py --before COMMIT` writes bench/out/verbs.json. Each command is a process of its own; commits take
turns, and the least time of each counts, of user and system, with all processes that it started. Of two networks:
ResNet-18 (46 MB) through the verbs, first in an empty folder and then once more in the same one, and VGG-16 (553 MB),
which is loaded only. `make demo` is the network of the demo through all verbs, twice.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from commits import ROOT, Spent, importing, roots, spent
from rich.console import Console
from rich.progress import track
from rich.table import Table

sys.path.insert(0, str(ROOT / "tests"))

OUT = ROOT / "bench" / "out"
TUNE = "tune resnet18.onnx --device isaac --out tuned"
COMMANDS = {
    "import everything": [
        "-c", "import cyclecast.cli, cyclecast.report; from cyclecast import compile, load, place, tune"
    ],
    "device check": "device check isaac",
    "tune, without verify": f"{TUNE} --force --no-verify",
    "tune": TUNE,
    "tune again": TUNE,
    "verify": "verify tuned resnet18.onnx",
    "place": "place tuned",
    "report": "report tuned",
    "compile": "compile tuned --out code",
    "load VGG-16": ["-c", "from cyclecast.frontend import load; load('vgg16.onnx')"],
    "demo": ["examples/demo.py"],
    "demo again": ["examples/demo.py"],
}  # fmt: skip
FRESH = {"tune, without verify": "tuned", "tune": "tuned", "demo": "demo-out"}
"""Commands that begin without a folder of an earlier run."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", default=list(COMMANDS), help=f"some of {', '.join(COMMANDS)}")
    parser.add_argument("--before", metavar="COMMIT", help="measure this commit, too")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.write:
        write(options.write)
        return
    with TemporaryDirectory(prefix="cyclecast-") as name, roots(options.before) as found:
        results = measured(options.names, found, Path(name), options.runs)
    OUT.mkdir(exist_ok=True)
    (OUT / "verbs.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    show(results)


def measured(names: list[str], commits: dict[str, Path], folder: Path, runs: int) -> dict[str, dict[str, Spent]]:
    """By command and commit, the least that a run took."""
    subprocess.run([sys.executable, __file__, "--write", folder], check=True)  # a process starts as large as its parent
    places = {commit: folder / commit for commit in commits}
    for commit, place in places.items():
        place.mkdir()
        shutil.copytree(commits[commit] / "examples", place / "examples")
        for network in ("resnet18.onnx", "vgg16.onnx"):
            (place / network).symlink_to(folder / network)
    results: dict[str, dict[str, Spent]] = {name: {} for name in names}
    for _ in track(range(runs), "measuring", console=Console(stderr=True)):
        for name in names:
            for commit, place in places.items():
                if name in FRESH:
                    shutil.rmtree(place / FRESH[name], ignore_errors=True)
                took = spent(_arguments(COMMANDS[name]), place, importing(commits[commit]))
                results[name][commit] = min(took, results[name].get(commit, took))
    return results


def write(folder: Path) -> None:
    """Both networks, with random weights."""
    from large_networks import LARGE_NETWORKS
    from networks import resnet18

    resnet18(folder / "resnet18.onnx")
    LARGE_NETWORKS["vgg16"][0](folder / "vgg16.onnx")


def _arguments(command: Any) -> list[str]:
    ours = ["-m", "cyclecast.cli", *command.split()] if isinstance(command, str) else command
    return [sys.executable, *ours]


def show(results: dict[str, dict[str, Spent]]) -> None:
    """The same as a table, with ratios."""
    table = Table(title="CPU seconds and MiB", title_justify="left")
    for name in ("", "before", "now", "before / now"):
        table.add_column(name, justify="right" if name else "left")
    for name, row in results.items():
        cells = [f"{row[of].seconds:.2f} s, {row[of].mebibytes:,} MiB" if of in row else "" for of in ("before", "now")]
        ratio = f"{row['before'].seconds / row['now'].seconds:.1f}" if len(row) > 1 else ""
        table.add_row(name, *cells, ratio)
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
