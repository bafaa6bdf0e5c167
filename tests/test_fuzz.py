"""Mutants of good files end in an answer or in mistakes that are named: no traceback, no signal, no long wait."""

from __future__ import annotations

import os
import shutil
import sys
from collections import Counter
from contextlib import suppress
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

import cyclecast
import fuzzing
import networks
import onnx_mutants
import tflite_mutants
from cyclecast.device import Device, library
from cyclecast.errors import CyclecastError
from cyclecast.frontend import load
from cyclecast.frontend._apart import apart
from cyclecast.frontend.readers._torch import _from_file
from cyclecast.report import device_info, device_text
from cyclecast.simulator import replay
from cyclecast.workflow.building import load as load_folder
from fuzzing import Format, Outcome
from mutators import BYTES, json_line, member, packed, text_lines, unpacked, yaml_key, yaml_value
from trace_files import recorded
from tuned_folders import with_new_manifest

pytestmark = [pytest.mark.tvm, pytest.mark.filterwarnings("ignore::FutureWarning:copyreg")]

TUNE = ("--device", "tiny", "--strategy", "random", "--trials", "2")


def devices() -> list[bytes]:
    """The library's files."""
    return [(files("cyclecast.device") / "library" / f"{name}.yaml").read_bytes() for name in library()]


