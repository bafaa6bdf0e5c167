"""Rewrite ONNX operators that TVM's importer refuses or converts wrongly.

Quantised operators become dequantise, float operator, quantise, with the same scales and zero points; the floor
`quantization/` turns these back into integer kernels. Transposed convolutions become convolutions (`_transposed.py`),
recurrent layers become matrix products (`_recurrent.py`), and ONNX functions are inlined (`_functions.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import numpy as np
from onnx import TensorProto, helper, version_converter

from cyclecast.errors import UnsupportedError
from cyclecast.frontend._words import first_line, shortened
from cyclecast.frontend.graphs import _narrow as narrow
from cyclecast.frontend.graphs._corrected import (
    concatenation,
    dropout,
    modulo,
    normalization,
    one_hot,
    shift,
    suppression,
)
from cyclecast.frontend.graphs._functions import inline
from cyclecast.frontend.graphs._nodes import GraphWriter, standard_of
from cyclecast.frontend.graphs._recurrent import gru, lstm, rnn
from cyclecast.frontend.graphs._resize import resized
from cyclecast.frontend.graphs._transposed import transposed

LEAST_OPSET = 13
"""First opset with scales per axis."""
FEW = 16
"""Most operands of an operator that the importer may nest."""
CAST_LIKE = 15
"""First opset with `CastLike`."""
EXACT_TERMS = (1 << 24) // (255 * 255)
"""Most products of bytes that float32 sums exactly."""
RESIZE_PLACED = 11
"""First opset in which `Resize` has a coordinate transformation; before, it was `asymmetric` with `floor`."""
RUNTIME = "com.microsoft"
REAL_OF = {
    "QLinearAdd": ("Add", 2), "QLinearMul": ("Mul", 2), "QLinearSigmoid": ("Sigmoid", 1),
    "QLinearLeakyRelu": ("LeakyRelu", 1), "QLinearGlobalAveragePool": ("GlobalAveragePool", 1),
    "QLinearAveragePool": ("AveragePool", 1), "QLinearSoftmax": ("Softmax", 1),
}  # fmt: skip
"""Quantised operators of onnxruntime: the float operator, and the number of quantised inputs."""
UNROLLED = "export it unrolled, with a fixed number of rounds"
CONSTANT = "export it with constant weights, default activations and a fixed length of at most 256 steps"
OPTIMISED = "use the file from before onnxruntime optimised or quantised it"
RANDOM = "export it for use, without random numbers"
BEFORE = "compute it before the network, and make the result an input"
ADVICE = {
    "Loop": UNROLLED,
    "Scan": UNROLLED,
    "If": "export the branch that is taken, or bind its input with --constant",
    "ConvInteger": "make its weights constant, or export QDQ (DequantizeLinear, Conv)",
    "QLinearConv": "export QDQ: DequantizeLinear, Conv, QuantizeLinear",
    "QLinearMatMul": "export QDQ: DequantizeLinear, MatMul, QuantizeLinear",
    "DeformConv": "replace it by a convolution; its sampling is not supported",
    "DynamicQuantizeLSTM": "quantise the network without its LSTM, whose float form becomes matrix products",
    **dict.fromkeys(("LSTM", "GRU", "RNN"), CONSTANT),
    **dict.fromkeys(("Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"), RANDOM),
    **dict.fromkeys(("DFT", "STFT", "MelWeightMatrix", "ImageDecoder", "TfIdfVectorizer"), BEFORE),
    **dict.fromkeys(("RegexFullMatch", "StringConcat", "StringNormalizer", "StringSplit"), BEFORE),
}


def rewrite(model: Any, is_unknown: Callable[[Any], bool]) -> bool:
    """Rewrite nodes in place; return whether any changed.

    `is_unknown` tells whether the importer lacks a node's operator. Input shapes must be fixed. Nodes without a rule
    stay. Raises `UnsupportedError` for cases that no rule supports.
    """
    changed = inline(model, is_unknown, OWN)
    kinds = {(node.domain, node.op_type) for node in model.graph.node}
    if not kinds & RULES.keys():
        return changed
    if kinds & RAISED or ("", "Resize") in kinds:
        _raise_opset(model)
    writer = GraphWriter(model)
    for node in list(model.graph.node):
        rule = RULES.get((node.domain, node.op_type))
        outputs = _ruled(rule, node, writer) if rule else None
        if outputs:
            changed = True
            writer.replace(node, outputs)
        else:
            writer.keep(node)
    writer.finish()
    return changed


def _ruled(rule: Callable[[Any, GraphWriter], list[str] | None], node: Any, writer: GraphWriter) -> list[str] | None:
    """Tensors that replace a node's outputs, or None if the rule does not apply; errors name the node."""
    try:
        return rule(node, writer)
    except UnsupportedError:
        raise
    except Exception as error:  # of any class: the node may be invalid
        what = f"node '{shortened(node.name or next(iter(node.output), '?'))}' ({shortened(node.op_type)})"
        raise ValueError(f"{what}: {first_line(error)}") from error


