"""Measure what bits cost: the accuracy of a small network on test images of Fashion-MNIST.

`python bench/accuracy.py` trains the network of examples/03_fashion_mnist.py once (a fixed seed; kept in bench/out),
quantises it in each way of the table, runs the compiled programs, and writes bench/out/accuracy.json; with `--docs`
also the table of docs/networks.md. Needs PyTorch and Debian's package `dataset-fashion-mnist`.
"""

from __future__ import annotations

import argparse
import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent.parent / "examples"))

import cyclecast as cc

example: Any = import_module("03_fashion_mnist")

ROOT = Path(__file__).parent.parent
OUT = ROOT / "bench" / "out"
DOCS = ROOT / "docs" / "networks.md"
EPOCHS, BATCH, SAMPLES = 6, 100, 500
BITS = ((8, 8), (6, 6), (5, 5), (4, 4), (3, 3), (8, 4), (4, 8), (8, 3), (3, 8))
"""Of activations and weights."""
WAYS: dict[str, tuple[bool, dict[str, str]]] = {
    "dynamic": (False, {}),
    "dynamic, symmetric": (False, {"activations": "symmetric"}),
    "dynamic, affine weights": (False, {"weights": "affine"}),
    "static": (True, {}),
    "static, symmetric": (True, {"activations": "symmetric"}),
    "static, affine weights": (True, {"weights": "affine"}),
}
"""Whether there are samples, and what `load` is told."""


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--docs", action="store_true", help="write the table of docs/networks.md")
    arguments.add_argument("--images", type=int, default=4_000, help="of the test set, a multiple of 100")
    chosen = arguments.parse_args()
    OUT.mkdir(exist_ok=True)
    module = trained()
    images, labels = (part[: chosen.images] for part in example.read(example.DATA, "t10k"))
    samples = example.read(example.DATA, "train")[0][:SAMPLES]
    with torch.inference_mode():
        real = example.accuracy(module(torch.from_numpy(images)).numpy(), labels)
    todo = [(bits, way) for bits in BITS for way in WAYS]
    found = {
        f"{bits[0]}/{bits[1]} {way}": measured(module, bits, way, samples, images, labels)
        for bits, way in track(todo, "programs", transient=True)
    }
    (OUT / "accuracy.json").write_text(json.dumps({"float": real, **found}, indent=2) + "\n", encoding="utf-8")
    rows = [["activations / weights", *WAYS]]
    rows += [[f"{a} / {w} bits", *(f"{found[f'{a}/{w} {way}']:.1%}" for way in WAYS)] for a, w in BITS]
    table = Table(*rows[0], title=f"{len(labels):,} images, float {real:.1%}", title_justify="left")
    for row in rows[1:]:
        table.add_row(*row)
    Console(width=140).print(table)
    if chosen.docs:
        write(rows, real, len(labels))


def trained() -> Any:
    """The network with its weights, which are trained where they are not kept already."""
    file, module = OUT / "fashion_mnist.pt", example.network()
    if not file.is_file():
        torch.manual_seed(0)
        module = example.network()
        images, labels = example.read(example.DATA, "train")
        example.train(module, torch.from_numpy(images), torch.from_numpy(labels), EPOCHS)
        torch.save(module.state_dict(), file)
    module.load_state_dict(torch.load(file, weights_only=True))
    return module.eval()


def measured(module: Any, bits: tuple[int, int], way: str, samples: Any, images: Any, labels: Any) -> float:
    """The accuracy of a compiled program; what it computes does not depend on its mappings."""
    is_static, schemes = WAYS[way]
    device = cc.Device.load("isaac").vary_all({"bits.activation": bits[0], "bits.weight": bits[1]})
    given: Any = schemes | ({"calibration": {"input": samples}} if is_static else {})
    network = cc.load(module, device, shapes={"input": (BATCH, 1, 28, 28)}, **given)
    program = cc.compile(cc.estimate(network, device))
    scores = [program(batch)[0] for batch in np.split(images, len(images) // BATCH)]
    return float(example.accuracy(np.concatenate(scores), labels))


def write(rows: list[list[str]], real: float, count: int) -> None:
    """Put the table between its marks."""
    lines = [f"{count:,} test images; the float network reads {real:.1%} of them.", ""]
    lines += [f"| {' | '.join(row)} |" for row in (rows[0], ["---"] + ["---:"] * (len(rows[0]) - 1), *rows[1:])]
    head, _, rest = DOCS.read_text(encoding="utf-8").partition("<!-- accuracy -->\n")
    tail = rest.partition("<!-- /accuracy -->")[2]
    text = "\n".join([head + "<!-- accuracy -->", *lines, "<!-- /accuracy -->"]) + tail
    DOCS.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
