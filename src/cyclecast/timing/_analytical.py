"""L1: the analytical timing model: whole tiles, every level of the device, capacity and passes.

The assumptions A1 ... are those of `docs/assumptions/`; the elementary times, bytes and counts are in `_costs.py`.
The same formulas serve one mapping (`time`, exact integers of any size) and many (`times`, arrays).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cyclecast._integers import Whole, fits, greatest, largest, product, reduced, smaller, total
from cyclecast.device import Device, Level
from cyclecast.mapping import Mapping, Mappings
from cyclecast.timing._base import Phase, Timing, Timings, role_of
from cyclecast.timing._converters import AnyMapping
from cyclecast.timing._costs import events, kinds, merge_latency, write_time
from cyclecast.timing._passes import Pass
from cyclecast.units import Time

MARGIN = 2**8
"""Safety factor of `_fits`: chains add up several times, and `in_steps` has larger intermediate values."""
SIDE_BY_SIDE = ("compute", "input", "output", "port", "merge")
"""Phases that overlap: the longest hides the others (A7)."""


@dataclass(frozen=True, slots=True)
class Analytical:
    """The analytical timing model: write + max(compute, input, output, port, merge) + fill + ends."""

    second_opinion: ClassVar[str] = "event"
    """The event simulation, whose times are never shorter; it ranks mappings that are equal in this model."""
    counts_transfers: ClassVar[bool] = True

    def time(self, mapping: Mapping, device: Device) -> Timing:
        """The timing of the mapping, with its events.

        Phases: `write`, `compute`, `input`, `output`, `port` (inputs and outputs of a shared port), `merge`, `fill` and
        `ends` (first inputs, last conversion, last results).
        """
        found, _ = phases(mapping, device)
        longest = max(SIDE_BY_SIDE, key=found.__getitem__)
        return Timing(
            tuple(
                Phase(name, Time(time), name in SIDE_BY_SIDE and name != longest, role_of(name))
                for name, time in found.items()
            ),
            device.array.read,
            events(mapping, device),
        )

    def times(self, mappings: Mappings, device: Device) -> Timings:
        """The times of many mappings of one workload, without events; element i equals `time` of mapping i."""
        exact = mappings if _fits(mappings, device) else mappings.unlimited()
        found, summed = phases(exact, device)
        shape = exact.word_lines.shape
        shown = {name: np.broadcast_to(time, shape) for name, time in found.items()}
        return Timings(shown, np.broadcast_to(summed, shape), device.array.read)


def phases(m: AnyMapping, device: Device) -> tuple[dict[str, Whole], Whole]:
    """The time of every phase, in the order of a report, and the total time [fs].

    A phase of `SIDE_BY_SIDE` is the work of the busiest resource of its kind. `fill` is the cycles of the pipeline and
    the hops of merging, once per pass; `ends` is the rest of every pass that the longest phase does not hide.
    """
    busy: dict[str, list[Whole]] = {name: [] for name in SIDE_BY_SIDE}
    passes, fills = [], []
    for kind in kinds(m):
        one = Pass(m, device, kind)
        passes.append(product(kind.times, one.time()))
        fills.append(product(kind.times, one.filling()))
        for name, time in one.busy().items():
            busy[name].append(product(kind.times, time))
    beside = {name: total(*times) for name, times in busy.items()}
    write, computing = write_time(m, device), total(*passes)
    rest = computing - largest(*beside.values())
    fill = smaller(rest, total(*fills))
    return {"write": write, **beside, "fill": fill, "ends": rest - fill}, total(write, computing)


def _fits(mappings: Mappings, device: Device) -> bool:
    """Whether no intermediate value exceeds 64 bits, tested at the largest sizes and factors: phases grow with them."""
    ratios = [(10**18, device.array.adc_rate.millihertz)]
    ports: tuple[Device | Level, ...] = (device, *device.levels)
    for port in ports:
        ratios += [(10**15, width.bytes_per_second) for width in (port.input_bandwidth, port.output_bandwidth) if width]
    for level in device.levels:
        ratios += [(10**15, level.merge_bandwidth.bytes_per_second)] if level.merge_bandwidth else []
    products = [numerator * denominator for numerator, denominator in (reduced(*ratio) for ratio in ratios)]
    most = mappings.largest()
    worst, _ = phases(most, device)
    worst["pipeline"] = most.turns * most.passes * (device.pipeline.fill * device.array.read.femtoseconds)
    worst["merging"] = most.turns * most.passes * merge_latency(most, device)
    return fits(MARGIN * max(products), MARGIN * sum(map(greatest, worst.values())))
