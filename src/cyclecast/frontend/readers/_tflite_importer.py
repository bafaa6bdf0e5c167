"""TVM's TFLite importer with checks: errors name the node, results have the type and shape of the file.

Operators that the importer does not compute as LiteRT does have their own converters here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
from tvm import relax
from tvm.relax.frontend.tflite.tflite_frontend import OperatorConverter

from cyclecast.errors import UnsupportedError
from cyclecast.frontend._words import first_line, shortened

LOG = logging.getLogger(__name__)
LEVER = "exporting it to ONNX"
AS_REAL, RESIDUES = ":real", ":residues"
"""Suffixes of names of tensors that are not in the file."""


class Importer(OperatorConverter):  # type: ignore[misc] # TVM is untyped
    """TVM's importer, which checks the result of each operator."""

    def __init__(self, *parts: Any, source: str) -> None:
        super().__init__(*parts)
        self.source = source

    def check_unsupported_ops(self) -> None:
        """Do nothing: `explicit` has checked the operators, with names of nodes."""

    def get_expr(self, input_tensor_idx: int) -> Any:
        """The expression of a computed or constant tensor; the base class takes constants for some operands only."""
        if self.has_expr(input_tensor_idx):
            return super().get_expr(input_tensor_idx)
        return self.get_tensor_expr(self.get_tensors([input_tensor_idx])[0])

    def convert_op_to_relax(self) -> None:
        """Convert all operators. Raises `UnsupportedError`, which names the node."""
        for place in range(self.subgraph.OperatorsLength()):
            operator = self.subgraph.Operators(place)
            name = self.get_op_code_str(operator)
            results = [self.subgraph.Tensors(int(index)) for index in operator.OutputsAsNumpy()]
            where = f"{self.source}: node '{shortened(_name_of(results[0]))}' ({name})"
            try:
                made = self._converted(operator, OWN.get(name) or self.convert_map[name])
            except Exception as error:  # any error of a converter
                LOG.debug("the importer failed", exc_info=True)
                reason = "" if error.args else "TVM does not take its types"
                raise UnsupportedError(where, "it cannot be imported", reason or first_line(error), LEVER) from None
            for tensor, value in zip(results, made, strict=True):
                self._require_equal(value, tensor, where)
                self.exp_tab.set_expr(tensor.Name().decode("utf-8"), value)

    def _converted(self, operator: Any, convert: Callable[..., Any]) -> list[Any]:
        own = convert in OWN.values()
        made = self.bb.normalize(convert(self, operator) if own else convert(op=operator))
        if operator.OutputsLength() == 1 and not isinstance(made.ty, relax.TupleType):
            return [made]
        return [self.bb.normalize(made[place]) for place in range(operator.OutputsLength())]

    def _require_equal(self, made: Any, tensor: Any, where: str) -> None:
        """Raise `UnsupportedError` if a result's type or shape differs from the file's, as far as the file has them."""
        kind = self.get_tensor_type_str(tensor.Type())
        if str(made.ty.dtype) != kind:
            raise UnsupportedError(where, f"TVM imports values of {made.ty.dtype}", f"the file has {kind}", LEVER)
        if not tensor.ShapeLength():  # a scalar, or an unknown shape
            return
        stated = tuple(map(int, tensor.ShapeAsNumpy()))
        signature = tuple(map(int, tensor.ShapeSignatureAsNumpy())) if tensor.ShapeSignatureLength() else stated
        try:
            extents = tuple(int(extent) for extent in made.ty.shape)
        except TypeError:
            raise UnsupportedError(where, "its shape depends on values", "shapes are fixed", LEVER) from None
        if len(extents) != len(stated) or any(
            one not in (extent, -1) for one, extent in zip(signature, extents, strict=False)
        ):
            raise UnsupportedError(where, f"TVM imports a result of {extents}", f"the file has {stated}", LEVER)

    def operands(self, operator: Any) -> list[Any]:
        """Expressions of all operands; quantised ones are dequantised."""
        tensors = self.get_input_tensors(operator)
        made = [self.get_tensor_expr(tensor) for tensor in tensors]
        return [
            self.bb.normalize(self.dequantize(value, tensor)) if tensor.qnn_params else value
            for value, tensor in zip(made, tensors, strict=True)
        ]

    def constant(self, operator: Any, place: int) -> Any:
        """Values of a constant operand. Raises `ValueError` if it is computed."""
        tensor = self.get_input_tensors(operator)[place]
        if self.has_expr(tensor.tensor_idx):
            raise ValueError(f"operand {place} is computed, it must be a constant")
        return self.get_tensor_value(tensor)

    def options(self, operator: Any, kind: str) -> Any:
        """Options of an operator. Raises `ValueError` if the file has none."""
        import tflite

        found, table = getattr(tflite, kind)(), operator.BuiltinOptions()
        if table is None:
            raise ValueError(f"it has no {kind}")
        found.Init(table.Bytes, table.Pos)
        return found

    def result(self, operator: Any, value: Any) -> Any:
        """The value, quantised if the result is."""
        (tensor,) = self.get_output_tensors(operator)
        return self.quantize(value, tensor) if tensor.qnn_params else value

    def shape(self, operator: Any, place: int = 0) -> list[int]:
        """Shape of an operand."""
        return [int(extent) for extent in self.get_tensor_shape(self.get_input_tensors(operator)[place])]


