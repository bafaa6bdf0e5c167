"""ISAAC-CE out of its own component table.

A. Shafiee et al., "ISAAC: A Convolutional Neural Network Accelerator with In-Situ Analog Arithmetic in Crossbars",
ISCA 2016, doi:10.1109/ISCA.2016.12: Table I (components), Table IV (efficiencies), the text where it is said. Numbers
that follow from Table I without being printed there are marked as derived. Cycles, arrays and ADC bits of the same
device are in test_poster_vgg16.py.
"""

from __future__ import annotations

import pytest

from cyclecast.device import Device
from cyclecast.device._breakdown import listed
from cyclecast.energy import area, energy, event_energy, peak, power
from cyclecast.energy._area import instance_area
from cyclecast.energy._energy import energy_per_mac, instance_power
from cyclecast.mapspace import grant
from cyclecast.network import Axis, Kind, Workload
from cyclecast.timing import Analytical
from cyclecast.units import Energy, Power

ISAAC16 = Device.load("isaac16")
OPERATIONS_PER_SECOND = float(peak(ISAAC16).operations_per_second)


def test_the_8_bit_device_has_the_same_components() -> None:
    isaac = Device.load("isaac")
    assert power(isaac) == power(ISAAC16)
    assert area(isaac) == area(ISAAC16)


def test_the_peak() -> None:
    assert pytest.approx(41.288e12, rel=1e-4) == OPERATIONS_PER_SECOND  # derived: 2 x 16128 x 128 x 16 in 1.6 us
    assert pytest.approx(40.90e12, rel=0.01) == OPERATIONS_PER_SECOND  # Tables IV and I: 478.95 GOPS/s/mm2 on 85.4 mm2


def test_the_power_efficiency() -> None:
    gops_per_watt = OPERATIONS_PER_SECOND / 1e9 / power(ISAAC16).total.watts
    assert gops_per_watt == pytest.approx(627.5, rel=0.001)  # Table IV
    assert gops_per_watt == pytest.approx(627.47, rel=0.001)  # derived, with the table's rounded 65.8 W


def test_the_computational_efficiency() -> None:
    gops_per_area = OPERATIONS_PER_SECOND / 1e9 / area(ISAAC16).total.square_millimetres
    assert gops_per_area == pytest.approx(478.95, rel=0.01)  # Table IV
    assert gops_per_area == pytest.approx(483.5, rel=0.001)  # derived, with the table's rounded 85.4 mm2


@pytest.mark.parametrize(("level", "milliwatts", "square_millimetres"), [("cu", 289 / 12, 0.157 / 12)])
def test_an_ima(level: str, milliwatts: float, square_millimetres: float) -> None:
    assert instance_power(ISAAC16, level).total.watts == pytest.approx(milliwatts / 1000, rel=0.001)  # Table I
    assert instance_area(ISAAC16, level).total.square_millimetres == pytest.approx(square_millimetres, rel=0.005)


def test_a_tile() -> None:
    assert instance_power(ISAAC16, "pe").total == Power.parse("329.81 mW")  # derived
    assert instance_power(ISAAC16, "pe").total.watts == pytest.approx(0.330, rel=0.001)  # Table I
    assert instance_area(ISAAC16, "pe").total.square_millimetres == pytest.approx(0.372, rel=0.001)  # Table I


def test_a_tile_counts_a_quarter_of_its_router() -> None:
    assert instance_power(ISAAC16, "pe").at("pe").watts == pytest.approx(40.9e-3, rel=0.002)  # Table I
    assert instance_area(ISAAC16, "pe").at("pe").square_millimetres == pytest.approx(0.215, rel=0.002)  # Table I


def test_the_chip() -> None:
    watts, square_millimetres = power(ISAAC16), area(ISAAC16)
    assert watts.total.watts == pytest.approx(65.8, rel=0.001)  # Table I
    assert square_millimetres.total.square_millimetres == pytest.approx(85.4, rel=0.001)
    assert (watts.total.watts - watts.at("").watts) == pytest.approx(55.4, rel=0.001)  # Table I: 168 tiles
    tiles = square_millimetres.total.square_millimetres - square_millimetres.at("").square_millimetres
    assert tiles == pytest.approx(62.5, rel=0.001)


def test_the_adcs_of_the_chip() -> None:
    adcs = power(ISAAC16).of("adc")
    assert adcs == Power.parse("32.256 W")  # derived: 168 x 12 x 16 mW
    assert adcs.watts == pytest.approx(32.26, rel=0.001)
    assert adcs.watts == pytest.approx(OPERATIONS_PER_SECOND / 2 * 1.5625e-12, rel=0.001)
    assert power(ISAAC16).fraction("adc") == pytest.approx(0.49, abs=0.005)


def test_the_adcs_of_a_tile() -> None:
    # Text: the ADCs take 58 % of a tile's power and 31 % of its area.
    assert instance_power(ISAAC16, "pe").fraction("adc") == pytest.approx(0.582, abs=0.005)
    assert instance_area(ISAAC16, "pe").fraction("adc") == pytest.approx(0.310, abs=0.005)


