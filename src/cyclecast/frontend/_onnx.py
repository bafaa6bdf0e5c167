"""ONNX files: shapes fixed and constants folded on the way in.

Most networks fail to import because of arithmetic on shapes, not because of their operators. With fixed input shapes
onnxruntime folds that arithmetic away (and batch normalisation into convolutions), so it always does that first.
"""

from __future__ import annotations

import logging
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from google.protobuf.message import DecodeError
from tvm.relax.frontend.onnx import from_onnx, onnx_frontend

from cyclecast._tvm._native import without_native_chatter
from cyclecast.errors import ModelError, UnsupportedError
from cyclecast.frontend._base import Shapes

LOG = logging.getLogger(__name__)
LARGEST_TENSOR = 1 << 31
"""Values of one input; more is a mistake in a shape."""


@dataclass(frozen=True, slots=True)
class Onnx:
    """The front end for `.onnx` files."""

    def accepts(self, source: Path) -> bool:
        """Files by their suffix."""
        return source.suffix == ".onnx"

    def load(self, source: Path, shapes: Shapes) -> Any:
        """Import the file; every failure is a `ModelError` that names the file."""
        model = _read(source)
        _fix_shapes(model, source, shapes)
        folded = _fold(model, source)
        _require_operators(folded, source)
        return _import(folded, source)


def input_shapes(source: Path, shapes: Shapes) -> dict[str, tuple[tuple[int, ...], Any]]:
    """The shape and NumPy type of every input, once `shapes` has fixed what the file leaves open."""
    model = _read(source)
    _fix_shapes(model, source, shapes)
    return {
        value.name: (
            tuple(dimension.dim_value for dimension in value.type.tensor_type.shape.dim),
            np.dtype(onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)),
        )
        for value in _inputs(model)
    }


def _read(source: Path) -> Any:
    if not source.is_file():
        demand = "it is a folder" if source.is_dir() else "there is no such file"
        raise ModelError(str(source), demand, "a network is an ONNX file", "another path")
    try:
        model = onnx.load(str(source))
    except (DecodeError, OSError, ValueError, onnx.checker.ValidationError) as error:
        raise ModelError(str(source), "it cannot be read as ONNX", _first_line(error), "exporting it again") from error
    if not model.graph.node:
        raise ModelError(str(source), "it holds no operators", "a network has at least one", "exporting it again")
    return model


def _inputs(model: Any) -> list[Any]:
    constants = {constant.name for constant in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in constants]


def _fix_shapes(model: Any, source: Path, shapes: Shapes) -> None:
    """Write the given shapes into the inputs, in place; a batch dimension that nobody fixes becomes 1."""
    names = [value.name for value in _inputs(model)]
    for name in shapes:
        if name not in names:
            raise ModelError(
                f"{source}: input '{name}'", "there is no such input", f"there are {', '.join(names)}", "one of these"
            )
    for value in _inputs(model):
        where = f"{source}: input '{value.name}'"
        dimensions = value.type.tensor_type.shape.dim
        given = shapes.get(value.name)
        if given is not None and len(given) != len(dimensions):
            raise ModelError(where, f"{len(given)} dimensions given", f"it has {len(dimensions)}", _lever(value, given))
        for position, dimension in enumerate(dimensions):
            if given is not None:
                _fix(dimension, int(given[position]), where, position)
            elif dimension.dim_value <= 0 and position == 0 and len(dimensions) > 1:
                LOG.info("%s: batch dimension is open, taken as 1", where)
                _fix(dimension, 1, where, position)
            elif dimension.dim_value <= 0:
                known = [max(d.dim_value, 0) or "N" for d in dimensions]
                open_one = f"dimension {position} is open ({dimension.dim_param or '?'})"
                raise UnsupportedError(where, open_one, "shapes must be fixed", _lever(value, known))
        if np.prod([float(dimension.dim_value) for dimension in dimensions]) > LARGEST_TENSOR:
            raise UnsupportedError(where, "more than 2^31 values", "tensors are smaller", "a smaller shape")


def _fix(dimension: Any, extent: int, where: str, position: int) -> None:
    if dimension.dim_value > 0 and dimension.dim_value != extent:
        raise ModelError(
            where,
            f"dimension {position} given as {extent}",
            f"the file fixes it at {dimension.dim_value}",
            "that value",
        )
    dimension.dim_value = extent


def _lever(value: Any, shape: Any) -> str:
    return f"--shape {value.name}={','.join(str(extent) for extent in shape)}"


def _fold(model: Any, source: Path) -> Any:
    """Let onnxruntime check the network and fold its constants."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 4
    with tempfile.TemporaryDirectory(prefix="cyclecast-") as folder:
        target = Path(folder) / "folded.onnx"
        options.optimized_model_filepath = str(target)
        try:
            onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
            return onnx.load(str(target))
        except Exception as error:  # onnxruntime's errors have no common class
            raise ModelError(
                str(source), "onnxruntime refuses it", _first_line(error), "onnx.checker to find what is wrong"
            ) from error


def _require_operators(model: Any, source: Path) -> None:
    """Name every operator that the importer does not know, and a node of each."""
    known = onnx_frontend._get_convert_map()
    unknown: dict[str, list[str]] = defaultdict(list)
    for node in model.graph.node:
        if node.op_type not in known or known[node.op_type] is None:
            unknown[node.op_type].append(node.name or node.output[0])
    if unknown:
        listed = "; ".join(f"{kind} ({len(nodes)}: {nodes[0]})" for kind, nodes in sorted(unknown.items()))
        raise UnsupportedError(
            str(source), f"operators {listed}", "TVM's importer does not know them", "exporting it without them"
        )


def _import(model: Any, source: Path) -> Any:
    try:
        with without_native_chatter():
            return from_onnx(model, keep_params_in_input=False)
    except Exception as error:  # whatever an operator's converter meets
        raise UnsupportedError(
            str(source), "an operator cannot be imported", _first_line(error), "fixing all shapes with --shape"
        ) from error


def _first_line(error: BaseException) -> str:
    """The first line of a message, without what only its makers understand."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    return text if len(text) <= 200 else f"{text[:200]}..."
