"""Rewrite TFLite files for TVM's importer: remove shape arithmetic, check options, add conversions.

With fixed shapes each tensor has a known shape, so arithmetic on shapes is removed. Quantised operators that the
importer supports for float values only get conversions around them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, count
from math import prod
from typing import Any

import numpy as np
from tvm.relax.frontend.tflite.tflite_frontend import OperatorConverter

from cyclecast.errors import OperatorsError, Refused, UnsupportedError
from cyclecast.frontend._base import require_narrow
from cyclecast.frontend._words import first_line, shortened
from cyclecast.frontend.readers._tflite_graph import TYPES, Graph, text_of
from cyclecast.frontend.readers._tflite_importer import AS_REAL, LEVER
from cyclecast.frontend.readers._tflite_transposed import transposed

MOST_NODES = 3
"""Nodes that an error names for each operator."""
AS_THEY_ARE = {"QUANTIZE", "DEQUANTIZE", "CAST"}
"""Operators that convert integers themselves, or that do not depend on their scale."""
VIEWS = ("RESHAPE", "SQUEEZE", "EXPAND_DIMS")
"""Operators that only change the shape."""
NAMES = (
    "ABS ADD ADD_N ARG_MAX ARG_MIN ATAN2 AVERAGE_POOL_2D BATCH_MATMUL BATCH_TO_SPACE_ND BITWISE_XOR BROADCAST_TO "
    "BUCKETIZE CAST CEIL CONCATENATION CONV_2D CONV_3D COS CUMSUM DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE DIV ELU "
    "EMBEDDING_LOOKUP EQUAL EXP EXPAND_DIMS FILL FLOOR FLOOR_DIV FLOOR_MOD FULLY_CONNECTED GATHER GATHER_ND GELU "
    "GREATER GREATER_EQUAL HARD_SWISH L2_NORMALIZATION L2_POOL_2D LEAKY_RELU LESS LESS_EQUAL "
    "LOCAL_RESPONSE_NORMALIZATION LOG LOGICAL_AND LOGICAL_NOT LOGICAL_OR LOGISTIC LOG_SOFTMAX MAXIMUM MAX_POOL_2D "
    "MEAN MINIMUM MIRROR_PAD MUL NEG NOT_EQUAL ONE_HOT PACK PAD PADV2 POW PRELU QUANTIZE RANK REDUCE_ALL "
    "REDUCE_ANY REDUCE_MAX REDUCE_MIN REDUCE_PROD RELU RELU6 RELU_0_TO_1 RELU_N1_TO_1 RESHAPE RESIZE_BILINEAR "
    "RESIZE_NEAREST_NEIGHBOR REVERSE_SEQUENCE REVERSE_V2 ROUND RSQRT SCATTER_ND SEGMENT_SUM SELECT "
    "SELECT_V2 SHAPE SIGN SIN SLICE SOFTMAX SPACE_TO_BATCH_ND SPACE_TO_DEPTH SPLIT SPLIT_V SQRT SQUARE "
    "SQUARED_DIFFERENCE SQUEEZE STRIDED_SLICE SUB SUM TANH TILE TOPK_V2 TRANSPOSE TRANSPOSE_CONV UNPACK "
    "UNSORTED_SEGMENT_MAX UNSORTED_SEGMENT_MIN UNSORTED_SEGMENT_PROD UNSORTED_SEGMENT_SUM ZEROS_LIKE "
)
TAKEN = frozenset(NAMES.split())
"""Operators whose imported results equal LiteRT's; `tests/tflite_operators.py` has cases of each."""
STANDARD: dict[str, dict[str, Any]] = {
    "CONCATENATION": {"fusedActivationFunction": 0},
    "FULLY_CONNECTED": {"weightsFormat": 0},
    "GATHER": {"batchDims": 0},
    "STRIDED_SLICE": {"offset": False},
}
"""Options that the importer ignores, and the only value that is supported."""
UNQUANTISED = {"FLOOR_DIV", "FLOOR_MOD", "NEG", "REDUCE_PROD", "SCATTER_ND"}
"""Operators that LiteRT applies to the integers themselves, or rounds after each step."""
REAL = {"MEAN", "POW"}
"""Operators that TVM supports for float values only."""
TABLED = {"EXP", "GELU", "LOG", "PRELU", "RSQRT"}
"""Operators that LiteRT computes differently for 16-bit integers."""
GIVEN = {"ONE_HOT", "PADV2"}
"""Operators with operands that must be constants but are no weights."""
BIASED = {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV"}
MOVING = (
    "BATCH_TO_SPACE_ND BROADCAST_TO DEPTH_TO_SPACE EMBEDDING_LOOKUP GATHER GATHER_ND MIRROR_PAD ONE_HOT PACK PAD PADV2 "
    "RESHAPE RESIZE_NEAREST_NEIGHBOR REVERSE_V2 SELECT SELECT_V2 SLICE SPACE_TO_BATCH_ND SPACE_TO_DEPTH SPLIT SPLIT_V "
    "STRIDED_SLICE TILE TOPK_V2 TRANSPOSE UNPACK"
)
COPIED = frozenset(MOVING.split())
"""Operators that move values and do not change the integers."""
MOST_ACTIVATION = 3
"""Number of the last activation that LiteRT applies, RELU6."""
RECURRENT = ("LSTM", "RNN", "SVDF")
ADVICE = {
    "WHERE": "export it with SELECT: the number of indices that it finds is not fixed",
    **dict.fromkeys(("IF", "WHILE", "CALL", "CALL_ONCE", "STABLEHLO_WHILE"), "export the part that is run, unrolled"),
    **dict.fromkeys(("RANDOM_UNIFORM", "RANDOM_STANDARD_NORMAL", "MULTINOMIAL"), "export it for use, not for training"),
}


def explicit(model: Any, source: str) -> None:
    """Rewrite a model in place. Raises `UnsupportedError` or `OperatorsError` for operators that cannot be imported."""
    graph = Graph(model)
    _require_narrow(graph, source)
    _with_whole_bytes(graph)
    makers, operators = graph.makers(), []
    for operator in graph.graph.operators:
        with _named(graph, operator, source):
            replaced = graph.name(operator) == "TRANSPOSE_CONV" and len(operator.outputs) == 1
            operators += transposed(graph, operator, makers) if replaced else _viewed(graph, operator)
    graph.graph.operators = operators
    _without_unused(graph)
    _require_operators(graph, source)
    for operator in graph.graph.operators:
        with _named(graph, operator, source):
            _require_options(graph, operator)
    _with_conversions(graph, source)
    _name_apart(graph)


@contextmanager
def _named(graph: Graph, operator: Any, source: str) -> Iterator[None]:
    """Context: turn any error inside into an `UnsupportedError` that names the operator."""
    where = f"{source}: {graph.where(operator)}"
    try:
        yield
    except UnsupportedError as error:
        raise UnsupportedError(where, error.demand, error.bound, error.lever) from None
    except Exception as error:
        raise UnsupportedError(where, "it cannot be rewritten", first_line(error), LEVER) from error


def _require_narrow(graph: Graph, source: str) -> None:
    for tensor in graph.tensors:
        require_narrow(f"{source}: tensor '{shortened(text_of(tensor))}'", len(tensor.shape))
    for place, operator in enumerate(graph.graph.operators):
        require_narrow(f"{source}: operator {place}", 0, max(len(operator.inputs), len(operator.outputs)))


def _with_whole_bytes(graph: Graph) -> None:
    """Unpack 4-bit constants, two per byte, to one per byte."""
    for tensor in graph.tensors:
        data = graph.model.buffers[tensor.buffer].data
        if graph.types.get(tensor.type) == "INT4" and data is not None and len(data):
            pairs = np.asarray(data, "uint8")
            values = np.stack([pairs & 15, pairs >> 4], -1).ravel()[: prod(map(int, tensor.shape))]
            buffer = graph.schema.BufferT()
            buffer.data = ((values ^ 8).astype("int8") - 8).astype("int8").view("uint8")
            graph.model.buffers.append(buffer)
            tensor.buffer, tensor.type = len(graph.model.buffers) - 1, graph.schema.TensorType.INT8


def _viewed(graph: Graph, operator: Any) -> list[Any]:
    """Replace changes of shape by RESHAPE to the result's shape; reshape the input of a dense layer to rows."""
    name = graph.name(operator)
    if name in VIEWS and len(operator.inputs) and len(operator.outputs):
        result = int(operator.outputs[0])
        how = {"newShape": list(graph.shape(result))}
        return [graph.operator("RESHAPE", [int(operator.inputs[0])], result, "ReshapeOptions", **how)]
    if name != "FULLY_CONNECTED" or len(operator.inputs) < 2 or operator.builtinOptions is None:
        return [operator]
    data, terms = int(operator.inputs[0]), graph.shape(int(operator.inputs[1]))[-1:]
    shape = graph.shape(data)
    size = prod(shape)
    kept = operator.builtinOptions.keepNumDims or (len(shape) == 2 and shape[-1:] == terms)
    if kept or not terms or not terms[0] or size % terms[0]:
        return [operator]
    rows = graph.tensor(graph.tensors[data].name + b":rows", [size // terms[0], terms[0]], data)
    fields = {"newShape": list(graph.shape(rows))}
    operator.inputs = [rows, *map(int, operator.inputs[1:])]
    return [graph.operator("RESHAPE", [data], rows, "ReshapeOptions", **fields), operator]


def _without_unused(graph: Graph) -> None:
    """Remove operators that computed shapes only."""
    while True:
        operators = graph.graph.operators
        used = {*map(int, graph.graph.outputs), *(int(index) for operator in operators for index in operator.inputs)}
        live = [operator for operator in operators if used & set(map(int, operator.outputs))]
        graph.graph.operators = live
        if len(live) == len(operators):
            return


def _require_operators(graph: Graph, source: str) -> None:
    """Raise `OperatorsError` with each unsupported operator and its count."""
    refused = defaultdict[str, list[str]](list)
    for operator in graph.graph.operators:
        name = graph.name(operator)
        if name not in TAKEN:
            refused[name].append(shortened(text_of(graph.tensors[operator.outputs[0]])))
    if refused:
        rows = [Refused(name, len(nodes), tuple(nodes[:MOST_NODES]), _advice(name)) for name, nodes in refused.items()]
        raise OperatorsError(source, sorted(rows))


def _advice(name: str) -> str:
    if any(part in name.split("_") for part in RECURRENT):
        return "export it to ONNX, whose recurrent layers become matrix products"
    return ADVICE.get(name, "export it to ONNX, or without it")


def _require_options(graph: Graph, operator: Any) -> None:
    """Raise `UnsupportedError` for options that the importer ignores and activations that LiteRT ignores."""
    name, how, where = graph.name(operator), operator.builtinOptions, graph.where(operator)
    for option, value in STANDARD.get(name, {}).items():
        if getattr(how, option, value) != value:
            raise UnsupportedError(where, f"{option} is {getattr(how, option)}", f"it must be {value}", LEVER)
    activation = getattr(how, "fusedActivationFunction", 0)
    if activation > MOST_ACTIVATION:
        raise UnsupportedError(where, f"activation {activation} is fused", "LiteRT leaves it out", LEVER)
    if name == "RESIZE_NEAREST_NEIGHBOR" and how is not None and how.alignCorners and how.halfPixelCenters:
        raise UnsupportedError(where, "alignCorners and halfPixelCenters are both set", "only one may be", LEVER)
    indices = [int(index) for index in (*operator.inputs, *operator.outputs) if index >= 0]
    how_many = {_scaling(graph, index) for index in indices if graph.is_quantised(index)}
    if name in COPIED and len(how_many) > 1:
        raise UnsupportedError(where, "its tensors differ in scale", "LiteRT copies integers as they are", LEVER)
    for index in indices:
        if reason := _refusal(graph, name, index, index == int(operator.inputs[0])):
            what = f"tensor '{shortened(text_of(graph.tensors[index]))}' {reason[0]}"
            raise UnsupportedError(where, what, reason[1], LEVER)


def _scaling(graph: Graph, index: int) -> tuple[tuple[float, ...], tuple[int, ...]]:
    how = graph.tensors[index].quantization
    zeros = [] if how.zeroPoint is None else how.zeroPoint
    return tuple(map(float, how.scale)), tuple(map(int, zeros))


def _refusal(graph: Graph, name: str, index: int, is_first: bool) -> tuple[str, str] | None:
    """Why an operator is not supported with a tensor, and what the tensor must be; None if it is supported."""
    kind, quantised = graph.kind(index), graph.is_quantised(index)
    if kind not in TYPES:
        return f"is of type {kind}", "it must hold numbers of 8 bits or more"
    if quantised and (name in UNQUANTISED or (name in TABLED and kind == "INT16")):
        return f"is quantised as {kind}", "LiteRT computes other values than its scale gives"
    if name in REAL and is_first and not quantised and not kind.startswith("FLOAT"):
        return f"is of type {kind}", "it must hold real numbers"
    return None


def _with_conversions(graph: Graph, source: str) -> None:
    """Add conversions around operators that the importer supports for float values only."""
    operators, makers = [], graph.makers()
    for operator in graph.graph.operators:
        with _named(graph, operator, source):
            _with_small_bias(graph, operator, makers)
            before, after = _around(graph, operator, makers)
            operators += [*before, operator, *after]
    graph.graph.operators = operators


def _with_small_bias(graph: Graph, operator: Any, makers: dict[int, Any]) -> None:
    """Convert a constant 64-bit bias (used with 16-bit activations) to 32 bits if its values fit."""
    for place, index in enumerate(map(int, operator.inputs)):
        if graph.name(operator) in BIASED and index >= 0 and graph.kind(index) == "INT64":
            values = graph.values(index, makers)
            if values is not None and np.array_equal(values, values.astype("int32")):
                made = graph.constant(graph.tensors[index].name, values.astype("int32"))
                graph.tensors[made].quantization = graph.tensors[index].quantization
                operator.inputs = [*operator.inputs[:place], made, *operator.inputs[place + 1 :]]


def _around(graph: Graph, operator: Any, makers: dict[int, Any]) -> tuple[list[Any], list[Any]]:
    inputs = [index for index in map(int, operator.inputs) if graph.is_quantised(index)]
    outputs = [index for index in map(int, operator.outputs) if graph.is_quantised(index)]
    if graph.name(operator) in AS_THEY_ARE or not inputs + outputs or _is_taken(graph, operator, outputs):
        return [], []
    real = {index: _real(graph, index) for index in dict.fromkeys([*inputs, *outputs])}
    if graph.name(operator) in GIVEN:
        real |= {index: made for index in inputs if (made := _real_constant(graph, index, makers)) is not None}
        inputs = [index for index in inputs if graph.values(index, makers) is None]
    operator.inputs = [real.get(int(index), int(index)) for index in operator.inputs]
    operator.outputs = [real.get(int(index), int(index)) for index in operator.outputs]
    before = [graph.operator("DEQUANTIZE", [index], real[index]) for index in dict.fromkeys(inputs)]
    return before, [graph.operator("QUANTIZE", [real[index]], index) for index in outputs]


def _is_taken(graph: Graph, operator: Any, outputs: list[int]) -> bool:
    """Whether the importer takes an operator's integers as they are; not if float inputs meet 8-bit weights."""
    first, name = next(iter(map(int, operator.inputs)), -1), graph.name(operator)
    hybrid = not outputs and not graph.is_quantised(first)
    return name in OperatorConverter._SUPPORTED_QUANTIZED_OPS and not hybrid


def _real(graph: Graph, index: int) -> int:
    """A new float tensor with the shape of a quantised one."""
    made = graph.tensor(graph.tensors[index].name + AS_REAL.encode(), graph.shape(index), index)
    graph.tensors[made].type, graph.tensors[made].quantization = graph.schema.TensorType.FLOAT32, None
    return made


def _real_constant(graph: Graph, index: int, makers: dict[int, Any]) -> int | None:
    values, how = graph.values(index, makers), graph.tensors[index].quantization
    if values is None:
        return None
    real = ((values.astype("float64") - int(how.zeroPoint[0])) * float(how.scale[0])).astype("float32")
    return graph.constant(graph.tensors[index].name, real)


def _name_apart(graph: Graph) -> None:
    """Give tensors unique names: the importer identifies tensors by name, the format by number."""
    used: set[bytes] = set()
    first = [*map(int, graph.graph.inputs), *map(int, graph.graph.outputs)]
    for place in dict.fromkeys([*first, *range(len(graph.tensors))]):
        tensor, name = graph.tensors[place], graph.tensors[place].name
        more = (name + b":%d" % number for number in count(1))
        tensor.name = next(each for each in chain([name], more) if each not in used)
        used.add(tensor.name)
