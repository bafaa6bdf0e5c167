"""The verbs about code: compile, vectors, trace, replay."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import networks
from cyclecast.cli import app
from cyclecast.executable import load_executable
from cyclecast.storage.folders import MANIFEST, output

pytestmark = pytest.mark.tvm


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that tune wrote."""
    folder = tmp_path_factory.mktemp("code")
    model = networks.attention_block(folder / "block.onnx", tokens=4, width=16)
    done = run("tune", model, "--device", "tiny", "--strategy", "random", "--trials", 4, "--out", folder / "tuned")
    assert done.exit_code == 0, done.output
    return folder / "tuned"


def test_compile_writes_a_project(tuned: Path, tmp_path: Path) -> None:
    done = run("compile", tuned, "--out", tmp_path / "c")
    assert done.exit_code == 0, done.output
    assert "kernels" in done.output
    assert "README.md says how to build and run them" in done.output
    assert {"README.md", "Makefile", "CMakeLists.txt", "network.c", "weights.bin", "cyclecast_device.h"} <= {
        path.name for path in (tmp_path / "c").iterdir()
    }


def test_compile_again_leaves_no_kernel_of_another_network(tuned: Path, tmp_path: Path) -> None:
    with output(tmp_path, "compile c") as place:
        (place / "kernel_old.c").write_text("/* The workload old of another. */\n#error")
    (tmp_path / "kernel_mine.c").write_text("/* A file of the user's. */")
    for _ in range(2):
        assert run("compile", tuned, "--out", tmp_path).exit_code == 0
    assert not (tmp_path / "kernel_old.c").exists()
    assert (tmp_path / "kernel_mine.c").exists()


@pytest.mark.parametrize(
    ("verb", "name"),
    [
        (("compile",), "README.md"),
        (("compile", "--target", "llvm"), "module.so"),
        (("vectors", "--workload", "dense"), "manifest.json"),
        (("trace",), "a.jsonl"),
    ],
)
def test_no_verb_replaces_a_file_of_the_user_unless_forced(
    tuned: Path, tmp_path: Path, verb: tuple[str, ...], name: str
) -> None:
    (tmp_path / name).write_text("mine")
    out = tmp_path / name if verb[0] == "trace" else tmp_path
    done = run(verb[0], tuned, "--out", out, *verb[1:])
    assert done.exit_code == 2, done.output
    assert f"{name}: it exists and cyclecast did not write it; try another path, or --force" in done.output
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(name, "mine")]
    assert run(verb[0], tuned, "--out", out, *verb[1:], "--force").exit_code == 0
    assert (tmp_path / name).read_bytes() != b"mine"


@pytest.mark.parametrize("verb", ["compile", "vectors", "trace", "report"])
def test_an_empty_path_is_not_the_current_folder(tuned: Path, verb: str) -> None:
    done = run(verb, tuned, "--out", "", *(("--workload", "dense") if verb == "vectors" else ()))
    assert done.exit_code == 2
    assert "it is empty; it must be a path" in done.output


def test_compile_says_as_json_what_it_wrote(tuned: Path, tmp_path: Path) -> None:
    info = json.loads(run("compile", tuned, "--out", tmp_path, "--json").stdout)
    assert info["inputs"] == [{"name": "input", "kind": "float32", "shape": [1, 4, 16]}]
    assert sorted([*info["files"], MANIFEST]) == sorted(path.name for path in tmp_path.iterdir())
    assert info["weight_bytes"] == (tmp_path / "weights.bin").stat().st_size


def test_compile_for_this_host(tuned: Path, tmp_path: Path) -> None:
    done = run("compile", tuned, "--target", "llvm", "--out", tmp_path)
    assert done.exit_code == 0, done.output
    load_executable(tmp_path / "module.so")
    info = json.loads(run("compile", tuned, "--target", "llvm", "--out", tmp_path, "--json").stdout)
    assert info == {"out": str(tmp_path), "files": ["module.so"], "loss": "", "doubts": []}