def advice(operator: str, domain: str = "") -> str:
    """Advice for an unsupported operator; operators of onnxruntime's domain come from its own tools."""
    return ADVICE.get(operator, OPTIMISED if domain == RUNTIME else "export the network without it")


def _raise_opset(model: Any) -> None:
    """Convert to an opset with scales per axis; with operators of other domains the opset stays."""
    standard = standard_of(model)
    if standard is not None and standard.version < LEAST_OPSET and not _foreign(model):
        resizes = ("Resize", "Upsample") if standard.version < RESIZE_PLACED else ()
        old = {name for node in model.graph.node if node.op_type in resizes for name in node.output}
        model.CopyFrom(version_converter.convert_version(model, LEAST_OPSET))
        for node in model.graph.node:
            if node.op_type == "Resize" and node.output[0] in old:  # ONNX's converter omits these attributes
                how = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
                kept = [item for item in node.attribute if item.name not in how]
                del node.attribute[:]
                node.attribute.extend([*kept, *(helper.make_attribute(*item) for item in how.items())])


def _foreign(model: Any) -> Collection[str]:
    return {node.domain for node in model.graph.node} - {"", "ai.onnx"}


def _qlinear_conv(node: Any, writer: GraphWriter) -> list[str]:
    x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero, *bias = node.input
    operands = [writer.dequantised(x, x_scale, x_zero), writer.dequantised(w, w_scale, w_zero, axis=0)]
    if bias and bias[0]:
        operands.append(writer.dequantised(bias[0], writer.product(x_scale, w_scale), axis=0))
    (result,) = writer.like(node, "Conv", operands)
    return [writer.quantised(result, y_scale, y_zero)]


def _qlinear_matmul(node: Any, writer: GraphWriter) -> list[str]:
    a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero = node.input
    left = writer.dequantised(a, a_scale, a_zero, axis=0 if _is_vector(a, writer) else -2)
    result = writer.node("MatMul", left, writer.dequantised(b, b_scale, b_zero, axis=-1))
    return [writer.quantised(result, y_scale, y_zero)]


def _qgemm(node: Any, writer: GraphWriter) -> list[str]:
    a, a_scale, a_zero, b, b_scale, b_zero, *rest = node.input
    bias, y_scale, y_zero = (*rest, "", "", "")[:3]
    turned = writer.attributes(node).get("transB", 0)
    operands = [writer.dequantised(a, a_scale, a_zero), writer.dequantised(b, b_scale, b_zero, axis=1 - turned)]
    if bias:
        alpha = writer.constant(np.float32(writer.attributes(node).get("alpha", 1.0)))
        scale = writer.product(writer.product(a_scale, b_scale), alpha)
        operands.append(writer.dequantised(bias, scale, axis=0))
    (result,) = writer.like(node, "Gemm", operands)
    return [writer.quantised(result, y_scale, y_zero) if y_scale else result]


def _qlinear_concat(node: Any, writer: GraphWriter) -> list[str]:
    scale, zero, *parts = node.input
    triples = [parts[place : place + 3] for place in range(0, len(parts), 3)]
    (result,) = writer.like(node, "Concat", [writer.dequantised(*triple) for triple in triples])
    return [writer.quantised(result, scale, zero)]


def _pointwise(node: Any, writer: GraphWriter) -> list[str] | None:
    """Operators with inputs (tensor, scale, zero point) each, and then scale and zero point of the output."""
    name, count = REAL_OF[node.op_type]
    if writer.attributes(node).get("channels_last", 0):
        return None
    operands = [writer.dequantised(*node.input[3 * place : 3 * place + 3]) for place in range(count)]
    (result,) = writer.like(node, name, operands, without=("channels_last", "opset"))
    return [writer.quantised(result, *node.input[3 * count : 3 * count + 2])]


def _integer_product(node: Any, writer: GraphWriter) -> list[str] | None:
    """Integer products as float products with scale 1, cast to int32; None if the importer handles them."""
    is_matmul = node.op_type == "MatMulInteger"
    x, w, x_zero, w_zero = (*node.input, "", "")[:4]
    constant = [writer.value(name) is not None for name in (x, w)]
    if is_matmul and (_is_vector(x, writer) or _is_vector(w, writer)):
        return None
    if is_matmul and _is_row_wise(x_zero, writer):
        return [_row_wise(x, w, x_zero, w_zero, writer)]
    shape = writer.shape(w)
    terms = None if shape is None else int(np.prod(shape[1:]))
    if constant == [False, False] and (is_matmul or terms is None or terms > EXACT_TERMS):
        return None  # the importer supports integer matrix products
    left = writer.dequantised(x, _ones(x_zero, writer), x_zero)
    right = writer.dequantised(w, _ones(w_zero, writer), w_zero, axis=-1 if is_matmul else 0)
    (result,) = writer.like(node, "MatMul" if is_matmul else "Conv", [left, right])
    return [writer.node("Cast", result, to=TensorProto.INT32)]


