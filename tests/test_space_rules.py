"""The rules open what the device offers, and what they record replays from text."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tvm.s_tir import Schedule

from cyclecast._tvm._block import contractions_in
from cyclecast.building import replay, trace_to_text
from cyclecast.decisions import choices, default_mapping
from cyclecast.device import Device
from cyclecast.errors import FitError, ScheduleError
from cyclecast.space import (
    PREFIX,
    SKETCH,
    as_module,
    decided_schedule,
    lowered,
    read,
    sampled_decisions,
    with_decisions,
)
from cyclecast.space.rules import Bind, Im2col
from kernels import FAMILIES, Kernel, conv, dense

pytestmark = pytest.mark.tvm

TINY = Device.load("tiny")
ISAAC = Device.load("isaac")
KERNEL = conv(size=(3, 3), channels=3, filters=3, kernel=(2, 2))


def opened(kernel: Kernel, device: Device = TINY, seed: int = 1) -> tuple[Any, Any]:
    """The schedule after both rules, and the contraction's block."""
    schedule = Schedule(as_module(kernel.function), seed=seed)
    (contraction,) = contractions_in(kernel.function, kernel.name)
    block = schedule.get_sblock(contraction.block)
    for rule in (Im2col(), Bind(device)):
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
    assert list(sampled) == list(offers)
    for decision, place in sampled.items():
        values, odds = trace.insts[place].attrs
        assert tuple(int(value) for value in values) == offers[decision]
        assert [float(share) for share in odds] == pytest.approx(
            [value / sum(offers[decision]) for value in offers[decision]]
        )
    annotations = schedule.get(block).annotations
    assert {str(name) for name in annotations} == {SKETCH, *(PREFIX + decision for decision in offers)}


def test_every_value_is_sampled_sooner_or_later() -> None:
    offered = choices(KERNEL.workload, TINY)["word_lines"]
    assert {read(opened(KERNEL, seed=seed)[0].mod, TINY).word_lines for seed in range(1, 100)} == set(offered)


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


def test_a_value_that_is_not_on_offer_is_an_error() -> None:
    trace = opened(KERNEL)[0].trace
    decisions = {name: 1 for name in sampled_decisions(trace)} | {"word_lines": 5}
    with pytest.raises(ScheduleError, match=re.escape("word_lines: the value 5, on offer are [")):
        with_decisions(as_module(KERNEL.function), trace, decisions)


@pytest.mark.parametrize("rule", [Im2col(), Bind(TINY)], ids=lambda rule: type(rule).__name__)
def test_blocks_that_are_no_contraction_stay_as_they_are(rule: Any) -> None:
    padded = conv(size=(3, 3), channels=3, filters=3, kernel=(2, 2))
    schedule = Schedule(as_module(padded.function))
    before = schedule.mod.script()
    (other,) = (name for name in re.findall(r'sblock\("(\w+)"\)', before) if name not in ("root", "conv2d_nchw"))
    (after,) = rule.apply(schedule, schedule.get_sblock(other))
    assert after.mod.script() == before


def test_binding_waits_for_a_sketch() -> None:
    schedule = Schedule(as_module(KERNEL.function))
    before = schedule.mod.script()
    (after,) = Bind(TINY).apply(schedule, schedule.get_sblock("conv2d_nchw"))
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
    golden("convolution_lowered.txt", lowered(schedule.mod, TINY).script() + "\n")
