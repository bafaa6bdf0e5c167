"""Operators that are rewritten before the import, compared with onnxruntime or the reference; names; few bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import networks
from cyclecast.device import Device
from cyclecast.errors import OptionError, UnsupportedError
from cyclecast.executable import build_program
from cyclecast.frontend import load, reference
from cyclecast.workflow import building
from cyclecast.workflow.building import compile
from cyclecast.workflow.placing import place
from cyclecast.workflow.tuning import estimate

pytestmark = pytest.mark.tvm

RANDOM = np.random.default_rng(0)


def saved(
    path: Path, nodes: list[Any], shape: list[int], constants: dict[str, Any], opset: int = 21, **more: Any
) -> Path:
    """A network from `x` to `y`; constants are arrays or tensors of ONNX."""
    parts = [
        value if isinstance(value, onnx.TensorProto) else numpy_helper.from_array(np.asarray(value), name)
        for name, value in constants.items()
    ]
    ends = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
    ends.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, None))
    graph = helper.make_graph(nodes, "graph", ends[:1], ends[1:], parts)
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(graph, ir_version=10, opset_imports=imports, **more), path)
    return path


def outputs(path: Path, data: Any) -> tuple[Any, list[Any]]:
    network = load(path, activation_bits=16, weight_bits=16)
    return network, compile(estimate(network, Device.load("isaac16")))(data)


def equals_its_reference(path: Path, shape: list[int]) -> Any:
    data = RANDOM.normal(size=shape).astype("float32")
    network, found = outputs(path, data)
    for one, other in zip(found, reference(path, {"x": data}).values(), strict=True):
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, atol=1e-3 * max(1, np.abs(other).max(initial=0)))
    return network


RESIZED: list[dict[str, Any]] = [
    {"mode": "linear", "scales": [1, 1, 2.5, 1.7]},
    {"mode": "nearest", "scales": [1, 1, 2.5, 0.6], "nearest_mode": "floor"},
    {"mode": "cubic", "scales": [1, 1, 0.6, 1.3], "cubic_coeff_a": -0.5, "exclude_outside": 1},
    {"mode": "linear", "scales": [1, 1, 0.4, 0.3], "antialias": 1},
    {"mode": "linear", "sizes": [1, 2, 1, 1], "coordinate_transformation_mode": "align_corners"},
    {"mode": "nearest", "sizes": [1, 2, 9, 13], "keep_aspect_ratio_policy": "not_larger"},
]


@pytest.mark.parametrize("how", RESIZED, ids=str)
def test_resizing(how: dict[str, Any], tmp_path: Path) -> None:
    kind = "scales" if "scales" in how else "sizes"
    attributes = {name: value for name, value in how.items() if name != kind}
    constants = {kind: np.array(how[kind], "float32" if kind == "scales" else "int64")}
    inputs = ["x", "", *([kind] if kind == "scales" else ["", kind])]
    path = saved(
        tmp_path / "a.onnx", [helper.make_node("Resize", inputs, ["y"], **attributes)], [1, 2, 5, 7], constants, 19
    )
    assert equals_its_reference(path, [1, 2, 5, 7]).members == ()


@pytest.mark.parametrize(("operator", "opset"), [("Upsample", 9), ("Resize", 10)])
@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_resizing_of_old_versions(operator: str, opset: int, mode: str, tmp_path: Path) -> None:
    """They place outputs otherwise, which ONNX's converter of versions leaves out."""
    node = helper.make_node(operator, ["x", "scales"], ["y"], mode=mode)
    path = saved(tmp_path / "a.onnx", [node], [1, 2, 3, 4], {"scales": np.array([1, 1, 1.7, 2.5], "float32")}, opset)
    equals_its_reference(path, [1, 2, 3, 4])


