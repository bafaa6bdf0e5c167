"""Compare a compiled program with the reference runtime of its network: onnxruntime, LiteRT, PyTorch or TVM.

If the device's converters are lossy, the values of the device's behaviour model are compared as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from cyclecast.device import load_doubted
from cyclecast.errors import BehaviourError, ModelError
from cyclecast.executable import load_executable
from cyclecast.frontend import (
    Inputs,
    Quantization,
    Shapes,
    Values,
    arrays_apart,
    as_samples,
    input_shapes,
    random_inputs,
    read_arrays,
    references,
    runtime_of,
)
from cyclecast.mapping import MappedNetwork, network_loss
from cyclecast.storage.folders import read_file, require_file_unchanged
from cyclecast.storage.reading import json_value, loadable, members, read_as
from cyclecast.workflow import building, capture
from cyclecast.workflow.departures import Departures, find
from cyclecast.workflow.stored import Scheduled

if TYPE_CHECKING:
    pass

LABELS = "labels"
"""Name of the array of an .npz file that holds the right classes."""
RESULT, MOST_BYTES = "result.json", 1 << 28
"""File with the result of `tune`, and its largest size [bytes]."""
SECONDS_A_SAMPLE = 60
"""Processor seconds of the compiled program per sample."""


@loadable
@dataclass(frozen=True)
class _Input:
    """An input as recorded by `tune`."""

    shape: tuple[int, ...]
    range: tuple[float, float] | None
    """Its minimum and maximum in the calibration samples, or None."""


class Samples(NamedTuple):
    """Inputs of a network, one dictionary per sample."""

    values: list[dict[str, Any]]
    labels: Any
    """Right classes, (rows,), or None."""
    text: str
    """Their origin."""


def verify(
    module: Path,
    model: Any,
    *,
    inputs: Path | Values | None = None,
    seed: int = 0,
    shapes: Shapes | None = None,
    on_device: bool = True,
    tuned: MappedNetwork | None = None,
    layers: Quantization | None = None,
) -> dict[str, Any]:
    """Run `module.so` in a child process and the network in its reference runtime, on the same inputs.

    `inputs` holds an array per input by name, one sample or several along a leading axis, in an .npz file or in memory;
    `labels` in the file are the right classes. Without it, inputs are random: within the calibration ranges of `tune`
    if there are any, else normally distributed. The result has for each output: the cosine between both, the largest
    absolute difference and the largest magnitude (over finite values), and the number of non-finite values of each.
    `not_finite` counts the non-finite values of the inputs.

    If converters are lossy, `device` compares the device's own values with the reference in the same way, unless
    `on_device` is False; `tuned` is the network that the program was built from, by default that of its folder. With
    `layers`, the quantisation of the program, the entry `layers` compares every operator on the first sample. Raises
    `ModelError`.
    """
    require_file_unchanged(module)
    samples = _samples(inputs, model, shapes or {}, _known(module.parent), seed)
    expected = references(model, samples.values)
    actual = _computed(module, samples.values)
    have, want = ([np.shape(output)[1:] for output in outputs] for outputs in (actual, expected.values()))
    if have != want:
        raise ModelError(str(module), f"outputs of shapes {have}", f"{model} has {want}", "the folder of this network")
    info = {
        "runtime": runtime_of(model),
        "inputs": samples.text,
        "samples": len(samples.values),
        "not_finite": sum(_not_finite(value) for values in samples.values for value in values.values()),
        "outputs": _outputs(expected, actual),
        "top1": _right(samples, expected, actual),
        "loss": "",
        "device": None,
        "layers": None,
    }
    tuned = tuned or _lossy(module.parent)
    loss = network_loss(tuned.network, tuned.mappings, tuned.device) if tuned else None
    if tuned and loss:
        info["loss"] = str(loss)
        info["device"] = _of_device(tuned, samples, expected) if on_device else None
    if layers:
        info["layers"] = _layers(find(model, layers, samples.values[0], shapes=_shapes_of(samples)), actual)
    return info


def _of_device(tuned: MappedNetwork, samples: Samples, expected: Mapping[str, Any]) -> dict[str, Any]:
    """Values of the device's behaviour model, compared with the reference; or why they cannot be computed."""
    found: dict[str, Any] = {"name": tuned.device.name, "outputs": [], "top1": None, "error": ""}
    try:
        computed = capture.device_outputs(tuned, [list(values.values()) for values in samples.values])
    except BehaviourError as error:  # for example, the least integer has no sign and magnitude
        return found | {"error": str(error)}
    return found | {"outputs": _outputs(expected, computed), "top1": _right(samples, expected, computed)}


def _layers(found: Departures, actual: Sequence[Any]) -> dict[str, Any]:
    """All operators, the first that departs, and whether the program is the one under test."""
    pairs = zip(found.outputs, actual, strict=True)
    return {
        "operators": [asdict(each) for each in found.operators],
        "first": asdict(found.first) if found.first else None,
        "same_program": all(np.allclose(ours, theirs[0], 1e-4, 1e-6, equal_nan=True) for ours, theirs in pairs),
    }


def _shapes_of(samples: Samples) -> Shapes:
    return {name: value.shape for name, value in samples.values[0].items()}


def _lossy(folder: Path) -> Scheduled | None:
    """The network in a folder of `tune` if its device has lossy converters, else None."""
    if not (folder / "mappings.json").is_file():
        return None
    device, _ = load_doubted(folder / "device.yaml")
    return None if device.array.is_exact else building.load(folder)


def _outputs(expected: Mapping[str, Any], computed: Sequence[Any]) -> list[dict[str, Any]]:
    pairs = zip(expected.items(), computed, strict=True)
    return [{"name": name} | compared(reference, output) for (name, reference), output in pairs]


