"""Constants of ONNX graphs folded by onnxruntime, within a bound of size."""

from __future__ import annotations

import errno
import resource
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx
import onnxruntime

from cyclecast.errors import ModelError
from cyclecast.frontend._apart import limit
from cyclecast.frontend._words import first_line

LARGEST_FOLDED, GROWTH = 64 << 20, 4
"""Bytes of a small network whose constants are folded, and more for each byte of a large one."""
FUSIONS = [
    *("DivMulFusion", "GemmSumFusion", "GemmTransposeFusion", "NotWhereFusion"),
    *("CastElimination", "NoopElimination"),
]
"""Rules of onnxruntime beside folding, which have broken valid graphs."""
LEVERS = {
    "Could not find an implementation": "exporting it with float32 values, or for an older version of ONNX",
    "is not a registered function/op": "exporting the network without it",
    "folded constants": "a smaller one",
    "opset": "exporting it for an older version of ONNX",
    "IR version": "exporting it for an older version of ONNX",
}
"""Lever where exporting a network again does not help."""


def fold(model: Any, source: str) -> Any:
    """The model, checked and folded; without onnxruntime's fusions, or not at all, where these break it."""
    content, reasons = model.SerializeToString(), list[str]()
    most = LARGEST_FOLDED + GROWTH * len(content)
    levels = onnxruntime.GraphOptimizationLevel
    tries: list[tuple[Any, list[str]]] = [(levels.ORT_ENABLE_BASIC, []), (levels.ORT_ENABLE_BASIC, FUSIONS)]
    tries.append((levels.ORT_DISABLE_ALL, []))
    with tempfile.TemporaryDirectory(prefix="cyclecast-") as folder, _files_up_to(most):
        target = Path(folder) / "folded.onnx"
        for level, without in tries:
            options = onnxruntime.SessionOptions()
            options.graph_optimization_level, options.log_severity_level = level, 4
            options.optimized_model_filepath = str(target)
            try:
                onnxruntime.InferenceSession(
                    content, options, providers=["CPUExecutionProvider"], disabled_optimizers=without
                )
                return onnx.load_from_string(target.read_bytes())
            except Exception as error:  # onnxruntime's errors have no common class
                reasons.append(first_line(error))
            if target.exists() and target.stat().st_size >= most:
                reasons[0] = f"its folded constants take more than {most:,} bytes"
                break
            if shutil.disk_usage(folder).free < len(content):
                raise OSError(errno.ENOSPC, "no room for folded constants", folder)
    raise ModelError(source, "onnxruntime refuses it", reasons[0], _lever(reasons[0]))


def _lever(reason: str) -> str:
    """Lever for an error of onnxruntime."""
    return next((lever for words, lever in LEVERS.items() if words in reason), "exporting it again")


@contextmanager
def _files_up_to(size: int) -> Iterator[None]:
    """Inside, no file grows larger: onnxruntime would fill the disk with what it folds."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    limit(resource.RLIMIT_FSIZE, size, before[1])
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