def test_the_mean_of_a_normalisation(tmp_path: Path) -> None:
    node = helper.make_node("LayerNormalization", ["x", "s"], ["", "y"], axis=1)
    node.output[0] = "unused"
    equals_its_reference(saved(tmp_path / "a.onnx", [node], [3, 4], {"s": np.ones(4, "float32")}), [3, 4])


def test_the_largest_of_infinities_is_one(tmp_path: Path) -> None:
    node = helper.make_node("ReduceMax", ["x", "axes"], ["y"], keepdims=0)
    path = saved(tmp_path / "a.onnx", [node], [2, 3], {"axes": np.array([1])})
    data = np.array([[-np.inf] * 3, [-np.inf, 2, 1]], "float32")
    _, (found,) = outputs(path, data)
    assert found.tolist() == [-np.inf, 2]


def test_infinities_in_a_program_are_read_again(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Greater", ["x", "zero"], ["m"]),
        helper.make_node("Where", ["m", "x", "least"], ["h"]),
        helper.make_node("ReduceMax", ["h", "axes"], ["r"], keepdims=1),
        helper.make_node("Sub", ["x", "r"], ["d"]),
        helper.make_node("MatMul", ["d", "w"], ["y"]),
    ]
    constants = {
        "zero": np.float32(0),
        "least": np.float32(-np.inf),
        "axes": np.array([1]),
        "w": np.eye(4, 3, dtype="f4"),
    }
    path = saved(tmp_path / "a.onnx", nodes, [1, 4], constants)
    tuned = estimate(load(path), Device.load("tiny"))
    building.save(tuned, tmp_path / "out")
    data = np.ones((1, 4), "float32")
    for one, other in zip(compile(tuned)(data), compile(building.load(tmp_path / "out"))(data), strict=True):
        assert np.array_equal(one, other)
    building.generate(building.load(tmp_path / "out"), tmp_path / "c")


def test_attributes_that_are_not_looked_at_are_named(tmp_path: Path) -> None:
    node = helper.make_node("SpaceToDepth", ["x"], ["y"], name="here", blocksize=2, mode="CRD")
    path = saved(tmp_path / "a.onnx", [node], [1, 2, 4, 4], {}, 28)
    with pytest.raises(UnsupportedError, match=r"node 'here' \(SpaceToDepth\): attribute 'mode'"):
        load(path)


@pytest.mark.parametrize("axis", [-1, 0, 1])
def test_one_of_many_real_values(axis: int, tmp_path: Path) -> None:
    """The importer took integers only."""
    nodes = [helper.make_node("Cast", ["x"], ["i"], to=TensorProto.INT64)]
    nodes.append(helper.make_node("OneHot", ["i", "depth", "values"], ["y"], axis=axis))
    constants = {"depth": np.array(5), "values": np.array([0.5, 2], "float32")}
    path = saved(tmp_path / "a.onnx", nodes, [2, 3], constants)
    data = np.array([[0, -1, 4], [7, 2, -9]], "float32")
    _, (found,) = outputs(path, data)
    (expected,) = reference(path, {"x": data}).values()
    assert np.array_equal(found, expected)


def test_truth_values_are_compared(tmp_path: Path) -> None:
    """LLVM refused them, after the whole search."""
    nodes = [
        helper.make_node("Greater", ["x", "zero"], ["a"]),
        helper.make_node("Less", ["x", "one"], ["b"]),
        helper.make_node("Equal", ["a", "b"], ["c"]),
        helper.make_node("Cast", ["c"], ["y"], to=TensorProto.FLOAT),
    ]
    path = saved(tmp_path / "a.onnx", nodes, [1, 9], {"zero": np.float32(0), "one": np.float32(1)})
    equals_its_reference(path, [1, 9])


def test_operators_of_other_standards_are_unknown(tmp_path: Path) -> None:
    """The importer goes by names: a `Relu` of somebody else's would be ONNX's."""
    path = tmp_path / "a.onnx"
    nodes = [helper.make_node("Relu", ["x"], ["y"], domain="mine")]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [4]) for name in "xy"]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:])
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("mine", 1)]
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=imports), path)
    with pytest.raises(UnsupportedError, match=r"operators Relu \(1: y\)"):
        load(path)