def compared(reference: Any, computed: Any) -> dict[str, Any]:
    """Similarity of two outputs over finite values, and the number of non-finite values of each."""
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


def _right(samples: Samples, expected: Mapping[str, Any], computed: Sequence[Any]) -> dict[str, int] | None:
    """Top-1 of the first output: right labels of the program and of the reference; None without labels."""
    if samples.labels is None:
        return None
    theirs, ours = (_classes(output, len(samples.labels)) for output in (next(iter(expected.values())), computed[0]))
    return {
        "labels": len(samples.labels),
        "right": int((ours == samples.labels).sum()),
        "right_in_reference": int((theirs == samples.labels).sum()),
        "agree": int((ours == theirs).sum()),
    }


def _classes(output: Any, rows: int) -> Any:
    """Index of the largest value in each row of an output of all samples. Raises `ModelError`."""
    count, batch = len(output), output.shape[1] if output.ndim > 2 else 1
    if rows not in (count, count * batch) or output.size <= rows:
        shape = "x".join(map(str, output.shape[1:]))
        raise ModelError(
            f"'{LABELS}'",
            f"{rows:,} of them",
            f"{len(output):,} outputs of {shape} values need one label per row",
            "others",
        )
    return np.nan_to_num(_real(output).reshape(rows, -1), nan=-np.inf).argmax(axis=1)


def _not_finite(values: Any) -> int:
    return int((~np.isfinite(_real(values))).sum())


def cosine(left: Any, right: Any) -> float:
    """Cosine of the angle between two arrays as vectors; 1 if both are zero."""
    a, b = _real(left).ravel(), _real(right).ravel()
    length = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / length if length else float(np.array_equal(a, b))


def _real(values: Any) -> Any:
    return np.asarray(values).astype("float64")


def _samples(
    inputs: Path | Values | None, model: Any, shapes: Shapes, known: Mapping[str, _Input], seed: int
) -> Samples:
    tuned_for: Shapes = {name: each.shape for name, each in known.items()}
    if inputs is None:
        ranges = {name: each.range for name, each in known.items() if each.range is not None}
        text = f"random values{' of the range of the calibration' if ranges else ''}, seed {seed}"
        return Samples([random_inputs(model, _wanted({}, model, shapes, tuned_for), seed, ranges)], None, text)
    given = read_arrays(inputs) if isinstance(inputs, Path) else dict(inputs)
    text = str(inputs) if isinstance(inputs, Path) else "samples"
    wanted = _wanted(given, model, shapes, tuned_for)
    found = {name: _fitting(given, name, *entry, text) for name, entry in wanted.items()}
    numbers = {len(values) for values in found.values()}
    if len(numbers) > 1:
        raise ModelError(text, f"{' and '.join(map(str, numbers))} samples", "every input has as many", "numpy.savez")
    labels = None if LABELS in wanted or LABELS not in given else np.ravel(given[LABELS])
    count = max(numbers, default=1)
    return Samples([{name: values[place] for name, values in found.items()} for place in range(count)], labels, text)


def _wanted(given: Values, model: Any, shapes: Shapes, tuned_for: Shapes) -> Inputs:
    """Shape and type of the inputs: as tuned, else from the given samples, with or without their sample axis."""
    if tuned_for:
        wanted = input_shapes(model, {**tuned_for, **shapes})
        for name in sorted(wanted.keys() - tuned_for.keys()):
            bound = f"its inputs are {', '.join(tuned_for)}"
            raise ModelError(
                f"{model}: input '{name}'", "the program has none", bound, f"--constant {name}=N, as for tune"
            )
        return wanted
    one = {name: value.shape for name, value in given.items() if name != LABELS}
    several = {name: shape[1:] for name, shape in one.items()}
    reasons = []
    for guess in (one, {}, several):
        try:
            return input_shapes(model, {**guess, **shapes})
        except ModelError as error:
            reasons.append(error)
    raise reasons[0]


def _fitting(given: Values, name: str, shape: tuple[int, ...], kind: Any, text: str) -> Any:
    """The samples of an input. Raises `ModelError`."""
    try:
        return as_samples(given[name], shape).astype(kind)
    except (KeyError, ValueError):
        have = f"shape {np.shape(given[name])}" if name in given else "no such array"
        raise ModelError(f"{text}: '{name}'", have, f"the network wants shape {shape}", "numpy.savez") from None


def _known(folder: Path) -> dict[str, _Input]:
    """The inputs recorded by `tune`; empty if `tune` did not write the folder."""
    try:
        require_file_unchanged(folder / RESULT)
        found = members(json_value(read_file(folder, RESULT, MOST_BYTES))).get("inputs", {})
        return read_as(dict[str, _Input], found)
    except FileNotFoundError:
        return {}
    except ModelError:
        raise
    except (OSError, ValueError) as error:
        where = f"{folder}/{RESULT}"
        raise ModelError(where, "it is not what tune wrote", str(error).splitlines()[0], "tuning again") from error


def _computed(module: Path, samples: Sequence[Values]) -> list[Any]:
    """Outputs of the program, one array per output, samples along the first axis."""
    if not module.is_file():
        raise ModelError(str(module), "there is no such file", lever="cyclecast tune MODEL --out FOLDER first")

    def run() -> dict[str, Any]:
        program = load_executable(module)
        found = [program(*values.values()) for values in samples]
        return {str(place): np.stack(outputs) for place, outputs in enumerate(zip(*found, strict=True))}

    seconds, size = SECONDS_A_SAMPLE * len(samples), module.stat().st_size
    return list(arrays_apart(run, str(module), size, seconds, "running it").values())
