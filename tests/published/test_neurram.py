"""NeuRRAM's measured throughput over precisions: the law of input pulses, phases and bit-serial conversions.

Wan et al., "A compute-in-memory chip based on resistive random-access memory", Nature 2022, figure 12 as digitised by
Andrulis et al., "CiMLoop", ISPASS 2024, who also fitted the three elementary times: ten points test the law, not these.
"""

from __future__ import annotations

from typing import NamedTuple

import pytest

from cyclecast.device import Device
from cyclecast.energy import peak
from silicon import Measured, of_device

NEURRAM = Device.load("neurram")


class Point(NamedTuple):
    """A measured precision, and how far the time of a product is from the measured one."""

    measured: Measured
    phases: tuple[int, ...]
    """Bits of the input's magnitude in each phase."""
    error: float
    """Of the modelled time, percent."""

    @property
    def device(self) -> Device:
        return self.measured.device

    @property
    def microseconds(self) -> float:
        """CiMLoop's formula: 0.27 us a pulse, 0.30 us a bit of a conversion, 0.30 us a phase."""
        output_bits = self.device.array.adc_bits
        converted = [max(output_bits - sum(self.phases[:phase]), 0) for phase in range(len(self.phases))]
        pulses = sum((1 << bits) - 1 for bits in self.phases)
        return 0.27 * pulses + 0.30 * sum(converted) + 0.30 * len(self.phases)


PHASES = [(1,), (1,), (2,), (3,), (4,), (5,), (2, 2), (3, 2), (3, 3), (4, 3)]
ERRORS = [-0.8, +0.9, -3.3, -5.6, -7.4, -8.2, -2.8, -4.4, -2.9, -4.9]
POINTS = [Point(*each) for each in zip(of_device("neurram"), PHASES, ERRORS, strict=True)]

all_points = pytest.mark.parametrize("point", POINTS, ids=lambda point: point.measured.label)


@all_points
def test_a_phase_applies_its_bits(point: Point) -> None:
    assert point.device.step_bits == point.phases


@all_points
def test_time_of_a_product_by_the_formula(point: Point) -> None:
    """Andrulis et al., ISPASS 2024; within 0.01 %, as 1/(0.30 us) is no whole number of millihertz."""
    assert peak(point.device).time.seconds == pytest.approx(point.microseconds * 1e-6, rel=1e-4)


@all_points
def test_throughput_as_measured(point: Point) -> None:
    """Wan et al., Nature 2022: 48 cores of 256 x 128 weights; the time of a product within 8.3 % of the measured one.

    The throughput, its inverse, is then at most 9.0 % too high.
    """
    modelled = peak(point.device).operations_per_second / 10**12
    assert point.measured.published / float(modelled) == pytest.approx(1, abs=0.083)
    assert 100 * (point.measured.published / float(modelled) - 1) == pytest.approx(point.error, abs=0.05)


def test_the_file_is_one_of_these_points() -> None:
    assert NEURRAM in [point.device for point in POINTS]
