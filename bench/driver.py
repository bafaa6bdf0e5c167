"""Measure generated C: how long writing, building and running ResNet-8 takes, and what skipping the bits gains.

`make bench` runs this and writes bench/out/driver.json. The gain is a ratio of two runs of the same program on the same
inputs: the behaviour model bit by bit, and its lossless fast path. The network runs on one PE, where few arrays are
programmed, and on the whole chip, where most of the time goes into programming replicas. CPU time of the program.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parent
sys.path.insert(0, str(ROOT.parent / "tests"))

OUT = ROOT / "out"
RUNS = 5
TILE = (128, 32)
ARRAYS = 960


def main() -> None:
    OUT.mkdir(exist_ok=True)
    results = {"full_tile": full_tile()} | {name: resnet8(pes) for name, pes in (("one PE", 1), ("whole chip", 168))}
    (OUT / "driver.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    show(results)


def resnet8(pes: int) -> dict[str, Any]:
    """ResNet-8 of MLPerf Tiny, generated, built and run with the behaviour model."""
    import c_projects
    from cyclecast.device import Device
    from cyclecast.frontend import load
    from cyclecast.workflow.building import compile, generate
    from cyclecast.workflow.tuning import tune

    with TemporaryDirectory() as name:
        folder = Path(name)
        device = Device.load("isaac").vary("levels.pe.count", pes)
        tuned = tune(load(c_projects.mlperf_tiny("image_classification", folder)), device)
        image = np.random.default_rng(0).integers(-128, 128, (1, 32, 32, 3), "int8")
        begin = time.perf_counter()
        project = generate(tuned, folder / "c").folder
        written = time.perf_counter()
        c_projects.make(project)
        built = time.perf_counter()
        expected = c_projects.joined(compile(tuned)(image))
        equal = all(c_projects.run(project, [image], *fast) == expected for fast in ((), ("--fast",)))
        seconds = {fast: min(cpu_time(project, fast) for _ in range(RUNS)) for fast in ((), ("--fast",))}
    return {
        "write_s": written - begin,
        "build_s": built - written,
        "bit_serial_s": seconds[()],
        "fast_s": seconds[("--fast",)],
        "ratio": seconds[()] / seconds[("--fast",)],
        "equal": equal,
    }


def cpu_time(project: Path, options: tuple[str, ...]) -> float:
    """Seconds of processor time of one run of the program."""
    process = subprocess.Popen(
        ["./network", "input.bin", "output.bin", *options], cwd=project, stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_utime + usage.ru_stime


def full_tile() -> dict[str, Any]:
    """Products of one array, 128 word lines x 32 filters of 8 bits, as the library does them."""
    from cyclecast.device import Device
    from cyclecast.simulator import Call, Driver, Operation, parameters

    device, random = Device.load("isaac"), np.random.default_rng(0)
    lines, filters = TILE
    weights, inputs = random.integers(-128, 128, TILE), random.integers(-128, 128, lines)
    arrays = list(product(range(ARRAYS // 96), range(12), range(8)))
    seconds, sums = {}, {}
    for fast in (False, True):
        with Driver.open(parameters(device, fast=fast)) as driver:
            for array in arrays:
                driver.execute(Call(Operation.PROGRAM, array, count=lines, filters=filters, values=weights))
                driver.execute(Call(Operation.TO_READ, array))
            driver.execute(Call(Operation.SEND, count=lines, values=inputs))
            for node in sorted({array[:depth] for array in arrays for depth in (1, 2)}):
                driver.execute(Call(Operation.MOVE, node, count=1))
            spent = []
            for _ in range(RUNS):
                for array in arrays:
                    driver.execute(Call(Operation.STREAM, array))
                    driver.execute(Call(Operation.START, array))
                begin = time.process_time()
                driver.execute(Call(Operation.WAIT))
                spent.append(time.process_time() - begin)
            seconds[fast] = min(spent) / len(arrays)
            for depth in (3, 2, 1):
                driver.execute(Call(Operation.ACCUMULATE, arrays[0][:depth], count=1))
            sums[fast] = driver.execute(Call(Operation.RECEIVE, count=filters))
    equal = np.array_equal(sums[False], sums[True]) and np.array_equal(sums[True], inputs @ weights)
    return {
        "bit_serial_s": seconds[False],
        "fast_s": seconds[True],
        "ratio": seconds[False] / seconds[True],
        "equal": equal,
    }


def show(results: dict[str, Any]) -> None:
    table = Table(title="generated C", title_justify="left")
    for column in ("what", "write", "build", "bit by bit", "fast", "ratio", "equal"):
        table.add_column(column, justify="left" if column == "what" else "right")
    for name, found in results.items():
        spent = [f"{found[key]:.2f} s" if key in found else "" for key in ("write_s", "build_s")]
        runs = [f"{1000 * found[key]:.3g} ms" for key in ("bit_serial_s", "fast_s")]
        table.add_row(name, *spent, *runs, f"{found['ratio']:.1f}", str(found["equal"]))
    Console().print(table)


if __name__ == "__main__":
    main()
