"""The event simulation of a pipeline, and how near the closed form is to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest

from cyclecast.device import Device
from cyclecast.errors import OptionError
from cyclecast.network import Network
from cyclecast.placement import Placement, Segment, simulate
from cyclecast.placement._event import roomier, simulated
from cyclecast.placement._pipeline import needs_of
from cyclecast.placement._resident import Builder
from cyclecast.timing import Analytical, EventDriven
from cyclecast.units import Time
from placed import Build, attention, mobilenet_v2, network, placed, resnet18, vgg16

ISAAC, ISAAC16 = Device.load("isaac"), Device.load("isaac16")


@pytest.mark.slow
@pytest.mark.parametrize(
    "found",
    [
        pytest.param(lambda: placed(resnet18(16), ISAAC16), id="ResNet-18, 16 bits"),
        pytest.param(lambda: placed(vgg16(16), ISAAC16, chips=5), id="VGG-16 on five chips"),
        pytest.param(lambda: placed(attention(), ISAAC), id="attention"),
        pytest.param(lambda: placed(mobilenet_v2(), ISAAC), id="MobileNetV2"),
    ],
)
def test_the_closed_form_is_near(found: Callable[[], Placement]) -> None:
    """Within 5 % of the interval and 10 % of the latency."""
    placement = found()
    check = simulate(placement)
    assert placement.segments[0].period / check.interval == pytest.approx(1, abs=0.05)
    assert placement.segments[0].latency / check.latency == pytest.approx(1, abs=0.10)


def test_one_operator_is_exact() -> None:
    build = Build()
    build.conv([], 16, 8, 32, 3)
    found = placed(network("one", build.operators), ISAAC)
    check = simulate(found, model=Analytical())
    assert check.interval == found.stages[0].busy
    assert check.stalls == ()


def shortcut() -> Network:
    """Two blocks with a residual connection each."""
    build = Build()
    data = [build.conv([], 28, 16, 32, 3)]
    for _ in range(2):
        hidden = build.conv(data, 28, 32, 32, 3)
        for _ in range(3):
            hidden = build.conv([hidden], 28, 32, 32, 3)
        data = [build.conv([hidden], 28, 32, 32, 3), data[0]]
    build.conv(data, 14, 32, 64, 3, 2)
    return network("shortcut", build.operators)


@pytest.fixture(scope="module")
def small() -> Placement:
    return placed(shortcut(), ISAAC)


def test_a_port_and_arrays_do_one_thing_at_a_time(small: Placement) -> None:
    free: Counter[tuple[str, int, int]] = Counter()
    for span in simulate(small, images=4).spans:
        key = (span.resource, 0 if span.resource == "network" else span.pe, span.operator * (span.resource == "arrays"))
        assert span.begin.femtoseconds >= free[key]
        assert span.end > span.begin
        free[key] = span.end.femtoseconds


def test_arrays_work_as_long_as_the_model_says(small: Placement) -> None:
    busy: Counter[int] = Counter()
    for span in simulate(small, images=4, model=Analytical()).spans:
        if span.resource == "arrays":
            busy[span.operator] += span.end.femtoseconds - span.begin.femtoseconds
    assert busy == {stage.operator: 4 * stage.busy.femtoseconds for stage in small.stages}


@cache
def with_buffers(size: str | None) -> Placement:
    """One copy of all weights, so that there are many steps."""
    device = ISAAC.vary_all({"levels.pe.buffer": size, "array.write.during_inference": False})
    return placed(shortcut(), device, objective="arrays")


def test_small_buffers_are_named() -> None:
    assert all(each.room is None for each in with_buffers(None).kept)
    free, tight = (simulate(with_buffers(size), images=4) for size in (None, "128 B"))
    assert any(each.room is not None and each.room < each.bytes for each in with_buffers("128 B").kept)
    assert tight.blocked, "shortcuts fill up before the longer way brings anything"
    assert tight.interval == free.interval


def deep(kernel: int, operators: int) -> Network:
    """A shortcut beside a long way of wide windows."""
    build = Build()
    first = build.conv([], 28, 16, 32, 3)
    last = build.conv([first], 28, 32, 32, kernel)
    for _ in range(operators):
        last = build.conv([last], 28, 32, 32, kernel)
    build.conv([last, first], 28, 32, 32, 1)
    return network("deep", build.operators)


@cache
def with_rooms(size: int) -> tuple[Builder, Segment]:
    device = ISAAC.vary_all({"levels.pe.buffer": f"{size} B", "array.write.during_inference": False})
    found = placed(deep(7, 6), device, objective="arrays")
    operators = found.network.operators
    return Builder(
        operators=operators, needs=needs_of(operators), floor=found.floor, device=found.device, model=EventDriven()
    ), found.segments[0]


def test_rooms_for_what_waits_in_a_simulation_keep_the_pace() -> None:
    builder, segment = with_rooms(384)
    assert simulated(builder, segment, 8).interval.femtoseconds > 1.9 * segment.period.femtoseconds
    other = roomier(builder, segment, 4)
    assert other is not None
    assert simulated(builder, other, 8).interval == segment.period


def test_rooms_for_what_waits_in_a_simulation_never_block() -> None:
    builder, segment = with_rooms(384)
    tight = replace(segment, kept=tuple(each._replace(room=1) for each in segment.kept))
    assert simulated(builder, tight, 8).blocked
    other = roomier(builder, tight, 4)
    assert other is not None
    assert not simulated(builder, other, 8).blocked


def test_a_chip_whose_buffers_are_too_small_has_no_such_rooms() -> None:
    assert roomier(*with_rooms(128), 4) is None


def test_a_chain_waits_for_room_but_never_for_ever() -> None:
    build, last = Build(), list[int]()
    for filters, size in ((64, 28), (32, 28), (64, 28)):
        last = [build.conv(last, size, 32, filters, 3)]
    found = placed(network("chain", build.operators), ISAAC.vary("levels.pe.buffer", "1 B"))
    check = simulate(found)
    assert not check.blocked
    assert check.interval >= found.interval


def test_the_same_again(small: Placement) -> None:
    assert simulate(small, images=5) == simulate(small, images=5)


def test_too_few_images(small: Placement) -> None:
    with pytest.raises(OptionError, match="images: 3, at least 4"):
        simulate(small, images=3)


def test_the_first_image_ends_first(small: Placement) -> None:
    check = simulate(small)
    assert Time(0) < check.interval < check.latency
