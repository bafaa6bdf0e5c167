"""Rewrite ONNX operators that TVM's importer converts wrongly."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto, helper

from cyclecast.errors import UnsupportedError
from cyclecast.frontend.graphs._nodes import GraphWriter

TRAINED = "exporting it for use, not for training"
BITS: dict[int, int] = {TensorProto.INT8: 8, TensorProto.INT16: 16, TensorProto.INT32: 32, TensorProto.INT64: 64}
FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16)
MARK = "cyclecast-nms"
"""Prefix of the name of a node that is already rewritten."""


def _where(node: Any) -> str:
    return f"node '{node.name or next(iter(node.output), '?')}' ({node.op_type})"


def _dtype(name: str, writer: GraphWriter) -> Any:
    return helper.tensor_dtype_to_np_dtype(writer.kind(name))


def dropout(node: Any, writer: GraphWriter) -> list[str] | None:
    """Dropout as identity, with a mask of ones. Raises `UnsupportedError` for a training mode that may drop values."""
    data, ratio, training = (*node.input, "", "")[:3]
    trains, share = writer.value(training) if training else np.False_, writer.value(ratio) if ratio else None
    if trains is None or (trains.any() and (share is None or share.any())):
        raise UnsupportedError(_where(node), "it may drop values", "random networks have no reference", TRAINED)
    if len(node.output) < 2 or not node.output[1]:
        return [writer.node("Identity", data)]
    shape = writer.shape(data)
    return None if shape is None else [writer.node("Identity", data), writer.constant(np.ones(shape, bool))]


def normalization(node: Any, writer: GraphWriter) -> list[str] | None:
    """Raise `UnsupportedError` for a training mode: the importer does not compute the statistics of the batch."""
    if writer.attributes(node).get("training_mode", 0):
        raise UnsupportedError(_where(node), "training_mode is 1", "it must be 0", TRAINED)
    return None


def suppression(node: Any, writer: GraphWriter) -> list[str] | None:
    """NonMaxSuppression with explicit thresholds, because the importer has other defaults.

    ONNX suppresses boxes whose overlap exceeds the threshold, the importer those that reach it: the threshold becomes
    the next larger float.
    """
    if node.name.startswith(MARK):
        return None
    boxes, scores, most, overlap, least = (*node.input, "", "", "")[:5]
    values = [writer.value(name) if name else None for name in (most, overlap, least)]
    if any(value is None and name for value, name in zip(values, (most, overlap, least), strict=True)):
        return None
    number = np.int64(0) if values[0] is None else values[0].reshape(()).astype("int64")
    share = np.float32(0) if values[1] is None else values[1].reshape(()).astype("float32")
    floor = np.float32(-np.inf) if values[2] is None else values[2].reshape(()).astype("float32")
    given = [writer.constant(value) for value in (number, np.nextafter(share, np.float32(np.inf)), floor)]
    (result,) = writer.like(node, "NonMaxSuppression", [boxes, scores, *given])
    writer.nodes[-1].name = f"{MARK} {node.name}"
    return [result]


def concatenation(node: Any, writer: GraphWriter) -> list[str] | None:
    """Concat without empty operands, which TVM's generated code does not read."""
    kept = [name for name in node.input if 0 not in (writer.shape(name) or ())]
    if len(kept) == len(node.input) or not kept:
        return None
    return writer.like(node, "Concat", kept)


def shift(node: Any, writer: GraphWriter) -> list[str] | None:
    """Raise `UnsupportedError` for shifts of signed integers, except by constants that the standard defines."""
    bits = BITS.get(writer.kind(node.input[0]))
    if bits is None:
        return None
    by = writer.value(node.input[1])
    if by is None or (by < 0).any() or (by >= bits).any():
        raise UnsupportedError(_where(node), "shifts of signed integers", f"constants from 0 to {bits - 1}", "others")
    return None


def modulo(node: Any, writer: GraphWriter) -> list[str] | None:
    """Float Mod with the sign of the divisor, computed from `fmod`; right for infinite divisors."""
    data, divisor = node.input
    if writer.attributes(node).get("fmod", 0) or writer.kind(data) not in FLOATS:
        return None
    rest, zero = writer.node("Mod", data, divisor, fmod=1), writer.constant(np.zeros((), _dtype(divisor, writer)))
    other = writer.node("Xor", writer.node("Less", rest, zero), writer.node("Less", divisor, zero))
    some = writer.node("Not", writer.node("Equal", rest, zero))
    return [writer.node("Where", writer.node("And", other, some), writer.node("Add", rest, divisor), rest)]


def one_hot(node: Any, writer: GraphWriter) -> list[str] | None:
    """OneHot by comparison with all classes: the importer takes integers only. Negative indices count from the end."""
    indices, depth, values = node.input
    count, shape = writer.value(depth), writer.shape(indices)
    if count is None or shape is None:
        return None
    classes = int(count.reshape(()))
    axis = writer.attributes(node).get("axis", -1) % (len(shape) + 1)
    whole = writer.node("Cast", indices, to=TensorProto.INT64)
    negative = writer.node("Less", whole, writer.constant(np.int64(0)))
    whole = writer.node("Where", negative, writer.node("Add", whole, writer.constant(np.int64(classes))), whole)
    beside = writer.node("Reshape", whole, writer.constant(np.array([*shape[:axis], 1, *shape[axis:]], "int64")))
    numbers = np.arange(classes).reshape([-1 if place == axis else 1 for place in range(len(shape) + 1)])
    hot = writer.node("Equal", beside, writer.constant(numbers))
    off, on = (writer.node("Gather", values, writer.constant(np.int64(place))) for place in (0, 1))
    return [writer.node("Where", hot, on, off)]
