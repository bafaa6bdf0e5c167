from __future__ import annotations

from fractions import Fraction
from math import prod
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cyclecast.device import Device
from cyclecast.device._breakdown import listed
from cyclecast.energy import energy, peak, power
from cyclecast.energy._energy import busy_time, energy_per_mac, instance_power, instances_in_use
from cyclecast.errors import FitError, OptionError
from cyclecast.mapping import Factors, LevelFactors, Mapping
from cyclecast.mapspace import grant
from cyclecast.network import Axis, Kind, Slide, Workload
from cyclecast.timing import Analytical, Fixed, Phase, Poster, Timing, product_time
from cyclecast.units import Energy, Power, Time
from strategies import device_times, devices, sketched_mappings

ISAAC16 = Device.load("isaac16")
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


def everything(device: Device) -> Mapping:
    """A mapping that fills every array of the device, one step long."""
    rows = device.word_lines_per_array
    copies = tuple(LevelFactors(level.name, Factors(pixel=level.count)) for level in device.levels)
    axes = (
        Axis("pixel", device.arrays, Kind.PIXEL),
        Axis("reduction", rows, Kind.REDUCTION),
        Axis("filter", device.filters_per_array, Kind.FILTER),
    )
    workload = Workload("everything", axes, device.bits.activation, device.bits.weight)
    return Mapping(workload, rows, device.filters_per_array, copies, Factors())


def test_power_by_hand() -> None:
    assert [str(share.amount) for share in power(TWO).shares] == ["1 W", "4 mW", "24 mW"]
    assert power(TWO).total == Power.parse("1.028 W")
    assert instance_power(TWO, "pe").total == Power.parse("7 mW")
    assert instance_power(TWO, "array").total == Power.parse("2 mW")


def test_a_level_that_is_not_there() -> None:
    with pytest.raises(OptionError, match=r"^level: no 'cu', there are pe, array"):
        instance_power(TWO, "cu")


def test_peak_by_hand() -> None:
    full = peak(TWO)  # 12 arrays of 8 rows and 2 filters, 8 input steps of 10 ns
    assert full.macs == 12 * 8 * 2
    assert full.time == Time.parse("80 ns")
    assert full.operations_per_second == Fraction(2 * 192 * 10**9, 80)


def test_row_phases_slow_the_peak() -> None:
    assert peak(TWO.vary("array.active_rows", 4)).time == Time.parse("160 ns")


def test_energy_per_mac_by_hand() -> None:
    found = energy_per_mac(TWO)
    assert found.of("adc") == Energy.parse("10 pJ")  # 24 mW x 80 ns / 192
    assert found.total.attojoules == pytest.approx(1.028 * 80e-9 / 192 * 1e18, abs=3)


def test_energy_by_hand() -> None:
    axes = (Axis("pixel", 3, Kind.PIXEL), Axis("reduction", 16, Kind.REDUCTION), Axis("filter", 2, Kind.FILTER))
    mapping = grant(Workload("two", axes), TWO, {"pe.row": 2, "pe.pixel": 1, "array.row": 1, "array.pixel": 1})
    timing = Analytical().time(mapping, TWO)
    assert instances_in_use(mapping) == {"": 1, "pe": 2, "array": 2}
    assert busy_time(timing) == timing.total == Time.parse("300 ns")
    found = energy(mapping, TWO, timing)
    assert [str(share.amount) for share in found.shares] == ["300 nJ", "600 pJ", "1.2 nJ"]
    assert found.total == Energy.parse("301.8 nJ")


def test_a_model_without_a_compute_phase_keeps_its_instances_busy() -> None:
    mapping = everything(TWO)
    timing = Fixed(cycles=5).time(mapping, TWO)
    assert busy_time(timing) == timing.total == Time.parse("50 ns")
    assert energy(mapping, TWO, timing).total == power(TWO).total.energy(timing.total)


def test_what_does_not_fit_has_no_energy() -> None:
    mapping = everything(TWO)
    with pytest.raises(FitError):
        energy(mapping, TINY, Fixed().time(mapping, TINY))


def test_a_device_without_components_takes_no_energy() -> None:
    mapping = everything(TINY)
    assert energy(mapping, TINY, Analytical().time(mapping, TINY)).total == Energy(0)
    assert energy_per_mac(TINY).total == Energy(0)