def _name_of(tensor: Any) -> str:
    """Name of a tensor in the file."""
    name: str = tensor.Name().decode(errors="replace")
    return name.removesuffix(AS_REAL).removesuffix(RESIDUES)


def _softmax(at: Importer, operator: Any) -> Any:
    """Softmax with the factor beta, which the importer ignores."""
    (data,) = at.operands(operator)
    beta = float(at.options(operator, "SoftmaxOptions").Beta())
    if beta != 1:
        data = relax.op.multiply(data, relax.const(beta, "float32"))
    return at.result(operator, relax.op.nn.softmax(data, axis=-1))


def _logarithm(at: Importer, operator: Any) -> Any:
    """Logarithm; of quantised values, negative ones are clipped to zero first."""
    (data,) = at.operands(operator)
    if at.is_quantized(operator):
        data = relax.op.maximum(data, relax.const(0, "float32"))
    return at.result(operator, relax.op.log(data))


def _gelu(at: Importer, operator: Any) -> Any:
    """GELU, exact or with tanh; the importer supports the exact one only."""
    (data,) = at.operands(operator)
    approximate = at.options(operator, "GeluOptions").Approximate()
    return at.result(operator, (relax.op.nn.gelu_tanh if approximate else relax.op.nn.gelu)(data))


def _select(at: Importer, operator: Any) -> Any:
    """Select; a vector of conditions selects rows in version 1 and is broadcast in version 2."""
    condition, one, other = at.operands(operator)
    rows, whole = at.shape(operator), at.shape(operator, 1)
    if at.get_op_code_str(operator) == "SELECT" and len(rows) == 1 < len(whole):
        condition = relax.op.reshape(condition, [*rows, *[1] * (len(whole) - 1)])
    return relax.op.where(condition, one, other)


def _gather_nd(at: Importer, operator: Any) -> Any:
    data, indices = at.operands(operator)
    return relax.op.gather_nd(data, relax.op.astype(indices, "int64"))


def _scatter_nd(at: Importer, operator: Any) -> Any:
    """Scatter into zeros; values at the same index are added."""
    indices, updates, _ = at.operands(operator)
    kind = str(updates.ty.dtype)
    base = relax.op.zeros([int(extent) for extent in at.constant(operator, 2)], kind)
    return relax.op.scatter_nd(base, relax.op.astype(indices, "int64"), updates, "add")


def _cast(at: Importer, operator: Any) -> Any:
    """Cast to the type of the result, whatever the options are; integers are not rescaled."""
    (tensor,), (result,) = at.get_input_tensors(operator), at.get_output_tensors(operator)
    return relax.op.astype(at.get_tensor_expr(tensor), at.get_tensor_type_str(result.tensor.Type()))


def _extreme(find: Callable[..., Any]) -> Callable[[Importer, Any], Any]:
    def convert(at: Importer, operator: Any) -> Any:
        (result,) = at.get_output_tensors(operator)
        data, axis = at.get_tensor_expr(at.get_input_tensors(operator)[0]), int(at.constant(operator, 1).item())
        return relax.op.astype(find(data, axis), at.get_tensor_type_str(result.tensor.Type()))

    return convert


def _squared_difference(at: Importer, operator: Any) -> Any:
    one, other = at.operands(operator)
    difference = at.bb.normalize(relax.op.subtract(one, other))
    return at.result(operator, relax.op.multiply(difference, difference))


def _square(at: Importer, operator: Any) -> Any:
    (data,) = at.operands(operator)
    return at.result(operator, relax.op.multiply(data, data))


def _matmul(at: Importer, operator: Any) -> Any:
    """Batched matrix product, with transposed operands and broadcast batches."""
    how, values = at.options(operator, "BatchMatMulOptions"), at.operands(operator)
    for place, turned in enumerate((how.AdjX(), how.AdjY())):
        axes = list(range(len(at.shape(operator, place))))
        if turned:
            values[place] = relax.op.permute_dims(values[place], [*axes[:-2], axes[-1], axes[-2]])
    return at.result(operator, relax.op.matmul(*values))


def _cumulated(at: Importer, operator: Any) -> Any:
    """Cumulative sum, also in reverse."""
    how, data = at.options(operator, "CumsumOptions"), at.operands(operator)[0]
    axis, kind = int(at.constant(operator, 1).item()) % len(at.shape(operator)), str(data.ty.dtype)
    data = relax.op.flip(data, axis) if how.Reverse() else data
    data = relax.op.cumsum(data, axis, kind, bool(how.Exclusive()))
    return relax.op.flip(data, axis) if how.Reverse() else data


