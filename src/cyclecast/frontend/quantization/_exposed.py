"""ONNX graphs with all tensors as outputs, and a check of each operator on the values that a program computed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from cyclecast.frontend._base import MOST_OPERANDS, Quantization, Values
from cyclecast.frontend.graphs._nodes import inferred_types
from cyclecast.frontend.quantization._calibrate import PRODUCTS, Layer, fake_quantised, session_of
from cyclecast.frontend.quantization._integers import quantize_weights, scale_and_zero

RANDOM = {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
ROUNDING = {"QuantizeLinear", "DynamicQuantizeLinear"}
"""Operators whose results may differ by one integer."""
WIDER = 1.5
"""Largest error that is no departure, as a multiple of the root mean square error of quantisation."""
FLOATS = {"float16": 1e-2, "float32": 1e-3, "float64": 1e-3}
"""Tolerance without quantisation per type, relative to the largest value."""
LEAST = 1e-7
"""Absolute tolerance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Departure:
    """One operator: the program's result compared with onnxruntime's, on the inputs that the program computed."""

    name: str
    operator: str
    tensor: str
    is_product: bool
    """Whether the operator has weights in arrays."""
    error: float
    """Root mean square of the difference, relative to that of the values."""
    explained: float
    """The same for onnxruntime with quantised operands."""
    departs: bool
    """Whether the error exceeds that of quantisation and rounding."""


def expose(model: Any) -> None:
    """Make every tensor of known type an output, in place, up to the limit on outputs."""
    types, names = inferred_types(model), {value.name for value in model.graph.output}
    room = MOST_OPERANDS - len(names)
    others = [name for node in model.graph.node for name in node.output if name and name not in names]
    for name in [name for name in others if types.get(name, (0, None))[0] != 0][:room]:
        kind, shape = types[name]
        model.graph.output.append(helper.make_tensor_value_info(name, kind, shape))


def departures(model: Any, values: Values, quantization: Quantization) -> Iterator[Departure]:
    """Compare every operator in order, on the values that a program computed for its inputs and outputs.

    Random operators, operators with subgraphs, and those without a compared tensor are left out.
    """
    known = {part.name: numpy_helper.to_array(part) for part in model.graph.initializer} | dict(values)
    makers = {name: node for node in model.graph.node for name in node.output}
    constants = {part.name for part in model.graph.initializer}
    for node in model.graph.node:
        names = {name for name in node.input if name}
        if node.op_type in RANDOM or any(part.HasField("g") for part in node.attribute) or not names <= known.keys():
            continue
        wanted = _alone(model, node, known, constants)
        operands = _quantised(node, known, makers, constants, quantization)
        explained = _alone(model, node, known | operands, constants - operands.keys()) if operands else wanted
        for name in (name for name in wanted if name in values):
            quantised = explained.get(name, wanted[name])
            yield _departure(node, name, bool(operands), wanted[name], quantised, values[name])


def _quantised(
    node: Any, known: Values, makers: Values, constants: set[str], quantization: Quantization
) -> dict[str, Any]:
    """Operands of a product with constant weights, quantised as in the program; empty for other operators.

    Operands that the network dequantises are on an integer grid already.
    """
    if node.op_type not in PRODUCTS:
        return {}
    integers = [_is_dequantised(makers.get(name)) for name in node.input[:2]]
    fixed = [
        name in constants or (on_grid and set(makers[name].input) <= constants | {""})
        for name, on_grid in zip(node.input[:2], integers, strict=True)
    ]
    if fixed.count(True) != 1 or any(known[name].dtype.kind != "f" for name in node.input[:2]):
        return {}
    side = fixed.index(False)
    weights, data = known[node.input[1 - side]].astype("float32"), known[node.input[side]].astype("float32")
    layer = Layer(node, side, weights, None)
    if not integers[1 - side]:
        bits, scheme = quantization.weight_bits, quantization.weights
        weights = quantize_weights(weights, layer.filter_axes, bits, scheme).values()
    if not integers[side]:
        bits, scheme = quantization.activation_bits, quantization.activations
        least, largest = (edge(data, axis=layer.vector_axes, keepdims=True, initial=0.0) for edge in (np.min, np.max))
        data = fake_quantised(data, *scale_and_zero(least, largest, bits, scheme), bits)
    kinds = known[node.input[1 - side]].dtype, known[node.input[side]].dtype
    return {node.input[1 - side]: weights.astype(kinds[0]), node.input[side]: data.astype(kinds[1])}


def _is_dequantised(maker: Any) -> bool:
    return maker is not None and maker.op_type == "DequantizeLinear"


def _departure(node: Any, tensor: str, is_product: bool, expected: Any, quantised: Any, computed: Any) -> Departure:
    label = node.name or tensor
    if expected.shape != computed.shape:
        return Departure(
            name=label,
            operator=node.op_type,
            tensor=tensor,
            is_product=is_product,
            error=1.0,
            explained=0.0,
            departs=True,
        )
    want, have, other = (np.asarray(each).astype("float64") for each in (expected, computed, quantised))
    finite = np.isfinite(want) & np.isfinite(have)
    want, have, other = want[finite], have[finite], other[finite]
    size, error, explained = _root(want), _root(have - want), _root(other - want)
    if expected.dtype.kind == "f" or is_product:
        may = WIDER * explained + FLOATS.get(str(expected.dtype), 0.0) * np.abs(want).max(initial=0.0) + LEAST
        departs = error > may
    else:
        departs = bool(np.abs(have - want).max(initial=0.0) > (node.op_type in ROUNDING))
    scale = size or 1.0
    return Departure(
        name=label,
        operator=node.op_type,
        tensor=tensor,
        is_product=is_product,
        error=error / scale,
        explained=explained / scale,
        departs=bool(departs),
    )


def _root(values: Any) -> float:
    return float(np.sqrt((values**2).mean())) if values.size else 0.0


def _alone(model: Any, node: Any, known: Values, constants: set[str]) -> dict[str, Any]:
    """Outputs of one node, computed by onnxruntime; empty if it does not run the node."""
    names = [name for name in dict.fromkeys(node.input) if name]
    given = {name: known[name] for name in names if name not in constants}
    inputs = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
        for name, value in given.items()
    ]
    outputs = [onnx.ValueInfoProto(name=name) for name in node.output if name]
    weights = [numpy_helper.from_array(known[name], name) for name in names if name in constants]
    graph = helper.make_graph([node], "alone", inputs, outputs, weights)
    made = helper.make_model(graph, ir_version=model.ir_version, opset_imports=model.opset_import)
    try:
        found = session_of(made, exact=True).run(None, given)
    except Exception:  # onnxruntime's errors have no common class
        return {}
    return dict(zip([value.name for value in outputs], found, strict=True))
