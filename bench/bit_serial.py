"""Measure the behaviour model in C bit by bit: CPU seconds of whole programs, beside another commit and CrossSim.

`python bench/bit_serial.py` writes bench/out/bit_serial.json. Two networks on ISAAC, ResNet-18 of
224 x 224 pixels and a 3x3 convolution of 256 to 256 channels and 14 x 14 pixels, with the device's own converters of 8
bits and with converters of 6, which lose something; bit by bit and with --fast. The program of the other commit is
written by that commit itself, in a worktree that is removed again, and is built with the same compiler. Runs alternate,
and the least CPU time of each counts, of user and system. "equal" says that all these runs wrote the same bytes.

CrossSim (github.com/sandialabs/cross-sim) computes the same layers where `simulator` can be imported, for instance from
an unpacked snapshot in PYTHONPATH; it is no dependency. Its weights are in 4 slices of balanced cells, and it converts
sums after each bit of the inputs, so that the arithmetic is of the same kind, but its values are not ours.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from commits import ROOT, importing, roots, spent
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(ROOT / "tests"))

OUT = ROOT / "bench" / "out"
SHAPES = {"resnet18": (1, 3, 224, 224), "convolution": (1, 256, 14, 14)}
ADC_BITS = (8, 6)
MODES = {"bit by bit": (), "fast": ("--fast",)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("networks", nargs="*", default=list(SHAPES), help=f"some of {', '.join(SHAPES)}")
    parser.add_argument("--before", metavar="COMMIT", help="measure the programs of this commit, too")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--write", type=Path, help="only write the programs into this folder")
    parser.add_argument("--crosssim", action="store_true", help="only write what CrossSim takes to standard output")
    options = parser.parse_args()
    if options.write:
        write(options.networks, options.write)
        return
    if options.crosssim:
        json.dump({name: crosssim(name, options.runs) for name in options.networks}, sys.stdout)
        return
    OUT.mkdir(exist_ok=True)
    results: dict[str, Any] = {"programs": measured(options.networks, options.before, options.runs)}
    if find_spec("simulator") and find_spec("torch"):
        threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # more of them wait, which counts
        command = [sys.executable, __file__, "--crosssim", "--runs", str(options.runs), *options.networks]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env={**os.environ, **threads})
        results["crosssim"] = json.loads(done.stdout)
    else:
        Console(stderr=True).print("CrossSim is left out: its module simulator, or torch, cannot be imported")
    (OUT / "bit_serial.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    show(results)


def write(networks: list[str], folder: Path) -> None:
    """Write the networks' programs, as the cyclecast that is imported here does."""
    import networks as made
    from cyclecast.device import Device
    from cyclecast.frontend import load
    from cyclecast.workflow.building import generate
    from cyclecast.workflow.tuning import tune

    for name in networks:
        path = folder / f"{name}.onnx"
        if name == "resnet18":
            made.resnet18(path)
        else:
            graph, shape = made.Graph(), list(SHAPES[name])
            graph.save(path, shape, graph.conv("input", 256, 256, 3), shape)
        for bits in ADC_BITS:
            tuned = tune(load(path), Device.load("isaac").vary("array.adc_bits", bits))
            generate(tuned, folder / f"{name}_{bits}")


def measured(networks: list[str], before: str | None, runs: int) -> list[dict[str, Any]]:
    """CPU seconds of every network, converter and mode; of another commit, too."""
    with TemporaryDirectory(prefix="cyclecast-") as name, roots(before) as commits:
        folder, found = Path(name), []
        for label, root in commits.items():
            (folder / label).mkdir()
            command = [sys.executable, __file__, "--write", str(folder / label), *networks]
            subprocess.run(command, check=True, env=importing(root))
        for network in networks:
            values = np.random.default_rng(0).standard_normal(SHAPES[network]).astype("float32")
            (folder / "input.bin").write_bytes(values.tobytes())
            for bits in ADC_BITS:
                found += _programs({label: folder / label / f"{network}_{bits}" for label in commits}, runs)
        return found