@given(devices())
def test_the_total_is_the_sum_of_its_shares(device: Device) -> None:
    for found in (power(device), instance_power(device, device.levels[-1].name)):
        assert found.total.picowatts == sum(share.amount.picowatts for share in found.shares)
        names = {share.component for share in found.shares}
        assert sum(found.fraction(name) for name in names) == pytest.approx(1 if found.total > Power(0) else 0)


@given(devices(), device_times)
def test_at_full_load_energy_is_power_times_time(device: Device, time: Time) -> None:
    found = energy(everything(device), device, Timing((Phase("compute", time),), device.array.read))
    assert [share.amount for share in found.shares] == [share.amount.energy(time) for share in power(device).shares]
    whole = power(device).total.energy(time).attojoules
    assert whole <= found.total.attojoules <= whole + len(found.shares)


@given(devices())
def test_at_full_load_derived_events_take_their_power(device: Device) -> None:
    """Also where several instances share a group of components."""
    mapping = everything(device)
    timing = Analytical().time(mapping, device)
    found = zip(energy(mapping, device, timing).shares, power(device).shares, listed(device), strict=True)
    for share, full, (_, component) in found:
        if component.event is not None and component.energy is None:
            whole = full.amount.energy(peak(device).time).attojoules
            assert whole - 1 - peak(device).time.femtoseconds // 10**9 <= share.amount.attojoules <= whole + 1


@given(devices())
def test_the_peak_is_a_mapping_that_uses_everything(device: Device) -> None:
    mapping = everything(device)
    assert peak(device).macs == mapping.workload.macs
    assert peak(device).time == Time(product_time(mapping, device))


@given(devices())
def test_energy_per_mac_is_that_of_everything(device: Device) -> None:
    full = peak(device)
    found = energy_per_mac(device)
    whole = power(device).total.energy(full.time).attojoules
    assert whole <= full.macs * found.total.attojoules <= whole + 2 * full.macs * len(found.shares)


@given(sketched_mappings(), st.sampled_from([Analytical(), Poster(), Fixed(3)]))
def test_no_mapping_takes_more_than_full_load(both: tuple[Mapping, Device], model: Analytical | Poster | Fixed) -> None:
    mapping, device = both
    timing = model.time(mapping, device)
    found = energy(mapping, device, timing)
    assert found.total.attojoules == sum(share.amount.attojoules for share in found.shares)
    whole = zip(found.shares, power(device).shares, listed(device), strict=True)
    for share, full, (level, component) in whole:
        assert (share.level, share.component) == (full.level, full.component) == (level, component.name)
        if component.event is None or timing.events is None:
            assert Energy(0) <= share.amount <= full.amount.energy(timing.total)
            assert level or share.amount == full.amount.energy(timing.total)


@given(sketched_mappings(), device_times)
def test_more_time_never_takes_less(both: tuple[Mapping, Device], time: Time) -> None:
    mapping, device = both
    short = Timing((Phase("compute", time),), device.array.read)
    long = Timing((Phase("compute", 2 * time),), device.array.read)
    assert energy(mapping, device, short).total <= energy(mapping, device, long).total


@given(sketched_mappings())
def test_the_arrays_in_use_are_the_mapping_s(both: tuple[Mapping, Device]) -> None:
    mapping, device = both
    in_use = instances_in_use(mapping)
    assert in_use[device.levels[-1].name] == mapping.arrays
    assert all(in_use[level.name] <= prod(outer.count for outer in device.levels) for level in device.levels)


def with_events(event: str, energy: str | None) -> Device:
    """TWO with ADCs that spend their energy on an event."""
    said: dict[str, Any] = TWO.to_json()
    said["levels"][1]["components"][0] |= {"event": event} | ({"energy": energy} if energy else {})
    return Device.from_json(said)


