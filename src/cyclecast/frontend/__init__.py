"""Front ends: from a network's file, or an object in memory, to workloads."""

from __future__ import annotations

import json
from dataclasses import astuple
from pathlib import Path
from typing import Any

import cyclecast._tvm as _door  # noqa: F401 - first of all, TVM must be one that works
from cyclecast._tvm._native import without_native_chatter
from cyclecast.device import Device
from cyclecast.errors import ModelError, OptionError, UnsupportedError, is_of_tvm
from cyclecast.frontend._apart import apart, arrays_apart, limited_memory
from cyclecast.frontend._base import (
    FrontEnd,
    Inputs,
    OnnxGraphs,
    Quantization,
    Scheme,
    Shapes,
    Values,
    activations_of,
    bits_of,
    size_of,
)
from cyclecast.frontend._calibrate import LayerError
from cyclecast.frontend._calibrate import layer_errors as errors_of_layers
from cyclecast.frontend._extents import require_extents
from cyclecast.frontend._fold import bytes_of_constants
from cyclecast.frontend._graph import SECONDS_A_SAMPLE, folded_model
from cyclecast.frontend._onnx import Onnx
from cyclecast.frontend._quantize import quantize
from cyclecast.frontend._relax import Relax
from cyclecast.frontend._samples import random_values, read_arrays, read_samples
from cyclecast.frontend._tflite import TfLite
from cyclecast.frontend._torch import Torch
from cyclecast.frontend._words import first_line
from cyclecast.workload import Network

__all__ = [
    "FrontEnd",
    "Inputs",
    "LayerError",
    "Onnx",
    "Quantization",
    "Scheme",
    "Shapes",
    "activations_of",
    "bits_of",
    "front_end_of",
    "input_shapes",
    "layer_errors",
    "load",
    "load_quantised",
    "random_values",
    "read_arrays",
    "read_samples",
    "reference",
    "runtime_of",
]

BITS = ("activation_bits", "weight_bits")
FRONT_ENDS: tuple[FrontEnd, ...] = (Onnx(), TfLite(), Relax(), Torch())


def load(
    source: Any,
    device: Device | None = None,
    *,
    shapes: Shapes | None = None,
    activation_bits: int | None = None,
    weight_bits: int | None = None,
    activations: Scheme | None = None,
    weights: Scheme = "symmetric",
    calibration: Values | None = None,
) -> Network:
    """Load a network, quantise what the device can compute to the bits that it takes, and find its workloads.

    `source` is a path to an ONNX, TFLite or `torch.export` file, a PyTorch module or exported program, or a Relax
    `IRModule`. Without a `device`, `activation_bits` and `weight_bits` say how many (2 to 16; 8 where they do not).
    `shapes` fixes input shapes that it leaves open, by input name. Without `calibration` (samples for every input,
    along a leading axis) scales of activations are computed when the program runs. `activations` are affine if nothing
    is said, and symmetric for devices whose sums saturate or whose inputs are signs and magnitudes. What is quantised
    already keeps its integers. Raises `ModelError`, and `OptionError` for what the device does not take.
    """
    taken = bits_of(device) if device else (8, 8)
    bits = [
        _agreed(what, said, value, device)
        for what, said, value in zip(BITS, (activation_bits, weight_bits), taken, strict=True)
    ]
    scheme = activations_of(device, activations) if device else activations or "affine"
    quantization = Quantization(bits[0], bits[1], scheme, weights, calibration or {})
    return load_quantised(source, quantization, shapes=shapes)


def _agreed(what: str, said: int | None, value: int, device: Device | None) -> int:
    """The bits that are said, or those of the device."""
    if device and said not in (None, value):
        raise OptionError(what, f"{said}", f"{device.name} takes {value}", "leaving it out, or another device")
    return value if said is None else said


def load_quantised(source: Any, quantization: Quantization, *, shapes: Shapes | None = None) -> Network:
    """`load`, with all that concerns quantisation in one value."""
    source = Path(source) if isinstance(source, str) else source
    program = front_end_of(source).load(source, shapes or {}, quantization)
    name = str(source) if isinstance(source, Path) else type(source).__name__
    require_extents(program, name)
    reason = ""
    with without_native_chatter(), limited_memory(name, bytes_of_constants(program)):
        try:
            whole, members, host, operators = quantize(program, quantization)
        except Exception as error:
            if not is_of_tvm(error):
                raise
            reason = first_line(error)
    if reason:
        raise UnsupportedError(name, "an operator cannot be lowered", reason, "exporting it to ONNX again")
    return Network(source.stem if isinstance(source, Path) else type(source).__name__, members, host, whole, operators)


def layer_errors(source: Any, quantization: Quantization, *, shapes: Shapes | None = None) -> tuple[LayerError, ...]:
    """What static and dynamic quantisation do to each layer of an ONNX or PyTorch network, on calibration samples."""
    front_end = front_end_of(source)
    if not isinstance(front_end, OnnxGraphs):
        raise UnsupportedError(
            str(source), "errors of its layers", "ONNX and PyTorch networks are calibrated", "exporting it to ONNX"
        )
    name = str(source) if isinstance(source, Path) else type(source).__name__
    model, number = front_end.graph(source, shapes or {}), max(map(len, quantization.calibration.values()), default=0)

    def measured() -> bytes:
        errors = errors_of_layers(folded_model(model, name, shapes or {}), name, quantization)
        return json.dumps([astuple(error) for error in errors]).encode()

    found = json.loads(apart(measured, name, model.ByteSize(), SECONDS_A_SAMPLE * number))
    return tuple(
        LayerError(layer, kind, tuple(weights), static, dynamic) for layer, kind, weights, static, dynamic in found
    )


def input_shapes(source: Any, shapes: Shapes) -> Inputs:
    """Shape and NumPy type of every input of a network, once `shapes` has fixed what it leaves open."""
    return front_end_of(source).inputs(source, shapes)


def reference(source: Any, values: Values) -> dict[str, Any]:
    """The outputs that the runtime of the network's own format computes; of a file in a process of its own."""
    source = Path(source) if isinstance(source, str) else source
    front_end = front_end_of(source)
    if not isinstance(source, Path) or not source.is_file():
        return front_end.reference(source, values)
    size = size_of(source) + sum(value.nbytes for value in values.values())
    return arrays_apart(lambda: front_end.reference(source, values), str(source), size)


def runtime_of(source: Any) -> str:
    """What the reference runtime is called."""
    return front_end_of(source).runtime


def front_end_of(source: Any) -> FrontEnd:
    """The front end that reads this kind of source; `ModelError` where none does."""
    for front_end in FRONT_ENDS:
        if front_end.accepts(source):
            return front_end
    what = f"its suffix '{source.suffix}'" if isinstance(source, Path) else f"a {type(source).__name__}"
    raise ModelError(
        str(source)[:200],
        what,
        "networks are .onnx, .pt2 and .tflite files, PyTorch modules, or Relax programs",
        "exporting it to ONNX",
    )
