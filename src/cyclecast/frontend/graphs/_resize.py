"""Resize as weighted sums of gathered elements, for cases that TVM's importer converts wrongly.

Interpolation in ONNX is separable: along each axis the output is a matrix times the input. The importer takes the
quotient of extents as scale, which differs for fractional scales, and ignores `antialias` and `axes`. The matrix of an
axis is found by running onnxruntime on unit vectors.
"""

from __future__ import annotations

from math import floor
from typing import Any

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from cyclecast.errors import UnsupportedError
from cyclecast.frontend.graphs._nodes import GraphWriter

TAPS, LONGEST = 64, 4096
"""Most inputs of one output; largest extent of an axis."""
AS_TVM = ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric")
"""Coordinate transformations that the importer implements as ONNX does."""
LEAST_OPSET, OPSET = 11, 19
"""First opset with sizes and coordinate transformations; opset of the model that computes the matrices."""
KEPT = (
    *("mode", "coordinate_transformation_mode", "cubic_coeff_a", "exclude_outside", "extrapolation_value"),
    *("nearest_mode", "antialias"),
)


def resized(node: Any, writer: GraphWriter) -> list[str] | None:
    """Replace a Resize node by gathers and sums; None if the importer converts it right or reports an error itself.

    Raises `UnsupportedError` for extents and matrices that are too large, and for cases in which runtimes differ.
    """
    data, roi, scales, sizes = (*node.input, "", "", "")[:4]
    shape, attributes = writer.shape(data), writer.attributes(node)
    wanted = writer.value(scales) if scales else writer.value(sizes) if sizes else None
    if shape is None or wanted is None or writer.opset < LEAST_OPSET:
        return None
    axes = [int(axis) % len(shape) for axis in attributes.get("axes", range(len(shape)))]
    steps, extents = _steps(shape, axes, wanted, bool(scales), attributes)
    changed = [axis for axis in axes if extents[axis] != shape[axis] or steps[axis] != 1]
    if _is_as_tvm(shape, steps, extents, changed, attributes):
        return None
    if any(shape[axis] * steps[axis] != extents[axis] for axis in changed) and not sizes and _is_aligned(attributes):
        raise UnsupportedError(
            _where(node), "align_corners with a fractional extent", "runtimes differ there", "exporting it with sizes"
        )
    result, window = data, writer.value(roi) if roi else None
    for axis in changed if attributes.get("coordinate_transformation_mode") != b"tf_crop_and_resize" else axes:
        ends = (0.0, 1.0) if window is None or not window.size else window.reshape(2, -1)[:, axes.index(axis)]
        matrix = _matrix(node, attributes, shape[axis], extents[axis], None if sizes else steps[axis], ends)
        result = _summed(result, axis, len(shape), matrix, writer)
    return [result]


def _is_aligned(attributes: dict[str, Any]) -> bool:
    return bool(attributes.get("coordinate_transformation_mode") == b"align_corners")


def _where(node: Any) -> str:
    return f"node '{node.name or node.output[0]}' (Resize)"


def _steps(
    shape: tuple[int, ...], axes: list[int], wanted: Any, is_scale: bool, attributes: dict[str, Any]
) -> tuple[list[float], list[int]]:
    """Scale and new extent of every axis."""
    given = dict(zip(axes, wanted.tolist(), strict=True))
    if is_scale:
        steps = [float(np.float32(given.get(axis, 1))) for axis in range(len(shape))]
        return steps, [floor(extent * step) for extent, step in zip(shape, steps, strict=True)]
    quotients = {axis: size / shape[axis] for axis, size in given.items()}
    policy = attributes.get("keep_aspect_ratio_policy", b"stretch")
    if policy != b"stretch":
        step = (min if policy == b"not_larger" else max)(quotients.values())
        quotients = dict.fromkeys(axes, step)
        given = {axis: floor(step * shape[axis] + 0.5) for axis in axes}
    return (
        [quotients.get(axis, 1.0) for axis in range(len(shape))],
        [int(given.get(axis, extent)) for axis, extent in enumerate(shape)],
    )