def _programs(folders: dict[str, Path], runs: int) -> list[dict[str, Any]]:
    """The modes of one network on one device, each in turns with the same of the other commit."""
    for folder in folders.values():
        subprocess.run(["make", "-s"], cwd=folder, check=True)
    outputs, found = set(), []
    network, _, bits = next(iter(folders.values())).name.rpartition("_")
    for mode, flags in MODES.items():
        seconds: dict[str, float] = {}
        for label, folder in list(folders.items()) * runs:
            took = spent(["./network", "../../input.bin", "output.bin", *flags], folder).seconds
            seconds[label] = min(took, seconds.get(label, took))
            outputs.add((folder / "output.bin").read_bytes())
        found.append({"network": network, "adc_bits": int(bits), "mode": mode, **seconds})
    return [row | {"equal": len(outputs) == 1} for row in found]


def crosssim(network: str, runs: int) -> dict[str, float]:
    """CPU seconds of CrossSim for its conversion, which programs its arrays, and for one image."""
    import torch
    from simulator import CrossSimParameters
    from simulator.algorithms.dnn.torch.convert import from_torch

    torch.manual_seed(0)
    torch.set_num_threads(1)
    module, parameters = _module(network).eval(), CrossSimParameters()
    parameters.core.style, parameters.core.weight_bits = "BITSLICED", 8
    parameters.core.rows_max = parameters.core.cols_max = 128
    parameters.core.bit_sliced.style, parameters.core.bit_sliced.num_slices = "BALANCED", 4
    parameters.xbar.device.cell_bits = 2
    parameters.xbar.dac.mvm.model, parameters.xbar.dac.mvm.bits = "SignMagnitudeDAC", 8
    parameters.xbar.dac.mvm.input_bitslicing, parameters.xbar.dac.mvm.slice_size = True, 1
    parameters.xbar.adc.mvm.model, parameters.xbar.adc.mvm.bits = "QuantizerADC", 8
    parameters.xbar.adc.mvm.adc_per_ibit, parameters.xbar.adc.mvm.adc_range_option = True, "MAX"
    begin = time.process_time()
    analog = from_torch(module, parameters)
    converted = time.process_time() - begin
    image, spent = torch.randn(SHAPES[network]), []
    for _ in range(runs):
        begin = time.process_time()
        with torch.no_grad():
            analog(image)
        spent.append(time.process_time() - begin)
    return {"convert": converted, "run": min(spent)}


def _module(network: str) -> Any:
    """The network with random weights, without the batch normalisation that is folded."""
    from torch import nn

    if network == "convolution":
        return nn.Conv2d(256, 256, 3, padding=1)

    class Block(nn.Module):
        def __init__(self, channels: int, filters: int) -> None:
            super().__init__()
            stride = 2 if filters > channels else 1
            self.first = nn.Conv2d(channels, filters, 3, stride, 1)
            self.second = nn.Conv2d(filters, filters, 3, 1, 1)
            self.shortcut = nn.Conv2d(channels, filters, 1, stride) if filters > channels else nn.Identity()

        def forward(self, data: Any) -> Any:
            hidden = self.second(nn.functional.relu(self.first(data)))
            return nn.functional.relu(hidden + self.shortcut(data))

    sizes = [(64, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 512), (512, 512)]
    blocks = [Block(*size) for size in sizes]
    stem = [nn.Conv2d(3, 64, 7, 2, 3), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000))


def show(results: dict[str, Any]) -> None:
    table = Table(title="behaviour model, CPU seconds", title_justify="left")
    for column in ("network", "ADC bits", "mode", "before", "now", "ratio", "equal"):
        table.add_column(column, justify="left" if column in ("network", "mode") else "right")
    for row in results["programs"]:
        before = f"{row['before']:.3f}" if "before" in row else ""
        ratio = f"{row['before'] / row['now']:.1f}" if "before" in row else ""
        cells = (row["network"], str(row["adc_bits"]), row["mode"], before, f"{row['now']:.3f}", ratio)
        table.add_row(*cells, str(row["equal"]))
    for name, theirs in results.get("crosssim", {}).items():
        table.add_row(name, "8", "CrossSim", "", f"{theirs['run']:.3f}", "", "")
        table.add_row(name, "8", "its conversion", "", f"{theirs['convert']:.3f}", "", "")
    Console().print(table)


if __name__ == "__main__":
    main()
