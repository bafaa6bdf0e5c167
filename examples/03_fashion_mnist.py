"""Train a small network on Fashion-MNIST, quantise it to 8 bits from samples, and count what that costs.

Needs PyTorch, and the data of Debian's package `dataset-fashion-mnist` (or its four files in a folder that is named as
the first argument). Prints the accuracy of the float network and of the compiled program on all 10,000 test images.
"""

from __future__ import annotations

import gzip
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

import cyclecast as cc

DATA = Path("/usr/share/datasets/fashion-mnist")
BATCH = 100


def read(folder: Path, part: str) -> tuple[Any, Any]:
    """Images from -1 to 1, (count, 1, 28, 28), and labels."""
    with gzip.open(folder / f"{part}-images-idx3-ubyte.gz") as file:
        images = np.frombuffer(file.read(), "uint8", offset=16).reshape(-1, 1, 28, 28)
    with gzip.open(folder / f"{part}-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(), "uint8", offset=8)
    return images.astype("float32") / 127.5 - 1, labels.astype("int64")


def network() -> Any:
    """Three convolutions, the second one depthwise separable, and a dense layer: 0.9 million multiply-accumulates."""
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 16, 3, stride=2, padding=1), torch.nn.BatchNorm2d(16), torch.nn.ReLU(),
        torch.nn.Conv2d(16, 16, 3, padding=1, groups=16), torch.nn.Conv2d(16, 32, 1), torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        torch.nn.Conv2d(32, 64, 3, padding=1), torch.nn.BatchNorm2d(64), torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(64, 10),
    )  # fmt: skip


def train(module: Any, images: Any, labels: Any, epochs: int) -> None:
    """Adam with a rate that falls to nothing."""
    optimiser = torch.optim.Adam(module.parameters(), 0.003)
    steps = epochs * (len(images) // 128)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    module.train()
    for epoch in range(epochs):
        order = torch.randperm(len(images))
        for start in range(0, len(images) - 127, 128):
            chosen = order[start : start + 128]
            loss = torch.nn.functional.cross_entropy(module(images[chosen]), labels[chosen])
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
            schedule.step()
        print(f"epoch {epoch + 1}: loss {loss.item():.3f}", flush=True)
    module.eval()


def accuracy(scores: Any, labels: Any) -> float:
    return float((scores.argmax(axis=1) == labels).mean())


def main(folder: Path, epochs: int) -> tuple[float, float]:
    """The accuracy of the float network and of the program."""
    torch.manual_seed(0)
    images, labels = read(folder, "train")
    test_images, test_labels = read(folder, "t10k")
    module = network()
    train(module, torch.from_numpy(images), torch.from_numpy(labels), epochs)
    with torch.inference_mode():
        expected = module(torch.from_numpy(test_images)).numpy()

    example = torch.zeros(BATCH, 1, 28, 28)
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "fashion.pt2"
        torch.export.save(torch.export.export(module, (example,)), file)
        device = cc.Device.load("isaac")
        loaded = cc.load(file, device, calibration={"input": images[: 5 * BATCH]})
        program = cc.compile(cc.tune(loaded, device))
    batches = np.split(test_images, len(test_images) // BATCH)
    computed = np.concatenate([program(batch)[0] for batch in batches])
    real, quantised = accuracy(expected, test_labels), accuracy(computed, test_labels)
    print(f"{len(test_labels):,} images: float {real:.2%}, 8 bits on arrays {quantised:.2%}")
    return real, quantised


if __name__ == "__main__":
    given = sys.argv[1:]
    main(Path(given[0]) if given else DATA, int(given[1]) if len(given) > 1 else 3)
