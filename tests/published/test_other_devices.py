"""What the papers behind the library's other devices state, each with its citation and tolerance."""

from __future__ import annotations

import pytest

from cyclecast.decisions import default_mapping
from cyclecast.device import Device
from cyclecast.timing import Analytical
from cyclecast.units import Time
from strategies import matrix_vector


def product_time(device: Device) -> Time:
    """One matrix-vector product that fills one array."""
    device = device.vary_all({f"levels.{level.name}.count": 1 for level in device.levels})
    rows, filters = device.array.rows, device.filters_per_array
    mapping = default_mapping(matrix_vector(rows, filters, bits=device.bits.activation), device)
    return Analytical().time(mapping, device).total


def test_puma_takes_2304_ns_for_a_16_bit_product() -> None:
    """Ankit et al., ASPLOS 2019: 2304 ns; exact."""
    assert product_time(Device.load("puma")) == Time.parse("2304 ns")


def test_puma_stores_69_mb_of_weights() -> None:
    """Ankit et al., ASPLOS 2019: 69 MB in a node; exact in MiB."""
    device = Device.load("puma")
    weights = device.arrays * device.array.rows * device.filters_per_array
    assert weights * device.bits.weight / 8 == 69 * 2**20


def test_hermes_computes_63_1_tops() -> None:
    """Le Gallo et al., Nature Electronics 2023: 63.1 TOPS in the one-phase mode; within 0.1 %.

    The time of a product in the file is derived from this figure, so this checks the bookkeeping, not the model.
    """
    device = Device.load("hermes64")
    operations = 2 * device.arrays * device.array.rows * device.filters_per_array
    assert operations / product_time(device).seconds / 1e12 == pytest.approx(63.1, rel=1e-3)
