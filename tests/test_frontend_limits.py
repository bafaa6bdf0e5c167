"""Files that would exhaust memory or time or crash the process: each ends in one line."""

from __future__ import annotations

import ctypes
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import networks
from cyclecast.errors import ModelError, OperatorsError, Refused, UnsupportedError
from cyclecast.frontend import _apart, load, reference
from cyclecast.frontend._apart import apart, deep
from cyclecast.frontend._base import size_of
from cyclecast.frontend._words import first_line
from cyclecast.frontend.readers._onnx_graph import folded_model

pytestmark = pytest.mark.tvm


def saved(
    path: Path, nodes: list[onnx.NodeProto], shape: list[int], constants: dict[str, np.ndarray], **more: object
) -> Path:
    """A model from `input` to `output`."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, None)],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=8, **more), path)
    return path


def doubling(path: Path, levels: int, loop: bool = False) -> Path:
    """Functions that each call the next one twice."""

    def function(level: int) -> Any:
        below = f"f{level - 1}" if level else ("f0" if loop else "Relu")
        domain = "own" if level or loop else ""
        body = [
            helper.make_node(below, ["x"], ["y"], domain=domain),
            helper.make_node(below, ["y"], ["z"], domain=domain),
        ]
        imports = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
        return helper.make_function("own", f"f{level}", ["x"], ["z"], body, imports)

    call = helper.make_node(f"f{levels - 1}", ["input"], ["output"], domain="own")
    return saved(path, [call], [1, 4], {}, functions=[function(level) for level in range(levels)])


@pytest.mark.parametrize("levels", [30, 150])
def test_functions_that_double(levels: int, tmp_path: Path) -> None:
    begun = time.process_time()
    with pytest.raises(UnsupportedError, match=r"in the place of calls, make more nodes, at most 200,000"):
        load(doubling(tmp_path / "f.onnx", levels))
    assert time.process_time() - begun < 5


def through_branches(path: Path, levels: int) -> Path:
    """The same, where both branches of a decision call the next one."""

    def branch(level: int) -> Any:
        call = helper.make_node(
            *(("Relu", ["x"]) if level < 0 else (f"f{level}", ["x"])), ["o"], domain="own" * (level >= 0)
        )
        return helper.make_graph([call], "g", [], [helper.make_tensor_value_info("o", TensorProto.FLOAT, None)])

    def function(level: int) -> Any:
        truth = helper.make_node("Constant", [], ["c"], value=onnx.numpy_helper.from_array(np.array(True)))
        ways = {"then_branch": branch(level - 1), "else_branch": branch(level - 1)}
        imports = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
        return helper.make_function(
            "own", f"f{level}", ["x"], ["z"], [truth, helper.make_node("If", ["c"], ["z"], **ways)], imports
        )

    call = helper.make_node(f"f{levels - 1}", ["input"], ["output"], domain="own")
    return saved(path, [call], [1, 4], {}, functions=[function(level) for level in range(levels)])


def test_functions_that_double_in_branches(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="in the place of calls, make more nodes, at most 200,000"):
        load(through_branches(tmp_path / "f.onnx", 30))


def test_functions_that_call_themselves(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="function 'f0' calls itself"):
        load(doubling(tmp_path / "f.onnx", 1, loop=True))


def test_few_functions_are_inlined(tmp_path: Path) -> None:
    path = doubling(tmp_path / "f.onnx", 3)
    assert load(path).members == ()


@pytest.mark.parametrize(
    ("operator", "of"),
    [("Sum", np.sum), ("Mean", np.mean), ("Max", np.max), ("Min", np.min)],
)
def test_operators_of_thousands_of_operands(operator: str, of: Callable[..., np.ndarray], tmp_path: Path) -> None:
    """The importer nests them, and the nest was deeper than its stack."""
    values = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
    names = [f"c{place % 4}" for place in range(3000)]
    nodes = [helper.make_node(operator, ["input", *names], ["output"])]
    path = saved(tmp_path / "many.onnx", nodes, [3], {f"c{place}": row for place, row in enumerate(values)})
    given = np.array([0.5, -3, 3], "float32")
    expected = of(np.stack([given, *(values[place % 4] for place in range(3000))]).astype("float64"), axis=0)
    (computed,) = reference(path, {"input": given}).values()
    np.testing.assert_allclose(computed, expected, rtol=1e-3, atol=1e-3)
    model = folded_model(onnx.load(path), "many", {})
    most = max(len(node.input) for node in model.graph.node)
    assert most <= 16
    load(path)


def test_constants_that_grow(tmp_path: Path) -> None:
    """146 bytes that took 6.75 GB."""
    shape = {"c": np.ones((1, 1), "float32"), "s": np.array([4, 60_000_000], "int64")}
    nodes = [helper.make_node("Expand", ["c", "s"], ["t"]), helper.make_node("MatMul", ["input", "t"], ["output"])]
    with pytest.raises(UnsupportedError, match="its constants, once folded, have 240,000,000 values"):
        load(saved(tmp_path / "large.onnx", nodes, [1, 4], shape))


def concat(count: int) -> list[onnx.NodeProto]:
    return [helper.make_node("Concat", ["input"] * count, ["output"], axis=0)]


def split(count: int) -> list[onnx.NodeProto]:
    parts = [f"part{place}" for place in range(count)]
    return [helper.make_node("Split", ["input"], parts, axis=1), helper.make_node("Relu", [parts[1]], ["output"])]


def axes(count: int) -> list[onnx.NodeProto]:
    constant = onnx.numpy_helper.from_array(np.ones(count, "int64"))
    return [
        helper.make_node("Constant", [], ["shape"], value=constant),
        helper.make_node("Reshape", ["input", "shape"], ["output"]),
    ]


@pytest.mark.parametrize(
    ("nodes", "width", "reason"),
    [
        (concat(20_000), 1, r"\(Concat\): 20,000 operands or results, at most 1,000"),
        (split(3000), 3000, r"\(Split\): 3,000 operands or results, at most 1,000"),
        (axes(10_000), 1, "10,000 axes, at most 32"),
    ],
)
def test_wide_operators(nodes: list[onnx.NodeProto], width: int, reason: str, tmp_path: Path) -> None:
    """The first and the last ended the process by a fault once they had been read, the other took a minute."""
    with pytest.raises(UnsupportedError, match=reason):
        load(saved(tmp_path / "wide.onnx", nodes, [1, width], {}))


def test_operators_of_hundreds_of_operands(tmp_path: Path) -> None:
    assert load(saved(tmp_path / "wide.onnx", concat(400), [1, 1], {})).members == ()


@pytest.mark.parametrize("long", ["operator", "node", "dimension"])
def test_names_of_megabytes(long: str, tmp_path: Path) -> None:
    name = "n" * 5_000_000
    node = helper.make_node(name if long == "operator" else "Foo", ["input"], ["output"], name=name)
    model = onnx.load(saved(tmp_path / "x.onnx", [node], [1, 4], {}))
    if long == "dimension":
        model.graph.input[0].type.tensor_type.shape.dim[1].dim_param = name
    (tmp_path / "x.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(UnsupportedError) as raised:
        load(tmp_path / "x.onnx")
    assert len(str(raised.value)) < 3000
    assert ("dimension 1 is open" if long == "dimension" else "TVM's importer does not know them") in str(raised.value)


def test_thousands_of_unknown_operators_are_all_named(tmp_path: Path) -> None:
    names = ["input", *(f"t{place}" for place in range(4999)), "output"]
    nodes = [
        helper.make_node(f"Unknown{place}", [names[place]], [names[place + 1]], domain="nowhere")
        for place in range(5000)
    ]
    with pytest.raises(OperatorsError) as raised:
        load(saved(tmp_path / "x.onnx", nodes, [1, 4], {}))
    assert len(raised.value.refused) == 5000


@pytest.mark.parametrize("location", ["a" * 5000, "../../etc/passwd", "\x1b[31m", "/dev/zero"])
def test_weights_elsewhere(location: str, tmp_path: Path) -> None:
    model = onnx.load(saved(tmp_path / "x.onnx", [helper.make_node("MatMul", ["input", "w"], ["output"])], [1, 4], {}))
    weights = model.graph.initializer.add(name="w", data_type=TensorProto.FLOAT, dims=[4, 3])
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value=location)
    (tmp_path / "x.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="in another file, which cannot be read") as raised:
        load(tmp_path / "x.onnx")
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < 600


def with_weights(path: Path, *dims: int, count: int = 1, **entry: str) -> Path:
    """A product with weights that are said to be in `w.bin`, of so many values."""
    model = onnx.load(saved(path, [helper.make_node("MatMul", ["input", "w0"], ["output"])], [1, 4], {}))
    for place in range(count):
        weights = model.graph.initializer.add(name=f"w{place}", data_type=TensorProto.FLOAT, dims=dims)
        weights.data_location = TensorProto.EXTERNAL
        for key, value in {"location": "w.bin", **entry}.items():
            weights.external_data.add(key=key, value=value)
    path.write_bytes(model.SerializeToString())
    return path


def with_hole(path: Path, size: int) -> Path:
    """A file of so many bytes that take no place on the disk."""
    with path.open("wb") as file:
        file.truncate(size)
    return path


@pytest.mark.parametrize(("count", "size"), [(1, 1 << 30), (30, 60 << 20)])
def test_weights_elsewhere_are_counted_before_they_are_read(count: int, size: int, tmp_path: Path) -> None:
    """A file with holes, or one file many times, took all memory."""
    with_hole(tmp_path / "w.bin", size)
    path = with_weights(tmp_path / "x.onnx", 4, 4, count=count)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UnsupportedError, match="bytes of weights in other files, at most 67,108,864 from 0 on the"):
        load(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 15


def test_files_of_weights_larger_than_networks(tmp_path: Path) -> None:
    with_hole(tmp_path / "w.bin", 50 << 30)
    with pytest.raises(UnsupportedError, match=r"w\.bin: 53,687,091,200 bytes, networks are below 2 GiB"):
        load(with_weights(tmp_path / "x.onnx", 4, 4, length="64"))


def test_weights_elsewhere_may_follow_each_other(tmp_path: Path) -> None:
    np.arange(32, dtype="float32").tofile(tmp_path / "w.bin")
    path = with_weights(tmp_path / "x.onnx", 4, 4, offset="64", remark="of somebody else")
    values = {"input": np.ones((1, 4), "float32")}
    (computed,) = reference(path, values).values()
    np.testing.assert_array_equal(computed, np.arange(16, 32).reshape(4, 4).sum(axis=0)[None])


@pytest.mark.parametrize("constant", [True, False])
def test_sparse_weights_elsewhere(constant: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """onnxruntime looked for them in the current folder, not beside the network."""
    (tmp_path / "there").mkdir()
    np.arange(16, dtype="float32").tofile(tmp_path / "secret.bin")
    monkeypatch.chdir(tmp_path)
    sparse = onnx.SparseTensorProto(dims=[4, 4])
    sparse.indices.CopyFrom(onnx.numpy_helper.from_array(np.arange(16), "indices"))
    sparse.values.name, sparse.values.data_type = "w", TensorProto.FLOAT
    sparse.values.dims.append(16)
    sparse.values.data_location = TensorProto.EXTERNAL
    sparse.values.external_data.add(key="location", value="secret.bin")
    nodes = [helper.make_node("MatMul", ["input", "w"], ["output"])]
    if constant:
        nodes.insert(0, helper.make_node("Constant", [], ["w"], sparse_value=sparse))
    model = onnx.load(saved(tmp_path / "there" / "x.onnx", nodes, [1, 4], {}))
    if not constant:
        model.graph.sparse_initializer.append(sparse)
    (tmp_path / "there" / "x.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="in another file, which cannot be read, sparse weights are in it"):
        load(tmp_path / "there" / "x.onnx")


@pytest.mark.parametrize(
    "message",
    [
        "/src/model.cc:340 a::Model(b&&, const c*) [ONNXRuntimeError] : 10 : INVALID_GRAPH : It is wrong",
        "/src/graph.cc:1407 a::G(b*) s.OK() was false. [ONNXRuntimeError] : 1 : FAIL : x.cc:592 Check It is wrong",
        "/src/graph.cc:14 a::Graph::Check(int) const It is wrong",
        "It is wrong",
    ],
)
def test_messages_of_onnxruntime_without_its_functions(message: str) -> None:
    assert first_line(RuntimeError(f"[ONNXRuntimeError] : 1 : FAIL : {message}")) == "It is wrong"


@pytest.mark.parametrize("suffix", ["onnx", "pt2", "tflite"])
def test_files_larger_than_networks(suffix: str, tmp_path: Path) -> None:
    """Its size on paper was the measure of what reading it may take."""
    path = with_hole(tmp_path / f"x.{suffix}", 60 << 30)
    with pytest.raises(UnsupportedError, match="64,424,509,440 bytes, networks are below 2 GiB"):
        load(path)
    assert size_of(with_hole(path, 1 << 30)) < 1 << 20
    assert size_of(tmp_path / "nothing") == 0


class TestApart:
    def test_bytes_come_back_and_nothing_else_stays(self) -> None:
        here = [1]

        def work() -> bytes:
            here.append(2)
            sys.stdout.write("nobody reads this")
            return bytes(here) * 100_000

        assert apart(work, "file", 0) == b"\x01\x02" * 100_000
        assert here == [1]

    @pytest.mark.parametrize(
        "error",
        [
            ModelError("a", "b", "c", "d"),
            UnsupportedError("where", "demand"),
            OperatorsError("x.onnx", [Refused("Loop", 3, ("a", "b"), "unroll it")]),
        ],
    )
    def test_errors_come_back(self, error: ModelError) -> None:
        def work() -> bytes:
            raise error

        with pytest.raises(type(error)) as raised:
            apart(work, "file", 0)
        assert str(raised.value) == str(error)

    def test_a_stack_as_large_for_what_passed(self) -> None:
        def deeper(level: int) -> int:
            return 1 + deeper(level - 1) if level else 0

        before = sys.getrecursionlimit()
        sys.setrecursionlimit(60_000)
        try:
            assert deep(lambda: sorted([3, 1, 2], key=lambda _: deeper(50_000))) == [3, 1, 2]
        finally:
            sys.setrecursionlimit(before)
        with pytest.raises(ModelError, match="a: b"):
            deep(lambda: (_ for _ in ()).throw(ModelError("a", "b", "c", "d")))

    @pytest.mark.parametrize("evil", ["memory", "fault", "exit", "recursion", "other"])
    def test_the_end_of_the_other_process_is_one_line(self, evil: str) -> None:
        def deeper(level: int) -> int:
            return 1 + deeper(level + 1)

        ways: dict[str, Callable[[], object]] = {
            "memory": lambda: bytearray(1 << 40),
            "fault": lambda: ctypes.string_at(0),
            "exit": lambda: os._exit(3),
            "recursion": lambda: deeper(0),
            "other": lambda: [][1],
        }

        def work() -> bytes:
            ways[evil]()
            return b""

        with pytest.raises(UnsupportedError, match="file: reading it takes too much memory, or fails"):
            apart(work, "file", 0)

    @pytest.mark.parametrize("busy", [True, False])
    def test_what_never_ends(self, busy: bool, monkeypatch: pytest.MonkeyPatch) -> None:
        """It has one second of a processor, or two of the clock."""
        monkeypatch.setattr(_apart, "SECONDS", 0.4)

        def work() -> bytes:
            while True:
                time.sleep(0 if busy else 0.01)

        with pytest.raises(UnsupportedError, match="takes too long"):
            apart(work, "file", 0)


def test_limits_of_the_user_stay(tmp_path: Path) -> None:
    """Nobody but root may raise these; ours are lowered to them."""
    model = networks.tiny_cnn(tmp_path / "tiny.onnx")
    limits = ((resource.RLIMIT_AS, 1 << 36), (resource.RLIMIT_FSIZE, 1 << 26), (resource.RLIMIT_CPU, 500))
    command = "from pathlib import Path; from cyclecast.frontend import load; import sys; load(Path(sys.argv[1]))"

    def limit() -> None:
        for kind, most in limits:
            resource.setrlimit(kind, (most, most))

    done = subprocess.run(
        [sys.executable, "-c", command, str(model)], preexec_fn=limit, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr


def test_a_lower_limit_of_the_user_is_not_raised() -> None:
    command = "import resource; from cyclecast.frontend._apart import limit; kind = resource.RLIMIT_CPU\n"
    command += "resource.setrlimit(kind, (90, 90)); limit(kind, 100, 101); assert resource.getrlimit(kind) == (90, 90)"
    subprocess.run([sys.executable, "-c", command], check=True, timeout=60)
