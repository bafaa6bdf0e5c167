"""Front ends: from a network's file, or an object in memory, to workloads."""

from __future__ import annotations

import json
from dataclasses import astuple
from pathlib import Path
from typing import Any

import cyclecast._tvm as _door  # noqa: F401 - first of all, TVM must be one that works
from cyclecast._tvm._native import without_native_chatter
from cyclecast.errors import ModelError, UnsupportedError, is_of_tvm
from cyclecast.frontend._apart import apart, arrays_apart, limited_memory
from cyclecast.frontend._base import Bound, FrontEnd, Inputs, OnnxGraphs, Quantization, Scheme, Shapes, Values, size_of
from cyclecast.frontend._calibrate import LayerError
from cyclecast.frontend._calibrate import layer_errors as errors_of_layers
from cyclecast.frontend._extents import require_extents
from cyclecast.frontend._fold import bytes_of_constants
from cyclecast.frontend._graph import SECONDS_A_SAMPLE, folded_model
from cyclecast.frontend._legal import refusal, require_legal
from cyclecast.frontend._onnx import Onnx
from cyclecast.frontend._quantize import quantize
from cyclecast.frontend._relax import Relax
from cyclecast.frontend._samples import random_values, read_arrays, read_samples, require_channels
from cyclecast.frontend._tflite import TfLite
from cyclecast.frontend._torch import Torch
from cyclecast.workload import Network

__all__ = [
    "Bound",
    "FrontEnd",
    "Inputs",
    "LayerError",
    "Onnx",
    "Quantization",
    "Scheme",
    "Shapes",
    "bound",
    "front_end_of",
    "input_shapes",
    "layer_errors",
    "load",
    "load_quantised",
    "random_values",
    "read_arrays",
    "read_samples",
    "reference",
    "require_channels",
    "runtime_of",
]

FRONT_ENDS: tuple[FrontEnd, ...] = (Onnx(), TfLite(), Relax(), Torch())


def load(
    source: Any,
    *,
    shapes: Shapes | None = None,
    activation_bits: int = 8,
    weight_bits: int = 8,
    activations: Scheme | None = None,
    weights: Scheme = "symmetric",
    calibration: Values | None = None,
    constants: Values | None = None,
) -> Network:
    """Load a network, quantise what the device can compute to so many bits (2 to 16), and find its workloads.

    `source` is a path to an ONNX, TFLite or `torch.export` file, a PyTorch module or exported program, or a Relax
    `IRModule`. `shapes` fixes input shapes that it leaves open, by input name. Without `calibration` (samples
    for every input, along a leading axis) scales of activations are computed when the program runs, symmetric unless
    `activations` says 'affine'; with it they are affine unless it says 'symmetric'. What is quantised already keeps
    its integers. `constants` are values for inputs of an ONNX network that are none any more, by name: an `If` on them
    is gone. Raises `ModelError`.
    """
    scheme = activations or ("affine" if calibration else "symmetric")
    quantization = Quantization(activation_bits, weight_bits, scheme, weights, calibration or {})
    return load_quantised(bound(source, constants or {}), quantization, shapes=shapes)


def bound(source: Any, constants: Values) -> Any:
    """The network with these inputs bound to constants, which all functions here take like the network.

    Raises `UnsupportedError` where it is no ONNX network.
    """
    path = Path(source) if isinstance(source, str) else source
    if not constants:
        return path
    if not isinstance(path, Path) or not Onnx().accepts(path):
        what = path if isinstance(path, Path) else type(path).__name__
        raise UnsupportedError(str(what), "constants for inputs", "ONNX networks take them", "exporting it to ONNX")
    return Bound(path, constants)


def load_quantised(source: Any, quantization: Quantization, *, shapes: Shapes | None = None) -> Network:
    """`load`, with all that concerns quantisation in one value."""
    source = Path(source) if isinstance(source, str) else source
    program = front_end_of(source).load(source, shapes or {}, quantization)
    name = _name(source)
    require_extents(program, name)
    refused: BaseException | None = None
    with without_native_chatter(), limited_memory(name, bytes_of_constants(program)):
        try:
            whole, members, host, operators = quantize(program, quantization)
        except Exception as error:
            if not is_of_tvm(error):
                raise
            refused = refusal(program, name, error)
    if refused is not None:
        raise refused
    require_legal(whole, name)
    path = source.source if isinstance(source, Bound) else source
    return Network(path.stem if isinstance(path, Path) else name, members, host, whole, operators)


def _name(source: Any) -> str:
    return str(source) if isinstance(source, Path | Bound) else type(source).__name__


def layer_errors(source: Any, quantization: Quantization, *, shapes: Shapes | None = None) -> tuple[LayerError, ...]:
    """What static and dynamic quantisation do to each layer of an ONNX or PyTorch network, on calibration samples."""
    front_end = front_end_of(source)
    if not isinstance(front_end, OnnxGraphs):
        raise UnsupportedError(
            str(source), "errors of its layers", "ONNX and PyTorch networks are calibrated", "exporting it to ONNX"
        )
    name = _name(source)
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
    path = source.source if isinstance(source, Bound) else source
    if not isinstance(path, Path) or not path.is_file():
        return front_end.reference(source, values)
    size = size_of(path) + sum(value.nbytes for value in values.values())
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
