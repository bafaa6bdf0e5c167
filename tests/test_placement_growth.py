"""Placing takes in proportion to operators, and hardly more on a thousand chips than on one: by counts of calls."""

from __future__ import annotations

import sys
from types import FrameType

import pytest

from cyclecast.device import Device
from cyclecast.network import Network
from placed import Build, blocks, network, placed

ISAAC = Device.load("isaac")


def chain(count: int, distinct: bool) -> Network:
    build, last, channels = Build(), list[int](), 16
    for number in range(count):
        filters = 16 + 8 * (number % 8 if number // 8 % 2 else 7 - number % 8) * distinct
        last, channels = [build.conv(last, 7, channels, filters, 3)], filters
    return network("chain", build.operators)


def calls(of: Network, device: Device = ISAAC, **options: int) -> int:
    """Python's function calls to place a network."""
    count = 0

    def note(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal count
        count += event == "call"

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        placed(of, device, **options)
    finally:
        sys.setprofile(before)
    return count


@pytest.mark.parametrize("distinct", [False, True], ids=["identical", "several kinds"])
def test_twice_as_many_layers_are_twice_the_work(distinct: bool) -> None:
    calls(chain(2, distinct))  # what is kept from one placement to the next
    few, many = calls(chain(60, distinct)), calls(chain(120, distinct))
    assert many < 2.4 * few


def test_a_thousand_chips_are_no_more_work_than_one() -> None:
    calls(blocks())
    assert calls(blocks(), chips=1024) < 2 * calls(blocks())


def test_a_chip_of_a_million_arrays_is_no_more_work() -> None:
    calls(blocks())
    large = ISAAC.vary("levels.pe.count", 64 * ISAAC.levels[0].count)
    assert large.arrays > 1_000_000
    assert calls(blocks(), large) < 2 * calls(blocks())