@pytest.mark.parametrize("suffix", ["jsonl", "trace"])
def test_trace_and_replay(tuned: Path, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    done = run("trace", tuned, "--out", path)
    assert done.exit_code == 0, done.output
    again = run("replay", path)
    assert again.exit_code == 0, again.output
    assert "sums as recorded" in again.output
    written = json.loads(run("trace", tuned, "--out", path, "--workload", "dense", "--json").stdout)
    replayed = json.loads(run("replay", path, "--fast", "--json").stdout)
    assert replayed["counters"] == written["counters"]
    assert replayed["calls"] == written["calls"]
    assert replayed["device"] == "tiny"


def test_the_memory_of_a_replay_is_a_size(tuned: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    assert run("trace", tuned, "--out", path).exit_code == 0
    for memory in ("2 GiB", "512MiB", f"{10**30} GiB"):
        assert run("replay", path, "--memory", memory).exit_code == 0
    size = path.stat().st_size
    for memory, message in (
        ("8 KiB", f"error: {path}: it has {size:,} bytes, half of 8 KiB is the most; try a larger --memory"),
        ("0 B", f"error: {path}: it has {size:,} bytes, half of 0 B is the most; try a larger --memory"),
        ("1", "error: --memory: '1' cannot be read, it must be a decimal number and one of B, KiB, "),
        ("-1 GiB", "error: --memory: '-1 GiB' cannot be read, it must be a decimal number and one of B, KiB, "),
        ("0.5 B", "error: --memory: '0.5 B' cannot be read, it must be a whole multiple of 1 B; try --memory '2 GiB'"),
        (5000 * "9" + " B", f"error: --memory: '{99 * '9'}... cannot be read, it must be"),
    ):
        done = run("replay", path, "--memory", memory)
        assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
        assert done.stderr.startswith(message)


def test_vectors(tuned: Path, tmp_path: Path) -> None:
    done = run("vectors", tuned, "--workload", "dense", "--out", tmp_path, "--arrays", 2, "--products", 3)
    assert done.exit_code == 0, done.output
    assert "2 arrays of dense" in done.output
    info = json.loads(run("vectors", tuned, "--workload", "dense", "--out", tmp_path, "--json").stdout)
    assert info["manifest"] == json.loads((tmp_path / "manifest.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("compile", "TUNED", "--out", "OUT", "--target", "cuda"), "'--target': 'cuda' is not one of 'c', 'llvm'"),
        (("compile", "OUT", "--out", "OUT"), "network.json: it cannot be read"),
        (("compile", "TUNED", "--out", "FILE"), "it must be a folder"),
        (("compile", "TUNED", "--out", "FILE", "--target", "llvm"), "it must be a folder"),
        (("trace", "TUNED", "--out", "OUT/nowhere/a.jsonl"), "it cannot be written"),
        (("trace", "TUNED", "--out", "OUT/a.jsonl", "--workload", "pool"), "there is no 'pool', there are"),
        (("trace", "TUNED", "--out", "OUT/a.jsonl", "--inputs", "FILE"), "FILE"),
        (("vectors", "TUNED", "--out", "FILE", "--workload", "dense"), "it cannot be written"),
        (("replay", "OUT/nowhere.jsonl"), "it cannot be read"),
        (("replay", "FILE"), "it is no record of a trace"),
    ],
)
def test_mistakes_are_one_message(tuned: Path, tmp_path: Path, arguments: tuple[str, ...], complaint: str) -> None:
    (tmp_path / "FILE").write_text("x")
    given = [part.replace("TUNED", str(tuned)).replace("OUT", str(tmp_path)) for part in arguments]
    given = [str(tmp_path / "FILE") if part == "FILE" else part for part in given]
    done = run(*given)
    assert done.exit_code == 2, done.output
    assert complaint in done.output
    assert "Traceback" not in done.output
    as_json = run(*given, "--json")
    assert as_json.exit_code == 2
    assert set(json.loads(as_json.stdout)["error"]) == {"kind", "where", "demand", "bound", "lever"}


@pytest.mark.long
@pytest.mark.parametrize("most", [0, 1000, 20_000])
@pytest.mark.parametrize("verb", ["tune", "llvm", "c", "verify"])
def test_files_that_cannot_be_written_are_one_line(tuned: Path, tmp_path: Path, verb: str, most: int) -> None:
    """Temporary ones, too; and where LLVM cannot write one, it ends the process without a message."""
    model, out = str(tuned.parent / "block.onnx"), str(tmp_path / "out")
    words = {
        "tune": ["tune", model, "--out", out, "--strategy", "random", "--trials", "2"],
        "llvm": ["compile", str(tuned), "--target", "llvm", "--out", out],
        "c": ["compile", str(tuned), "--out", out],
        "verify": ["verify", str(tuned), model],
    }[verb]
    done = subprocess.run(
        [sys.executable, "-m", "cyclecast.cli", *words],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most)),
        timeout=300,
    )
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert (done.returncode, len(errors), "Traceback" in done.stderr) in ((2, 1, False), (0, 0, False)), done.stderr
    largest = {"verify": 1000, "c": 20_000}  # their files are smaller than that, for this network
    assert done.returncode == 2 or most >= largest.get(verb, most + 1)
