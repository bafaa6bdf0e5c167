"""A whole network, searched exhaustively: every optimum is proven, lowered, and read back as it was found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cyclecast.device import Device
from cyclecast.frontend import load
from cyclecast.schedule import decided_schedule, lowered, lowered_function, read
from cyclecast.timing import Analytical
from cyclecast.workflow.tuning import estimate, tune
from kernels import Kernel, conv, depthwise, network
from large_networks import LARGE_NETWORKS
from strategies import unlimited

pytestmark = [pytest.mark.tvm, pytest.mark.slow]

ISAAC = Device.load("isaac")


@pytest.mark.long
def test_mobilenet_v2(tmp_path: Path) -> None:
    make, macs = LARGE_NETWORKS["mobilenet_v2"]
    network = load(make(tmp_path / "mobilenet_v2.onnx"))
    assert network.macs == macs
    tuned = tune(network, ISAAC)
    for entry in tuned.workloads:
        certificate = entry.outcome.certificate
        assert certificate is not None
        assert (certificate.gap, certificate.best) == (0, entry.timing.total)
        decided = decided_schedule(network.program[entry.member.kernel], ISAAC, entry.mapping).mod
        assert read(decided, ISAAC) == entry.mapping
        again = read(lowered(decided, ISAAC), ISAAC)
        assert again == entry.mapping
        assert Analytical().time(again, ISAAC) == entry.timing
    assert 2 * tuned.total < estimate(network, ISAAC).total
    assert any(entry.mapping.window for entry in tuned.workloads)
    assert any(entry.mapping.packed > 1 for entry in tuned.workloads)


WIDE = unlimited(
    Device.load("tiny").vary_all(
        {"array.rows": 512, "array.active_rows": 512, "array.cols": 2048, "array.adc_bits": 20, "array.adcs": 2048}
        | {f"levels.{level}.count": 1 for level in ("pe", "cu", "array")}
    )
)
"""512 x 512 weights of 4 columns each, as in VW-SDK."""


@pytest.mark.parametrize(
    "kernel",
    [
        conv(size=(13, 13), channels=64, filters=64, kernel=(3, 3)),
        conv(size=(13, 13), channels=3, filters=64, kernel=(3, 3)),
        depthwise(size=(12, 12), channels=16, multiplier=1, kernel=3),
    ],
    ids=["64 to 64", "3 to 64", "depthwise"],
)
def test_optima_with_windows_compute_exact_values(kernel: Kernel) -> None:
    """11 x 11 outputs, which no window on offer divides."""
    (entry,) = tune(network(kernel), WIDE).workloads
    assert entry.mapping.window
    data, weight = kernel.operands(3)
    computed = kernel.run(lowered_function(kernel.function, entry.mapping), data, weight)
    np.testing.assert_array_equal(computed, kernel.reference(data, weight))
