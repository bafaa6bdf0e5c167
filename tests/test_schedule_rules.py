"""The rules open the whole offer of the device, and their traces replay from text."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tvm.s_tir import Schedule

from cyclecast._tvm._block import contractions_in
from cyclecast.device import Device
from cyclecast.errors import FitError, ScheduleError
from cyclecast.mapspace import choices, default_mapping, odds
from cyclecast.schedule import (
    PREFIX,
    SKETCH,
    as_module,
    decided_schedule,
    lowered,
    read,
    sampled_decisions,
)
from cyclecast.schedule._marks import sketch_of
from cyclecast.schedule.rules import Im2col, annotation_rules, sketch_rules
from cyclecast.workflow.building import replay, trace_to_text
from kernels import FAMILIES, Kernel, conv, dense, depthwise, readable

pytestmark = pytest.mark.tvm

TINY = Device.load("tiny")
ISAAC = Device.load("isaac")
KERNEL = conv(size=(3, 3), channels=3, filters=3, kernel=(2, 2))


def opened(kernel: Kernel, device: Device = TINY, seed: int = 1) -> tuple[Any, Any]:
    """The schedule after im2col and the annotation rules, and the contraction's block."""
    schedule = Schedule(as_module(kernel.function), seed=seed)
    (contraction,) = contractions_in(kernel.function, kernel.name)
    block = schedule.get_sblock(contraction.block)
    for rule in (Im2col(), *annotation_rules(device)):
        (schedule,) = rule.apply(schedule, block)
    return schedule, block


KERNELS = {
    "conv": KERNEL,
    "dense": dense(batch=1, features=100, filters=10),
    "no choice": dense(batch=1, features=1, filters=1),
}


@pytest.mark.parametrize("device", [TINY, ISAAC], ids=lambda device: device.name)
@pytest.mark.parametrize("name", KERNELS)
def test_the_space_has_exactly_the_decisions_that_are_a_choice(name: str, device: Device) -> None:
    kernel = KERNELS[name]
    schedule, block = opened(kernel, device)
    offers = {name: values for name, values in choices(kernel.workload, device).items() if len(values) > 1}
    trace = schedule.trace
    sampled = sampled_decisions(trace)
    assert sorted(sampled) == sorted(offers)
    for decision, place in sampled.items():
        values, shares = trace.insts[place].attrs
        assert tuple(int(value) for value in values) == offers[decision]
        weights = odds(decision, offers[decision], device)
        assert [float(share) for share in shares] == pytest.approx([weight / sum(weights) for weight in weights])
    annotations = schedule.get(block).annotations
    assert {str(name) for name in annotations} == {SKETCH, *(PREFIX + decision for decision in offers)}


def test_every_value_is_sampled_sooner_or_later() -> None:
    offered = choices(KERNEL.workload, TINY)["word_lines"]
    assert {read(opened(KERNEL, seed=seed)[0].mod, TINY).word_lines for seed in range(1, 600)} == set(offered)


def test_a_seed_decides() -> None:
    assert opened(KERNEL, seed=5)[0].mod.script() == opened(KERNEL, seed=5)[0].mod.script()


@pytest.mark.parametrize("family", FAMILIES)
@given(data=st.data(), seed=st.integers(1, 2**31 - 1))
def test_a_trace_replays_from_its_text(family: str, data: st.DataObject, seed: int) -> None:
    kernel = data.draw(FAMILIES[family].filter(lambda kernel: kernel.workload.input_bits == 8))
    schedule, _ = opened(kernel, seed=seed)
    again = replay(trace_to_text(schedule.trace), kernel.function)
    assert again.script() == schedule.mod.script()
    assert read(again, TINY) == read(schedule.mod, TINY)


@pytest.mark.parametrize("text", ["[]", "[[], [], []]", '[[["Nothing", [], [], []]], []]'])
def test_a_text_that_is_no_trace_is_an_error(text: str) -> None:
    with pytest.raises(ScheduleError, match="trace: it cannot be read"):
        replay(text, KERNEL.function)


@pytest.mark.parametrize("rule", [*sketch_rules(TINY), *annotation_rules(TINY)], ids=lambda rule: type(rule).__name__)
def test_blocks_that_are_no_contraction_stay_as_they_are(rule: Any) -> None:
    padded = conv(size=(3, 3), channels=3, filters=3, kernel=(2, 2))
    schedule = Schedule(as_module(padded.function))
    before = schedule.mod.script()
    (other,) = (name for name in re.findall(r'sblock\("(\w+)"\)', before) if name not in ("root", "conv2d_nchw"))
    (after,) = rule.apply(schedule, schedule.get_sblock(other))
    assert after.mod.script() == before


