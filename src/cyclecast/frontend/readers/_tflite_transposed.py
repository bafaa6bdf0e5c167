"""TFLite's transposed convolutions as convolutions in the sub-pixel form of `graphs/_transposed.py`."""

from __future__ import annotations

from copy import copy
from typing import Any

import numpy as np

from cyclecast.errors import UnsupportedError
from cyclecast.frontend.graphs._transposed import residues
from cyclecast.frontend.readers._tflite_graph import Graph
from cyclecast.frontend.readers._tflite_importer import LEVER, RESIDUES


def transposed(graph: Graph, operator: Any, makers: dict[int, Any]) -> list[Any]:
    """The operators that replace a TRANSPOSE_CONV. Raises `UnsupportedError` if its weights are computed."""
    _, weight, data, *rest = map(int, operator.inputs)
    bias = [index for index in rest if index >= 0]
    values, (result,) = [graph.values(index, makers) for index in (weight, *bias)], map(int, operator.outputs)
    if any(value is None for value in values):
        raise UnsupportedError(graph.where(operator), "its weights are computed", "they must be constants", LEVER)
    how, (batch, height, width, _), extents = operator.builtinOptions, graph.shape(data), graph.shape(result)
    if how is None or min(how.strideH, how.strideW) < 1 or len(extents) != 4 or min(extents) < 1:
        raise UnsupportedError(graph.where(operator), "its strides or its shape are missing", "they are known", LEVER)
    strides = (int(how.strideH), int(how.strideW))
    filters, kernel = int(values[0].shape[0]), values[0].shape[1:3]
    taps = [-(-size // stride) for size, stride in zip(kernel, strides, strict=True)]
    begins = [
        _begin(size, taken, stride, same=how.padding == graph.schema.Padding.SAME)
        for size, taken, stride in zip(extents[1:3], kernel, strides, strict=True)
    ]
    ends = [
        max(0, -(-(begin + extent) // stride) - size)
        for begin, extent, stride, size in zip(begins, extents[1:3], strides, (height, width), strict=True)
    ]
    name, wide = graph.tensors[result].name, [size + end for size, end in zip((height, width), ends, strict=True)]
    pads = [(0, 0), *((tap - 1, end) for tap, end in zip(taps, ends, strict=True)), (0, 0)]
    padded = [size + before + after for size, (before, after) in zip(graph.shape(data), pads, strict=True)]
    many, made = filters * strides[0] * strides[1], []
    if padded != list(graph.shape(data)):
        around = graph.constant(name + b":pads", np.array(pads, "int32"))
        data, given = graph.tensor(name + b":padded", padded, data), data
        made.append(graph.operator("PAD", [given, around], data, "PadOptions"))
    operands = [data, _weights(graph, weight, values[0], strides, taps)]
    operands += [_repeated(graph, index, value, many // filters) for index, value in zip(bias, values[1:], strict=True)]
    fields = {"strideW": 1, "strideH": 1, "fusedActivationFunction": how.fusedActivationFunction}
    fields["padding"] = graph.schema.Padding.VALID
    one = graph.tensor(name + RESIDUES.encode(), [batch, *wide, many], result)
    made.append(graph.operator("CONV_2D", operands, one, "Conv2DOptions", **fields))
    return [*made, *_interleaved(graph, one, result, (batch, *wide, filters), strides, begins)]


def _begin(size: int, kernel: int, stride: int, same: bool) -> int:
    """First index of the result inside the full transposed convolution, as LiteRT computes it."""
    steps = -(-size // stride) if same else (size + stride - kernel) // stride
    return max(0, (steps - 1) * stride + kernel - size) // 2


def _weights(graph: Graph, index: int, values: Any, strides: tuple[int, int], taps: list[int]) -> int:
    """Filters of the convolution, with the scales of their original filters."""
    how, zero, kind = graph.tensors[index].quantization, 0, values.dtype
    if graph.is_quantised(index):
        zero = int(how.zeroPoint[0])
        values = values.astype("int32") - zero
    turned = residues(values.transpose(3, 0, 1, 2), 1, strides, taps).transpose(0, 2, 3, 1)
    made = graph.constant(graph.tensors[index].name + b":residues", (turned + zero).astype(kind))
    graph.tensors[made].quantization = _scales(how, strides[0] * strides[1])
    return made


def _repeated(graph: Graph, index: int, values: Any, times: int) -> int:
    made = graph.constant(graph.tensors[index].name + b":residues", np.repeat(values, times))
    graph.tensors[made].quantization = _scales(graph.tensors[index].quantization, times)
    return made


def _scales(how: Any, times: int) -> Any:
    """Quantisation with each filter's scale repeated; one scale for the tensor stays one."""
    if how is None or how.scale is None or len(how.scale) < 2:
        return how
    changed = copy(how)
    changed.scale, changed.zeroPoint = np.repeat(how.scale, times), np.repeat(how.zeroPoint, times)
    return changed


def _interleaved(
    graph: Graph, source: int, result: int, shape: tuple[int, ...], strides: tuple[int, int], begins: list[int]
) -> list[Any]:
    """Operators that interleave the residues (depth to space) and slice the result."""
    name, (batch, height, width, filters) = graph.tensors[result].name, shape
    whole = [batch, height * strides[0], width * strides[1], filters]
    steps: list[Any] = []

    def step(kind: str, extents: list[int], *constants: Any, **fields: Any) -> None:
        last = steps[-1].outputs[0] if steps else source
        more = [graph.constant(name + b":where", np.array(values, "int32")) for values in constants]
        target = graph.tensor(name + b":step", extents, result)
        steps.append(graph.operator(kind, [last, *more], target, f"{kind.title()}Options", **fields))

    if max(strides) > 1:
        apart = [batch, height, width, filters, *strides]
        step("RESHAPE", apart, newShape=apart)
        step("TRANSPOSE", [apart[axis] for axis in (0, 1, 4, 2, 5, 3)], [0, 1, 4, 2, 5, 3])
        step("RESHAPE", whole, newShape=whole)
    extents = list(graph.shape(result))
    step("SLICE", extents, [0, *begins, 0], extents)
    steps[-1].outputs = [result]
    return steps
