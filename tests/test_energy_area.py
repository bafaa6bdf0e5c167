from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given

from cyclecast.device import Device
from cyclecast.energy import area
from cyclecast.energy._area import instance_area
from cyclecast.errors import OptionError
from cyclecast.units import Area
from strategies import devices

ISAAC = Device.load("isaac")
TINY = Device.load("tiny")
TWO = Device.from_json(
    TINY.to_json()
    | {
        "levels": [
            {"name": "pe", "count": 4, "components": [{"name": "router", "power": "4 mW", "area": "8 um2", "per": 4}]},
            {
                "name": "array",
                "count": 3,
                "components": [{"name": "adc", "count": 2, "power": "2 mW", "area": "1 um2"}],
            },
        ],
        "components": [{"name": "link", "power": "1 W", "area": "10 um2"}],
    }
)
"""Worked out by hand: 4 routers shared by 4 PEs, 12 arrays with their ADCs, one link."""


def test_an_area_by_hand() -> None:
    found = area(TWO)
    assert [(share.level, share.component, str(share.amount)) for share in found.shares] == [
        ("", "link", "10 um2"),
        ("pe", "router", "8 um2"),
        ("array", "adc", "12 um2"),
    ]
    assert found.total == Area.parse("30 um2")
    assert found.at("pe") == Area.parse("8 um2")
    assert found.fraction("adc") == pytest.approx(0.4)


@pytest.mark.parametrize(("level", "expected"), [("pe", "5 um2"), ("array", "1 um2")])
def test_the_area_of_an_instance_by_hand(level: str, expected: str) -> None:
    assert expected == str(instance_area(TWO, level).total)


def test_a_share_is_a_share_for_fewer_instances_than_share_it() -> None:
    assert area(TWO.vary("levels.pe.count", 1)).of("router") == Area.parse("2 um2")


def test_a_device_without_components_has_no_area() -> None:
    assert area(TINY).total == Area(0)
    assert area(TINY).shares == ()
    with pytest.raises(OptionError, match=r"^component: no 'adc', the device has no components$"):
        area(TINY).of("adc")


def test_unknown_names() -> None:
    with pytest.raises(OptionError, match=r"^component: no 'acd', there are hyper_transport, edram, .*; try 'dac'$"):
        area(ISAAC).of("acd")
    with pytest.raises(OptionError, match=r"^level: no 'tile', there are pe, cu, array; try one of these$"):
        instance_area(ISAAC, "tile")
    assert area(ISAAC).at("array") == Area(0)


@given(devices())
def test_the_total_is_the_sum_of_its_shares(device: Device) -> None:
    found = area(device)
    assert found.total.square_nanometres == sum(share.amount.square_nanometres for share in found.shares)
    levels = ["", *(level.name for level in device.levels)]
    assert found.total == sum((found.at(level) for level in levels), Area(0))
    names = {share.component for share in found.shares}
    assert sum(found.fraction(name) for name in names) == pytest.approx(1 if found.total > Area(0) else 0)


@given(devices())
def test_the_total_is_that_of_the_instances(device: Device) -> None:
    outermost = device.levels[0]
    instances = outermost.count * instance_area(device, outermost.name).total
    exact = area(device).total.square_nanometres - area(device).at("").square_nanometres
    # Each share is rounded up once, in an instance as in the device.
    slack = outermost.count * sum(len(level.components) for level in device.levels)
    assert exact <= instances.square_nanometres + slack
    assert instances.square_nanometres <= exact + slack


@given(devices())
def test_every_share_is_exact_but_for_one_rounding(device: Device) -> None:
    components = [*device.components, *(found for level in device.levels for found in level.components)]
    counts = [1] * len(device.components)
    instances = 1
    for level in device.levels:
        instances *= level.count
        counts += [instances] * len(level.components)
    for share, component, count in zip(area(device).shares, components, counts, strict=True):
        exact = Fraction(component.area.square_nanometres * count, component.per)
        assert exact <= share.amount.square_nanometres < exact + 1


@given(devices())
def test_more_instances_never_take_less(device: Device) -> None:
    level = device.levels[-1]
    more = device.vary(f"levels.{level.name}.count", level.count + 1)
    assert area(more).total >= area(device).total