@pytest.mark.parametrize(
    ("event", "energy_of_one", "expected"),
    [
        # two row tiles of 8 x 2 on arrays of 8 x 8, three pixels, 8 input steps
        ("conversion", "1 pJ", 3 * 8 * 2 * 8),
        ("row_drive", "1 pJ", 3 * 8 * 2 * 8),
        ("cell_read", "1 pJ", 3 * 8 * 2 * 64),
        ("product", "1 pJ", 3 * 2),
        ("cell_write", "1 pJ", 0),
        ("input_byte", "1 pJ", 3 * 16),
        ("output_byte", "1 pJ", 3 * 2 * 2 * 20 // 8),  # two sums of 2 filters with 8 + 8 + 4 bits
        ("port_byte", "1 pJ", 3 * 16 + 3 * 2 * 2 * 20 // 8),
        ("merge_byte", "1 pJ", 0),  # they merge at the level above
        # 2 mW while an array is full: 64 conversions (8 steps, 8 columns) in 80 ns
        ("conversion", None, 3 * 8 * 2 * 8 * 2.5),
        ("product", None, 3 * 2 * 160),
    ],
)
def test_events_by_hand(event: str, energy_of_one: str | None, expected: float) -> None:
    device = with_events(event, energy_of_one)
    axes = (Axis("pixel", 3, Kind.PIXEL), Axis("reduction", 16, Kind.REDUCTION), Axis("filter", 2, Kind.FILTER))
    mapping = grant(Workload("two", axes), device, {"pe.row": 2, "pe.pixel": 1, "array.row": 1, "array.pixel": 1})
    found = energy(mapping, device, Analytical().time(mapping, device))
    assert found.of("adc").joules * 1e12 == pytest.approx(expected)


@pytest.mark.parametrize(
    ("event", "apart", "windowed"),
    [
        # 4 outputs of 3 taps and a filter of 4 columns, 8 input steps; two windows of 2 outputs meet 4 values
        ("product", 4, 2),
        ("conversion", 4 * 8 * 4, 2 * 8 * 8),
        ("row_drive", 4 * 8 * 3, 2 * 8 * 4),
        ("cell_read", 4 * 8 * 3 * 4, 2 * 8 * 4 * 8),  # zeros are read too
        ("cell_write", 0, 0),
        ("input_byte", 4 * 3, 2 * 4),
        ("output_byte", 9, 9),  # 4 sums of 8 + 8 + 2 bits
    ],
)
def test_events_of_windows_by_hand(event: str, apart: float, windowed: float) -> None:
    device = with_events(event, "1 pJ")
    axes = (Axis("x", 4, Kind.PIXEL), Axis("t", 3, Kind.REDUCTION))
    workload = Workload("slid", axes, slides=(Slide("x", "t", 4, 3),))
    for asked, expected in (({}, apart), ({"window.x": 2}, windowed)):
        mapping = grant(workload, device, asked)
        found = energy(mapping, device, Analytical().time(mapping, device))
        assert found.of("adc").joules * 1e12 == pytest.approx(expected)
        assert found.total.attojoules == sum(share.amount.attojoules for share in found.shares)


def test_weights_written_for_every_step_cost_every_time() -> None:
    """Three row tiles of 8 x 2 on one array take turns: once each, or for each of 3 pixels; 8 x 8 cells, 1 pJ each."""
    device = with_events("cell_write", "1 pJ")
    alone = tuple(LevelFactors(level.name, Factors()) for level in device.levels)
    axes = (Axis("pixel", 3, Kind.PIXEL), Axis("reduction", 24, Kind.REDUCTION), Axis("filter", 2, Kind.FILTER))
    workload, temporal = Workload("several", axes), Factors(row=3, pixel=3)
    for stationary, expected in ((False, 3 * 64), (True, 3 * 3 * 64)):
        mapping = Mapping(workload, 8, 2, alone, temporal, input_stationary=stationary)
        found = energy(mapping, device, Analytical().time(mapping, device))
        assert found.of("adc").joules * 1e12 == pytest.approx(expected)


def test_sums_merge_at_the_level_above() -> None:
    said: dict[str, Any] = with_events("merge_byte", "1 pJ").to_json()
    said["levels"][0]["components"] = said["levels"][1].pop("components")
    device = Device.from_json(said)
    axes = (Axis("pixel", 3, Kind.PIXEL), Axis("reduction", 16, Kind.REDUCTION), Axis("filter", 2, Kind.FILTER))
    mapping = grant(Workload("two", axes), device, {"pe.row": 2, "pe.pixel": 1, "array.row": 1, "array.pixel": 1})
    assert energy(mapping, device, Analytical().time(mapping, device)).of("adc") == Energy.parse("15 pJ")


@given(sketched_mappings())
def test_events_cost_what_they_cost_whatever_the_time(both: tuple[Mapping, Device]) -> None:
    mapping, device = both
    timing = Analytical().time(mapping, device)
    slower = Timing((*timing.phases, Phase("pause", Time.parse("1 s"))), timing.cycle, timing.events)
    whole = zip(
        energy(mapping, device, timing).shares,
        energy(mapping, device, slower).shares,
        listed(device),
        strict=True,
    )
    for before, after, (_, component) in whole:
        assert before.amount == after.amount if component.event else before.amount <= after.amount
