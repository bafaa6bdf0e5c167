"""A Keras file of convolutions, normalisations and additions as an ONNX file, weights included."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def write(source: Path, target: Path) -> Path:
    """The network of an .h5 file, channels last at its input, as ONNX."""
    import h5py

    nodes, constants = [helper.make_node("Transpose", ["input"], ["first"], perm=[0, 3, 1, 2])], []
    with h5py.File(source) as file:
        weights = file["model_weights"]
        for layer in json.loads(file.attrs["model_config"])["config"]["layers"]:
            config, kind = layer["config"], layer["class_name"]
            name, inputs = config["name"], [entry[0] for entry in (layer["inbound_nodes"] or [[]])[0]]
            if kind == "InputLayer":
                renamed = {name: "first"}
                continue
            inputs = [renamed.get(given, given) for given in inputs]
            values = {key.split(":")[0]: np.array(part) for key, part in weights[name].get(name, {}).items()}
            made, parts = _layer(kind, config, name, inputs, values)
            nodes += made
            constants += [numpy_helper.from_array(value, f"{name}.{key}") for key, value in parts.items()]
    ends = [
        helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 32, 32, 3]),
        helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, [1, 10]),
    ]
    graph = helper.make_graph(nodes, "resnet8", ends[:1], ends[1:], constants)
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)]), target)
    return target


def _layer(kind: str, config: dict[str, Any], name: str, inputs: list[str], values: dict[str, Any]) -> Any:
    """Nodes and constants of one layer."""

    def node(operator: str, *constants: str, **attributes: Any) -> list[Any]:
        return [helper.make_node(operator, [*inputs, *(f"{name}.{c}" for c in constants)], [name], **attributes)]

    match kind:
        case "Conv2D":
            values["kernel"] = np.ascontiguousarray(values["kernel"].transpose(3, 2, 0, 1))
            padded = "SAME_UPPER" if config["padding"] == "same" else "VALID"
            return node("Conv", "kernel", "bias", strides=config["strides"], auto_pad=padded), values
        case "BatchNormalization":
            order = ("gamma", "beta", "moving_mean", "moving_variance")
            return node("BatchNormalization", *order, epsilon=config["epsilon"]), values
        case "AveragePooling2D":
            return node("AveragePool", kernel_shape=config["pool_size"], strides=config["strides"]), {}
        case "Dense":
            dense = helper.make_node("Gemm", [*inputs, f"{name}.kernel", f"{name}.bias"], [f"{name}.sum"])
            return [dense, helper.make_node("Softmax", [f"{name}.sum"], [name], axis=-1)], values
    return node({"Activation": "Relu", "Add": "Add", "Flatten": "Flatten"}[kind]), {}
