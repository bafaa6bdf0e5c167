"""Import of PyTorch: modules, exported programs and their files, float and quantised."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cyclecast.errors import ModelError, OptionError, UnsupportedError
from cyclecast.executable import build_program
from cyclecast.frontend import Quantization, input_shapes, layer_errors, load, reference
from cyclecast.frontend.readers._pt2 import opened
from cyclecast.workflow.verification import verify

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytest.importorskip("onnxscript", reason="onnxscript is not installed")

pytestmark = [pytest.mark.tvm, pytest.mark.slow, pytest.mark.filterwarnings("ignore::FutureWarning:copyreg")]


class Residual(torch.nn.Module):  # type: ignore[misc, name-defined] # PyTorch may be absent
    """Convolution, normalisation, a residual, a transposed convolution, a dense layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Conv2d(3, 8, 3, padding=1)
        self.normal = torch.nn.BatchNorm2d(8)
        self.second = torch.nn.Conv2d(8, 8, 3, padding=1, groups=2)
        self.wider = torch.nn.ConvTranspose2d(8, 4, 2, stride=2)
        self.dense = torch.nn.Linear(4, 5)

    def forward(self, image: Any) -> Any:
        """Scores."""
        hidden = torch.relu(self.normal(self.first(image)))
        hidden = torch.relu(self.second(hidden)) + hidden
        return self.dense(self.wider(hidden).mean((2, 3)))


