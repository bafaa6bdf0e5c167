"""TFLite files written by hand: quantised and float layers with seeded weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np


class File:
    """A graph under construction.

    Tensors are known by index. Weights have a scale per index of an axis, others one scale.
    """

    def __init__(self) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self.schema = schema
        self.model, self.graph = schema.ModelT(), schema.SubGraphT()
        self.model.version, self.model.subgraphs, self.model.operatorCodes = 3, [self.graph], []
        self.model.buffers = [schema.BufferT()]
        self.graph.tensors, self.graph.operators, self.graph.inputs, self.graph.outputs = [], [], [], []
        self.random = np.random.default_rng(0)

    def tensor(self, shape: Any, kind: str = "int8", scale: Any = (), zero: Any = (), axis: int = 0) -> int:
        """Add a tensor; return its index."""
        tensor = self.schema.TensorT()
        tensor.name, tensor.shape = f"t{len(self.graph.tensors)}".encode(), list(shape)
        tensor.type = getattr(self.schema.TensorType, kind.upper())
        if len(scale):
            tensor.quantization = self.schema.QuantizationParametersT()
            tensor.quantization.scale, tensor.quantization.zeroPoint = list(scale), list(zero)
            tensor.quantization.quantizedDimension = axis
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def constant(self, values: Any, scale: Any = (), axis: int = 0) -> int:
        """Add a constant tensor; return its index."""
        buffer = self.schema.BufferT()
        buffer.data = list(np.ascontiguousarray(values).tobytes())
        self.model.buffers.append(buffer)
        place = self.tensor(values.shape, str(values.dtype), scale, [0] * len(scale), axis)
        self.graph.tensors[place].buffer = len(self.model.buffers) - 1
        return place

    def operator(self, name: str, inputs: list[int], output: int, options: str = "", **fields: Any) -> int:
        """Add an operator; return the index of its output."""
        code, operator = self.schema.OperatorCodeT(), self.schema.OperatorT()
        code.builtinCode = getattr(self.schema.BuiltinOperator, name)
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        self.model.operatorCodes.append(code)
        operator.opcodeIndex, operator.inputs, operator.outputs = len(self.model.operatorCodes) - 1, inputs, [output]
        if options:
            operator.builtinOptionsType = getattr(self.schema.BuiltinOptions, options)
            operator.builtinOptions = getattr(self.schema, f"{options}T")()
            for field, value in fields.items():
                setattr(operator.builtinOptions, field, value)
        self.graph.operators.append(operator)
        return output

    def weights(self, shape: Any, axis: int, scale: float) -> tuple[int, int]:
        """Add weights with one scale per index of the axis, and a bias for inputs of this scale."""
        scales = np.linspace(0.005, 0.01, shape[axis], dtype="float32")
        weights = self.constant(self.random.integers(-127, 128, shape).astype("int8"), scales, axis)
        bias = self.random.integers(-500, 500, shape[axis]).astype("int32")
        return weights, self.constant(bias, (scales * np.float32(scale)).astype("float32"))

    def save(self, path: Path, inputs: list[int], outputs: list[int]) -> Path:
        """Write the file."""
        import flatbuffers

        self.graph.inputs, self.graph.outputs = inputs, outputs
        builder = flatbuffers.Builder()
        builder.Finish(self.model.Pack(builder), b"TFL3")
        path.write_bytes(bytes(builder.Output()))
        return path


def quantised(path: Path) -> Path:
    """An int8 network: padding, convolution with ReLU, depthwise convolution, pool, reshape, dense layer, softmax."""
    file = File()
    given = file.tensor((1, 8, 8, 3), "int8", [0.05], [3])
    pads = file.constant(np.array([[0, 0], [1, 2], [2, 1], [0, 0]], "int32"))
    padded = file.operator("PAD", [given, pads], file.tensor((1, 11, 11, 3), "int8", [0.05], [3]), "PadOptions")
    weights, bias = file.weights((6, 3, 3, 3), 0, 0.05)
    one = file.tensor((1, 5, 5, 6), "int8", [0.04], [-128])
    fields = {"strideW": 2, "strideH": 2, "dilationWFactor": 1, "dilationHFactor": 1, "padding": 1}
    file.operator("CONV_2D", [padded, weights, bias], one, "Conv2DOptions", fusedActivationFunction=1, **fields)
    weights, bias = file.weights((1, 3, 3, 6), 3, 0.04)
    two = file.tensor((1, 5, 5, 6), "int8", [0.06], [-5])
    fields |= {"strideW": 1, "strideH": 1, "padding": 0, "depthMultiplier": 1}
    file.operator("DEPTHWISE_CONV_2D", [one, weights, bias], two, "DepthwiseConv2DOptions", **fields)
    three = file.tensor((1, 1, 1, 6), "int8", [0.06], [-5])
    pool = {"filterWidth": 5, "filterHeight": 5, "strideW": 1, "strideH": 1, "padding": 1}
    file.operator("AVERAGE_POOL_2D", [two], three, "Pool2DOptions", **pool)
    flat = _flattened(file, three, 6)
    weights, bias = file.weights((4, 6), 0, 0.06)
    scores = file.tensor((1, 4), "int8", [0.02], [0])
    file.operator("FULLY_CONNECTED", [flat, weights, bias], scores, "FullyConnectedOptions")
    output = file.tensor((1, 4), "int8", [1 / 256], [-128])
    file.operator("SOFTMAX", [scores], output, "SoftmaxOptions", beta=1.0)
    return file.save(path, [given], [output])


def half_precision(path: Path) -> Path:
    """A convolution with float16 weights in two parts, concatenated and dequantised as converters write it."""
    file = File()
    given, values = file.tensor((1, 8, 8, 3), "float32"), file.random.normal(size=(4, 3, 3, 3)).astype("float16")
    parts = [_of_16_bits(file, part) for part in (values[:1], values[1:])]
    weights = file.operator(
        "CONCATENATION", parts, file.tensor(values.shape, "float32"), "ConcatenationOptions", axis=0
    )
    bias = _of_16_bits(file, np.arange(4, dtype="float16"))
    result = file.tensor((1, 6, 6, 4), "float32")
    fields = {"strideW": 1, "strideH": 1, "dilationWFactor": 1, "dilationHFactor": 1, "padding": 1}
    file.operator("CONV_2D", [given, weights, bias], result, "Conv2DOptions", **fields)
    return file.save(path, [given], [result])


def _of_16_bits(file: File, values: Any) -> int:
    buffer = file.schema.BufferT()
    buffer.data = list(values.tobytes())
    file.model.buffers.append(buffer)
    stored = file.tensor(values.shape, "float16")
    file.graph.tensors[stored].buffer = len(file.model.buffers) - 1
    return file.operator("DEQUANTIZE", [stored], file.tensor(values.shape, "float32"), "DequantizeOptions")


def _flattened(file: File, tensor: int, size: int) -> int:
    """A reshape to a computed shape, as exporters write it."""
    shape = file.operator("SHAPE", [tensor], file.tensor((4,), "int32"), "ShapeOptions", outType=2)
    first, one = (file.constant(np.array([value], "int32")) for value in (0, 1))
    batch = file.tensor((), "int32")
    file.operator("STRIDED_SLICE", [shape, first, one, one], batch, "StridedSliceOptions", shrinkAxisMask=1)
    rest = file.constant(np.array(size, "int32"))
    wanted = file.operator("PACK", [batch, rest], file.tensor((2,), "int32"), "PackOptions", valuesCount=2)
    flat = file.tensor((1, size), "int8", [0.06], [-5])
    return file.operator("RESHAPE", [tensor, wanted], flat, "ReshapeOptions")


def real(path: Path) -> Path:
    """A convolution and a dense layer with 8-bit weights and float activations."""
    file = File()
    given = file.tensor((1, 6, 6, 2), "float32")
    weights = file.constant(file.random.normal(size=(4, 3, 3, 2)).astype("float32"))
    bias = file.constant(file.random.normal(size=4).astype("float32"))
    one = file.tensor((1, 4, 4, 4), "float32")
    fields = {"strideW": 1, "strideH": 1, "dilationWFactor": 1, "dilationHFactor": 1, "padding": 1}
    file.operator("CONV_2D", [given, weights, bias], one, "Conv2DOptions", **fields)
    two = file.operator("RELU", [one], file.tensor((1, 4, 4, 4), "float32"))
    return file.save(path, [given], [two])


def padded_beside(path: Path, quantised: bool) -> Path:
    """The sum of a convolution of the input and one of the padded input; the input may be quantised."""
    file = File()
    real, pads = file.tensor((1, 6, 6, 2), "float32"), np.array([[0, 0], [1, 1], [1, 1], [0, 1]], "int32")
    given = file.tensor((1, 6, 6, 2), "int8", [0.05], [7]) if quantised else real
    if quantised:
        file.operator("DEQUANTIZE", [given], real, "DequantizeOptions")
    fields = {"strideW": 1, "strideH": 1, "dilationWFactor": 1, "dilationHFactor": 1, "padding": 1}

    def convolved(entry: int, size: int, channels: int) -> int:
        weights = file.constant(file.random.normal(0, 0.2, (4, size, size, channels)).astype("float32"))
        bias, result = file.constant(np.zeros(4, "float32")), file.tensor((1, 6, 6, 4), "float32")
        return file.operator("CONV_2D", [entry, weights, bias], result, "Conv2DOptions", **fields)

    narrow = convolved(real, 1, 2)
    wide = file.operator("PAD", [real, file.constant(pads)], file.tensor((1, 8, 8, 3), "float32"), "PadOptions")
    both = [narrow, convolved(wide, 3, 3)]
    return file.save(path, [given], [file.operator("ADD", both, file.tensor((1, 6, 6, 4), "float32"), "AddOptions")])


def pooled(path: Path) -> Path:
    """Averages of four integers; a quarter of them are halves."""
    file = File()
    given, output = (file.tensor((1, size, size, 4), "int8", [0.1], [-7]) for size in (16, 8))
    pool = {"filterWidth": 2, "filterHeight": 2, "strideW": 2, "strideH": 2, "padding": 1}
    file.operator("AVERAGE_POOL_2D", [given], output, "Pool2DOptions", **pool)
    return file.save(path, [given], [output])


def transposed(path: Path, quantised: bool = True) -> Path:
    """A transposed convolution with a computed shape, as converters write it."""
    file, kind, scale = File(), "int8" if quantised else "float32", [0.05] if quantised else []
    given = file.tensor((1, 4, 5, 6), kind, scale, [0] * len(scale))
    values = file.random.normal(size=(3, 3, 3, 6)).astype("float32")
    real = [file.constant(values), file.constant(values[0, 0, :, 0])] if not quantised else []
    weights, bias = real or file.weights((3, 3, 3, 6), 0, 0.05)
    shape = file.operator("SHAPE", [given], file.tensor((4,), "int32"), "ShapeOptions", outType=2)
    more = file.constant(np.array([0, 5, 6, -3], "int32"))
    shape = file.operator("ADD", [shape, more], file.tensor((4,), "int32"), "AddOptions")
    result = file.tensor((1, 9, 11, 3), kind, scale, [0] * len(scale))
    how = {"padding": 1, "strideW": 2, "strideH": 2}
    file.operator("TRANSPOSE_CONV", [shape, weights, given, bias], result, "TransposeConvOptions", **how)
    return file.save(path, [given], [result])


def unknown(path: Path) -> Path:
    """A custom operator."""
    file = File()
    given, output = file.tensor((1, 4), "float32"), file.tensor((1, 4), "float32")
    file.operator("CUSTOM", [given], output)
    file.model.operatorCodes[0].customCode = b"Folly"
    return file.save(path, [given], [output])
