"""Static quantisation of ONNX graphs: activation ranges from samples, and the quantisation error of each layer.

The range of a tensor minimises the squared error over all samples, among ranges that clip both ends by the same factor
(clipping as in Banner et al., NeurIPS 2019, but on the histogram instead of a fitted distribution).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

from cyclecast.errors import ModelError
from cyclecast.frontend._base import Quantization, Scheme, Values
from cyclecast.frontend._samples import as_samples
from cyclecast.frontend.graphs._nodes import fresh_names
from cyclecast.frontend.quantization._integers import LEAST_SCALE, integer_type, quantize_weights, scale_and_zero

PRODUCTS = ("Conv", "Gemm", "MatMul")
BINS = 4096
"""Bins of a histogram."""
MOST_BITS_CUT = 10
"""With more bits, a quantisation step is shorter than a bin; then nothing is clipped."""
SHARES = np.linspace(0.2, 1, 81)
"""Candidate ranges, as fractions of the full range."""
SILENT = 1e-30
"""Power added to signal and noise, so that a noise of zero has a finite ratio."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A product with constant float weights in an ONNX graph."""

    node: Any
    side: int
    """Index of the activation among the node's inputs."""
    weights: Any
    """Array of the weights."""
    bias: Any
    """Array of the bias, or None."""

    @property
    def activation(self) -> str:
        """Name of the activation tensor."""
        return str(self.node.input[self.side])

    @property
    def filter_axes(self) -> tuple[int, ...]:
        """Axes of the weights that index outputs."""
        if self.node.op_type == "Conv":
            return (0,)
        rank = self.weights.ndim
        turned = any(item.name == f"trans{'BA'[self.side]}" and item.i for item in self.node.attribute)
        return tuple(axis for axis in range(rank) if axis != rank - (1 if (self.side == 0) == turned else 2))

    @property
    def vector_axes(self) -> tuple[int, ...]:
        """Axes of the activation that share a dynamic scale: those of an input vector, or an image of a convolution."""
        if self.node.op_type == "Conv":
            return tuple(range(1, self.weights.ndim))
        turned = any(item.name == f"trans{'AB'[self.side]}" and item.i for item in self.node.attribute)
        return (-1 if (self.side == 0) != turned else -2,)


@dataclass(frozen=True, slots=True)
class Range:
    """Minimum and maximum of a tensor over all samples, zero included, and its histogram."""

    least: float
    largest: float
    counts: Any

    def scale(self, bits: int, scheme: Scheme) -> tuple[Any, Any]:
        """Scale and zero point with the least squared error."""
        shares = SHARES if bits <= MOST_BITS_CUT else SHARES[-1:]
        scales, zeros = scale_and_zero(self.least * shares, self.largest * shares, bits, scheme)
        edges = np.linspace(self.least, self.largest, BINS + 1)
        middles = (edges[:-1] + edges[1:]) / 2
        seen = fake_quantised(middles, scales[:, None], zeros[:, None], bits)
        best = np.argmin(((seen - middles) ** 2 * self.counts).sum(axis=1))
        return scales[best], zeros[best]


@dataclass(frozen=True, slots=True)
class LayerError:
    """Error of one layer with quantised operands: signal to quantisation noise ratio [dB]."""

    name: str
    operator: str
    weights: tuple[int, ...]
    """Shape of the weights."""
    static: float
    """With ranges from samples [dB]."""
    dynamic: float
    """With ranges of each input vector, or image of a convolution, as without samples [dB]."""


def fake_quantised(values: Any, scale: Any, zero: Any, bits: int) -> Any:
    """Values after quantisation to `bits` bits with saturation, and dequantisation."""
    half = 1 << (bits - 1)
    return (np.clip(np.rint(values / scale) + zero, -half, half - 1) - zero) * scale


def layers_of(model: Any) -> list[Layer]:
    """Products of one float activation and one float constant, in the order of the graph."""
    constants = {part.name: part for part in model.graph.initializer}
    integers = {output for node in model.graph.node if node.op_type == "DequantizeLinear" for output in node.output}
    layers = []
    for node in model.graph.node:
        if node.op_type not in PRODUCTS:
            continue
        constant = [name in constants for name in node.input[:2]]
        side = constant.index(False) if False in constant else None
        if side is None or constant.count(True) != 1 or node.input[side] in integers:
            continue
        weights = numpy_helper.to_array(constants[node.input[1 - side]])
        bias = constants.get(node.input[2]) if len(node.input) > 2 else None
        if weights.dtype == np.float32 and weights.ndim > 1 and (side == 0 or node.op_type == "MatMul"):
            layers.append(Layer(node, side, weights, numpy_helper.to_array(bias) if bias is not None else None))
    return layers


