"""Inside TVM: our space, builder, runner and cost model in a TVM user's own tuning calls."""

from __future__ import annotations

import logging
import tempfile

import numpy as np

from cyclecast import Device
from cyclecast import tvm as cim  # before TVM's own modules: it checks that this TVM works

import tvm  # isort: skip
from tvm import relax
from tvm.s_tir import meta_schedule as ms

TARGET = tvm.target.Target({"kind": "llvm", "num-cores": 1})


def convolution() -> tvm.IRModule:
    """An int8 convolution with a ReLU: 32 x 14 x 14 in, 48 filters of 3 x 3."""
    builder = relax.BlockBuilder()
    x = relax.Var("x", relax.TensorType((1, 32, 14, 14), "int8"))
    w = relax.Var("w", relax.TensorType((48, 32, 3, 3), "int8"))
    with builder.function("main", [x, w]):
        with builder.dataflow():
            product = builder.emit(relax.op.nn.conv2d(x, w, padding=1, out_dtype="int32"))
            result = builder.emit_output(relax.op.nn.relu(product))
        builder.emit_func_output(result)
    return relax.get_pipeline("zero")(builder.get())


def main() -> None:
    logging.getLogger("tvm.s_tir.meta_schedule").setLevel(logging.ERROR)
    device = Device.load("isaac")
    module = convolution()
    with tempfile.TemporaryDirectory() as folder:
        database = ms.relax_integration.tune_relax(
            module,
            params={},
            target=TARGET,
            work_dir=folder,
            max_trials_global=32,
            space=cim.space(device),
            builder=cim.builder(),
            runner=cim.runner(device, timing="analytical"),
            cost_model=cim.cost_model(device, timing="analytical"),
            # With strategy=cim.search_strategy(device) here, it is the exhaustive search that finds the best mapping of
            # each kernel, and one record says which; without, it is MetaSchedule's evolution.
            seed=1,
        )
        best = min(database.get_all_tuning_records(), key=lambda record: float(record.run_secs[0]))
        print(f"{len(database)} records, the best takes {float(best.run_secs[0]) * 1e6:.1f} us")
        with TARGET, database, tvm.transform.PassContext(opt_level=3):
            scheduled = relax.transform.MetaScheduleApplyDatabase()(module)
    lowered = cim.lower(scheduled, device)

    random = np.random.default_rng(0)
    inputs = [
        tvm.runtime.tensor(random.integers(-127, 128, shape).astype("int8"))
        for shape in ((1, 32, 14, 14), (48, 32, 3, 3))
    ]
    plain, ours = (relax.VirtualMachine(tvm.compile(m, target=TARGET), tvm.cpu())["main"] for m in (module, lowered))
    print(f"same values: {np.array_equal(plain(*inputs).numpy(), ours(*inputs).numpy())}")


if __name__ == "__main__":
    main()
