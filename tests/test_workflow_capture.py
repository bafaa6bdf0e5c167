"""Traces and golden vectors of real runs, as device teams use them in test benches."""

from __future__ import annotations

import json
import subprocess
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

import c_projects
import networks
from cyclecast.device import Device
from cyclecast.errors import ModelError, OptionError, TraceError
from cyclecast.executable import build_program
from cyclecast.frontend import load
from cyclecast.simulator import Chip, replay
from cyclecast.tvm import running_on
from cyclecast.workflow.building import compile, lowered_program
from cyclecast.workflow.capture import golden_vectors, write_trace
from cyclecast.workflow.tuning import Tuned, tune

pytestmark = pytest.mark.tvm

ISAAC, TINY = Device.load("isaac"), Device.load("tiny")
VERILOG = Path(__file__).parents[1] / "examples" / "verilog"


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    """A small network on a small device: several passes, padding, groups."""
    network = load(networks.tiny_cnn(tmp_path_factory.mktemp("capture") / "tiny.onnx", size=8))
    return tune(network, TINY, trials=8, strategy="random")


@pytest.fixture(scope="module")
def resnet8(tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    return tune(load(c_projects.mlperf_tiny("image_classification", tmp_path_factory.mktemp("resnet8"))), ISAAC)


@pytest.mark.parametrize("suffix", ["jsonl", "trace"])
def test_a_trace_of_a_network_replays(tuned: Tuned, tmp_path: Path, suffix: str) -> None:
    traced = write_trace(tuned, tmp_path / f"all.{suffix}", seed=4)
    done = replay(traced.path)
    assert (done.calls, done.counters) == (traced.calls, traced.counters)
    inputs = np.random.default_rng(4).normal(size=(1, 3, 8, 8)).astype("float32")
    assert np.array_equal(traced.outputs[0], compile(tuned)(inputs)[0])


def test_a_trace_of_one_workload_replays_by_itself(tuned: Tuned, tmp_path: Path) -> None:
    """In the middle of the network, and at its end."""
    whole = write_trace(tuned, tmp_path / "all.jsonl")
    lines = whole.path.read_text(encoding="utf-8").splitlines()
    for entry in tuned.workloads[1::3]:
        name = entry.member.workload.name
        part = write_trace(tuned, tmp_path / "part.jsonl", workload=name)
        assert replay(part.path).counters == part.counters
        inside = part.path.read_text(encoding="utf-8").splitlines()[1:-1]
        begin = lines.index(inside[0])
        assert lines[begin : begin + len(inside)] == inside


def test_a_trace_of_another_device_is_refused(tuned: Tuned, tmp_path: Path) -> None:
    path = write_trace(tuned, tmp_path / "a.jsonl").path
    text = path.read_text(encoding="utf-8").splitlines()
    header = json.loads(text[0])
    header["parameters"]["adc_bits"] = 1
    path.write_text("\n".join([json.dumps(header), *text[1:]]) + "\n", encoding="utf-8")
    with pytest.raises(TraceError, match="its sums differ from the recorded ones"):
        replay(path)


def test_vectors_hold_what_the_manifest_says(tuned: Tuned, tmp_path: Path) -> None:
    kernel = tuned.workloads[0].member.kernel
    manifest = golden_vectors(tuned, kernel, tmp_path, arrays=2, products=3)
    assert json.loads((tmp_path / "manifest.json").read_text(encoding="utf-8")) == manifest
    assert len(manifest["arrays"]) == 2
    stored = np.load(tmp_path / "vectors.npz")
    for array in manifest["arrays"]:
        folder = array["folder"]
        for name, entry in array["files"].items():
            text = (tmp_path / folder / entry["file"]).read_bytes()
            values = stored[f"{folder}/{name}"]
            words = [int(word, 16) for word in text.decode().split()]
            assert sha256(text).hexdigest() == entry["sha256"]
            assert list(values.shape) == entry["shape"]
            assert [int(value) % 2 ** entry["bits"] for value in values.ravel()] == words
        products = stored[f"{folder}/inputs"] @ stored[f"{folder}/weights"]
        assert np.array_equal(stored[f"{folder}/outputs"], products)
        assert np.array_equal(stored[f"{folder}/partial_sums"][:, -1], products)
    assert sha256((tmp_path / "vectors.npz").read_bytes()).hexdigest() == manifest["npz"]["sha256"]


def test_sums_of_a_workload_are_in_the_vectors(tuned: Tuned, tmp_path: Path) -> None:
    """Every tile that leaves the device, in the order of its slots."""
    manifest = golden_vectors(tuned, tuned.workloads[-1].member.kernel, tmp_path)
    received = np.load(tmp_path / "vectors.npz")["received"]
    assert list(received.shape) == manifest["received"]["shape"]
    assert len(manifest["received"]["slots"]) == len(received)


def test_inputs_come_from_a_file_by_name_or_place(tuned: Tuned, tmp_path: Path) -> None:
    values = np.random.default_rng(5).normal(size=(1, 3, 8, 8))
    np.savez(tmp_path / "named.npz", input=values)
    np.savez(tmp_path / "other.npz", values)
    named, other = (
        write_trace(tuned, tmp_path / "a.trace", inputs=tmp_path / name) for name in ("named.npz", "other.npz")
    )
    assert np.array_equal(named.outputs[0], other.outputs[0])
    np.savez(tmp_path / "small.npz", input=values[:, :2])
    with pytest.raises(ModelError, match="the network wants shape"):
        write_trace(tuned, tmp_path / "a.trace", inputs=tmp_path / "small.npz")


def test_what_is_asked_for_must_be_there(tuned: Tuned, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="there is no 'conv9', there are conv2d"):
        golden_vectors(tuned, "conv9", tmp_path)
    with pytest.raises(OptionError, match="1 of each, at least"):
        golden_vectors(tuned, "conv2d", tmp_path, arrays=0)


def simulated(folder: Path, out: Path) -> subprocess.CompletedProcess[str]:
    """What Icarus Verilog says of the vectors of one array."""
    bench = out / "bench"
    sources = [str(VERILOG / name) for name in ("test_bench.v", "cim_macro.v")]
    subprocess.run(["iverilog", "-g2012", "-Wall", "-I", str(folder), "-o", str(bench), *sources], check=True)
    return subprocess.run(["vvp", str(bench), f"+vectors={folder}"], capture_output=True, text=True)


@pytest.mark.slow
@pytest.mark.parametrize(("place", "adc_bits"), [(0, 8), (4, 8), (-1, 8), (1, 3)])
def test_a_macro_in_verilog_matches_every_code(resnet8: Tuned, tmp_path: Path, place: int, adc_bits: int) -> None:
    """Three workloads of a real network with real weights, lossless and with converters that cut sums off."""
    c_projects.needs("iverilog", "vvp")
    device = ISAAC.vary("array.adc_bits", adc_bits)
    tuned = Tuned(resnet8.network, device, resnet8.workloads, resnet8.model)
    kernel = resnet8.workloads[place].member.kernel
    manifest = golden_vectors(tuned, kernel, tmp_path, arrays=2, products=4)
    clipped = False
    for array in manifest["arrays"]:
        done = simulated(tmp_path / array["folder"], tmp_path)
        assert done.returncode == 0, done.stdout
        assert done.stdout.startswith("PASSED: ")
        stored = np.load(tmp_path / "vectors.npz")
        clipped |= bool((stored[f"{array['folder']}/codes"] < stored[f"{array['folder']}/sums"]).any())
    assert clipped == (adc_bits == 3)


@pytest.mark.slow
def test_the_verilog_bench_sees_a_code_that_differs(resnet8: Tuned, tmp_path: Path) -> None:
    c_projects.needs("iverilog", "vvp")
    golden_vectors(resnet8, resnet8.workloads[0].member.kernel, tmp_path, arrays=1)
    codes = tmp_path / "array_0" / "codes.hex"
    lines = codes.read_text().splitlines()
    lines[7] = f"{int(lines[7], 16) ^ 1:02x}"
    codes.write_text("\n".join(lines) + "\n")
    done = simulated(tmp_path / "array_0", tmp_path)
    assert done.returncode != 0
    assert "FAILED: 1 of" in done.stdout + done.stderr


@pytest.mark.parametrize("name", ["tiny", "neurram", "isaac_ou"])
def test_converters_that_lose_sums_lose_the_same_in_c(name: str, tmp_path: Path) -> None:
    """The whole network in C beside the program whose intrinsics call the behaviour model in Python."""
    device = Device.load(name)
    device = device.vary("array.adc_bits", 2) if name == "tiny" else device
    block = networks.attention_block(tmp_path / "block.onnx")
    tuned = tune(load(block, device), device, trials=4, strategy="random")
    values = np.random.default_rng(7).normal(size=(1, 16, 32)).astype("float32")
    np.savez(tmp_path / "values.npz", input=values)
    (in_c,) = write_trace(tuned, tmp_path / "a.trace", inputs=tmp_path / "values.npz").outputs
    with running_on(Chip(device)):
        (in_python,) = build_program(lowered_program(tuned, "behaviour"))(values)
    assert np.array_equal(in_c, in_python)
    assert not np.array_equal(in_c, compile(tuned)(values)[0])
