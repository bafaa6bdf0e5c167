"""Networks on NaN, infinities, huge and tiny values: C and module.so agree bit by bit, without undefined behaviour."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import c_projects
import networks
import odd_values
import onnx_mutants
from cyclecast.csource import Generated
from cyclecast.device import Device
from cyclecast.executable import Executable
from cyclecast.frontend import load
from cyclecast.network import Network
from cyclecast.workflow.building import compile, generate
from cyclecast.workflow.tuning import tune
from cyclecast.workflow.verification import compared

pytestmark = pytest.mark.tvm

ISAAC = Device.load("isaac")
SANITIZERS = "CFLAGS=-O1 -fsanitize=undefined,float-cast-overflow -fno-sanitize-recover=all"
SHAPE = (4, 8)
FLOAT = 1
INT32, INT64 = 6, 7
INTEGERS = {2: "uint8", 3: "int8", 6: "int32", 7: "int64", 9: "bool"}
"""Types of ONNX."""


def many_operators(path: Path) -> Path:
    """A product, conversions to all integers, and what compares, sums up or takes exponentials, side by side."""
    graph = networks.Graph()
    data = graph.dense("input", SHAPE[1], 12)
    kinds = ("Relu", "Sigmoid", "Tanh", "Exp", "Erf", "Abs", "Sqrt", "Floor", "Round", "Elu", "Softmax", "Reciprocal")
    found = [graph.node(kind, data) for kind in kinds]
    found += [graph.node(kind, data, axes=[1], keepdims=1) for kind in ("ReduceMax", "ReduceMin", "ReduceMean")]
    found += [graph.node("Cast", graph.node("Cast", data, to=kind), to=FLOAT) for kind in INTEGERS]
    found.append(graph.node("Cast", graph.node("ArgMax", data, axis=1, keepdims=1), to=FLOAT))
    scale = graph.constant(np.float32(0.1)), graph.constant(np.uint8(3))
    found.append(graph.node("DequantizeLinear", graph.node("QuantizeLinear", data, *scale), *scale))
    half = graph.constant(np.float32(0.5))
    found += [graph.node("Max", data, half), graph.node("Min", half, data)]
    found.append(graph.node("MatMul", data, graph.constant(np.ones((12, 3), "float32"))))
    return graph.save(path, [*SHAPE], graph.node("Concat", *found, axis=1), None)


def integer_operators(path: Path) -> Path:
    """A product, and divisions by and places of what the inputs say."""
    graph = networks.Graph()
    whole, divisor, places = (graph.node("Cast", "input", to=kind) for kind in (INT64, INT64, INT32))
    found = [graph.node("Cast", graph.node(kind, whole, divisor), to=FLOAT) for kind in ("Div", "Mod")]
    found.append(graph.node("Gather", graph.constant(np.linspace(-1, 1, 30, dtype="float32")), places))
    joined = graph.node("Concat", *found, graph.dense("input", SHAPE[1], 12), axis=1)
    return graph.save(path, [*SHAPE], joined, None)


SAMPLES = {"input": np.random.default_rng(0).normal(size=(4, *SHAPE)).astype("float32")}
LOADED: dict[str, tuple[Device, dict[str, Any]]] = {
    "symmetric": (ISAAC, {"activations": "symmetric"}),
    "affine": (ISAAC, {"activations": "affine"}),
    "16 bits": (Device.load("isaac16"), {"activation_bits": 16, "weight_bits": 16}),
    "calibrated": (ISAAC, {"calibration": SAMPLES}),
}
"""Device and quantisation."""


@pytest.fixture(scope="module", params=LOADED)
def project(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Executable, Generated]:
    c_projects.needs("gcc")
    folder = tmp_path_factory.mktemp("odd")
    device, options = LOADED[request.param]
    return built(load(many_operators(folder / "odd.onnx"), **options), device, folder)


def built(network: Network, device: Device, folder: Path) -> tuple[Executable, Generated]:
    tuned = tune(network, device, trials=2)
    generated = generate(tuned, folder / "c")
    c_projects.make(generated.folder, "CC=gcc", SANITIZERS)
    return compile(tuned), generated


def run(generated: Generated, values: Any) -> tuple[list[Any], str]:
    """Outputs of the program in C, and what it says."""
    (generated.folder / "input.bin").write_bytes(values.tobytes())
    command, environment = ["./network", "input.bin", "output.bin", "--fast"], {"PATH": os.environ["PATH"]}
    done = subprocess.run(command, cwd=generated.folder, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    joined = np.fromfile(generated.folder / "output.bin", dtype="float32")
    (tensor,) = generated.outputs
    return [joined.reshape(tensor.shape)], done.stderr


def given(seed: int, shape: tuple[int, ...] = SHAPE) -> Any:
    values = np.random.default_rng(seed).normal(size=shape).astype("float32")
    return odd_values.sprinkled(values, seed, (0.02, 0.1, 0.5, 1)[seed % 4])


def test_odd_inputs_come_out_as_in_the_compiled_module(project: tuple[Executable, Generated]) -> None:
    module, generated = project
    for seed in range(16):
        values = given(seed)
        (expected,), ((made,), said) = module(values), run(generated, values)
        assert odd_values.bits(expected) == odd_values.bits(made), f"seed {seed}"
        assert said.count("\n") == int(np.isnan(values).any()) + int(np.isnan(made).any())


def test_odd_inputs_of_a_quantised_network_come_out_as_in_the_compiled_module(tmp_path: Path) -> None:
    c_projects.needs("gcc")
    module, generated = built(load(onnx_mutants.quantised(tmp_path / "quantised.onnx")), ISAAC, tmp_path)
    for seed in range(8):
        values = given(seed, (1, 2, 8, 8))
        (expected,), ((made,), _) = module(values), run(generated, values)
        assert np.isfinite(made).all()
        assert odd_values.bits(expected) == odd_values.bits(made), f"seed {seed}"


def test_divisors_and_places_of_all_sizes_come_out_as_in_the_compiled_module(tmp_path: Path) -> None:
    c_projects.needs("gcc")
    module, generated = built(load(integer_operators(tmp_path / "integers.onnx")), ISAAC, tmp_path)
    for seed in range(16):
        values = given(seed)
        (expected,), ((made,), _) = module(values), run(generated, values)
        assert odd_values.bits(expected) == odd_values.bits(made), f"seed {seed}"
    assert run(generated, np.zeros(SHAPE, "float32"))[0][0][:, :16].tolist() == np.zeros((4, 16)).tolist()


@pytest.mark.parametrize("project", ["symmetric"], indirect=True)
def test_a_program_without_memory_says_so(project: tuple[Executable, Generated], tmp_path: Path) -> None:
    shutil.copytree(project[1].folder, tmp_path / "c")
    (tmp_path / "c" / "none.c").write_text("void *__wrap_malloc(unsigned long size) { (void)size; return 0; }\n")
    c_projects.make(tmp_path / "c", "CC=gcc", f"{SANITIZERS} -Wl,--wrap=malloc none.c")
    command = ["./network", "input.bin", "output.bin"]
    done = subprocess.run(command, cwd=tmp_path / "c", capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "network: there is no memory left\n")


def test_what_is_no_number_is_reported(project: tuple[Executable, Generated]) -> None:
    values = np.zeros(SHAPE, "float32")
    values[1, 2] = np.nan
    assert "network: input has 1 values that are no numbers (NaN), of 32\n" in run(project[1], values)[1]


def test_a_kernel_takes_nan_for_zero_and_infinity_for_the_largest(project: tuple[Executable, Generated]) -> None:
    values = np.ones(SHAPE, "float32")
    plain = values.copy()
    largest = np.finfo(np.float32).max
    values[0, :3], plain[0, :3] = (np.nan, np.inf, -np.inf), (0, largest, -largest)
    odd, wanted = (project[0](given)[0] for given in (values, plain))
    assert odd_values.bits(odd) == odd_values.bits(wanted)
    values[0, 1:3] = plain[0, 1:3] = 1
    odd, wanted = (project[0](given)[0] for given in (values, plain))
    assert odd_values.bits(odd) == odd_values.bits(wanted)


def test_verification_counts_what_it_cannot_compare() -> None:
    want, have = np.array([1, np.nan, np.inf, 2.0]), np.array([1, np.nan, 3, 2.0])
    assert compared(want, have) == {
        "cosine": pytest.approx(1), "maximum_error": 0, "largest": 2, "not_finite": 1, "not_finite_in_reference": 2,
    }  # fmt: skip
    assert compared(want[1:2], have[1:2])["cosine"] == 1
    assert compared(want[2:3], have[2:3])["cosine"] == 0
