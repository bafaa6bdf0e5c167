"""Programs: built, run, saved, and loaded by a process with TVM and without cyclecast."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import networks
from cyclecast.errors import ModelError, OptionError
from cyclecast.executable import Executable, build_program, load_executable
from cyclecast.frontend import load

pytestmark = pytest.mark.tvm

TVM_ALONE = """
import sys
import numpy as np
import tvm
from tvm import relax

machine = relax.VirtualMachine(tvm.runtime.load_module(sys.argv[1]), tvm.cpu())
np.save(sys.argv[3], machine["main"](tvm.runtime.tensor(np.load(sys.argv[2]))).numpy())
assert "cyclecast" not in sys.modules
"""

IMAGE = np.random.default_rng(1).normal(size=(1, 3, 16, 16)).astype("float32")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Executable:
    return build_program(load(networks.tiny_cnn(tmp_path_factory.mktemp("program") / "tiny.onnx")).program)


def test_a_saved_program_computes_the_same(program: Executable, tmp_path: Path) -> None:
    program.save(tmp_path / "module.so")
    assert np.array_equal(load_executable(tmp_path / "module.so")(IMAGE)[0], program(IMAGE)[0])


def test_a_fresh_process_with_tvm_alone_computes_the_same(program: Executable, tmp_path: Path) -> None:
    program.save(tmp_path / "module.so")
    np.save(tmp_path / "in.npy", IMAGE)
    files = [str(tmp_path / name) for name in ("module.so", "in.npy", "out.npy")]
    subprocess.run([sys.executable, "-c", TVM_ALONE, *files], check=True, capture_output=True)
    assert np.array_equal(np.load(tmp_path / "out.npy"), program(IMAGE)[0])


def test_saving_replaces_a_program_and_nothing_else(program: Executable, tmp_path: Path) -> None:
    mine, ours = tmp_path / "mine.so", tmp_path / "module.so"
    for content in (b"my thesis", b"\x7fELF of somebody else", b"a text on __tvm_ffi__library_bin"):
        mine.write_bytes(content)
        with pytest.raises(OptionError, match=r"mine\.so: it exists and cyclecast did not write it"):
            program.save(mine)
        assert mine.read_bytes() == content
    program.save(mine, force=True)
    for _ in range(2):
        program.save(ours)
    assert np.array_equal(load_executable(ours)(IMAGE)[0], load_executable(mine)(IMAGE)[0])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.so", "module.so"]


def test_a_program_that_cannot_be_linked_leaves_the_old_one(
    program: Executable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program.save(tmp_path / "module.so")
    before = (tmp_path / "module.so").read_bytes()

    class Half:
        def export_library(self, path: str) -> None:
            Path(path).write_bytes(b"half")
            raise RuntimeError("the disk is full")

    with pytest.raises(OptionError, match="the disk is full"):
        Executable(Half()).save(tmp_path / "module.so")
    assert (tmp_path / "module.so").read_bytes() == before


def test_a_missing_program(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there is no such file"):
        load_executable(tmp_path / "module.so")


def test_no_compiler(program: Executable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(OptionError, match="no C compiler"):
        program.save(tmp_path / "module.so")


@pytest.mark.parametrize("wrong", [IMAGE[:, :, :8], IMAGE.astype("float64"), IMAGE[0]])
def test_inputs_of_another_shape_or_type_are_refused(program: Executable, wrong: Any) -> None:
    with pytest.raises(ModelError, match=r"does not run on these inputs.*param\[0\]"):
        program(wrong)


def test_a_missing_input_is_refused(program: Executable) -> None:
    with pytest.raises(ModelError, match="expects 1 arguments"):
        program()


def test_a_damaged_program(tmp_path: Path) -> None:
    (tmp_path / "module.so").write_text("garbage", encoding="utf-8")
    with pytest.raises(ModelError, match="it is no program"):
        load_executable(tmp_path / "module.so")


def test_no_folder(program: Executable, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="there is no such folder; try mkdir"):
        program.save(tmp_path / "none" / "module.so")


def test_a_scalar_input(tmp_path: Path) -> None:
    graph = networks.Graph()
    added = graph.node("Add", "input", graph.constant(np.float32(1)))
    scalar = build_program(load(graph.save(tmp_path / "scalar.onnx", [], added, [])).program)
    assert scalar(np.float32(2))[0] == 3


def test_a_temporary_folder_without_room_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = build_program(load(networks.tiny_cnn(tmp_path / "tiny.onnx")).program)

    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OptionError, match=r"it has no room for .* No space left on device; try another folder in TMPD"):
        program.save(tmp_path / "module.so")
    assert not (tmp_path / "module.so").exists()
