"""Compare a compiled program with the runtime of the network that it came from: onnxruntime, LiteRT or PyTorch."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from cyclecast.errors import ModelError
from cyclecast.folders import require_file_unchanged
from cyclecast.frontend import Shapes, input_shapes, random_values, read_arrays, reference, runtime_of

RUN = "import sys; from cyclecast.executable import run_files; run_files(*sys.argv[1:])"


def verify(
    module: Path, model: Path, *, inputs: Path | None = None, seed: int = 0, shapes: Shapes | None = None
) -> dict[str, Any]:
    """Run `module.so` in a fresh process and the network in its own runtime, on the same inputs.

    `inputs` is an .npz file with one array per input, by name; without it, values are drawn from a normal
    distribution. For each output: the cosine between both, the largest absolute difference, the largest magnitude,
    where both are finite numbers; and how many values of each are not. `not_finite` counts these among the inputs.
    """
    require_file_unchanged(module)
    values = _read(inputs, model, shapes or {}) if inputs else _random(model, shapes or {}, seed)
    expected = reference(model, values)
    actual = _in_fresh_process(module, values)
    have, want = ([np.shape(output) for output in outputs] for outputs in (actual, expected.values()))
    if have != want:
        raise ModelError(str(module), f"outputs of shapes {have}", f"{model} has {want}", "the folder of this network")
    return {
        "runtime": runtime_of(model),
        "inputs": str(inputs) if inputs else f"random values, seed {seed}",
        "not_finite": sum(_not_finite(value) for value in values.values()),
        "outputs": [
            {"name": name} | compared(reference, computed)
            for (name, reference), computed in zip(expected.items(), actual, strict=True)
        ],
    }


def compared(reference: Any, computed: Any) -> dict[str, Any]:
    """How alike two outputs are, where both are finite numbers, and how many values of each are not."""
    want, have = _real(reference), _real(computed)
    finite = np.isfinite(want) & np.isfinite(have)
    error = np.abs(want[finite] - have[finite]).max(initial=0.0)
    alike = cosine(want[finite], have[finite]) if finite.any() else float(np.array_equal(want, have, equal_nan=True))
    return {
        "cosine": alike,
        "maximum_error": float(error),
        "largest": float(np.abs(want[finite]).max(initial=0.0)),
        "not_finite": _not_finite(computed),
        "not_finite_in_reference": _not_finite(reference),
    }


def _not_finite(values: Any) -> int:
    return int((~np.isfinite(_real(values))).sum())


def cosine(left: Any, right: Any) -> float:
    """The cosine of the angle between two arrays seen as vectors; 1 where both are zero."""
    a, b = _real(left).ravel(), _real(right).ravel()
    length = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / length if length else float(np.array_equal(a, b))


def _real(values: Any) -> Any:
    return np.asarray(values).astype("float64")


def _random(model: Path, shapes: Shapes, seed: int) -> dict[str, Any]:
    generator = np.random.default_rng(seed)
    return {name: random_values(generator, *entry) for name, entry in input_shapes(model, shapes).items()}


def _read(inputs: Path, model: Path, shapes: Shapes) -> dict[str, Any]:
    values = read_arrays(inputs)
    wanted = input_shapes(model, {name: value.shape for name, value in values.items()} | dict(shapes))
    for name, (shape, kind) in wanted.items():
        if name not in values or values[name].shape != shape:
            have = f"shape {values[name].shape}" if name in values else "no such array"
            raise ModelError(f"{inputs}: '{name}'", have, f"the network wants shape {shape}", "numpy.savez")
        values[name] = values[name].astype(kind)
    return {name: values[name] for name in wanted}


def _in_fresh_process(module: Path, values: dict[str, Any]) -> list[Any]:
    if not module.is_file():
        raise ModelError(str(module), "there is no such file", lever="cyclecast tune MODEL --out FOLDER first")
    with tempfile.TemporaryDirectory(prefix="cyclecast-") as folder:
        given, computed = Path(folder) / "inputs.npz", Path(folder) / "outputs.npz"
        np.savez(given, *values.values())
        done = subprocess.run(
            [sys.executable, "-c", RUN, str(module), str(given), str(computed)], capture_output=True, text=True
        )
        if done.returncode:
            reason = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit code {done.returncode}"
            raise ModelError(str(module), "the program does not run", reason, "building it again with tune")
        with np.load(computed) as stored:
            return [stored[name] for name in stored.files]