class Reader(torch.nn.Module):  # type: ignore[misc, name-defined]
    """An embedding, a transformer layer, a recurrent one."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = torch.nn.Embedding(50, 32)
        self.attention = torch.nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
        self.memory = torch.nn.LSTM(32, 16, batch_first=True, bidirectional=True)

    def forward(self, tokens: Any) -> Any:
        """States."""
        return self.memory(self.attention(self.embedding(tokens)))[0]


IMAGE = np.random.default_rng(0).normal(size=(1, 3, 8, 8)).astype("float32")


@pytest.fixture(scope="module")
def module() -> Any:
    torch.manual_seed(0)
    made = Residual()
    with torch.no_grad():
        made.train()(torch.randn(16, 3, 8, 8))  # statistics of the normalisation
    return made.eval()


@pytest.fixture(scope="module")
def program(module: Any) -> Any:
    return torch.export.export(module, (torch.from_numpy(IMAGE),))


@pytest.fixture(scope="module")
def file(program: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("torch") / "residual.pt2"
    torch.export.save(program, path)
    return path


@pytest.mark.parametrize("kind", ["module", "program", "file"])
def test_values_are_those_of_pytorch(kind: str, request: pytest.FixtureRequest, capfd: Any) -> None:
    source = request.getfixturevalue(kind)
    shapes = {"image": IMAGE.shape} if kind == "module" else {}
    network = load(source, shapes=shapes, activation_bits=16, weight_bits=16)
    assert [member.workload.name for member in network.members] == [
        "conv2d 1x3x8x8 k3x3 -> 8",
        "conv2d 1x8x8x8 k3x3 g2 -> 8",
        "conv2d 1x8x8x8 k1x1 -> 16",
        "dense 1x4 -> 5",
    ]
    assert network.name == {"module": "Residual", "program": "ExportedProgram", "file": "residual"}[kind]
    (expected,) = reference(source, {"image": IMAGE}).values()
    np.testing.assert_allclose(build_program(network.program)(IMAGE)[0], expected, atol=1e-3)
    assert capfd.readouterr() == ("", "")


def test_transformers_and_recurrent_layers() -> None:
    torch.manual_seed(0)
    module = Reader().eval()
    network = load(module, shapes={"tokens": (1, 12)}, activation_bits=16, weight_bits=16)
    assert network.macs > 0.9 * (network.macs + network.host_macs)
    assert {operator.reason for operator in network.host if operator.macs} == {"both operands are computed"}
    tokens = np.arange(12).reshape(1, 12)
    (expected,) = reference(module, {"tokens": tokens}).values()
    np.testing.assert_allclose(build_program(network.program)(tokens)[0], expected, atol=2e-3)


def test_a_program_with_an_open_batch(module: Any, tmp_path: Path) -> None:
    dynamic = {"image": {0: torch.export.Dim("batch")}}
    program = torch.export.export(module, (torch.randn(4, 3, 8, 8),), dynamic_shapes=dynamic)
    assert input_shapes(program, {}) == {"image": ((1, 3, 8, 8), np.dtype("float32"))}
    assert load(program, shapes={"image": (2, 3, 8, 8)}).macs == 2 * load(program).macs
    torch.export.save(program, path := tmp_path / "open.pt2")
    assert load(path).members == load(program).members


def test_a_module_keeps_its_mode(module: Any) -> None:
    module.train()
    load(module, shapes={"image": IMAGE.shape})
    assert module.training
    module.eval()


def test_calibration_and_errors_of_layers(program: Any) -> None:
    samples = {"image": np.random.default_rng(1).normal(size=(4, *IMAGE.shape)).astype("float32")}
    network = load(program, calibration=samples)
    (expected,) = reference(program, {"image": IMAGE}).values()
    np.testing.assert_allclose(build_program(network.program)(IMAGE)[0], expected, atol=0.05)
    errors = layer_errors(program, Quantization(8, 8, "affine", "symmetric", samples))
    assert len(errors) == 4
    assert all(layer.static > 25 for layer in errors)


def test_quantised_programs_keep_their_integers(module: Any) -> None:
    """The operators that PT2E quantisation leaves: quantise and dequantise per tensor, and per channel of weights."""
    operators = torch.ops.quantized_decomposed
    import_module("torch.ao.quantization.fx._decomposed")  # which defines them

    class Quantised(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            weights = torch.randint(-127, 128, (4, 3, 3, 3), dtype=torch.int8)
            self.register_buffer("weights", weights)
            self.register_buffer("scales", torch.full((4,), 0.01))
            self.register_buffer("zeros", torch.zeros(4, dtype=torch.int64))

        def forward(self, image: Any) -> Any:
            seen = operators.quantize_per_tensor(image, 0.02, 5, 0, 255, torch.uint8)
            seen = operators.dequantize_per_tensor(seen, 0.02, 5, 0, 255, torch.uint8)
            weights = operators.dequantize_per_channel(self.weights, self.scales, self.zeros, 0, -128, 127, torch.int8)
            return torch.nn.functional.conv2d(seen, weights, padding=1)

    torch.manual_seed(0)
    program = torch.export.export(Quantised().eval(), (torch.from_numpy(IMAGE),))
    network = load(program)
    assert [member.workload.name for member in network.members] == ["conv2d 1x3x8x8 k3x3 -> 4"]
    (expected,) = reference(program, {"image": IMAGE}).values()
    np.testing.assert_allclose(build_program(network.program)(IMAGE)[0], expected, rtol=1e-5, atol=1e-4)


def test_the_program_is_compared_with_pytorch(file: Path, tmp_path: Path) -> None:
    build_program(load(file, activation_bits=16, weight_bits=16).program).save(tmp_path / "module.so")
    result = verify(tmp_path / "module.so", file)
    assert result["runtime"] == "PyTorch"
    assert result["outputs"][0]["cosine"] > 0.99999


@pytest.mark.parametrize("shapes", [{}, {"picture": (1, 3, 8, 8)}])
def test_shapes_that_a_module_does_not_take(module: Any, shapes: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match=r"Residual: input 'image': .* forward takes image; try shapes="):
        load(module, shapes=shapes)


def test_a_module_that_cannot_be_traced() -> None:
    class Branches(torch.nn.Module):  # type: ignore[misc, name-defined]
        def forward(self, image: Any) -> Any:
            return image if image.sum() > 0 else -image

    with pytest.raises(UnsupportedError, match=r"Branches: torch\.export cannot trace it") as raised:
        load(Branches(), shapes={"image": (1, 3)})
    assert str(raised.value).isprintable()


def strings(part: Any, key: str = "", path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], str]]:
    """Where strings are, with the field of each, and where they could be."""
    if isinstance(part, dict):
        for name, value in part.items():
            yield from strings(value, name, (*path, name))
    elif isinstance(part, list):
        if not part:
            yield (*path, 0), key
        for place, value in enumerate(part):
            yield from strings(value, key, (*path, place))
    else:
        yield path, key


def poisoned(program: Any, path: tuple[Any, ...], payload: str) -> Iterator[Any]:
    """The program with the payload at this place, and as the name of the field or in an added one."""
    for named in (False, True):
        whole = part = json.loads(json.dumps(program))
        for step in path[:-1]:
            part = part[step]
        if isinstance(part, list):
            part[path[-1] :] = [payload]
        elif named:
            part[payload] = payload
        else:
            part[path[-1]] = payload
        yield whole


class TestFiles:
    @pytest.mark.parametrize("suffix", [".pt", ".pth"])
    def test_pickles_are_not_opened(self, suffix: str, tmp_path: Path) -> None:
        path = tmp_path / f"weights{suffix}"
        path.write_bytes(b"anything")
        with pytest.raises(ModelError, match="it has no graph, and may run code"):
            load(path)

    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(ModelError, match="there is no such file"):
            load(tmp_path / "none.pt2")

    @pytest.mark.parametrize("size", [0, 100, -100])
    def test_cut_off(self, size: int, file: Path, tmp_path: Path) -> None:
        path = tmp_path / "cut.pt2"
        path.write_bytes(file.read_bytes()[:size])
        with pytest.raises(ModelError, match=r"it cannot be read as a|an unknown member"):  # of an archive inside
            load(path)

    def rewritten(self, file: Path, path: Path, change: Any) -> Path:
        """A copy of the archive with some members changed."""
        with zipfile.ZipFile(file) as source, zipfile.ZipFile(path, "w") as target:
            for member in source.infolist():
                target.writestr(member.filename, change(member.filename, source.read(member)))
        return path

    def test_pickled_tensors(self, file: Path, tmp_path: Path) -> None:
        def change(name: str, content: bytes) -> bytes:
            if not name.endswith("weights_config.json"):
                return content
            config = json.loads(content)
            next(iter(config["config"].values()))["use_pickle"] = True
            return json.dumps(config).encode()

        with pytest.raises(ModelError, match="pickled tensors or objects, it may run code"):
            load(self.rewritten(file, tmp_path / "pickled.pt2", change))

    def test_objects_instead_of_tensors(self, file: Path, tmp_path: Path) -> None:
        def change(name: str, content: bytes) -> bytes:
            return content.replace(b'"weight_0"', b'"opaque_obj_0"') if name.endswith("_config.json") else content

        with pytest.raises(ModelError, match="pickled tensors or objects, it may run code"):
            load(self.rewritten(file, tmp_path / "objects.pt2", change))

    @pytest.mark.parametrize("name", ["serialized_state_dict.json", "residual/data/constants/custom_obj_0", "version"])
    def test_members_of_other_kinds(self, name: str, file: Path, tmp_path: Path) -> None:
        path = self.rewritten(file, tmp_path / "other.pt2", lambda _, content: content)
        with zipfile.ZipFile(path, "a") as target:
            target.writestr(name, b"{}")
        with pytest.raises(ModelError, match="an unknown member, it may run code"):
            load(path)

    @pytest.mark.parametrize(
        "text", ["eval(chr(49))", "s0.__class__", "open('x')", "[s0]", "lambda: 0", "9 ** 9 ** 9", "Pow(9, Pow(9, 9))"]
    )
    def test_expressions_that_are_no_shapes(self, text: str, file: Path, tmp_path: Path) -> None:
        def change(name: str, content: bytes) -> bytes:
            if not name.endswith("models/model.json") and "/models/" not in name:
                return content
            program = json.loads(content)
            tensors = program["graph_module"]["graph"]["tensor_values"]
            next(iter(tensors.values()))["sizes"][0] = {"as_expr": {"expr_str": text, "hint": {"as_int": 1}}}
            return json.dumps(program).encode()

        with pytest.raises(ModelError, match="an expression of unknown words, it may run code"):
            load(self.rewritten(file, tmp_path / "shapes.pt2", change))

    def test_no_text_of_a_stranger_reaches_pytorch(self, file: Path, tmp_path: Path) -> None:
        """A payload in every field that holds a string, and for every name of a field: refused, or left out."""
        payload = "x=__import__('os').mkdir('ran')"
        with zipfile.ZipFile(file) as archive:
            member = next(name for name in archive.namelist() if "/models/" in name)
            whole = archive.read(member)
        spots = {key: path for path, key in strings(json.loads(whole))}
        assert {"target", "name", "stack_trace", "in_spec", "fqn", "torch_version", "guards_code"} <= spots.keys()
        left_out = set()
        for key, where in spots.items():
            for program in poisoned(json.loads(whole), where, payload):
                changed = json.dumps(program).encode()
                path = self.rewritten(
                    file, tmp_path / "x.pt2", lambda name, of, new=changed: new if name == member else of
                )
                with suppress(ModelError):
                    assert b"__import__" not in opened(path).getvalue()
                    left_out.add(key)
        assert left_out <= {"guards_code", "stack_trace", "torch_fn", "nn_module_stack", "source_fn_stack", "metadata"}

    @pytest.mark.parametrize(
        ("member", "content", "reason"),
        [
            ("weight_0", b"", "it is empty, PyTorch would take zeros for it"),
            ("byteorder", b"big", "in the order 'little'"),
        ],
    )
    def test_members_that_pytorch_believes(
        self, member: str, content: bytes, reason: str, file: Path, tmp_path: Path
    ) -> None:
        def change(name: str, whole: bytes) -> bytes:
            return content if name.endswith(f"/{member}") else whole

        with pytest.raises(ModelError, match=reason):
            load(self.rewritten(file, tmp_path / "x.pt2", change))

    def test_code_in_sample_inputs(self, file: Path, tmp_path: Path) -> None:
        import io
        import pickle

        ran = tmp_path / "ran"

        class Evil:
            def __reduce__(self) -> Any:
                return Path.touch, (ran,)

        buffer = io.BytesIO()
        torch.save({"a": Evil()}, buffer, pickle_module=pickle)
        path = self.rewritten(
            file, tmp_path / "evil.pt2", lambda name, content: buffer.getvalue() if name.endswith(".pt") else content
        )
        assert load(path).members == load(file).members
        assert not ran.exists()

    def test_outputs_of_classes_that_are_not_imported(self, tmp_path: Path) -> None:
        """As transformers' are, where only the file is there."""

        class Named(torch.nn.Module):  # type: ignore[misc, name-defined]
            def __init__(self) -> None:
                super().__init__()
                self.dense = torch.nn.Linear(4, 3)

            def forward(self, image: Any) -> Any:
                return {"scores": self.dense(image), "same": image + 1}

        torch.manual_seed(0)
        image = np.ones((1, 4), "float32")
        torch.export.save(torch.export.export(Named().eval(), (torch.from_numpy(image),)), known := tmp_path / "a.pt2")

        def change(name: str, content: bytes) -> bytes:
            if "/models/" not in name:
                return content
            program = json.loads(content)
            signature = program["graph_module"]["module_call_graph"][0]["signature"]
            assert "scores" in signature["out_spec"]
            signature["out_spec"] = signature["out_spec"].replace("builtins.dict", "nowhere.Output")
            return json.dumps(program).encode()

        path = self.rewritten(known, tmp_path / "b.pt2", change)
        expected, computed = (list(reference(source, {"image": image}).values()) for source in (known, path))
        assert [np.array_equal(*pair) for pair in zip(expected, computed, strict=True)] == [True, True]
        assert load(path).members == load(known).members

    def test_bombs(self, file: Path, tmp_path: Path) -> None:
        path = tmp_path / "bomb.pt2"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
            target.writestr("bomb/data/weights/weight_0", bytes(1 << 20))
        with pytest.raises(ModelError, match="it is compressed"):
            load(path)


def test_without_pytorch(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxscript", None)
    with pytest.raises(OptionError, match="pip install torch"):
        load(file)