def _is_as_tvm(
    shape: tuple[int, ...], steps: list[float], extents: list[int], changed: list[int], attributes: dict[str, Any]
) -> bool:
    """Whether the importer is right: exact quotients, spatial axes only, a supported coordinate transformation."""
    place = attributes.get("coordinate_transformation_mode", b"half_pixel").decode(errors="replace")
    return (
        not attributes.get("antialias", 0)
        and "axes" not in attributes
        and "keep_aspect_ratio_policy" not in attributes
        and place in AS_TVM
        and len(shape) in (3, 4, 5)
        and all(axis > 1 and extents[axis] > 1 and shape[axis] * steps[axis] == extents[axis] for axis in changed)
    )


def _matrix(
    node: Any, attributes: dict[str, Any], before: int, after: int, step: float | None, ends: Any
) -> tuple[Any, Any]:
    """Interpolation matrix of an axis, (outputs, inputs), and an additive vector, (outputs).

    The vector holds the values of outputs that lie outside of the input.
    """
    if before > LONGEST:
        raise UnsupportedError(
            f"node '{node.name or node.output[0]}' (Resize)",
            f"an extent of {before}",
            f"{LONGEST} at most",
            "a smaller one",
        )
    kept = {name: value for name, value in attributes.items() if name in KEPT}
    size = np.array([1, 1, before, after]) if step is None else np.array([1, 1, 1, step], "float32")
    constants = {"roi": np.array([0, 0, 0, ends[0], 1, 1, 1, ends[1]], "float32"), "size": size}
    inputs = ["data", "roi", "", "size"] if step is None else ["data", "roi", "size"]
    graph = helper.make_graph(
        [helper.make_node("Resize", inputs, ["result"], **kept)],
        "axis",
        [helper.make_tensor_value_info("data", TensorProto.FLOAT, [1, 1, before, before])],
        [helper.make_tensor_value_info("result", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    ones, zeros = np.eye(before, dtype="float32"), np.zeros((before, before), "float32")
    (found,), (outside,) = (session.run(None, {"data": part[None, None]}) for part in (ones, zeros))
    if found.shape[3] != after:
        bound, lever = f"its scale makes {found.shape[3]}", "exporting it with scales"
        raise UnsupportedError(_where(node), f"an extent of {after}", bound, lever)
    return (found - outside)[0, 0].T, outside[0, 0, 0]


def _summed(data: str, axis: int, rank: int, matrix: tuple[Any, Any], writer: GraphWriter) -> str:
    """Multiply the tensor along an axis by the matrix."""
    weights, outside = matrix
    taps = max(1, int((weights != 0).sum(axis=1).max()))
    if taps > TAPS:
        raise UnsupportedError(
            f"tensor '{data}'", f"a sum of {taps} inputs for each output", f"{TAPS} at most", "a smaller factor"
        )
    places = np.argsort(weights == 0, axis=1, kind="stable")[:, :taps]  # inputs with nonzero weight, in order
    factors = np.take_along_axis(weights, places, axis=1)
    beside = [-1 if each == axis else 1 for each in range(rank)]
    parts = []
    for tap in range(taps):
        part = writer.node("Gather", data, writer.constant(places[:, tap].astype("int64")), axis=axis)
        if not (factors[:, tap] == 1).all():
            part = writer.node("Mul", part, writer.constant(factors[:, tap].reshape(beside)))
        parts.append(part)
    while len(parts) > 1:
        pairs = [parts[place : place + 2] for place in range(0, len(parts), 2)]
        parts = [writer.node("Add", *pair) if len(pair) == 2 else pair[0] for pair in pairs]
    if outside.any():
        parts = [writer.node("Add", parts[0], writer.constant(outside.reshape(beside)))]
    return parts[0]
