"""A rule and a mutation rule of your own: word lines in blocks of 48, which a device reads twice as fast."""

from __future__ import annotations

from collections.abc import Mapping as Decisions
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np

import cyclecast as cc
from cyclecast.device import Device
from cyclecast.mapping import Mapping
from cyclecast.schedule import Space, opened_workload, sample
from cyclecast.search.mutators import Choices, change_one
from cyclecast.timing import Analytical, Phase, Timing
from cyclecast.units import Time

from tvm import relax  # isort: skip - after cyclecast, which checks that this TVM works

BLOCK = 48


@dataclass(frozen=True)
class AlignedRows:
    """Offers tiles of 48 and 96 word lines; ours are as small as the number of tiles allows, such as 100 of 200."""

    device: Device

    def apply(self, schedule: Any, block: Any) -> list[Any]:
        workload = opened_workload(schedule, block, self.device)
        if workload is None:
            return [schedule]
        aligned = schedule.copy()
        sample(aligned, block, self.device, "word_lines", range(BLOCK, self.device.word_lines_per_array + 1, BLOCK))
        return [schedule, aligned]


@dataclass(frozen=True)
class Realign:
    """Changes the word lines, and nothing else."""

    def apply(self, decisions: Decisions[str, int], offers: Choices, rng: Random) -> dict[str, int] | None:
        return change_one(decisions, offers, ["word_lines"], rng)


@dataclass(frozen=True)
class Aligned:
    """The analytical model of a device that reads in two halves, unless the word lines are whole blocks."""

    lawful = False  # fewer word lines may take longer

    def time(self, mapping: Mapping, device: Device) -> Timing:
        usual = Analytical().time(mapping, device)
        again = usual.total if mapping.word_lines % BLOCK else Time(0)
        return Timing((*usual.phases, Phase("second half", again)), usual.cycle)


def dense() -> Any:
    """Eight vectors of 200 values times a matrix of 200 x 64."""
    x = relax.Var("x", relax.TensorType((8, 200), "int8"))
    builder = relax.BlockBuilder()
    with builder.function("main", [x]):
        with builder.dataflow():
            weights = relax.const(np.ones((200, 64), "int8"))
            result = builder.emit_output(relax.op.matmul(x, weights, out_dtype="int32"))
        builder.emit_func_output(result)
    return builder.get()


def main() -> None:
    device = cc.Device.load("isaac")
    network = cc.load(dense(), device)
    for space in (Space(device), Space(device, rules=[AlignedRows(device)], mutators=[Realign()])):
        (found,) = cc.tune(network, device, timing=Aligned(), space=space).workloads
        print(f"{space.names or 'our rules'}: {found.mapping.word_lines} word lines, {found.timing.total}")


if __name__ == "__main__":
    main()