def test_what_folding_breaks_is_folded_otherwise(tmp_path: Path) -> None:
    """Two rules of onnxruntime that each are right (its issue 32416)."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["c"]),
        helper.make_node("Cast", ["c"], ["mid"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["one", "den"], ["d"]),
        helper.make_node("Mul", ["mid", "d"], ["y"]),
    ]
    constants = {"w": RANDOM.normal(size=(4, 4)).astype("float32"), "one": np.float32(1), "den": np.float32(1)}
    path = saved(tmp_path / "a.onnx", nodes, [1, 4], constants, 17)
    assert len(load(path).members) == 1


def test_recurrent_weights_behind_other_operators(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Unsqueeze", ["w", "axis"], ["W"]),
        helper.make_node("Unsqueeze", ["r", "axis"], ["R"]),
        helper.make_node("LSTM", ["x", "W", "R"], ["y"], hidden_size=3),
    ]
    constants = {name: RANDOM.normal(size=(12, size)).astype("float32") for name, size in (("w", 4), ("r", 3))}
    path = saved(tmp_path / "a.onnx", nodes, [5, 1, 4], constants | {"axis": np.array([0])}, 17)
    assert len(equals_its_reference(path, [5, 1, 4]).members) == 2


@pytest.mark.parametrize("zeros", [False, True])
def test_weights_of_four_bits_and_scales_by_block(zeros: bool, tmp_path: Path) -> None:
    integers = RANDOM.integers(0, 16, (12, 3, 32)).astype("uint8")
    constants = {
        "B": integers[..., 0::2] | integers[..., 1::2] << 4,
        "s": RANDOM.uniform(0.01, 0.1, 36).astype("float32"),
    }
    if zeros:
        offsets = RANDOM.integers(0, 16, (12, 4)).astype("uint8")
        constants["z"] = (offsets[:, 0::2] | offsets[:, 1::2] << 4).ravel()
    node = helper.make_node(
        "MatMulNBits", ["x", *constants], ["y"], domain="com.microsoft", K=80, N=12, bits=4, block_size=32
    )
    network = equals_its_reference(saved(tmp_path / "a.onnx", [node], [2, 80], constants), [2, 80])
    assert sum(member.count for member in network.members) == 3


@pytest.mark.parametrize("kind", ["INT4", "UINT4"])
@pytest.mark.parametrize(
    ("operator", "shape", "block", "attributes"),
    [
        ("Conv", (6, 8, 3, 3), 0, {}),
        ("MatMul", (32, 6), 0, {}),
        ("MatMul", (32, 6), 16, {}),
        ("Gemm", (32, 6), 0, {"beta": 0.5}),
        ("Gemm", (32, 6), 16, {"transA": 1, "alpha": -2.0, "beta": 0.5}),
        ("Gemm", (6, 32), 0, {"transB": 1}),
        ("Gemm", (6, 32), 12, {"transB": 1}),
        ("Transpose", (6, 32), 16, {}),
    ],
)
def test_dequantised_weights_of_four_bits(
    operator: str, shape: tuple[int, ...], block: int, attributes: dict[str, Any], kind: str, tmp_path: Path
) -> None:
    """In every product they keep their integers, which are what arrays of four bits take; scales are digital."""
    filters = shape.index(6)
    axis = 1 - filters if block else filters
    extents = [-(-extent // (block or 1)) if place == axis else extent for place, extent in enumerate(shape)]
    scaled = tuple(extents) if block else (6,)
    least = -8 * (kind == "INT4")
    values, zeros = RANDOM.integers(least, least + 16, shape), RANDOM.integers(least + 4, least + 12, scaled)
    scales, added = RANDOM.uniform(0.01, 0.1, scaled).astype("float32"), RANDOM.normal(size=6).astype("float32")
    constants: dict[str, Any] = {
        name: helper.make_tensor(name, TensorProto.DataType.Value(kind), part.shape, part.ravel().tolist())
        for name, part in (("w", values), ("z", zeros))
    }
    nodes = [helper.make_node("Transpose", ["r"], ["t"], perm=[1, 0]), helper.make_node("MatMul", ["x", "t"], ["y"])]
    if operator != "Transpose":
        bias = ["c"] if operator != "MatMul" else []
        nodes = [helper.make_node(operator, ["x", "r", *bias], ["y"], **attributes)]
    how: dict[str, Any] = {"axis": axis} | ({"block_size": block} if block else {})
    first = helper.make_node("DequantizeLinear", ["w", "s", "z"], ["r"], **how)
    data = [1, 8, 5, 5] if operator == "Conv" else [32, 2] if "transA" in attributes else [2, 32]
    path = saved(tmp_path / "a.onnx", [first, *nodes], data, constants | {"s": scales, "c": added})
    each = [np.take(part, np.arange(shape[axis]) // block, axis) if block else part for part in (scales, zeros)]
    beside = [part if block else part.reshape([-1 if place == filters else 1 for place in range(len(shape))])
              for part in each]  # fmt: skip
    plain = {"r": ((values - beside[1]) * beside[0]).astype("float32"), "c": added}
    expected = reference(saved(tmp_path / "b.onnx", nodes, data, plain), {"x": (given := _normal(data))})["y"]
    network = load(path, activation_bits=16, weight_bits=4)
    (found,) = build_program(network.program)(given)
    np.testing.assert_allclose(found, expected, atol=1e-3 * np.abs(expected).max())
    blocks = extents[axis] if block else 1
    assert sum(member.count for member in network.members) == blocks
    assert {member.workload.weight_bits for member in network.members} == {4}


def _normal(shape: list[int]) -> Any:
    return RANDOM.normal(size=shape).astype("float32")


def test_names_that_look_like_made_ones(tmp_path: Path) -> None:
    """Calibration made two of one at 2 bits, and a file may have any."""
    path = networks.tiny_cnn(tmp_path / "tiny.onnx")
    model = onnx.load(path)
    for number, node in enumerate(model.graph.node[:-1], 1):
        for other in model.graph.node:
            for spot, name in enumerate(other.input):
                if name == node.output[0]:
                    other.input[spot] = f"cyclecast:{number}"
        node.output[0] = f"cyclecast:{number}"
    onnx.save(model, path)
    shape = [dimension.dim_value for dimension in model.graph.input[0].type.tensor_type.shape.dim]
    samples = {"input": RANDOM.normal(size=(4, *shape[1:])).astype("float32")}
    for bits in (2, 3, 8):
        network = load(path, activation_bits=bits, weight_bits=bits, calibration=samples)
        assert sum(member.count for member in network.members) == len(
            [n for n in model.graph.node if n.op_type in ("Conv", "Gemm")]
        )


def test_an_empty_operand_goes(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Concat", ["x", "nothing"], ["c"], axis=1),
        helper.make_node("MatMul", ["c", "w"], ["y"]),
    ]
    constants = {"nothing": np.zeros((1, 0), "float32"), "w": RANDOM.normal(size=(4, 3)).astype("float32")}
    path = saved(tmp_path / "a.onnx", nodes, [1, 4], constants)
    building.save(estimate(load(path), Device.load("tiny")), tmp_path / "out")
    assert len(building.load(tmp_path / "out").network.members) == 1


def test_nothing_on_arrays_is_said_with_the_reason(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.onnx", [helper.make_node("MatMul", ["x", "x"], ["y"])], [1, 4, 4], {})
    network = load(path)
    assert network.warning == "no operator runs on arrays: the host multiplies matmul 100% (both operands are computed)"
    with pytest.raises(OptionError, match="there is nothing to place, no operator runs on arrays"):
        place(estimate(network, Device.load("tiny")))
