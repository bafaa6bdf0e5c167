"""Constant folding of ONNX graphs by onnxruntime, with a limit on size."""

from __future__ import annotations

import errno
import resource
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import external_data_helper, helper

from cyclecast.errors import ModelError
from cyclecast.frontend._apart import limit
from cyclecast.frontend._words import first_line
from cyclecast.frontend.graphs._nodes import names_read

LARGEST_FOLDED, GROWTH = 64 << 20, 4
"""Most bytes of a folded model: for a small model, and per byte of a large one."""
WEIGHTS = "weights"
"""Name of the file with large weights."""
LARGE = 1 << 16
"""Least bytes of a weight tensor that is stored outside the model."""
DETACHED = {
    helper.np_dtype_to_tensor_dtype(np.dtype(kind)): np.dtype(kind)
    for kind in ("float32", "float64", "float16", "int8", "uint8", "int16", "uint16", "int32", "int64")
}
"""Types of weights that NumPy and onnxruntime share, by ONNX's number."""
FUSIONS = [
    *("DivMulFusion", "GemmSumFusion", "GemmTransposeFusion", "NotWhereFusion"),
    *("CastElimination", "NoopElimination"),
]
"""Optimisers of onnxruntime other than folding that have broken valid graphs."""
LEVERS = {
    "Could not find an implementation": "exporting it with float32 values, or for an older version of ONNX",
    "is not a registered function/op": "exporting the network without it",
    "folded constants": "a smaller one",
    "opset": "exporting it for an older version of ONNX",
    "IR version": "exporting it for an older version of ONNX",
}
"""Lever for errors of onnxruntime, by a part of the message."""


def fold(model: Any, source: str) -> Any:
    """The model, checked and folded by onnxruntime; fusions or all optimisations are off if they fail.

    Large weights are taken out of `model`, in place. Raises `ModelError` if onnxruntime refuses the model or its
    constants are too large, `OSError` if the disk is full.
    """
    weights, reasons = _detached(model), list[str]()
    content = model.SerializeToString()
    size = len(content) + sum(values.nbytes for values in weights.values())
    most = LARGEST_FOLDED + GROWTH * size
    levels = onnxruntime.GraphOptimizationLevel
    tries: list[tuple[Any, list[str]]] = [(levels.ORT_ENABLE_BASIC, []), (levels.ORT_ENABLE_BASIC, FUSIONS)]
    tries.append((levels.ORT_DISABLE_ALL, []))
    with tempfile.TemporaryDirectory(prefix="cyclecast-") as folder, _files_up_to(most):
        target, beside = Path(folder) / "folded.onnx", Path(folder) / WEIGHTS
        for level, without in tries:
            options = _options(target, weights)
            options.graph_optimization_level = level
            try:
                onnxruntime.InferenceSession(
                    content, options, providers=["CPUExecutionProvider"], disabled_optimizers=without
                )
                weights, options = {}, None  # frees memory for the folded model
                return onnx.load(target)
            except Exception as error:  # onnxruntime's errors have no common class
                reasons.append(first_line(error))
            if any(path.exists() and path.stat().st_size >= most for path in (target, beside)):
                reasons[0] = f"its folded constants take more than {most:,} bytes"
                break
            if shutil.disk_usage(folder).free < size:
                raise OSError(errno.ENOSPC, "no room for folded constants", folder)
    raise ModelError(source, "onnxruntime refuses it", reasons[0], _lever(reasons[0]))


def _options(target: Path, weights: dict[str, Any]) -> Any:
    """Options of a session that writes its optimised graph to a file and is never run."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.optimized_model_filepath = 4, str(target)
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.disable_prepacking", "1")
    options.add_session_config_entry("session.optimized_model_external_initializers_file_name", WEIGHTS)
    options.add_session_config_entry("session.optimized_model_external_initializers_min_size_in_bytes", str(LARGE))
    values = [onnxruntime.OrtValue.ortvalue_from_numpy(each) for each in weights.values()]
    options.add_external_initializers(list(weights), values)
    return options


def _detached(model: Any) -> dict[str, Any]:
    """Take large weights out of a model and return them by name: Protobuf would copy them.

    They are marked as external data. Unused weights stay: onnxruntime drops them before it looks for the file.
    """
    found = {}
    names = Counter(part.name for part in model.graph.initializer)
    read = {name for node in model.graph.node for name in names_read(node)}
    for part in model.graph.initializer:
        kind = DETACHED.get(part.data_type)
        size = prod(part.dims) * kind.itemsize if kind and all(extent > 0 for extent in part.dims) else 0
        if size >= LARGE and names[part.name] == 1 and part.name in read:
            content = part.raw_data
            if len(content) == size:
                found[part.name] = np.frombuffer(content, kind).reshape(tuple(part.dims))
                external_data_helper.set_external_data(part, WEIGHTS)
                part.ClearField("raw_data")
    return found


def write_apart(model: Any, path: Path) -> None:
    """Write the model to a file and its large weights to another; changes the model."""
    onnx.save_model(model, path, save_as_external_data=True, location=weights_beside(path).name, size_threshold=LARGE)


def weights_beside(path: Path) -> Path:
    """Path of the file of large weights.

    The name is unique: ONNX refuses the name of a file that exists in the current folder.
    """
    return path.with_name(f"{path.parent.name}.weights")


def _lever(reason: str) -> str:
    """Lever for an error of onnxruntime."""
    return next((lever for words, lever in LEVERS.items() if words in reason), "exporting it again")


@contextmanager
def _files_up_to(size: int) -> Iterator[None]:
    """Context: limit the size of files [bytes], since onnxruntime could fill the disk with folded constants."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    limit(resource.RLIMIT_FSIZE, size, before[1])
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
