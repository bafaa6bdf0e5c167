"""Whole networks in C: built by two compilers, checked by sanitizers, equal to the compiled module to the last bit."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import c_projects
import networks
from cyclecast.device import Device
from cyclecast.frontend import load
from cyclecast.workflow.building import compile, generate
from cyclecast.workflow.tuning import tune
from text_direction import INPUT, SHAPE, line_of_text, model_file

pytestmark = [pytest.mark.tvm, pytest.mark.slow]

ISAAC = Device.load("isaac")
RANDOM = np.random.default_rng(6)
SANITIZERS = "CFLAGS=-O1 -g -fsanitize=address,undefined,float-cast-overflow -fno-sanitize-recover=all"
NETWORKS = ("text_direction", "resnet8", "transformer_block")
WATCHED = [pytest.param(NETWORKS[0], marks=pytest.mark.long), *NETWORKS[1:]]
"""The networks; the first one takes a minute under sanitizers and valgrind, and a quarter of one to be built."""


@dataclass(frozen=True)
class Project:
    """A generated network with inputs, and what the compiled module makes of them."""

    folder: Path
    inputs: list[Any]
    expected: bytes
    under_watch: tuple[str, ...] = ()
    """Options of runs that are slowed down many times."""


def source(name: str, folder: Path) -> tuple[Path, dict[str, tuple[int, ...]], list[Any]]:
    if name == "text_direction":
        return model_file(), {INPUT: SHAPE}, [line_of_text().astype("float32")]
    if name == "resnet8":
        return (
            c_projects.mlperf_tiny("image_classification", folder),
            {},
            [RANDOM.integers(-128, 128, (1, 32, 32, 3), "int8")],
        )
    block = networks.attention_block(folder / "block.onnx", tokens=32, width=64)
    return block, {}, [RANDOM.normal(size=(1, 32, 64)).astype("float32")]


@pytest.fixture(scope="module", params=WATCHED)
def project(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, records: Path) -> Project:
    return written(request.param, tmp_path_factory.mktemp(request.param), records)


@pytest.fixture(scope="module")
def block(tmp_path_factory: pytest.TempPathFactory, records: Path) -> Project:
    """One that is built."""
    project = written("transformer_block", tmp_path_factory.mktemp("block"), records)
    c_projects.make(project.folder)
    c_projects.run(project.folder, project.inputs, "--fast")
    return project


def written(name: str, folder: Path, records: Path) -> Project:
    path, shapes, inputs = source(name, folder)
    tuned = tune(load(path, shapes=shapes), ISAAC, database=records)
    generated = generate(tuned, folder / "c")
    expected = c_projects.joined(compile(tuned)(*inputs))
    return Project(generated.folder, inputs, expected, ("--fast",) if name == "text_direction" else ())


def test_the_program_equals_the_compiled_module(project: Project) -> None:
    equals(project, "gcc", "CFLAGS=-O1" if project.under_watch else "CFLAGS=-O3")  # docs/c.md builds the first at -O3


@pytest.mark.parametrize("project", WATCHED, indirect=True)
def test_so_it_does_by_another_compiler(project: Project) -> None:
    equals(project, "clang", "CFLAGS=-O1")


def equals(project: Project, compiler: str, options: str) -> None:
    c_projects.needs(compiler)
    c_projects.make(project.folder, f"CC={compiler}", options)
    assert c_projects.run(project.folder, project.inputs) == project.expected
    assert c_projects.run(project.folder, project.inputs, "--fast") == project.expected


@pytest.mark.parametrize("project", WATCHED, indirect=True)
def test_sanitizers_find_nothing(project: Project) -> None:
    c_projects.needs("clang")
    c_projects.make(project.folder, "CC=clang", SANITIZERS)
    assert c_projects.run(project.folder, project.inputs, *project.under_watch) == project.expected


@pytest.mark.parametrize("project", WATCHED, indirect=True)
def test_valgrind_finds_no_leak(project: Project) -> None:
    c_projects.needs("valgrind")
    c_projects.make(project.folder, "CFLAGS=-O1")
    valgrind = ("valgrind", "-q", "--leak-check=full", "--show-leak-kinds=all", "--error-exitcode=9")
    assert c_projects.run(project.folder, project.inputs, "--fast", before=valgrind) == project.expected


def test_sanitizers_of_another_compiler_find_nothing_through_two_windows(block: Project, tmp_path: Path) -> None:
    """All sources but main.c are those of the other driver, too: what is behind the windows is the reference."""
    c_projects.needs("gcc")
    folder = shutil.copytree(block.folder, tmp_path / "c")
    c_projects.make(folder, "CC=gcc", "DRIVER=windows", SANITIZERS)
    assert c_projects.run(folder, block.inputs) == block.expected


def test_cmake_builds_it_too(block: Project) -> None:
    c_projects.needs("cmake")
    for command in (["cmake", "-B", "build"], ["cmake", "--build", "build"]):
        subprocess.run(command, cwd=block.folder, check=True, capture_output=True)
    assert c_projects.run(block.folder, block.inputs, program="build/network") == block.expected


def test_weights_are_found_beside_the_program(block: Project, tmp_path: Path) -> None:
    (tmp_path / "input.bin").write_bytes((block.folder / "input.bin").read_bytes())
    assert c_projects.run(tmp_path, block.inputs, program=str(block.folder / "network")) == block.expected


def test_a_driver_with_two_addresses_compiles_as_it_is(block: Project) -> None:
    windows = ("-DCYCLECAST_WRITE_WINDOW=0x40000000", "-DCYCLECAST_READ_WINDOW=0x40010000")
    flags = ("-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only")
    subprocess.run(["cc", *flags, *windows, "cyclecast_windows.c"], cwd=block.folder, check=True)


def test_the_network_runs_in_a_program_of_its_user(block: Project) -> None:
    """Through the typed function, with memory of the caller's."""
    source = """
#include "network.h"
#include <stdio.h>
#include <stdlib.h>

static _Alignas(64) unsigned char weights[NETWORK_WEIGHT_BYTES], workspace[NETWORK_WORKSPACE_BYTES];
static float input[NETWORK_INPUT_BYTES / sizeof(float)], output[NETWORK_OUTPUT_BYTES / sizeof(float)];

int main(void)
{
    cyclecast_device *device = NULL;
    FILE *file = fopen("weights.bin", "rb");
    int bad = file == NULL || fread(weights, 1, sizeof weights, file) != sizeof weights || fclose(file) != 0;
    file = fopen("input.bin", "rb");
    bad |= file == NULL || fread(input, 1, sizeof input, file) != sizeof input || fclose(file) != 0;
    bad |= cyclecast_open(&network_device, &device) != CYCLECAST_OK;
    bad |= network_run(device, weights, input, output, workspace) != CYCLECAST_OK;
    bad |= network_run(device, weights, input, output, workspace) != CYCLECAST_OK;
    cyclecast_close(device);
    bad |= fwrite(output, 1, sizeof output, stdout) != sizeof output;
    return bad;
}
"""
    (block.folder / "user").mkdir(exist_ok=True)
    (block.folder / "user" / "user.c").write_text(source, encoding="utf-8")
    parts = [str(path) for path in sorted(block.folder.glob("*.c")) if path.name not in NOT_IN_A_PROGRAM]
    command = ["cc", "-std=c11", "-O1", "-I.", "-o", "user/user", "user/user.c", *parts, "-lm"]
    subprocess.run(command, cwd=block.folder, check=True)
    assert subprocess.run(["user/user"], cwd=block.folder, capture_output=True, check=True).stdout == block.expected