def calibrate(model: Any, source: str, quantization: Quantization) -> None:
    """Quantise and dequantise the activation of each layer, in place, with ranges from samples. Raises `ModelError`."""
    layers = layers_of(model)
    ranges = _ranges(model, source, layers, quantization.calibration)
    pairs: dict[str, list[Any]] = {}
    fresh = fresh_names(model.graph)
    for tensor, found in ranges.items():
        scale, zero = found.scale(quantization.activation_bits, quantization.activations)
        pairs[tensor] = _pair(model, tensor, scale, zero, quantization.activation_bits, fresh)
    for layer in layers:
        layer.node.input[layer.side] = pairs[layer.activation][-1].output[0]
    nodes = [node for value in model.graph.input for node in pairs.get(value.name, ())]
    for node in model.graph.node:
        nodes += [node, *(after for output in node.output for after in pairs.get(output, ()))]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def layer_errors(model: Any, source: str, quantization: Quantization) -> tuple[LayerError, ...]:
    """Quantisation error of each layer on the inputs of the float network. Raises `ModelError` for bad samples."""
    layers, samples = layers_of(model), quantization.calibration
    ranges = _ranges(model, source, layers, samples)
    static = [
        ranges[layer.activation].scale(quantization.activation_bits, quantization.activations) for layer in layers
    ]
    products = [_Product(layer, quantization) for layer in layers]
    outputs = [str(layer.node.output[0]) for layer in layers]
    powers = np.zeros((len(layers), 3))
    for tensors in _traced(model, source, {*outputs, *ranges}, samples):
        for place, (layer, product, scales) in enumerate(zip(layers, products, static, strict=True)):
            powers[place] += product.powers(tensors[layer.activation], tensors[outputs[place]], scales)
    decibels = 10 * np.log10((powers[:, :1] + SILENT) / (powers[:, 1:] + SILENT))
    return tuple(
        LayerError(layer.node.name or output, layer.node.op_type, layer.weights.shape, *map(float, pair))
        for layer, output, pair in zip(layers, outputs, decibels, strict=True)
    )


class _Product:
    """One layer with quantised weights, run alone."""

    def __init__(self, layer: Layer, quantization: Quantization) -> None:
        weights = quantize_weights(layer.weights, layer.filter_axes, quantization.weight_bits, quantization.weights)
        self.bits, self.scheme, self.axes = quantization.activation_bits, quantization.activations, layer.vector_axes
        self.session = _alone(layer, weights.values())
        self.plain = _alone(layer, layer.weights) if layer.bias is None and len(layer.node.input) > 2 else None

    def powers(self, data: Any, result: Any, static: tuple[Any, Any]) -> tuple[float, float, float]:
        """Energy of the float result, of the static error and of the dynamic error."""
        if self.plain:  # the bias is computed and not quantised
            result = self.plain.run(None, {"data": data})[0]
        least, largest = (edge(data, axis=self.axes, keepdims=True, initial=0.0) for edge in (np.min, np.max))
        dynamic = scale_and_zero(least, largest, self.bits, self.scheme)
        errors = (self._run(data, scales) - result for scales in (static, dynamic))
        energies = (float((part.astype("float64") ** 2).sum()) for part in (result, *errors))
        return next(energies), next(energies), next(energies)

    def _run(self, data: Any, scales: tuple[Any, Any]) -> Any:
        return self.session.run(None, {"data": fake_quantised(data, *scales, self.bits).astype("float32")})[0]


def _alone(layer: Layer, weights: Any) -> Any:
    """A session of one layer alone: its product, and its bias if that is constant."""
    bias = ["bias"] if layer.bias is not None else []
    names = ["data", "weights"] if layer.side == 0 else ["weights", "data"]
    node = helper.make_node(layer.node.op_type, [*names, *bias], ["product"])
    node.attribute.extend(layer.node.attribute)
    constants = [numpy_helper.from_array(weights, "weights")]
    constants += [numpy_helper.from_array(layer.bias, "bias")] if bias else []
    ends = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in ("data", "product")]
    graph = helper.make_graph([node], "layer", ends[:1], ends[1:], constants)
    return session_of(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)]))