def test_the_weights_of_a_chip() -> None:
    capacity = ISAAC16.arrays * ISAAC16.array.rows * ISAAC16.array.cols * ISAAC16.array.cell_bits // 8
    assert capacity == 66_060_288 == 63 * 2**20  # derived; also 63 MB in PIMCOMP
    per_area = capacity / 2**20 / area(ISAAC16).total.square_millimetres
    assert per_area == pytest.approx(0.74, rel=0.01)  # Table IV


def test_the_energy_of_a_16_bit_mac_at_full_load() -> None:
    found = energy_per_mac(ISAAC16)
    picojoules = found.total.joules * 1e12
    assert picojoules == pytest.approx(3.19, rel=0.001)  # derived: 65.8 W / 20.64 TMAC/s
    assert found.at("").joules * 1e12 == pytest.approx(0.504, rel=0.001)  # HyperTransport
    assert picojoules - found.at("").joules * 1e12 == pytest.approx(2.684, rel=0.001)  # tiles


@pytest.mark.parametrize(
    ("level", "component", "picojoules"),
    [
        ("cu", "adc", 1.5625),
        ("cu", "dac", 0.3906),
        ("cu", "cells", 0.2344),
        ("pe", "edram", 0.1685),
        ("cu", "input_register", 0.1211),
        ("pe", "router", 0.0854),
        ("pe", "bus", 0.0570),
        ("cu", "output_register", 0.0225),
        ("cu", "shift_and_add", 0.0195),
        ("pe", "output_register", 0.0137),
        ("pe", "sigmoid", 0.0042),
        ("pe", "max_pool", 0.0033),
        ("cu", "sample_and_hold", 0.0010),
        ("pe", "shift_and_add", 0.0004),
    ],
)
def test_the_split_of_that_energy(level: str, component: str, picojoules: float) -> None:
    # Derived from Table I; to the last digit given.
    amounts = {(share.level, share.component): share.amount for share in energy_per_mac(ISAAC16).shares}
    assert amounts[level, component].joules * 1e12 == pytest.approx(picojoules, abs=0.00006)


def test_the_energy_of_one_conversion() -> None:
    # One conversion for each 16-bit MAC (8 slices x 16 steps / 128 rows), so both take the same energy.
    slices_and_steps = ISAAC16.slices * ISAAC16.input_steps
    assert slices_and_steps == ISAAC16.array.rows
    assert energy_per_mac(ISAAC16).of("adc") == Energy.parse("1.5625 pJ")


@pytest.mark.parametrize(
    ("level", "component", "picojoules"),
    [
        ("cu", "adc", 1.5625),  # derived: 2 mW at 1.28 GS/s
        ("cu", "dac", 0.3906),  # derived: 4 mW / 1024 for 100 ns; 0.417 in the component library of CiMLoop
        ("cu", "cells", 0.00183),  # derived: 2.4 mW for 100 ns over 8 x 128 x 128 cells
        ("cu", "sample_and_hold", 0.00098),  # derived
        ("pe", "edram", 2.02),  # derived: 20.7 mW at 10.24 GB/s, for each byte
        ("pe", "bus", 0.68),  # derived: 7 mW at 10.24 GB/s, for each byte
    ],
)
def test_the_energy_of_one_event(level: str, component: str, picojoules: float) -> None:
    found = next(c for at, c in listed(ISAAC16) if (at, c.name) == (level, component))
    assert float(event_energy(found, level, ISAAC16)) / 1e6 == pytest.approx(picojoules, rel=0.005)


def test_the_first_layer_is_replicated_more_than_50_thousand_times() -> None:
    # Text: "more than 50K times" to keep the last layer busy in every cycle; 224 x 224 pixels, one replica for each.
    axes = (
        Axis("height", 224, Kind.PIXEL),
        Axis("width", 224, Kind.PIXEL),
        Axis("filter", 16, Kind.FILTER),
        Axis("reduction", 27, Kind.REDUCTION),
    )
    first = Workload("first", axes, input_bits=16, weight_bits=16)
    chips = ISAAC16.vary("levels.pe.count", 600)  # the paper spreads a network over chips
    assert first.pixels == 50176
    asked = {"pe.pixel": 523, "cu.pixel": 12, "array.pixel": 8}
    mapping = grant(first, chips, asked)
    assert mapping.replicas >= 50176
    assert mapping.temporal.pixel == 1


def test_a_workload_that_fills_the_chip_takes_the_energy_of_its_macs() -> None:
    """All but what moves bytes: a replica for each pixel moves more of them than eDRAM and bus have power for."""
    axes = (Axis("p", 16128 * 1000, Kind.PIXEL), Axis("k", 128, Kind.REDUCTION), Axis("f", 16, Kind.FILTER))
    mapping = grant(Workload("full", axes, 16, 16), ISAAC16, {"pe.pixel": 168, "cu.pixel": 12, "array.pixel": 8})
    free = ISAAC16.vary_all({"levels.pe.input_bandwidth": None, "levels.pe.output_bandwidth": None})
    found = energy(mapping, free, Analytical().time(mapping, free))
    arrays = sum(share.amount.joules for share in found.shares if share.component not in ("edram", "bus"))
    assert arrays / mapping.workload.macs == pytest.approx(3.19e-12 - (0.1685 + 0.0570) * 1e-12, rel=0.001)