NOT_IN_A_PROGRAM = ("main.c", "cyclecast_windows.c", "cyclecast_mock.c")


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        ((), 2, "usage: ./network input.bin output.bin [--fast]"),
        (("input.bin", "output.bin", "--slow"), 2, "usage: ./network input.bin output.bin [--fast]"),
        (("nowhere.bin", "output.bin"), 1, "network: nowhere.bin cannot be opened"),
        (("Makefile", "output.bin"), 1, "network: Makefile must have exactly "),
        (("input.bin", "nowhere/output.bin"), 1, "network: nowhere/output.bin cannot be written"),
    ],
)
def test_mistakes_end_in_one_line(block: Project, arguments: tuple[str, ...], code: int, complaint: str) -> None:
    done = subprocess.run(["./network", *arguments], cwd=block.folder, capture_output=True, text=True)
    assert (done.returncode, done.stdout if code == 2 else "") == (code, "")
    assert done.stderr.startswith(complaint)
    assert done.stderr.count("\n") == 1


def test_weights_of_another_network_are_refused(block: Project) -> None:
    weights = block.folder / "weights.bin"
    good = weights.read_bytes()
    try:
        weights.write_bytes(bytes([good[0] ^ 1]) + good[1:])
        done = subprocess.run(
            ["./network", "input.bin", "output.bin"], cwd=block.folder, capture_output=True, text=True
        )
    finally:
        weights.write_bytes(good)
    assert (done.returncode, done.stderr) == (
        1,
        "network: weights.bin is not the one that was written with this program\n",
    )
