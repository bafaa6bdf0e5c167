"""A timing model of your own: here, arrays are dear, and every one in use costs a cycle."""

from __future__ import annotations

from dataclasses import dataclass

import cyclecast as cc
from cyclecast.device import Device
from cyclecast.mapping import Mapping
from cyclecast.timing import Phase, Timing
from text_direction import INPUT, SHAPE, model_file


@dataclass(frozen=True)
class Thrifty:
    """Steps of the input bits, one after another, plus a cycle for every array in use."""

    def time(self, mapping: Mapping, device: Device) -> Timing:
        cycle = device.array.read
        steps = mapping.passes * mapping.temporal.pixel * device.input_steps
        return Timing((Phase("compute", steps * cycle), Phase("arrays", mapping.arrays * cycle)), cycle)


def main() -> None:
    device = cc.Device.load("isaac")
    network = cc.load(model_file(), device, shapes={INPUT: SHAPE})
    for timing in ("analytical", Thrifty()):
        tuned = cc.tune(network, device, trials=16, timing=timing, strategy="evolution:population=16")
        arrays = sum(entry.mapping.arrays for entry in tuned.workloads)
        print(f"{timing}: {arrays:,} arrays in use over {len(tuned.workloads)} workloads")


if __name__ == "__main__":
    main()
