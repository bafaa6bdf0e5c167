"""From tuned mappings to programs: exact values, and traces that replay."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import networks
from cyclecast.device import Device
from cyclecast.errors import CyclecastError, ModelError, OptionError, ScheduleError
from cyclecast.executable import build_program
from cyclecast.frontend import load
from cyclecast.mapping import mapping_from_json
from cyclecast.network import Slide
from cyclecast.schedule import as_module, read
from cyclecast.storage.folders import output
from cyclecast.workflow.building import compile, generate, lowered_program, replay, save
from cyclecast.workflow.building import load as load_folder
from cyclecast.workflow.tuning import Tuned, tune
from text_direction import INPUT, SHAPE, model_file
from tuned_folders import with_new_manifest

import tvm  # isort: skip - after cyclecast, which checks that this TVM works

pytestmark = pytest.mark.tvm

TINY = Device.load("tiny")
IMAGE = np.random.default_rng(2).normal(size=(1, 3, 16, 16)).astype("float32")


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    network = load(networks.tiny_cnn(tmp_path_factory.mktemp("building") / "tiny.onnx"))
    return tune(network, TINY, trials=8, strategy="random")


def test_scheduling_changes_no_value(tuned: Tuned) -> None:
    assert np.array_equal(compile(tuned)(IMAGE)[0], build_program(tuned.network.program)(IMAGE)[0])


def test_every_lowered_kernel_reads_back_as_its_mapping(tuned: Tuned) -> None:
    program = lowered_program(tuned)
    for entry in tuned.workloads:
        assert read(as_module(program[entry.member.kernel]), TINY) == entry.mapping


def test_the_network_itself_stays_as_it_was(tuned: Tuned) -> None:
    before = tuned.network.program.script()
    lowered_program(tuned)
    assert tuned.network.program.script() == before


def test_saved_mappings_and_traces_say_the_same(tuned: Tuned, tmp_path: Path) -> None:
    save(tuned, tmp_path)
    mappings = json.loads((tmp_path / "mappings.json").read_text(encoding="utf-8"))
    assert Device.load(tmp_path / "device.yaml") == TINY
    for entry in tuned.workloads:
        kernel = entry.member.kernel
        text = (tmp_path / "traces" / f"{kernel}.json").read_text(encoding="utf-8")
        assert mapping_from_json(mappings[kernel]) == entry.mapping
        assert read(replay(text, tuned.network.program[kernel]), TINY) == entry.mapping


def test_traces_of_another_network_go_and_those_of_the_user_stay(tuned: Tuned, tmp_path: Path) -> None:
    with output(tmp_path, "tune") as place:
        (place / "traces").mkdir()
        (place / "traces" / "stale.json").write_text("[1]", encoding="utf-8")
    (tmp_path / "traces" / "mine.json").write_text("[2]", encoding="utf-8")
    save(tuned, tmp_path)
    ours = {entry.member.kernel for entry in tuned.workloads}
    assert {path.stem for path in (tmp_path / "traces").iterdir()} == ours | {"mine"}


@pytest.mark.parametrize("text", ["", "[]", "{}", '[[], "x"]', "[[[]], []]"])
def test_a_trace_that_is_none(text: str, tuned: Tuned) -> None:
    with pytest.raises(ScheduleError, match="trace"):
        replay(text, tuned.network.program[tuned.workloads[0].member.kernel])


@pytest.mark.slow
def test_resnet18_tuned_equals_resnet18_unscheduled(tmp_path: Path) -> None:
    """Every workload of ResNet-18, lowered as tuned on ISAAC, computes exactly what plain loops on integers compute."""
    network = load(networks.resnet18(tmp_path / "resnet18.onnx"))
    tuned = tune(network, Device.load("isaac"), trials=16, strategy="random")
    image = np.random.default_rng(3).normal(size=(1, 3, 224, 224)).astype("float32")
    assert np.array_equal(compile(tuned)(image)[0], build_program(network.program)(image)[0])


def numpy_product(data: Any, weights: Any, output_shape: tuple[int, ...], slides: tuple[Slide, ...]) -> Any:
    """int8 x int8 -> int32 in NumPy: a dense layer, or a convolution whose padding follows from the shapes.

    Float64 holds every sum exactly (they stay below 2^53), and has a fast matrix product.
    """
    if data.ndim == 2:
        return (data.astype("float64") @ weights.astype("float64")).astype("int32")
    groups, kernel = data.shape[1] // weights.shape[1], weights.shape[2:]
    strides = [slide.stride for slide in slides]  # of kernels of one tap there are none
    strides = strides or [max(1, have // want) for have, want in zip(data.shape[2:], output_shape[2:], strict=True)]
    pads = [(0, 0), (0, 0)]
    for have, want, size, stride in zip(data.shape[2:], output_shape[2:], kernel, strides, strict=True):
        total = (want - 1) * stride + size - have
        left = max(0, -(-total // 2))
        pads.append((left, max(0, total - left)))
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(data, pads), kernel, axis=(2, 3))
    rows, columns = output_shape[2:]
    windows = windows[:, :, :: strides[0], :: strides[1]][:, :, :rows, :columns]
    outputs = [
        np.tensordot(part.astype("float64"), filters.astype("float64"), axes=((1, 4, 5), (1, 2, 3)))
        for part, filters in zip(np.split(windows, groups, 1), np.split(weights, groups), strict=True)
    ]
    return np.concatenate(outputs, axis=-1).transpose(0, 3, 1, 2).astype("int32")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["text_direction", pytest.param("resnet18", marks=pytest.mark.long)])
def test_every_tuned_workload_equals_numpy(name: str, tmp_path: Path) -> None:
    if name == "resnet18":
        network = load(networks.resnet18(tmp_path / "resnet18.onnx"))
    else:
        network = load(model_file(), shapes={INPUT: SHAPE})
    tuned = tune(network, Device.load("isaac"), trials=8, strategy="random")
    random = np.random.default_rng(4)
    program = lowered_program(tuned)
    for entry in tuned.workloads:
        kernel = program[entry.member.kernel]
        data, weights, output = (tuple(int(extent) for extent in part.shape) for part in kernel.params)
        integers, filters = (random.integers(-128, 128, shape).astype("int8") for shape in (data, weights))
        result = tvm.runtime.tensor(np.zeros(output, "int32"))
        tvm.compile(as_module(kernel), target="llvm")["main"](
            tvm.runtime.tensor(integers), tvm.runtime.tensor(filters), result
        )
        workload = entry.member.workload
        expected = numpy_product(integers, filters, output, workload.slides)
        assert np.array_equal(expected, result.numpy()), workload.name


class TestLoad:
    """A folder that `save` wrote is the same network, ready to be built."""

    def test_is_what_was_saved(self, tuned: Tuned, tmp_path: Path) -> None:
        save(tuned, tmp_path)
        scheduled = load_folder(tmp_path)
        assert scheduled.device == tuned.device
        assert scheduled.mappings == tuned.mappings
        assert scheduled.network.host == tuned.network.host
        assert [(m.kernel, m.count) for m in scheduled.network.members] == [
            (m.kernel, m.count) for m in tuned.network.members
        ]
        assert np.array_equal(compile(scheduled)(IMAGE)[0], compile(tuned)(IMAGE)[0])

    def test_saves_again_what_it_loaded(self, tuned: Tuned, tmp_path: Path) -> None:
        (tmp_path / "again").mkdir()
        save(tuned, tmp_path)
        save(load_folder(tmp_path), tmp_path / "again")
        for name in ("network.json", "mappings.json", "device.yaml"):
            assert (tmp_path / "again" / name).read_bytes() == (tmp_path / name).read_bytes()

    @pytest.mark.parametrize("name", ["network.json", "program.json", "mappings.json", "device.yaml"])
    def test_names_the_file_that_is_missing(self, tuned: Tuned, tmp_path: Path, name: str) -> None:
        save(tuned, tmp_path)
        (tmp_path / name).unlink()
        with pytest.raises(CyclecastError, match=name):
            load_folder(tmp_path)

    @pytest.mark.parametrize("name", ["network.json", "program.json", "mappings.json"])
    @pytest.mark.parametrize("text", ["", "{", "[]", "{}", "null", '{"format": 1}', '{"conv2d": {}}', "\x00"])
    def test_refuses_files_that_are_not_its_own(self, tuned: Tuned, tmp_path: Path, name: str, text: str) -> None:
        save(tuned, tmp_path)
        (tmp_path / name).write_text(text, encoding="utf-8")
        with pytest.raises(ModelError, match=f"{name}: it is not what tune wrote"):
            load_folder(tmp_path)
        with_new_manifest(tmp_path)
        with pytest.raises(CyclecastError):
            load_folder(tmp_path)

    def test_refuses_another_format(self, tuned: Tuned, tmp_path: Path) -> None:
        save(tuned, tmp_path)
        described = json.loads((tmp_path / "network.json").read_text(encoding="utf-8"))
        (tmp_path / "network.json").write_text(json.dumps(described | {"format": 4}), encoding="utf-8")
        with_new_manifest(tmp_path)
        with pytest.raises(ModelError, match="format 4, this is format 3"):
            load_folder(tmp_path)


def test_c_needs_a_folder_that_can_be_written(tuned: Tuned, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OptionError, match="it cannot be written"):
        generate(tuned, tmp_path / "file")
