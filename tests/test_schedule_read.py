"""A schedule is read back as the mapping that was granted, decided or lowered; anything else is one clear error."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
import tvm_ffi
from hypothesis import given
from hypothesis import strategies as st
from tvm import tirx
from tvm.ir import IRModule
from tvm.s_tir import Schedule
from tvm.script import from_source

from cyclecast._tvm._block import contractions_in
from cyclecast.device import Device
from cyclecast.errors import FitError, MappingError, ScheduleError
from cyclecast.mapspace import choices, default_mapping, grant
from cyclecast.schedule import (
    PREFIX,
    as_module,
    decided_contraction,
    decided_schedule,
    lowered,
    lowered_function,
    read,
    sampled_decisions,
)
from cyclecast.schedule.rules import Im2col, annotation_rules
from cyclecast.timing import Analytical
from kernels import FAMILIES, Kernel, conv, dense
from strategies import devices

pytestmark = pytest.mark.tvm

TINY = Device.load("tiny")
KERNEL = conv(size=(5, 5), channels=3, filters=7, kernel=(3, 3))
DEFAULT = default_mapping(KERNEL.workload, TINY)
LEFT_OF_A_LOWERING = {"cim.loop", "cim.workload", "cim.device", "cim.kernel", "cim.implementation", "cim.sketch"}


def sampled(kernel: Kernel, device: Device, seed: int) -> Any:
    """The schedule of one random trace."""
    schedule = Schedule(as_module(kernel.function), seed=seed)
    (contraction,) = contractions_in(kernel.function, kernel.name)
    block = schedule.get_sblock(contraction.block)
    for rule in (Im2col(), *annotation_rules(device)):
        (schedule,) = rule.apply(schedule, block)
    return schedule


@pytest.mark.parametrize("family", FAMILIES)
@given(data=st.data(), seed=st.integers(1, 2**31 - 1))
def test_random_traces_read_alike_before_and_after_lowering(family: str, data: st.DataObject, seed: int) -> None:
    kernel = data.draw(FAMILIES[family].filter(lambda kernel: kernel.workload.input_bits == 8))
    device = data.draw(devices())
    workload = replace(kernel.workload, input_bits=device.bits.activation, weight_bits=device.bits.weight)
    schedule = sampled(kernel, device, seed)
    offers = choices(workload, device)
    values = {name: offer[0] for name, offer in offers.items()}
    values |= {name: offers[name][place] for name, place in decisions(schedule.trace).items()}
    granted = grant(workload, device, values)
    low = lowered(schedule.mod, device)
    assert read(schedule.mod, device) == granted
    assert read(low, device) == granted
    assert Analytical().time(read(low, device), device) == Analytical().time(granted, device)
    assert decision_annotations(schedule.mod) >= {PREFIX + name for name, offer in offers.items() if len(offer) > 1}
    assert decision_annotations(low) == set()


def decisions(trace: Any) -> dict[str, int]:
    return {name: int(trace.decisions[trace.insts[place]]) for name, place in sampled_decisions(trace).items()}


def decision_annotations(module: Any) -> set[str]:
    """Annotations of the text that are decisions: all but those that bind loops and note what is lowered."""
    return set(re.findall(r'"(cim\.[a-z0-9_.]+)":', module.script())) - LEFT_OF_A_LOWERING


def test_decisions_are_read_from_the_block_alone() -> None:
    schedule = decided_schedule(KERNEL.function, TINY, DEFAULT)
    assert decided_contraction(schedule.mod["main"]).block == "conv2d_nchw"
    block = schedule.get_sblock("conv2d_nchw")
    schedule.unannotate(block, "cim.word_lines")
    schedule.annotate(block, "cim.word_lines", 3)
    assert read(schedule.mod, TINY).word_lines == 3


def test_what_exceeds_the_device_is_capped_while_decided() -> None:
    schedule = decided_schedule(KERNEL.function, TINY, DEFAULT)
    block = schedule.get_sblock("conv2d_nchw")
    schedule.unannotate(block, "cim.word_lines")
    schedule.annotate(block, "cim.word_lines", 1000)
    assert read(schedule.mod, TINY).word_lines == TINY.array.rows


def text(module: Any) -> str:
    return str(module.script())


def edited(module: Any, pattern: str, replacement: str) -> Any:
    """The module with its text changed at the first place that matches."""
    changed, times = re.subn(pattern, replacement, text(module), count=1)
    assert times == 1, pattern
    return from_source(changed)


def low(device: Device = TINY) -> Any:
    mapping = default_mapping(KERNEL.workload, device)
    return lowered(decided_schedule(KERNEL.function, device, mapping).mod, device)


def test_a_module_with_nothing_to_read_is_an_error() -> None:
    with pytest.raises(ScheduleError, match="module: neither decisions nor lowered loops"):
        read(as_module(KERNEL.function), TINY)


def test_lowered_loops_without_their_workload_are_an_error() -> None:
    stripped = re.sub(r'T\.sblock_attr\(\{.*"cim\.workload":.*\}\)', "pass", text(low()))
    with pytest.raises(ScheduleError, match="module: neither decisions nor lowered loops"):
        read(from_source(stripped), TINY)


@pytest.mark.parametrize("count", [0, 2])
def test_one_function_is_read_at_a_time(count: int) -> None:
    function = lowered_function(KERNEL.function, DEFAULT)
    functions = {f"f{number}": function.with_attr("global_symbol", f"f{number}") for number in range(count)}
    with pytest.raises(ScheduleError, match=f"module: {count} functions to read, there must be exactly one"):
        read(IRModule(functions), TINY)


def loops(module: Any) -> dict[str, int]:
    """The extent of every bound loop around the product."""
    found: dict[str, int] = {}

    def visit(statement: Any) -> None:
        if isinstance(statement, tirx.For) and "cim.loop" in statement.annotations:
            found[str(statement.annotations["cim.loop"])] = int(statement.extent)

    tvm_ffi.structural_walk(module["main"].body, [(tirx.For, visit)], order="pre")
    return found


def test_the_loops_say_what_the_mapping_says() -> None:
    expected = {
        f"{level.level}.{axis}": level.factors.along(axis)
        for level in DEFAULT.levels
        for axis in ("group", "row", "column", "pixel")
    }
    expected |= {f"time.{axis}": DEFAULT.temporal.along(axis) for axis in ("group", "row", "column", "pixel")}
    assert loops(low()) == expected


@pytest.mark.parametrize("loop", ["array.row", "time.row", "time.pixel", "pe.column"])
def test_a_loop_of_the_wrong_extent_is_an_error(loop: str) -> None:
    module = low()
    wrong = edited(module, rf'T\.int64\(\d+\)(, annotations=\{{"cim\.loop": "{loop}"\}})', r"T.int64(97)\1")
    assert loops(wrong)[loop] == 97 != loops(module)[loop]
    with pytest.raises((MappingError, FitError), match=KERNEL.workload.name.replace("conv2d", "conv2d_nchw")):
        read(wrong, TINY)


def test_a_tile_that_is_larger_than_an_array_does_not_fit() -> None:
    wide = TINY.vary_all({"array.rows": 27, "array.active_rows": 27})
    with pytest.raises(FitError, match="27 word lines, an array has 8; try a smaller row tile"):
        read(low(wide), TINY)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"array.cols": 16}, "4 filters per array"),
        ({"levels.array.count": 4}, "4 at level array, there are 2"),
        ({"levels.pe.count": 7}, "at level pe, there are 2"),
        ({"levels.pe.name": "core"}, "the device has"),
    ],
)
def test_a_schedule_for_another_device_does_not_fit(changes: dict[str, object], message: str) -> None:
    with pytest.raises(FitError, match=re.escape(message)):
        read(low(TINY.vary_all(changes)), TINY)


def test_wide_operands_do_not_fit_a_narrow_device() -> None:
    wide = TINY.vary_all({"bits.activation": 16, "bits.weight": 16})
    kernel = dense(batch=2, features=9, filters=5, kind="int16")
    module = decided_schedule(kernel.function, wide, default_mapping(kernel.workload, wide)).mod
    with pytest.raises(FitError, match="16-bit inputs, the device takes 8 bits"):
        read(module, TINY)


def test_a_mark_on_something_else_is_an_error() -> None:
    padded = conv(size=(5, 5), channels=3, filters=7, kernel=(3, 3))
    schedule = Schedule(as_module(padded.function))
    names = re.findall(r'T\.sblock\("(\w+)"\)', text(schedule.mod))
    other = next(name for name in names if name not in ("root", "conv2d_nchw"))
    schedule.annotate(schedule.get_sblock(other), "cim.sketch", "im2col")
    with pytest.raises(ScheduleError, match="a sketch rule has marked a block that is no integer contraction"):
        read(schedule.mod, TINY)