def _ranges(model: Any, source: str, layers: list[Layer], samples: Values) -> dict[str, Range]:
    """The range of every activation over all samples: first minimum and maximum, then the histogram."""
    tensors = {layer.activation for layer in layers}
    least, largest = dict.fromkeys(tensors, 0.0), dict.fromkeys(tensors, 0.0)
    for traced in _traced(model, source, tensors, samples):
        for name, values in traced.items():
            if not np.isfinite(values).all():
                raise ModelError(
                    f"{source}: tensor '{name}'", "values that are no finite numbers", "calibration needs ranges",
                    "other samples",
                )  # fmt: skip
            least[name] = min(least[name], float(values.min()))
            largest[name] = max(largest[name], float(values.max()))
    counts = {name: np.zeros(BINS) for name in tensors}
    for traced in _traced(model, source, tensors, samples):
        for name, values in traced.items():
            most = largest[name] if largest[name] - least[name] > BINS * LEAST_SCALE else 1.0  # a range of almost zero
            counts[name] += np.histogram(values, BINS, (least[name], most))[0]
    return {name: Range(least[name], largest[name], counts[name]) for name in sorted(tensors)}


def _traced(model: Any, source: str, tensors: set[str], samples: Values) -> Iterator[dict[str, Any]]:
    """Values of the tensors, sample by sample, computed by onnxruntime. Raises `ModelError`."""
    traced = onnx.ModelProto()
    traced.CopyFrom(model)
    given = {value.name: value for value in traced.graph.input}
    outputs = {value.name for value in traced.graph.output}
    wanted = sorted(tensors - given.keys())
    traced.graph.output.extend(onnx.ValueInfoProto(name=name) for name in wanted if name not in outputs)
    try:
        session = session_of(traced)
        for sample in _samples(given, source, samples):
            yield dict(zip(wanted, session.run(wanted, sample) if wanted else [], strict=True)) | {
                name: sample[name] for name in tensors & given.keys()
            }
    except ModelError:
        raise
    except Exception as error:  # onnxruntime's errors have no common class
        reason = str(error).splitlines()[0]
        raise ModelError(source, "onnxruntime does not run it on the samples", reason, "other samples") from error


def _samples(inputs: dict[str, Any], source: str, samples: Values) -> Iterator[dict[str, Any]]:
    """Inputs of each run; samples are grouped to the network's batch size."""
    chunks = {}
    for name, value in inputs.items():
        shape = tuple(dimension.dim_value for dimension in value.type.tensor_type.shape.dim)
        kind = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        if name not in samples:
            have = ", ".join(samples)
            raise ModelError(f"{source}: input '{name}'", "there are no samples for it", f"there are for {have}", name)
        try:
            chunks[name] = as_samples(samples[name], shape).astype(kind)
        except ValueError:
            demand = f"samples of shape {np.shape(samples[name])}"
            lever = "samples along a leading axis"
            raise ModelError(f"{source}: input '{name}'", demand, f"it takes {shape}", lever) from None
    number = min(map(len, chunks.values()))
    return ({name: values[place] for name, values in chunks.items()} for place in range(number))


def _pair(model: Any, tensor: str, scale: Any, zero: Any, bits: int, fresh: Callable[[], str]) -> list[Any]:
    """Nodes that clip (for fewer bits than the type has), quantise and dequantise a tensor."""
    kind, half, data = integer_type(bits), 1 << (bits - 1), tensor
    nodes: list[Any] = []

    def constant(value: Any) -> str:
        name = fresh()
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def node(operator: str, *inputs: str) -> str:
        nodes.append(helper.make_node(operator, list(inputs), [fresh()]))
        return str(nodes[-1].output[0])

    if bits not in (8, 16):
        least, largest = (constant(np.float32((edge - int(zero)) * scale)) for edge in (-half, half - 1))
        data = node("Where", node("Less", data, least), least, data)
        data = node("Where", node("Greater", data, largest), largest, data)
    scales = constant(scale), constant(np.asarray(zero, kind))
    node("DequantizeLinear", node("QuantizeLinear", data, *scales), *scales)
    return nodes


def session_of(model: Any, *, exact: bool = False) -> Any:
    """An onnxruntime session without log output; `exact` disables all optimisations."""
    options = onnxruntime.SessionOptions()
    if exact:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