@pytest.mark.parametrize(
    "rule", [*sketch_rules(TINY)[1:], *annotation_rules(TINY)], ids=lambda rule: type(rule).__name__
)
def test_all_rules_wait_for_im2col(rule: Any) -> None:
    schedule = Schedule(as_module(KERNEL.function))
    before = schedule.mod.script()
    (after,) = rule.apply(schedule, schedule.get_sblock("conv2d_nchw"))
    assert after.mod.script() == before


def test_binding_wide_operands_on_a_narrow_device_does_not_fit() -> None:
    wide = dense(batch=1, features=4, filters=2, kind="int16")
    with pytest.raises(FitError, match="16-bit inputs, the device takes 8 bits"):
        opened(wide)


def test_narrow_operands_take_the_bits_of_the_device() -> None:
    device = TINY.vary_all({"bits.activation": 6, "bits.weight": 4})
    workload = read(opened(KERNEL, device)[0].mod, device).workload
    assert (workload.input_bits, workload.weight_bits) == (6, 4)


def test_golden_decided_and_lowered(golden: Callable[[str, str], None]) -> None:
    schedule = decided_schedule(KERNEL.function, TINY, default_mapping(KERNEL.workload, TINY))
    golden("convolution_decided.txt", schedule.mod.script() + "\n")
    golden("convolution_lowered.txt", readable(lowered(schedule.mod, TINY)))


def designs(kernel: Kernel, device: Device, seed: int = 1) -> dict[str, Any]:
    """The schedules that all rules together open, by their sketch."""
    (contraction,) = contractions_in(kernel.function, kernel.name)
    opened = [Schedule(as_module(kernel.function), seed=seed)]
    for rule in (*sketch_rules(device), *annotation_rules(device)):
        opened = [
            after for schedule in opened for after in rule.apply(schedule, schedule.get_sblock(contraction.block))
        ]
    return {str(one.get(one.get_sblock(contraction.block)).annotations[SKETCH]): one for one in opened}


WINDOWED = conv(size=(6, 6), channels=3, filters=5, kernel=(2, 2))
DEPTHWISE = depthwise(size=(5, 5), channels=6, multiplier=1, kernel=2)
ROOM = TINY.vary_all({"array.rows": 64, "array.cols": 64})
ONE_ARRAY = TINY.vary_all({f"levels.{level}.count": 1 for level in ("pe", "cu", "array")})
FULL = {"im2col", "im2col+windows", "im2col+pack", "im2col+windows+pack"}


@pytest.mark.parametrize(
    ("kernel", "device", "expected"),
    [
        (WINDOWED, ROOM, {"im2col", "im2col+windows"}),
        (WINDOWED, ONE_ARRAY, {"im2col", "im2col+windows", "im2col+order", "im2col+windows+order"}),
        (WINDOWED, ONE_ARRAY.vary("array.write.during_inference", False), {"im2col", "im2col+windows"}),
        (WINDOWED, ROOM.vary("array.cols", 4), {"im2col"}),
        (DEPTHWISE, ROOM, FULL),
        (DEPTHWISE, ONE_ARRAY, FULL | {f"{sketch}+order" for sketch in FULL}),
        (DEPTHWISE, ROOM.vary("array.cols", 4), {"im2col"}),
        (dense(batch=1, features=1000, filters=10), ONE_ARRAY, {"im2col"}),
        (dense(batch=2, features=1000, filters=10), ONE_ARRAY, {"im2col", "im2col+order"}),
    ],
)
def test_every_sketch_is_opened_where_it_applies(kernel: Kernel, device: Device, expected: set[str]) -> None:
    assert set(designs(kernel, device)) == expected


@pytest.mark.parametrize("device", [ROOM, ONE_ARRAY], ids=["room", "one array"])
@pytest.mark.parametrize("kernel", [WINDOWED, DEPTHWISE], ids=lambda kernel: kernel.name)
def test_a_sketch_samples_what_it_opens_and_replays(kernel: Kernel, device: Device) -> None:
    found = {sketch: set[str]() for sketch in designs(kernel, device)}
    for seed in range(1, 40):
        for sketch, schedule in designs(kernel, device, seed).items():
            mapping = read(schedule.mod, device)
            assert read(replay(trace_to_text(schedule.trace), kernel.function), device) == mapping
            assert set(sketch_of(mapping).split("+")) <= set(sketch.split("+"))
            found[sketch] |= {sketch_of(mapping)}
            offers = choices(mapping.workload, device, sketch.split("+"))
            wanted = {name for name, values in offers.items() if len(values) > 1}
            assert set(sampled_decisions(schedule.trace)) == wanted
    assert {sketch for sketch, met in found.items() if sketch not in met} == set()


def test_a_seed_decides_all_designs() -> None:
    one, two = (
        {sketch: schedule.mod.script() for sketch, schedule in designs(DEPTHWISE, ONE_ARRAY, 3).items()} for _ in "12"
    )
    assert one == two
