"""Weights of few bits, and with a scale for each block of rows, as integers that arrays take.

Integers of 2 and 4 bits become bytes of the same values. A product with scales by block is the sum of products with one
block each, whose scales lie along the filters: arrays add up a block, and what its scale does is digital.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto

from cyclecast.frontend._nodes import Writer

NARROW = {
    **dict.fromkeys((TensorProto.INT4, TensorProto.INT2), np.dtype("int8")),
    **dict.fromkeys((TensorProto.UINT4, TensorProto.UINT2), np.dtype("uint8")),
}
"""Types of less than a byte, and the bytes that hold them."""
MOST_BLOCKS = 512


def dequantised(node: Any, writer: Writer) -> list[str] | None:
    """Constants of less than a byte as bytes; scales by block are left to the product that takes them, or applied."""
    data, scale, zero = (*node.input, "")[:3]
    values, attributes = writer.value(data), writer.attributes(node)
    block, axis = attributes.get("block_size", 0), attributes.get("axis", 1)
    if values is None or (not block and writer.kind(data) not in NARROW):
        return None
    if block:
        scales, zeros = writer.value(scale), writer.value(zero) if zero else np.int8(0)
        if scales is None or zeros is None:
            return None
        factor, offset = (_spread(part, block, axis, values.shape) for part in (scales, zeros))
        return [writer.constant(((values.astype("float32") - offset) * factor).astype(scales.dtype))]
    given = [writer.constant(_bytes(values)), scale]
    if zero:
        zeros = writer.value(zero)
        if zeros is None:
            return None
        given.append(writer.constant(_bytes(zeros)))
    return [writer.node("DequantizeLinear", *given, axis=axis)]


def matmul(node: Any, writer: Writer) -> list[str] | None:
    """A product with constant weights that have scales by block of their rows, as a sum over the blocks."""
    maker = writer.maker(node.input[1])
    if maker is None or maker.op_type != "DequantizeLinear" or maker.domain:
        return None
    attributes = writer.attributes(maker)
    block, axis = attributes.get("block_size", 0), attributes.get("axis", 1)
    names = (*maker.input, "")[:3]
    values, scales, zeros = (writer.value(name) if name else None for name in names)
    if values is None or scales is None or (zeros is None and names[2]):
        return None
    if not block or values.ndim != 2 or axis % 2:
        return None
    return _by_block(node.input[0], _bytes(values), scales, None if zeros is None else _bytes(zeros), block, writer)


def of_few_bits(node: Any, writer: Writer) -> list[str] | None:
    """onnxruntime's `MatMulNBits`: weights by filter (N, blocks, bytes of a block), the first in the lowest bits."""
    data, packed, scale, zero, order, bias = (*node.input, "", "", "")[:6]
    attributes = writer.attributes(node)
    filters, rows, bits, block = (int(attributes.get(name, 4)) for name in ("N", "K", "bits", "block_size"))
    values, scales = writer.value(packed), writer.value(scale)
    zeros = writer.value(zero) if zero else None
    if values is None or scales is None or order or bits not in (2, 4, 8) or (zero and zeros is None):
        return None
    blocks = -(-rows // block)
    integers = _unpacked(values, bits).reshape(filters, blocks * block)[:, :rows].T
    scales = scales.reshape(filters, blocks).T
    if zeros is None:
        zeros = np.full((blocks, filters), 1 << (bits - 1), "uint8")
    elif zeros.dtype == np.uint8:
        zeros = _unpacked(zeros.reshape(filters, -1), bits)[:, :blocks].T
    else:
        return None  # real zero points
    (result,) = _by_block(data, integers, scales, zeros, block, writer) or ("",)
    if not result:
        return None
    return [writer.node("Add", result, bias) if bias else result]


def _by_block(data: str, values: Any, scales: Any, zeros: Any, block: int, writer: Writer) -> list[str] | None:
    """The sum over blocks of rows: weights (rows, filters), scales and zero points (blocks, filters)."""
    shape, rows = writer.shape(data), len(values)
    if shape is None or not shape or shape[-1] != rows or len(scales) > MOST_BLOCKS:
        return None
    sizes = [min(block, rows - begin) for begin in range(0, rows, block)]
    parts = [data]
    if len(sizes) > 1:
        parts = writer.split("Split", len(sizes), data, writer.constant(np.array(sizes)), axis=-1)
    sums = []
    for place, part in enumerate(parts):
        weights = [values[place * block : place * block + sizes[place]], scales[place]]
        weights += [] if zeros is None else [zeros[place]]
        given = [writer.constant(np.ascontiguousarray(each)) for each in weights]
        real = writer.node("DequantizeLinear", *given, axis=1)
        sums.append(writer.node("MatMul", part, real))
    while len(sums) > 1:
        pairs = [sums[place : place + 2] for place in range(0, len(sums), 2)]
        sums = [writer.node("Add", *pair) if len(pair) == 2 else pair[0] for pair in pairs]
    return sums


def _bytes(values: Any) -> Any:
    """Integers of less than a byte as bytes."""
    return values.astype("uint8" if str(values.dtype).startswith("uint") else "int8")


def _spread(part: Any, block: int, axis: int, shape: tuple[int, ...]) -> Any:
    """Scales or zero points for each value."""
    part = np.asarray(part).astype("float32")
    if part.ndim < len(shape):
        return part
    return np.take(part, np.arange(shape[axis]) // block, axis=axis)


def _unpacked(values: Any, bits: int) -> Any:
    """The integers in each byte, the lowest bits first, along the last axis."""
    shifts = np.arange(0, 8, bits, dtype="uint8")
    parts = (values.view("uint8")[..., None] >> shifts) & ((1 << bits) - 1)
    return parts.reshape(*values.shape[:-1], -1).astype("uint8")
