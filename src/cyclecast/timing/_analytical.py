"""L1: quantised tiles, every level of the device, capacity and passes.

The assumptions A1 ... are those of `docs/assumptions.md`; the elementary times, bytes and counts are in `work.py`. One
formula serves one mapping (`time`, exact integers of any size) and many (`times`, arrays in and out).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from typing import ClassVar

import numpy as np

from cyclecast.device import Device, Level
from cyclecast.exact import Whole, larger, reduced
from cyclecast.mapping import Mapping
from cyclecast.mappings import Mappings
from cyclecast.timing._base import Phase, Timing, Timings
from cyclecast.units import Time
from cyclecast.work import (
    AnyMapping,
    events,
    input_bytes,
    merge_bytes,
    merge_latency,
    output_bytes,
    port_time,
    product_time,
    write_time,
)

LARGEST = 2**62
"""Half of what 64 bits with a sign can hold."""
SIDE_BY_SIDE = ("compute", "input", "output", "port", "merge")
"""The phases that overlap: the longest hides the others (A7)."""


@dataclass(frozen=True, slots=True)
class Analytical:
    """The analytical timing model: write + max(compute, input, output, port, merge) + fill."""

    counts_transfers: ClassVar[bool] = True
    """No mapping is shorter than its writes, the bytes through its busiest port and the fills together."""

    def time(self, mapping: Mapping, device: Device) -> Timing:
        """The timing of the mapping, with its events.

        Phases: `write`, `compute`, `input`, `output`, `port` (inputs and outputs of a shared one), `merge` and `fill`.
        """
        times = phases(mapping, device)
        longest = max((name for name in times if name in SIDE_BY_SIDE), key=times.__getitem__)
        return Timing(
            tuple(
                Phase(name, Time(time), hidden=name in SIDE_BY_SIDE and name != longest) for name, time in times.items()
            ),
            device.array.read,
            events(mapping, device),
        )

    def times(self, mappings: Mappings, device: Device) -> Timings:
        """The timings of many mappings of one workload, element by element equal to `time`; without their events."""
        exact = mappings if _fits(mappings, device) else mappings.unlimited()
        shape = exact.word_lines.shape
        times = {name: np.broadcast_to(time, shape) for name, time in phases(exact, device).items()}
        hidden = reduce(larger, (time for name, time in times.items() if name in SIDE_BY_SIDE))
        return Timings(times, times["write"] + hidden + times["fill"], device.array.read)


def phases(m: AnyMapping, device: Device) -> dict[str, Whole]:
    """The time of every phase [fs], in the order of a report."""
    inputs, outputs, shared, merges = [0], [0], [0], [0]
    ports: tuple[Device | Level, ...] = (device, *device.levels)
    for level, port in enumerate(ports, -1):
        if port.input_bandwidth:
            inputs.append(port_time(port.input_bandwidth, input_bytes(m, level)))
        if port.output_bandwidth:
            outputs.append(port_time(port.output_bandwidth, output_bytes(m, level)))
        if isinstance(port, Level) and port.shared_port:
            shared.append((inputs[-1] if port.input_bandwidth else 0) + (outputs[-1] if port.output_bandwidth else 0))
        if isinstance(port, Level) and port.merge_bandwidth:
            merges.append(port_time(port.merge_bandwidth, merge_bytes(m, level)))
    fill = device.pipeline.fill * device.array.read.femtoseconds
    return {
        "write": m.turns * m.passes * write_time(m, device),
        "compute": m.passes * m.temporal.pixel * product_time(m, device),
        "input": _longest(inputs),
        "output": _longest(outputs),
        "port": _longest(shared),
        "merge": _longest(merges),
        "fill": m.turns * m.passes * (fill + merge_latency(m, device)),
    }


def _fits(mappings: Mappings, device: Device) -> bool:
    """Whether no number on the way can exceed 64 bits: the phases only grow with sizes and factors."""
    ratios = [(10**18, device.array.adc_rate.millihertz)]
    ports: tuple[Device | Level, ...] = (device, *device.levels)
    for port in ports:
        ratios += [(10**15, width.bytes_per_second) for width in (port.input_bandwidth, port.output_bandwidth) if width]
    for level in device.levels:
        ratios += [(10**15, level.merge_bandwidth.bytes_per_second)] if level.merge_bandwidth else []
    products = [numerator * denominator for numerator, denominator in (reduced(*ratio) for ratio in ratios)]
    worst = phases(mappings.largest(), device)
    return max(products) < LARGEST and sum(int(np.max(time)) for time in worst.values()) < LARGEST


def _longest(times: Iterable[Whole]) -> Whole:
    return reduce(larger, times)
