"""Measure cyclecast itself: start-up, candidates per second by stage, and the time to a result for ResNet-18.

`make bench` runs this and writes bench/out/bench.json. Machines differ and are noisy: compare the ratios, which come
from one run on the same work, not the seconds. CPU time of this process, save for start-up, which is wall time.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

OUT = Path(__file__).parent / "out"


def main() -> None:
    OUT.mkdir(exist_ok=True)
    results = {"start-up": start_up(), "candidates": candidates(), "resnet18": resnet18()}
    (OUT / "bench.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    show(results)


def start_up() -> dict[str, float]:
    """Seconds of wall time of a new process, the best of three."""
    statements = {
        "python": "pass",
        "import cyclecast": "import cyclecast",
        "load a device": "import cyclecast; cyclecast.Device.load('isaac')",
        "import the front end": "import cyclecast.frontend",
        "import everything": "from cyclecast import compile, load, tune",
    }
    return {name: min(_wall(statement) for _ in range(3)) for name, statement in statements.items()}


def _wall(statement: str) -> float:
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True)
    return time.perf_counter() - begin


def candidates() -> dict[str, dict[str, float]]:
    """Candidates per CPU second by stage, on one 3x3 convolution of ResNet-18."""
    from tvm.s_tir.meta_schedule.search_strategy import ReplayTrace

    from cyclecast import Device
    from cyclecast.frontend import load
    from cyclecast.mapping import Mappings
    from cyclecast.mapspace import default_mapping
    from cyclecast.runner import TimingRunner
    from cyclecast.schedule import as_module, decided_schedule, lowered, read
    from cyclecast.search import Evolution
    from cyclecast.timing import Analytical
    from cyclecast.tvm import lowered_space, space

    device, model = Device.load("isaac"), Analytical()
    network = load(_resnet18())
    member = next(member for member in network.members if member.workload.reduction == 576)
    function = network.program[member.kernel]
    mapping = default_mapping(member.workload, device)
    decided = decided_schedule(function, device, mapping).mod
    materialised = lowered(decided, device)
    runner = TimingRunner(device, model, read)

    def searching(opened: Any, strategy: Any, trials: int) -> Callable[[], int]:
        return lambda: _proposed(as_module(function), opened(device), strategy, runner, trials)

    many = Mappings.of(_random_mappings(member.workload, device, 16_000))

    def times() -> int:
        for _ in range(20):
            model.times(replace(many), device)  # a new object, in which nothing is kept
        return 20 * len(many)

    stages: dict[str, Callable[[], int]] = {
        "timing model alone, 16,000 mappings at once": times,
        "exhaustive search, legal mappings covered": lambda: _covered(member.workload, device, model),
        "timing model alone, one by one in plain Python": lambda: _repeat(lambda: model.time(mapping, device), 2000),
        "read decided + model": lambda: _repeat(lambda: model.time(read(decided, device), device), 1000),
        "read lowered + model": lambda: _repeat(lambda: model.time(read(materialised, device), device), 500),
        "MetaSchedule, random, decisions only": searching(space, ReplayTrace(), 640),
        "MetaSchedule, evolution, decisions only": searching(space, Evolution().for_metaschedule(), 64),
        "MetaSchedule, random, lowered": searching(lowered_space, ReplayTrace(), 32),
    }
    rates = {name: _rate(stage) for name, stage in stages.items()}
    base = rates["MetaSchedule, random, decisions only"]
    return {name: {"per second": rate, "ratio": rate / base} for name, rate in rates.items()}


def _proposed(module: Any, space: Any, strategy: Any, runner: Any, trials: int) -> int:
    """The candidates that MetaSchedule's loop has timed: in its search, and of what it proposed."""
    from cyclecast._tvm._search import Loop

    class Counting:
        timed = 0

        def run(self, modules: Any) -> Any:
            self.timed += len(modules)
            return runner.run(modules)

        def look(self, modules: Any) -> Any:
            return runner.look(modules)

    counting = Counting()
    loop = Loop(module, space, strategy, counting, trials, 1)
    while loop.ask():
        loop.tell()
    return counting.timed


def _covered(workload: Any, device: Any, model: Any) -> int:
    """The legal mappings of which the exhaustive search has proven that none is better."""
    from cyclecast.search import Exhaustive, Problem, follow

    problem = Problem(workload=workload, device=device, model=model, trials=1, seed=0)
    running = Exhaustive().start(problem)
    for _ in follow(running, problem):
        pass
    certificate = running.outcome().certificate
    assert certificate is not None
    assert certificate.gap == 0
    return certificate.covered


def _random_mappings(workload: Any, device: Any, number: int) -> list[Any]:
    import random

    from cyclecast.mapspace import choices, grant

    rng, offers = random.Random(0), choices(workload, device)
    return [grant(workload, device, {name: rng.choice(offer) for name, offer in offers.items()}) for _ in range(number)]


def _repeat(step: Callable[[], object], times: int) -> int:
    for _ in range(times):
        step()
    return times


def _rate(stage: Callable[[], int]) -> float:
    begin = time.process_time()
    done = stage()
    return done / (time.process_time() - begin)


def resnet18() -> dict[str, float]:
    """CPU seconds of each step for ResNet-18 at 224x224 on ISAAC, 64 trials for each of 12 workloads."""
    import numpy as np

    from cyclecast import Device
    from cyclecast.executable import build_program
    from cyclecast.frontend import load
    from cyclecast.workflow import building, tuning

    device = Device.load("isaac")
    steps: dict[str, float] = {}

    def timed(name: str, step: Callable[[], Any]) -> Any:
        begin = time.process_time()
        result = step()
        steps[name] = time.process_time() - begin
        return result

    network = timed("load and quantise", lambda: load(_resnet18()))
    tuned = timed("tune", lambda: tuning.tune(network, device))
    program = timed("lower", lambda: building.lowered_program(tuned))
    executable = timed("compile", lambda: build_program(program))
    timed("save", lambda: executable.save(OUT / "resnet18.so"))
    image = np.random.default_rng(0).normal(size=(1, 3, 224, 224)).astype("float32")
    timed("first run", lambda: executable(image))
    timed("second run", lambda: executable(image))
    return steps


def _resnet18() -> Path:
    from networks import resnet18 as write

    path = OUT / "resnet18.onnx"
    return path if path.exists() else write(path)


def show(results: dict[str, Any]) -> None:
    """The same as tables."""
    console = Console(width=100)
    for title, rows in results.items():
        table = Table(title=title, title_justify="left")
        nested = any(isinstance(value, dict) for value in rows.values())
        for column in ["", "per second", "ratio"] if nested else ["", "seconds"]:
            table.add_column(column, justify="right" if column else "left")
        for name, value in rows.items():
            cells = [f"{value['per second']:,.0f}", f"{value['ratio']:.2f}"] if nested else [f"{value:.2f}"]
            table.add_row(name, *cells)
        console.print(table)


if __name__ == "__main__":
    main()
