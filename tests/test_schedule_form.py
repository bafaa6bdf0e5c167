"""The central law: whatever is decided, a lowered kernel computes NumPy's result, and is read back as it was."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tvm.script import from_source

from cyclecast.device import Device
from cyclecast.errors import MappingError, ScheduleError
from cyclecast.mapping import TILE_AXES, Mapping
from cyclecast.mapspace import INPUT_STATIONARY, PACKED, Decision, choices, default_mapping, grant, window_name
from cyclecast.schedule import as_module, decided_schedule, lowered, lowered_function, read
from cyclecast.simulator import Chip
from cyclecast.tvm import running_on
from kernels import FAMILIES, Kernel, Window, conv, dense, depthwise, readable

pytestmark = pytest.mark.tvm

TINY = Device.load("tiny")
WIDE = TINY.vary_all({"array.rows": 40, "array.cols": 48, "array.active_rows": 40, "array.adc_bits": 7})
"""Several groups and windows fit in an array."""
ODD = TINY.vary_all(
    {
        "array.rows": 5,
        "array.active_rows": 3,
        "array.cols": 12,
        "levels.pe.count": 3,
        "levels.cu.count": 1,
        "levels.array.count": 5,
    }
)
SINGLE = TINY.vary_all({"levels.pe.count": 1, "levels.cu.count": 1, "levels.array.count": 1})
DEVICES = [TINY, WIDE, ODD, SINGLE]
SIXTEEN = {"bits.activation": 16, "bits.weight": 16}


def for_bits(kernel: Kernel, device: Device) -> Device:
    """The device, or one with 16-bit operands for kernels that need them."""
    return device if kernel.workload.input_bits == 8 else device.vary_all(SIXTEEN)


@st.composite
def drawn_mappings(draw: st.DrawFn, kernel: Kernel, device: Device) -> Mapping:
    """What the device grants to values on offer, or to small numbers, whether they are on offer or not."""
    workload = kernel.workload
    if draw(st.booleans()):
        offers = choices(workload, device)
        return grant(workload, device, {name: draw(st.sampled_from(values)) for name, values in offers.items()})
    names = ["filters", PACKED, *map(window_name, workload.slides)]
    names += [Decision(level.name, axis).name for level in device.levels for axis in TILE_AXES]
    asked = {name: draw(st.integers(1, 6)) for name in names}
    asked["word_lines"] = draw(st.integers(1, 12))
    asked[INPUT_STATIONARY] = draw(st.integers(0, 1))
    return grant(workload, device, asked)


def as_read(kernel: Kernel, device: Device, mapping: Mapping, implementation: Any = "native") -> Any:
    """The lowered function, by both ways, once both and the decided module are read as the mapping."""
    decided = decided_schedule(kernel.function, device, mapping).mod
    function = lowered_function(kernel.function, mapping, implementation)
    assert read(decided, device) == mapping
    assert read(lowered(decided, device, implementation), device) == mapping
    assert read(as_module(function), device) == mapping
    return function


@pytest.mark.parametrize("family", FAMILIES)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_any_mapping_computes_what_numpy_computes(family: str, data: st.DataObject, seed: int) -> None:
    kernel = data.draw(FAMILIES[family])
    device = for_bits(kernel, data.draw(st.sampled_from(DEVICES)))
    mapping = data.draw(drawn_mappings(kernel, device))
    operands = kernel.operands(seed)
    computed = kernel.run(as_read(kernel, device, mapping), *operands)
    np.testing.assert_array_equal(computed, kernel.reference(*operands))


SLOW_FAMILIES = ("grouped", "depthwise")
AS_CHIPS = [pytest.param(name, marks=pytest.mark.long if name in SLOW_FAMILIES else ()) for name in FAMILIES]


@pytest.mark.parametrize("family", AS_CHIPS)
@settings(max_examples=14)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_so_does_a_chip_of_behaviour_models(family: str, data: st.DataObject, seed: int) -> None:
    kernel = data.draw(FAMILIES[family].filter(lambda kernel: kernel.workload.input_bits == 8))
    device = data.draw(st.sampled_from(DEVICES))
    mapping = data.draw(drawn_mappings(kernel, device))
    operands = kernel.operands(seed)
    with running_on(Chip(device)) as chip:
        computed = kernel.run(as_read(kernel, device, mapping, "behaviour"), *operands)
    np.testing.assert_array_equal(computed, kernel.reference(*operands))
    assert chip.activations == mapping.passes * mapping.arrays * mapping.temporal.pixel
    assert len(chip.arrays) == mapping.arrays // mapping.replicas  # replicas share their weights' address


def image(**window: int) -> Kernel:
    return conv(size=(9, 8), channels=3, filters=5, kernel=(3, 3), window=Window(**window))


CORNERS: dict[str, tuple[Kernel, dict[str, int]]] = {
    "a window": (image(), {"window.yy": 2, "window.xx": 3}),
    "along one axis": (image(), {"window.xx": 3}),
    "beyond the edge": (image(padding=1), {"window.yy": 4, "window.xx": 3}),
    "of all outputs": (image(), {"window.yy": 7, "window.xx": 6}),
    "stride 2": (image(stride=2, padding=1), {"window.yy": 2, "window.xx": 3}),
    "dilation 2": (image(dilation=2, padding=2), {"window.yy": 4, "window.xx": 3}),
    "one axis": (conv(size=(20,), channels=3, filters=5, kernel=(3,)), {"window.yy": 4}),
    "three axes": (conv(size=(5, 5, 4), channels=2, filters=3, kernel=(2, 2, 3)), {"window.yy": 2, "window.zz": 2}),
    "channels last": (
        conv(size=(6, 5), channels=3, filters=4, kernel=(3, 2), layout="last", batch=2),
        {"window.yy": 2, "window.xx": 3},
    ),
    "depthwise, packed": (
        depthwise(size=(5, 5), channels=7, multiplier=1, kernel=3),
        {PACKED: 3, "word_lines": 9, "filters": 1},
    ),
    "multiplied, packed": (
        depthwise(size=(5, 5), channels=5, multiplier=3, kernel=3),
        {PACKED: 4, "word_lines": 5, "filters": 2},
    ),
    "grouped, packed": (
        conv(size=(4, 4), channels=9, filters=6, kernel=(2, 2), window=Window(1, 1, 1, groups=3)),
        {PACKED: 2, "word_lines": 5, "filters": 2},
    ),
    "packed windows": (
        depthwise(size=(6, 6), channels=5, multiplier=1, kernel=3, window=Window(1, 1)),
        {PACKED: 2, "word_lines": 16, "filters": 3, "window.i": 2, "window.j": 2},
    ),
    "stationary": (image(), {INPUT_STATIONARY: 1, "word_lines": 8, "filters": 1}),
    "everything": (
        depthwise(size=(6, 5), channels=5, multiplier=2, kernel=2, window=Window(1, 1)),
        {INPUT_STATIONARY: 1, PACKED: 2, "word_lines": 5, "filters": 2, "window.i": 2, "window.j": 3},
    ),
    "16 bits": (
        conv(size=(6, 6), channels=2, filters=3, kernel=(3, 3), kind="int16"),
        {"window.yy": 3, "window.xx": 2},
    ),
}


@pytest.mark.parametrize("name", CORNERS)
@pytest.mark.parametrize("implementation", ["native", "behaviour"])
def test_corner_sizes(name: str, implementation: Any) -> None:
    kernel, asked = CORNERS[name]
    device = for_bits(kernel, WIDE).vary("levels.pe.count", 1)
    if device.bits.activation == 16:
        device = device.vary("array.adc_bits", device.array.lossless_adc_bits)
    mapping = grant(kernel.workload, device, asked)
    kept = {window_name(slide): size for slide, size in zip(kernel.workload.slides, mapping.window, strict=False)}
    kept |= {PACKED: mapping.packed, INPUT_STATIONARY: int(mapping.input_stationary)}
    extra = {name: value for name, value in asked.items() if name not in ("word_lines", "filters")}
    assert {name: kept[name] for name in extra} == extra
    operands = kernel.operands(0)
    with running_on(Chip(device)):
        computed = kernel.run(as_read(kernel, device, mapping, implementation), *operands)
    np.testing.assert_array_equal(computed, kernel.reference(*operands))


SMALL = conv(size=(3, 4), channels=1, filters=1, kernel=(2, 2))
SKETCHES: dict[str, tuple[Kernel, dict[str, int]]] = {
    "windows": (SMALL, {"window.xx": 2}),
    "pack": (depthwise(size=(2, 2), channels=2, multiplier=1, kernel=2), {PACKED: 2, "word_lines": 4, "filters": 1}),
    "order": (dense(batch=40, features=40, filters=3), {INPUT_STATIONARY: 1}),
}


@pytest.mark.parametrize("sketch", SKETCHES)
def test_golden_decided_and_lowered(sketch: str, golden: Callable[[str, str], None]) -> None:
    kernel, asked = SKETCHES[sketch]
    decided = decided_schedule(kernel.function, TINY, grant(kernel.workload, TINY, asked)).mod
    golden(f"{sketch}_decided.txt", decided.script() + "\n")
    golden(f"{sketch}_lowered.txt", readable(lowered(decided, TINY)))


def test_large_layers_need_no_table() -> None:
    kernel = conv(size=(56, 56), channels=64, filters=64, kernel=(3, 3), window=Window(1, 1))
    mapping = grant(kernel.workload, Device.load("isaac"), {"window.yy": 4, "window.xx": 4})
    script = as_module(lowered_function(kernel.function, mapping)).script()
    assert mapping.window == (4, 4)
    assert len(script) < 40_000


def test_what_was_written_out_is_checked() -> None:
    kernel, asked = SKETCHES["pack"]
    text = as_module(lowered_function(kernel.function, grant(kernel.workload, TINY, asked))).script()
    for packed, window, error in ((3, "[]", ScheduleError), (1, "[]", MappingError), (2, "[2, 2]", MappingError)):
        form = f'{{\\"packed\\": {packed}, \\"window\\": {window}}}'
        changed, times = re.subn(r"\{\\\"packed\\\": 2, \\\"window\\\": \[\]\}", form.replace("\\", r"\\"), text)
        assert times == 1
        with pytest.raises(error):
            read(from_source(changed), TINY)


def test_the_default_is_no_sketch_but_im2col() -> None:
    mapping = default_mapping(SMALL.workload, TINY)
    assert '"cim.sketch": "im2col"' in decided_schedule(SMALL.function, TINY, mapping).mod.script()
