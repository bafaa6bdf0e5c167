"""The charge-domain SRAM array of Jia et al., JSSC 2020, doi:10.1109/JSSC.2020.2987714: Tables I and II, Fig. 10."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from cyclecast.device import Device
from cyclecast.energy import energy, peak
from cyclecast.mapspace import default_mapping
from cyclecast.timing import Analytical
from strategies import matrix_vector

LOW = Device.load("jia2020").vary_all({"bits.activation": 1, "bits.weight": 1})
"""At 0.85 V, with 1-bit values."""
HIGH_ENERGIES = {"adc": "3.56 pJ", "cells": "20.4 pJ", "datapath": "14.7 pJ"}
HIGH: Mapping[str, object] = {"array.read": "540 ns"} | {
    f"levels.array.components.{name}.energy": picojoules for name, picojoules in HIGH_ENERGIES.items()
}
"""At 1.2 V: cycles of 10 ns, and the energies of Table I."""


@pytest.mark.parametrize(("device", "tops"), [(LOW, 0.874), (LOW.vary_all(HIGH), 2.185)], ids=["0.85 V", "1.2 V"])
def test_throughput(device: Device, tops: float) -> None:
    """Table II: 0.874 and 2.185 TOPS with 1-bit values; within 0.03 % (0.02 % and the rounding of three digits)."""
    assert peak(device).operations_per_second / 10**12 == pytest.approx(tops, rel=3e-4)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_throughput_falls_with_input_bits(bits: int) -> None:
    """Fig. 10: an input bit after the other; within 0.03 %. 8 bits are another 17 % slower there, by its memories."""
    found = peak(LOW.vary("bits.activation", bits)).operations_per_second / 10**12
    assert found == pytest.approx(0.874 / bits, rel=3e-4)


@pytest.mark.parametrize(("device", "efficiency"), [(LOW, 400), (LOW.vary_all(HIGH), 192)], ids=["0.85 V", "1.2 V"])
def test_efficiency_of_the_array(device: Device, efficiency: float) -> None:
    """Table II: 400 and 192 TOPS/W of cells and converters, from the energies of Table I; within 0.5 %."""
    workload = matrix_vector(2304, 256, bits=1)
    mapping = default_mapping(workload, device)
    spent = energy(mapping, device, Analytical().time(mapping, device))
    joules = (spent.of("adc") + spent.of("cells")).joules
    assert 2 * workload.macs / joules / 1e12 == pytest.approx(efficiency, rel=5e-3)


def test_power_is_that_of_the_energies() -> None:
    """The file's own consistency: power is what 256 columns spend in 1350 ns; within 0.02 %."""
    for component in LOW.levels[-1].components:
        if component.energy is not None:
            expected = 256 * component.energy.joules / LOW.array.read.seconds
            assert component.power.watts == pytest.approx(expected, rel=2e-4)