@cache
def programs() -> list[bytes]:
    """Two layers and a reshape, as `torch.export` writes them."""
    import torch

    class Small(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = torch.nn.Conv2d(2, 3, 3), torch.nn.Linear(12, 4)

        def forward(self, image: Any) -> Any:
            return self.second(torch.relu(self.first(image)).reshape(-1, 12))

    torch.manual_seed(0)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "small.pt2"
        torch.export.save(torch.export.export(Small().eval(), (torch.zeros(1, 2, 4, 4),)), path)
        return [packed(unpacked(path.read_bytes()))]


@cache
def folders() -> list[bytes]:
    """A tuned and placed network: all files of its folder, as an archive."""
    with TemporaryDirectory() as name:
        tuned = Path(name) / "tuned"
        model = networks.tiny_cnn(Path(name) / "network.onnx")
        for arguments in (["tune", str(model), *TUNE, "--out", str(tuned)], ["place", str(tuned)]):
            assert fuzzing.run_here(arguments).code == 0
        kept = [path for path in tuned.rglob("*") if path.is_file()]
        return [packed({path.relative_to(tuned).as_posix(): path.read_bytes() for path in kept})]


def traces() -> list[bytes]:
    """Some calls, as text and as bytes."""
    with TemporaryDirectory() as name:
        return [recorded(Path(name) / f"calls.{suffix}").read_bytes() for suffix in ("jsonl", "trace")]


def write_folder(path: Path, content: bytes) -> Path:
    """The members of an archive as files, under this path only; of every second the manifest says that it is whole."""
    for name, data in unpacked(content).items():
        target = Path(os.path.normpath(path / name))
        if target.is_relative_to(path) and not target.is_dir() and not target.parent.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
    if int(path.name) % 2 and path.is_dir():
        with_new_manifest(path)
    return path


def network(path: Path) -> list[str]:
    """Most files are loaded and timed; each eighth is tuned and built as well."""
    if int(path.stem) % 8:
        return ["estimate", str(path), "--device", "tiny"]
    return ["tune", str(path), *TUNE, "--out", str(path.with_suffix(""))]


def folder_verb(path: Path) -> list[str]:
    """Every verb that reads a folder."""
    verbs = (["report", str(path)], ["place", str(path)], ["compile", str(path), "--out", str(path / "code")])
    return verbs[int(path.name) // 2 % 3]


def described(path: Path) -> None:
    device = Device.load(path)
    assert device == Device.from_json(device.to_json())
    assert device_text(device_info(device)).replace("\n", "").isprintable()


def exported(path: Path) -> None:
    """As far as PyTorch's loader, which is what would run something; writing it as ONNX takes a second."""
    import torch

    apart(lambda: (_from_file(path, torch), b"")[1], str(path), path.stat().st_size)


DEVICES = Format(
    "device", ".yaml", devices, [*BYTES, *[yaml_value, yaml_key, text_lines] * 2],
    lambda path: ["device", "check", str(path)], described,
)  # fmt: skip
ONNX = Format("onnx", ".onnx", onnx_mutants.originals, [*BYTES, *[onnx_mutants.field] * 6], network, load)
TFLITE = Format("tflite", ".tflite", tflite_mutants.originals, [*BYTES, *[tflite_mutants.field] * 6], network, load)
PT2 = Format("pt2", ".pt2", programs, [*BYTES, *[member] * 12], network, exported)
FOLDERS = Format("folder", "", folders, [member], folder_verb, load_folder, write_folder)
TRACES = Format(
    "trace", ".trace", traces, [*BYTES, text_lines, *[json_line] * 4],
    lambda path: ["replay", str(path)], replay,
)  # fmt: skip


def with_modules(form: Format, *names: str) -> Any:
    missing = [name for name in names if find_spec(name) is None]
    return pytest.param(form, marks=pytest.mark.skipif(bool(missing), reason=f"{missing} are not installed"))


FORMATS = [
    *(DEVICES, ONNX, FOLDERS, TRACES),
    *(with_modules(TFLITE, "tflite", "ai_edge_litert"), with_modules(PT2, "torch", "onnxscript")),
]
EACH = pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)


def complain(form: Format, position: int, outcome: Outcome, folder: Path) -> None:
    assert (list(outcome.complaints()), fuzzing.ran(folder)) == ([], []), f"mutant {position} of {form.name}"


@EACH
def test_good_files_are_read(form: Format, tmp_path: Path) -> None:
    for position, content in enumerate(form.originals()):
        outcome = fuzzing.run_here(form.command(form.written(tmp_path, position, content)))
        assert (outcome.code, list(outcome.complaints())) == (0, [])


@EACH
def test_mutants_end_well(form: Format, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for position, content in enumerate(fuzzing.mutants(form, 0, 20)):
        outcome = fuzzing.run_here(form.command(form.written(tmp_path, position, content)))
        complain(form, position, outcome, tmp_path / str(position))


@pytest.mark.long
@pytest.mark.parametrize("seed", range(1, 9))
@EACH
def test_mutants_end_well_on_the_command_line(form: Format, seed: int, tmp_path: Path) -> None:
    codes: Counter[int] = Counter()
    for position, content in enumerate(fuzzing.mutants(form, seed, 25)):
        path = form.written(tmp_path, position, content)
        outcome = fuzzing.run_apart(form.command(path), path.parent)
        complain(form, position, outcome, path.parent)
        codes[outcome.code] += 1
    assert codes[2] > 0  # mutants of which none is refused look for nothing


@pytest.mark.long
@pytest.mark.parametrize("seed", range(11, 21))
@EACH
def test_thousands_of_mutants_end_well_in_python(
    form: Format, seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for position, content in enumerate(fuzzing.mutants(form, seed, 500)):
        path = form.written(tmp_path, position, content)
        with suppress(CyclecastError):
            form.read(path)
        assert not fuzzing.ran(path.parent), f"mutant {position}"
        shutil.rmtree(path.parent)


@pytest.mark.long
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
@EACH
def test_nothing_is_opened_outside(form: Format, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """But the program itself, temporary files, and what every good file needs as well."""
    temporary, home = tmp_path / "temporary", tmp_path / "home"
    for name, folder in (("TMPDIR", temporary), ("HOME", home)):
        folder.mkdir()
        monkeypatch.setenv(name, str(folder))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    source = str(Path(cyclecast.__file__).parents[1])
    known = (sys.prefix, sys.base_prefix, source, "/usr", "/lib", str(temporary), "/proc", "/sys")
    expected: set[str] = set()
    for position, content in enumerate([form.originals()[0], *fuzzing.mutants(form, 99, 6)]):
        path = form.written(tmp_path, position, content)
        outcome, opened = fuzzing.opened(form.command(path), path.parent, tmp_path / "log")
        complain(form, position, outcome, path.parent)
        opened = {name for name in opened if not name.startswith((*known, str(path.parent)))}
        expected = expected or opened
        assert opened <= expected, f"mutant {position}"
