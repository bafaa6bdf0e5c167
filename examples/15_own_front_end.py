"""A front end of your own: a `.csv` file is a matrix of integers, and the network multiplies vectors by it."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import cyclecast as cc
from cyclecast.errors import ModelError

from tvm import relax  # isort: skip - after cyclecast, which checks that this TVM works


@dataclass(frozen=True)
class Matrix:
    """Reads the file as weights of eight bits; NumPy is the reference."""

    runtime = "NumPy"

    def accepts(self, source: Any) -> bool:
        return isinstance(source, Path) and source.suffix == ".csv"

    def inputs(self, source: Path, shapes: Any) -> dict[str, Any]:
        return {"x": ((1, len(self.weights(source))), np.dtype("int8"))}

    def weights(self, source: Path) -> Any:
        try:
            return np.loadtxt(source, delimiter=",", dtype="int8", ndmin=2)
        except ValueError as error:
            raise ModelError(
                str(source), "it is no matrix of integers", str(error), "integers of -128 to 127"
            ) from None

    def load(self, source: Path, shapes: Any, quantization: Any) -> Any:
        weights, builder = self.weights(source), relax.BlockBuilder()
        x = relax.Var("x", relax.TensorType((1, len(weights)), "int8"))
        with builder.function("main", [x]):
            with builder.dataflow():
                result = builder.emit_output(relax.op.matmul(x, relax.const(weights), out_dtype="int32"))
            builder.emit_func_output(result)
        return builder.get()

    def reference(self, source: Path, samples: Sequence[Any]) -> list[dict[str, Any]]:
        weights = self.weights(source).astype("int32")
        return [{"output0": values["x"].astype("int32") @ weights} for values in samples]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "weights.csv"
        np.savetxt(file, np.arange(-100, 100).reshape(40, 5), fmt="%d", delimiter=",")
        device = cc.Device.load("isaac")
        network = cc.load(file, device, front_ends=[Matrix()])
        (found,) = cc.tune(network, device).workloads
    print(f"{found.member.workload.name}: {found.timing.total}")


if __name__ == "__main__":
    main()
