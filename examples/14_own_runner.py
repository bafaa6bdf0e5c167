"""A runner of your own in MetaSchedule's place of the device: here, it counts what it is asked."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Sequence
from typing import Any

import cyclecast as cc
from cyclecast import tvm as cim  # before TVM's own modules: it checks that this TVM works
from cyclecast.errors import CyclecastError
from cyclecast.runner import Failure
from cyclecast.timing import Analytical, Timing
from text_direction import INPUT, SHAPE, model_file

import tvm  # isort: skip
from tvm.s_tir import meta_schedule as ms


class Counting:
    """Reads each candidate as a mapping and answers with a time; it could run a simulator or a board as well."""

    def __init__(self, device: cc.Device) -> None:
        self.device, self.asked = device, 0

    def run(self, candidates: Sequence[Any]) -> list[Timing | Failure]:
        self.asked += len(candidates)
        return [self.answer(candidate) for candidate in candidates]

    def answer(self, candidate: Any) -> Timing | Failure:
        try:
            return Analytical().time(cim.read(candidate, self.device), self.device)
        except CyclecastError as error:
            return Failure(str(error))  # this candidate alone is lost


def main() -> None:
    logging.getLogger("tvm.s_tir.meta_schedule").setLevel(logging.ERROR)
    device = cc.Device.load("isaac")
    network, counting = cc.load(model_file(), device, shapes={INPUT: SHAPE}), Counting(device)
    kernel = tvm.IRModule({"main": network.program[network.members[0].kernel]})
    target = tvm.target.Target({"kind": "llvm", "num-cores": 1})
    options = {"space": cim.space(device), "builder": cim.builder(), "cost_model": cim.cost_model(device)}
    with tempfile.TemporaryDirectory() as folder:
        database = ms.tune_tir(kernel, target, folder, 32, runner=cim.runner(counting), **options, num_tuning_cores=1)
        best = min(float(record.run_secs[0]) for record in database.get_all_tuning_records())
    print(f"{counting.asked} candidates asked, the best takes {best * 1e6:.4g} us")


if __name__ == "__main__":
    main()
