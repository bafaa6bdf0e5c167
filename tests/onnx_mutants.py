"""Mutants of ONNX files: one field of a node, an attribute, a weight, an input or the file is replaced."""

from __future__ import annotations

from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import AttributeProto, TensorProto, helper

import networks
from mutators import PAYLOADS

NUMBERS = (-(1 << 63), -1, 0, 1, 2, 3, 7, 64, 1 << 16, 10**9, 1 << 40, (1 << 63) - 1)
KINDS = ("Conv", "MatMul", "Gemm", "Loop", "ConvTranspose", "LSTM", "Reshape", "Resize", "Cast", "Concat", "")
NAMES = ("", "input", "output", "t1", "w0", "\n\x1b[31m", "../../etc/passwd", "/dev/zero", "x" * 70_000, *PAYLOADS)


def quantised(path: Path) -> Path:
    """A convolution of dequantised operands, and a quantised operator of ONNX."""
    weights = np.arange(72, dtype="int8").reshape(4, 2, 3, 3) - 36
    constants: dict[str, Any] = {
        "s": np.float32(0.1), "z": np.uint8(7), "w": weights, "ws": np.full(4, 0.01, "float32"),
        "wz": np.zeros(4, "int8"), "v": weights[:2, :1].repeat(4, axis=1), "vs": np.float32(0.02), "vz": np.int8(1),
    }  # fmt: skip
    nodes = [
        helper.make_node("QuantizeLinear", ["input", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["x"]),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["y"], axis=0),
        helper.make_node("Conv", ["x", "y"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("QuantizeLinear", ["c", "s", "z"], ["d"]),
        helper.make_node("QLinearConv", ["d", "s", "z", "v", "vs", "vz", "s", "z"], ["e"]),
        helper.make_node("DequantizeLinear", ["e", "s", "z"], ["output"]),
    ]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2, 8, 8]) for name in ("input", "output")]
    constant = [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    values[1].type.tensor_type.ClearField("shape")
    graph = helper.make_graph(nodes, "quantised", values[:1], values[1:], constant)
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path


def originals() -> list[bytes]:
    """Convolutions, attention, quantised operators, and external weights."""
    with TemporaryDirectory() as folder:
        makers: list[Any] = [networks.tiny_cnn, networks.attention_block, quantised]
        return [make(Path(folder) / "network.onnx").read_bytes() for make in makers]


def field(content: bytes, random: Random) -> bytes:
    """Replace one field."""
    try:
        model = onnx.load_from_string(content)
    except (DecodeError, ValueError):
        return content
    kinds = [file_changed]
    kinds += [node_changed, attribute_changed, attribute_changed] if model.graph.node else []
    kinds += [weight_changed, weight_changed, weight_elsewhere] if model.graph.initializer else []
    random.choice(kinds)(model, random.choice, random)
    return bytes(model.SerializeToString())


def node_changed(model: Any, one: Any, random: Random) -> None:
    nodes = model.graph.node
    node = one(nodes)
    match random.randrange(4):
        case 0:
            node.op_type = one([*KINDS, one(NAMES)])
        case 1 if node.input:
            node.input[random.randrange(len(node.input))] = one(NAMES)
        case 2 if node.output:
            node.output[0] = one([*NAMES, *one(nodes).output])
        case _ if len(nodes) > 1:
            del nodes[random.randrange(len(nodes))]


def attribute_changed(model: Any, one: Any, random: Random) -> None:
    node = one(model.graph.node)
    values = [int(one(NUMBERS)) for _ in range(random.randrange(6))]
    if not node.attribute or random.random() < 0.3:
        node.attribute.append(
            helper.make_attribute(one(["pads", "strides", "axis", "group", "dilations"]), [1, *values])
        )
    elif random.random() < 0.5:
        attribute = one(node.attribute)
        attribute.type = one([AttributeProto.INT, AttributeProto.INTS, AttributeProto.TENSOR, AttributeProto.FLOAT])
        attribute.i = int(one(NUMBERS))
    else:
        attribute = one(node.attribute)
        del attribute.ints[:]
        attribute.ints.extend(values)


def weight_changed(model: Any, one: Any, random: Random) -> None:
    weight = one(model.graph.initializer)
    match random.randrange(4):
        case 0:
            del weight.dims[:]
            weight.dims.extend([int(one(NUMBERS)) for _ in range(random.randrange(5))])
        case 1:
            weight.data_type = random.randrange(26)
        case 2:
            weight.raw_data = weight.raw_data[: random.randrange(64)]
        case _:  # other values
            weight.raw_data = random.randbytes(len(weight.raw_data))


def weight_elsewhere(model: Any, one: Any, random: Random) -> None:
    weight = one(model.graph.initializer)
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    entries = {"location": one(NAMES), "offset": str(one(NUMBERS)), "length": str(one(NUMBERS))}
    for key, value in entries.items():
        weight.external_data.add(key=key, value=value)


def file_changed(model: Any, one: Any, random: Random) -> None:
    shape = model.graph.input[0].type.tensor_type.shape.dim if model.graph.input else []
    if shape and random.random() < 0.5:
        one(shape).dim_value = int(one(NUMBERS))
    elif model.opset_import:
        model.opset_import[0].version = int(one([*NUMBERS, 11, 13, 15, 18, 21]))
