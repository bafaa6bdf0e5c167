"""One kernel of a network by MetaSchedule's evolution, with our rules, beside the proven optimum."""

from __future__ import annotations

import logging
import sys
import tempfile
from pathlib import Path
from typing import Any

import cyclecast as cc
from cyclecast import tvm as cim  # before TVM's own modules: it checks that this TVM works
from text_direction import INPUT, SHAPE, model_file

import tvm  # isort: skip
from tvm.s_tir import meta_schedule as ms

TRIALS = 100


def main() -> None:
    model = Path(sys.argv[1]) if len(sys.argv) > 1 else model_file()
    device = cc.Device.load("isaac")
    network = cc.load(model, device, shapes={INPUT: SHAPE})
    member = max(network.members, key=lambda member: member.workload.macs)
    kernel = tvm.IRModule({"main": network.program[member.kernel]})
    guess = cc.estimate(network, device).workloads[network.members.index(member)].timing.total.seconds
    found, records = tuned(kernel, device, ms.search_strategy.EvolutionarySearch(population_size=128))
    least, _ = tuned(kernel, device, cim.search_strategy(device, "exhaustive"))
    print(f"{member.workload.name}, the default mapping: {guess * 1e6:.4g} us")
    print(
        f"MetaSchedule's evolution, {records} records: {found * 1e6:.4g} us, {found / least - 1:.1%} above the optimum"
    )
    print(f"the exhaustive search, one record: {least * 1e6:.4g} us, the optimum")


def tuned(kernel: tvm.IRModule, device: cc.Device, strategy: Any) -> tuple[float, int]:
    """The least time that a MetaSchedule strategy finds [s], and how many records it leaves."""
    logging.getLogger("tvm.s_tir.meta_schedule").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        database = ms.tune_tir(
            kernel,
            tvm.target.Target({"kind": "llvm", "num-cores": 1}),
            folder,
            TRIALS,
            space=cim.space(device),  # our sketch, annotation and mutation rules
            builder=cim.builder(),
            runner=cim.runner(device, timing="analytical"),
            cost_model=cim.cost_model(device, timing="analytical"),
            strategy=strategy,
            num_tuning_cores=1,
            seed=1,
        )
        records = database.get_all_tuning_records()
    return min(float(record.run_secs[0]) for record in records), len(records)


if __name__ == "__main__":
    main()