def _is_vector(name: str, writer: GraphWriter) -> bool:
    return len(writer.shape(name) or (0, 0)) == 1


def _is_row_wise(zero: str, writer: GraphWriter) -> bool:
    return bool(zero) and int(np.prod(writer.shape(zero) or ())) > 1


def _ones(zero: str, writer: GraphWriter) -> str:
    """Scales of 1 in the shape of the zero point."""
    shape = (writer.shape(zero) or ()) if zero else ()
    return writer.constant(np.ones(shape if int(np.prod(shape)) > 1 else (), "float32"))


def _row_wise(x: str, w: str, x_zero: str, w_zero: str, writer: GraphWriter) -> str:
    """A product with one zero point per row: the plain product minus zero points times column sums of the weights."""
    plain = helper.make_node("MatMulInteger", [x, w, "", w_zero], ["product"])
    (product,) = _integer_product(plain, writer) or [writer.node("MatMulInteger", *plain.input)]
    shape = writer.shape(x_zero) or ()
    beside = writer.node("Reshape", x_zero, writer.constant(np.array([*shape, 1] if len(shape) == 1 else shape)))
    rows, weights = (writer.node("Cast", name, to=TensorProto.INT32) for name in (beside, w))
    if w_zero:
        weights = writer.node("Sub", weights, writer.node("Cast", w_zero, to=TensorProto.INT32))
    sums = writer.node("ReduceSum", weights, writer.constant(np.array([-2])), keepdims=1)
    return writer.node("Sub", product, writer.node("Mul", rows, sums))


def _real_product(node: Any, writer: GraphWriter) -> list[str]:
    """`DynamicQuantizeMatMul` (A, B, scale, zero, bias) and `MatMulIntegerToFloat` of onnxruntime."""
    if node.op_type == "DynamicQuantizeMatMul":
        a, b, scale, zero, bias = (*node.input, "", "")[:5]
        left = a
    else:
        a, b, a_scale, scale, a_zero, zero, bias = (*node.input, "", "", "")[:7]
        left = writer.dequantised(a, a_scale, a_zero)
    result = writer.node("MatMul", left, writer.dequantised(b, scale, zero, axis=-1))
    return [writer.node("Add", result, bias) if bias else result]


def _in_pairs(node: Any, writer: GraphWriter) -> list[str] | None:
    """An operator of many operands as a balanced tree, because the importer's nesting is as deep as their number."""
    names, operator = list(node.input), "Sum" if node.op_type == "Mean" else node.op_type
    if len(names) <= FEW or (node.op_type == "Mean" and writer.opset < CAST_LIKE):
        return None
    while len(names) > 1:
        pairs = [names[place : place + 2] for place in range(0, len(names), 2)]
        names = [writer.node(operator, *pair) if len(pair) == 2 else pair[0] for pair in pairs]
    if node.op_type == "Mean":
        count = writer.node("CastLike", writer.constant(np.float32(len(node.input))), names[0])
        names = [writer.node("Div", names[0], count)]
    return names


RULES: dict[tuple[str, str], Callable[[Any, GraphWriter], list[str] | None]] = {
    ("", "QLinearConv"): _qlinear_conv,
    ("", "QLinearMatMul"): _qlinear_matmul,
    ("", "ConvInteger"): _integer_product,
    ("", "MatMulInteger"): _integer_product,
    ("", "ConvTranspose"): transposed,
    ("", "BatchNormalization"): normalization,
    ("", "BitShift"): shift,
    ("", "Concat"): concatenation,
    ("", "DequantizeLinear"): narrow.dequantised,
    ("", "Dropout"): dropout,
    ("", "Gemm"): narrow.gemm,
    ("", "MatMul"): narrow.matmul,
    ("", "Mod"): modulo,
    ("", "NonMaxSuppression"): suppression,
    ("", "OneHot"): one_hot,
    ("", "Resize"): resized,
    ("", "Upsample"): resized,  # converted to Resize before
    ("", "LSTM"): lstm,
    ("", "GRU"): gru,
    ("", "RNN"): rnn,
    (RUNTIME, "MatMulNBits"): narrow.of_few_bits,
    (RUNTIME, "QGemm"): _qgemm,
    (RUNTIME, "QLinearConcat"): _qlinear_concat,
    (RUNTIME, "DynamicQuantizeMatMul"): _real_product,
    (RUNTIME, "MatMulIntegerToFloat"): _real_product,
    **{(RUNTIME, name): _pointwise for name in REAL_OF},
    **{("", name): _in_pairs for name in ("Sum", "Mean", "Max", "Min")},
}
AS_WRITTEN = {"BatchNormalization", "BitShift", "Concat", "Dropout", "Gemm", "MatMul", "Mod", "NonMaxSuppression"}
AS_WRITTEN |= {"OneHot", "Resize"}
"""Operators whose rules work in every opset."""
RAISED = {key for key in RULES if key[1] not in AS_WRITTEN}
OWN = {name for _, name in RULES}
