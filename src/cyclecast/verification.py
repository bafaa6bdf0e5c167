"""Compare a compiled program with onnxruntime on the network that it came from."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cyclecast.errors import ModelError

RUNNER = "from cyclecast.executable import run_files; import sys; run_files(*sys.argv[1:])"


def verify(
    module: Path,
    model: Path,
    *,
    inputs: Path | None = None,
    seed: int = 0,
    shapes: Mapping[str, Sequence[int]] | None = None,
) -> dict[str, Any]:
    """Run `module.so` in a fresh process and the ONNX file in onnxruntime, on the same inputs.

    Returns, for each output, the cosine between both, the largest absolute difference and the largest magnitude.
    Without `inputs`, an .npz file with one array per input, values are drawn from a normal distribution.
    """
    raise NotImplementedError