def _looked_up(at: Importer, operator: Any) -> Any:
    indices, table = at.operands(operator)
    return relax.op.take(table, indices, axis=0)


def _reversed(at: Importer, operator: Any) -> Any:
    data = at.get_tensor_expr(at.get_input_tensors(operator)[0])
    for axis in at.constant(operator, 1).ravel():
        data = relax.op.flip(data, int(axis))
    return data


def _mirrored(at: Importer, operator: Any) -> Any:
    mode: Any = "symmetric" if at.options(operator, "MirrorPadOptions").Mode() else "reflect"
    data = at.get_tensor_expr(at.get_input_tensors(operator)[0])
    for axis, (size, pads) in enumerate(zip(at.shape(operator), at.constant(operator, 1).tolist(), strict=True)):
        if any(pads):
            places = np.pad(np.arange(size), pads, mode=mode)
            data = relax.op.take(data, relax.const(places.astype("int32")), axis=axis)
    return data


def _to_batches(at: Importer, operator: Any) -> Any:
    """SPACE_TO_BATCH_ND: move blocks of space to the batch axis."""
    data = at.get_tensor_expr(at.get_input_tensors(operator)[0])
    (batch, *rest), block, pads = at.shape(operator), at.constant(operator, 1).tolist(), at.constant(operator, 2)
    axes = len(block)
    padded = [(0, 0), *map(tuple, pads.tolist()), *[(0, 0)] * (len(rest) - axes)]
    data = relax.op.nn.pad(data, [int(pad) for pair in padded for pad in pair])
    sizes = [(size + sum(pads[axis].tolist())) // block[axis] for axis, size in enumerate(rest[:axes])]
    split = [size for pair in zip(sizes, block, strict=True) for size in pair]
    data = relax.op.reshape(data, [batch, *split, *rest[axes:]])
    within, outer = [2 + 2 * axis for axis in range(axes)], [1 + 2 * axis for axis in range(axes)]
    data = relax.op.permute_dims(data, [*within, 0, *outer, *range(1 + 2 * axes, 1 + axes + len(rest))])
    return relax.op.reshape(data, [batch * int(np.prod(block)), *sizes, *rest[axes:]])


def _from_batches(at: Importer, operator: Any) -> Any:
    """BATCH_TO_SPACE_ND: the inverse."""
    data = at.get_tensor_expr(at.get_input_tensors(operator)[0])
    (batches, *rest), block, crops = at.shape(operator), at.constant(operator, 1).tolist(), at.constant(operator, 2)
    axes, batch = len(block), batches // int(np.prod(block))
    data = relax.op.reshape(data, [*block, batch, *rest])
    order = [place for axis in range(axes) for place in (1 + axes + axis, axis)]
    data = relax.op.permute_dims(data, [axes, *order, *range(1 + 2 * axes, 1 + axes + len(rest))])
    sizes = [size * block[axis] for axis, size in enumerate(rest[:axes])]
    data = relax.op.reshape(data, [batch, *sizes, *rest[axes:]])
    ends = [size - int(crops[axis][1]) for axis, size in enumerate(sizes)]
    return relax.op.strided_slice(data, list(range(1, 1 + axes)), [int(pair[0]) for pair in crops], ends)


def _buckets(at: Importer, operator: Any) -> Any:
    """Bucketize; a boundary belongs to the upper bucket."""
    limits = at.options(operator, "BucketizeOptions").BoundariesAsNumpy()
    (data,) = at.operands(operator)
    return relax.op.bucketize(data, relax.const(limits, "float32"), out_int32=True, right=True)


OWN: dict[str, Callable[[Importer, Any], Any]] = {
    "ARG_MAX": _extreme(relax.op.argmax),
    "ARG_MIN": _extreme(relax.op.argmin),
    "BATCH_MATMUL": _matmul,
    "BATCH_TO_SPACE_ND": _from_batches,
    "BUCKETIZE": _buckets,
    "CAST": _cast,
    "CUMSUM": _cumulated,
    "EMBEDDING_LOOKUP": _looked_up,
    "GATHER_ND": _gather_nd,
    "GELU": _gelu,
    "LOG": _logarithm,
    "MIRROR_PAD": _mirrored,
    "REVERSE_V2": _reversed,
    "SCATTER_ND": _scatter_nd,
    "SELECT": _select,
    "SELECT_V2": _select,
    "SOFTMAX": _softmax,
    "SPACE_TO_BATCH_ND": _to_batches,
    "SQUARE": _square,
    "SQUARED_DIFFERENCE": _squared_difference,
}
"""Converters that replace the importer's."""
