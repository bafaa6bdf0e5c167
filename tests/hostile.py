"""Mutated networks: run as a script, loads so many from a seed and prints what came of them as JSON."""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto, helper

import networks
from cyclecast.errors import ModelError
from cyclecast.frontend import load
from cyclecast.frontend._folding import _FOLDER

NUMBERS = (-(1 << 63), -1, 0, 1, 2, 3, 7, 64, 1 << 16, 10**9, 1 << 40, (1 << 63) - 1)
KINDS = ("Conv", "MatMul", "Gemm", "Loop", "ConvTranspose", "LSTM", "Reshape", "Resize", "Cast", "Concat", "")
NAMES = ("", "input", "output", "t1", "w0", "\n\x1b[31m", "../../etc/passwd", "x" * 70_000)


def quantised(path: Path) -> Path:
    """A convolution of dequantised operands, and one that ONNX quantises by itself."""
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


def mutants(seed: int, count: int, folder: Path) -> Iterator[bytes]:
    """Files with a few bytes changed, or a few fields."""
    random = np.random.default_rng(seed)
    makers: list[Any] = [networks.tiny_cnn, networks.attention_block, quantised]
    originals = [make(folder / f"{place}.onnx").read_bytes() for place, make in enumerate(makers)]
    for _ in range(count):
        original = originals[random.integers(len(originals))]
        if random.random() < 0.4:
            yield bytes_changed(bytearray(original), random)
        else:
            model = onnx.load_from_string(original)
            for _ in range(random.integers(1, 3)):
                field_changed(model, random)
            yield model.SerializeToString()


def bytes_changed(content: bytearray, random: Any) -> bytes:
    """Bits flipped, a piece cut out or doubled, or the end cut off."""
    place = int(random.integers(len(content)))
    match random.integers(4):
        case 0:
            return bytes(content[:place])
        case 1:
            del content[place : place + int(random.integers(1, 64))]
        case 2:
            content[place:place] = content[place : place + int(random.integers(1, 64))]
        case _:
            for _ in range(random.integers(1, 8)):
                content[int(random.integers(len(content)))] = int(random.integers(256))
    return bytes(content)


def field_changed(model: Any, random: Any) -> None:
    """One field of a node, an attribute, a weight, an input or the file set to something else."""

    def one(of: Any) -> Any:
        return of[int(random.integers(len(of)))]

    change = one((node_changed, attribute_changed, attribute_changed, weight_changed, weight_changed, file_changed))
    change(model, one, random)


def node_changed(model: Any, one: Any, random: Any) -> None:
    nodes = model.graph.node
    node = one(nodes)
    match random.integers(4):
        case 0:
            node.op_type = one(KINDS)
        case 1 if node.input:
            node.input[int(random.integers(len(node.input)))] = one(NAMES)
        case 2 if node.output:
            node.output[0] = one([*NAMES, *one(nodes).output])
        case _ if len(nodes) > 1:
            del nodes[int(random.integers(len(nodes)))]


def attribute_changed(model: Any, one: Any, random: Any) -> None:
    node = one(model.graph.node)
    values = [int(one(NUMBERS)) for _ in range(random.integers(0, 6))]
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


def weight_changed(model: Any, one: Any, random: Any) -> None:
    weight = one(model.graph.initializer)
    match random.integers(4):
        case 0:
            del weight.dims[:]
            weight.dims.extend([int(one(NUMBERS)) for _ in range(random.integers(0, 5))])
        case 1:
            weight.data_type = int(random.integers(0, 26))
        case 2:
            weight.raw_data = weight.raw_data[: int(random.integers(0, 64))]
        case _:  # other values
            weight.raw_data = random.bytes(len(weight.raw_data))


def file_changed(model: Any, one: Any, random: Any) -> None:
    if random.random() < 0.5:
        one(model.graph.input[0].type.tensor_type.shape.dim).dim_value = int(one(NUMBERS))
    else:
        model.opset_import[0].version = int(one([*NUMBERS, 11, 13, 15, 18, 21]))


def outcome(content: bytes, path: Path) -> str:
    """What loading a file came to."""
    path.write_bytes(content)
    try:
        load(path)
    except ModelError as error:
        text = str(error)
        return "refused" if text.isprintable() and len(text) < 1000 else f"not one line: {text[:200]!r}"
    except Exception as error:  # which is what this looks for
        return f"{type(error).__name__}: {str(error)[:200]}"
    return "loaded"


def main(seed: int, count: int, keep: Path | None = None) -> dict[str, Any]:
    """How often everything happened, the longest time in seconds, the largest memory in bytes."""
    found: Counter[str] = Counter()
    longest = 0.0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for place, content in enumerate(mutants(seed, count, folder)):
            start = time.monotonic()
            if keep is not None:
                (keep / f"{place}.onnx").write_bytes(content)
            said = outcome(content, folder / "mutant.onnx")
            found[said] += 1
            longest = max(longest, time.monotonic() - start)
            if said not in ("loaded", "refused"):
                sys.stderr.write(f"{place} {said}\n")
    _FOLDER.stop()  # a process counts as a child only after its end
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    memory = max(resource.getrusage(kind).ru_maxrss for kind in kinds) * 1024
    return {"found": dict(found), "longest": longest, "memory": memory}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(int(sys.argv[1]), int(sys.argv[2]), *map(Path, sys.argv[3:]))) + "\n")
