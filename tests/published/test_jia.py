"""The charge-domain SRAM array of Jia et al., JSSC 2020, doi:10.1109/JSSC.2020.2987714: Tables I and II, Fig. 10."""

from __future__ import annotations

import pytest

from cyclecast.device import Device
from cyclecast.energy import energy, peak
from cyclecast.mapspace import default_mapping
from cyclecast.timing import Analytical
from silicon import Measured, of_device
from strategies import matrix_vector

LOW = Device.load("jia2020").vary_all({"bits.activation": 1, "bits.weight": 1})
"""At 0.85 V, with 1-bit values; at 1.2 V cycles take 10 ns, and the energies are others of Table I."""


@pytest.mark.parametrize("point", of_device("jia2020"), ids=lambda point: point.label)
def test_throughput(point: Measured) -> None:
    """Table II: 0.874 and 2.185 TOPS with 1-bit values; within 0.03 % (0.02 % and the rounding of three digits).

    Fig. 10: an input bit after the other. 8 bits are another 17 % slower there, by the chip's memories.
    """
    modelled = float(peak(point.device).operations_per_second) / 1e12
    slowdown = 75 / 64 if point.device.bits.activation == 8 else 1
    assert modelled / slowdown == pytest.approx(point.published, rel=3e-4)


@pytest.mark.parametrize("point", of_device("jia2020", "TOPS/W"), ids=lambda point: point.label)
def test_efficiency_of_the_array(point: Measured) -> None:
    """Table II: 400 and 192 TOPS/W of cells and converters, from the energies of Table I; within 0.5 %."""
    workload = matrix_vector(2304, 256, bits=1)
    mapping = default_mapping(workload, point.device)
    spent = energy(mapping, point.device, Analytical().time(mapping, point.device))
    joules = (spent.of("adc") + spent.of("cells")).joules
    assert 2 * workload.macs / joules / 1e12 == pytest.approx(point.published, rel=5e-3)


def test_power_is_that_of_the_energies() -> None:
    """The file's own consistency: power is what 256 columns spend in 1350 ns; within 0.02 %."""
    for component in LOW.levels[-1].components:
        if component.energy is not None:
            expected = 256 * component.energy.joules / LOW.array.read.seconds
            assert component.power.watts == pytest.approx(expected, rel=2e-4)
