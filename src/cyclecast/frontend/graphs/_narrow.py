"""Weights of less than 8 bits, and weights with one scale per block of rows, as integers that arrays hold.

Integers of 2 and 4 bits become bytes with the same values. A product with block scales becomes a sum of products with
one block each, whose scales are per filter: arrays sum a block, digital logic applies its scale.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import TensorProto

from cyclecast.frontend.graphs._nodes import GraphWriter

NARROW = {
    **dict.fromkeys((TensorProto.INT4, TensorProto.INT2), np.dtype("int8")),
    **dict.fromkeys((TensorProto.UINT4, TensorProto.UINT2), np.dtype("uint8")),
}
"""Types of less than a byte, and the byte type that holds them."""
MOST_BLOCKS = 512


def dequantised(node: Any, writer: GraphWriter) -> list[str] | None:
    """Narrow constants as bytes; block scales are applied unless the product that uses them handles them."""
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


@dataclass(frozen=True, slots=True)
class _Blocks:
    """Weights (rows, filters), scales (blocks, filters) and zero points (blocks, filters) or None."""

    values: Any
    scales: Any
    zeros: Any
    size: int
    """Rows of a block."""

    @property
    def rows(self) -> list[slice]:
        """The rows of each block, as slices."""
        count = len(self.values)
        return [slice(begin, min(begin + self.size, count)) for begin in range(0, count, self.size)]

    def weights(self, place: int, writer: GraphWriter) -> str:
        """Name of the dequantised weights of one block."""
        parts = [self.values[self.rows[place]], self.scales[place]]
        parts += [] if self.zeros is None else [self.zeros[place]]
        given = [writer.constant(np.ascontiguousarray(part)) for part in parts]
        return writer.node("DequantizeLinear", *given, axis=1)


def matmul(node: Any, writer: GraphWriter) -> list[str] | None:
    """MatMul with constant block-scaled weights, as a sum over the blocks; None for other weights."""
    blocks = _blocks_of(node.input[1], writer)
    shape = writer.shape(node.input[0])
    return _by_block(node.input[0], shape, blocks, writer) if blocks else None


def gemm(node: Any, writer: GraphWriter) -> list[str] | None:
    """Gemm with constant block-scaled weights, with transposed operands, alpha and beta; None for other weights."""
    attributes, (data, weights, added) = writer.attributes(node), (*node.input, "")[:3]
    blocks, shape = _blocks_of(weights, writer, bool(attributes.get("transB", 0))), writer.shape(data)
    if blocks is None or shape is None:
        return None
    if attributes.get("transA", 0):
        data, shape = writer.node("Transpose", data, perm=[1, 0]), shape[::-1]
    sums = _by_block(data, shape, blocks, writer)
    if sums is None:
        return None
    result = _times(sums[0], attributes.get("alpha", 1.0), writer)
    return [writer.node("Add", result, _times(added, attributes.get("beta", 1.0), writer)) if added else result]


def _times(data: str, factor: float, writer: GraphWriter) -> str:
    return data if factor == 1 else writer.node("Mul", data, writer.constant(np.float32(factor)))


def of_few_bits(node: Any, writer: GraphWriter) -> list[str] | None:
    """`MatMulNBits` of onnxruntime as a sum over the blocks.

    Its packed weights have shape (N, blocks, bytes of a block), the first value in the lowest bits.
    """
    data, packed, scale, zero, order, bias = (*node.input, "", "", "")[:6]
    attributes = writer.attributes(node)
    filters, rows, bits, size = (int(attributes.get(name, 4)) for name in ("N", "K", "bits", "block_size"))
    values, scales = writer.value(packed), writer.value(scale)
    zeros = writer.value(zero) if zero else None
    if values is None or scales is None or order or bits not in (2, 4, 8) or (zero and zeros is None):
        return None
    count = -(-rows // size)
    integers = _unpacked(values, bits).reshape(filters, count * size)[:, :rows].T
    scales = scales.reshape(filters, count).T
    if zeros is None:
        zeros = np.full((count, filters), 1 << (bits - 1), "uint8")
    elif zeros.dtype == np.uint8:
        zeros = _unpacked(zeros.reshape(filters, -1), bits)[:, :count].T
    else:
        return None  # float zero points
    result = _by_block(data, writer.shape(data), _Blocks(integers, scales, zeros, size), writer)
    if result is None:
        return None
    return [writer.node("Add", result[0], bias)] if bias else result


def _blocks_of(name: str, writer: GraphWriter, turned: bool = False) -> _Blocks | None:
    """Constant weights with block scales along rows, also behind transpositions; None for other weights."""
    maker = writer.maker(name)
    while maker is not None and maker.op_type == "Transpose" and writer.attributes(maker).get("perm", [1, 0]) == [1, 0]:
        maker, turned = writer.maker(maker.input[0]), not turned
    if maker is None or maker.op_type != "DequantizeLinear" or maker.domain:
        return None
    attributes = writer.attributes(maker)
    size, axis = attributes.get("block_size", 0), attributes.get("axis", 1)
    names = (*maker.input, "")[:3]
    values, scales, zeros = (writer.value(part) if part else None for part in names)
    if values is None or scales is None or (zeros is None and names[2]):
        return None
    if not size or values.ndim != 2 or axis % 2 != int(turned):
        return None
    values, scales, zeros = (
        part.T if turned and part is not None else part
        for part in (_bytes(values), scales, None if zeros is None else _bytes(zeros))
    )
    return _Blocks(values, scales, zeros, size)


def _by_block(data: str, shape: tuple[int, ...] | None, blocks: _Blocks, writer: GraphWriter) -> list[str] | None:
    """The sum of products over all blocks; None for too many blocks or data of another row length."""
    rows = blocks.rows
    if not shape or shape[-1] != len(blocks.values) or len(rows) > MOST_BLOCKS:
        return None
    parts = [data]
    if len(rows) > 1:
        sizes = writer.constant(np.array([part.stop - part.start for part in rows]))
        parts = writer.split("Split", len(rows), data, sizes, axis=-1)
    sums = [writer.node("MatMul", part, blocks.weights(place, writer)) for place, part in enumerate(parts)]
    while len(sums) > 1:
        pairs = [sums[place : place + 2] for place in range(0, len(sums), 2)]
        sums = [writer.node("Add", *pair) if len(pair) == 2 else pair[0] for pair in pairs]
    return sums


def _bytes(values: Any) -> Any:
    """Narrow integers as bytes."""
    return values.astype("uint8" if str(values.dtype).startswith("uint") else "int8")


def _spread(part: Any, block: int, axis: int, shape: tuple[int, ...]) -> Any:
    """Block scales or zero points, repeated for each value."""
    part = np.asarray(part).astype("float32")
    if part.ndim < len(shape):
        return part
    return np.take(part, np.arange(shape[axis]) // block, axis=axis)


def _unpacked(values: Any, bits: int) -> Any:
    """Integers packed into bytes, unpacked along the last axis, lowest bits first."""
    shifts = np.arange(0, 8, bits, dtype="uint8")
    parts = (values.view("uint8")[..., None] >> shifts) & ((1 << bits) - 1)
    return parts.reshape(*values.shape[:-1], -1).astype("uint8")
