"""Front ends: from a network's file, or an object in memory, to workloads."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx

import cyclecast._tvm as _door  # noqa: F401 - first of all, TVM must be one that works
from cyclecast import plugins
from cyclecast._tvm._native import without_native_chatter
from cyclecast.device import Device
from cyclecast.errors import ModelError, OptionError, UnsupportedError, is_of_tvm
from cyclecast.frontend._apart import apart, arrays_apart, deep, limited_memory
from cyclecast.frontend._base import (
    Bound,
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
from cyclecast.frontend._samples import as_samples, random_values, read_arrays, read_samples, require_channels
from cyclecast.frontend.graphs._indices import most_index
from cyclecast.frontend.graphs._nodes import bytes_of
from cyclecast.frontend.host._extents import require_extents
from cyclecast.frontend.host._legal import refusal, require_legal
from cyclecast.frontend.host._relax_constants import bytes_of_constants
from cyclecast.frontend.quantization._calibrate import LayerError, calibrate
from cyclecast.frontend.quantization._calibrate import layer_errors as errors_of_layers
from cyclecast.frontend.quantization._exposed import Departure, departures, expose
from cyclecast.frontend.quantization._quantize import quantize
from cyclecast.frontend.readers._onnx import Onnx
from cyclecast.frontend.readers._onnx_graph import SECONDS_A_SAMPLE, folded_model
from cyclecast.frontend.readers._onnx_importer import imported
from cyclecast.frontend.readers._relax import Relax
from cyclecast.frontend.readers._tflite import TfLite
from cyclecast.frontend.readers._torch import Torch
from cyclecast.network import Network

__all__ = [
    "Bound",
    "Departure",
    "Exposed",
    "FrontEnd",
    "Inputs",
    "LayerError",
    "Onnx",
    "Quantization",
    "Scheme",
    "Shapes",
    "Values",
    "activations_of",
    "arrays_apart",
    "as_samples",
    "bits_of",
    "bound",
    "exposed",
    "front_end_of",
    "input_shapes",
    "layer_errors",
    "load",
    "load_quantised",
    "random_inputs",
    "random_values",
    "read_arrays",
    "read_samples",
    "reference",
    "references",
    "require_channels",
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
    constants: Values | None = None,
    front_ends: Sequence[FrontEnd] = (),
) -> Network:
    """Import and quantise a network, and extract its workloads.

    `source` is a path to an ONNX, TFLite or `torch.export` file, a PyTorch module or exported program, or a Relax
    `IRModule`. `device` sets the number of bits; without one, `activation_bits` and `weight_bits` set it (2 to 16,
    default 8). `shapes` gives a shape to each input, by name, whose shape the source leaves open. `calibration` holds
    samples for every input along a leading axis; without it, the scales of activations are computed at run time.
    `activations` are affine by default, and symmetric for devices whose sums saturate or whose inputs have a sign and a
    magnitude. A network that is quantised already keeps its integers. `constants` binds inputs of an ONNX network to
    values, by name; this resolves an `If` that depends on them. The first front end that accepts the source reads it,
    in this order: `front_ends`, the built-in ones, those that installed packages announce. Raises `ModelError` for a
    network that cannot be read, and `OptionError` for bits or a scheme that the device does not support.
    """
    taken = bits_of(device) if device else (8, 8)
    bits = [
        _agreed(what, requested, value, device)
        for what, requested, value in zip(BITS, (activation_bits, weight_bits), taken, strict=True)
    ]
    scheme = activations_of(device, activations) if device else activations or "affine"
    quantization = Quantization(bits[0], bits[1], scheme, weights, calibration or {})
    return load_quantised(bound(source, constants or {}), quantization, shapes=shapes, front_ends=front_ends)


def bound(source: Any, constants: Values) -> Any:
    """A source with constants bound to some inputs; all functions of this module take it like the network itself.

    Raises `UnsupportedError` if the source is no ONNX file.
    """
    path = Path(source) if isinstance(source, str) else source
    if not constants:
        return path
    if not isinstance(path, Path) or not Onnx().accepts(path):
        what = path if isinstance(path, Path) else type(path).__name__
        raise UnsupportedError(str(what), "constants for inputs", "ONNX networks take them", "exporting it to ONNX")
    return Bound(path, constants)


def _agreed(what: str, requested: int | None, value: int, device: Device | None) -> int:
    """The requested number of bits, or the device's; `OptionError` if they contradict each other."""
    if device and requested not in (None, value):
        raise OptionError(what, f"{requested}", f"{device.name} takes {value}", "leaving it out, or another device")
    return value if requested is None else requested


def load_quantised(
    source: Any, quantization: Quantization, *, shapes: Shapes | None = None, front_ends: Sequence[FrontEnd] = ()
) -> Network:
    """Import a network like `load`, with all options of quantisation in one value."""
    source = Path(source) if isinstance(source, str) else source
    front_end = front_end_of(source, front_ends)
    return _network(front_end.load(source, shapes or {}, quantization), source, quantization)


def _network(program: Any, source: Any, quantization: Quantization) -> Network:
    """Quantise the program of a front end and extract its workloads."""
    name = _name(source)
    require_extents(program, name)
    refused: BaseException | None = None
    with without_native_chatter(), limited_memory(name, bytes_of_constants(program)):
        try:
            whole, members, host, operators, digital = deep(lambda: quantize(program, quantization))
        except Exception as error:
            if not is_of_tvm(error):
                raise
            refused = refusal(program, name, error)
    if refused is not None:
        raise refused
    require_legal(whole, name)
    path = source.source if isinstance(source, Bound) else source
    return Network(path.stem if isinstance(path, Path) else name, members, host, whole, operators, digital)


def _name(source: Any) -> str:
    return str(source) if isinstance(source, Path | Bound) else type(source).__name__


def layer_errors(source: Any, quantization: Quantization, *, shapes: Shapes | None = None) -> tuple[LayerError, ...]:
    """Quantisation error of each layer of an ONNX or PyTorch network on calibration samples, static and dynamic.

    Raises `UnsupportedError` for other networks.
    """
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

    found = json.loads(apart(measured, name, bytes_of(model), SECONDS_A_SAMPLE * number))
    return tuple(
        LayerError(layer, kind, tuple(weights), static, dynamic) for layer, kind, weights, static, dynamic in found
    )


@dataclass(frozen=True, slots=True)
class Exposed:
    """A network that has its inner tensors as outputs, as far as memory allows."""

    network: Network
    model: Any
    """Its ONNX graph with folded constants; the outputs of graph and network are the same."""
    name: str
    """Name of the source, for errors."""
    outputs: int
    """Number of outputs of the original network; they come first."""

    def departures(self, values: Values, quantization: Quantization) -> list[Departure]:
        """Compare each operator with its reference, on the inputs and outputs that the network's program computed."""

        def found() -> bytes:
            return json.dumps([asdict(each) for each in departures(self.model, values, quantization)]).encode()

        size = bytes_of(self.model) + sum(value.nbytes for value in values.values())
        return [Departure(**each) for each in json.loads(apart(found, self.name, size, SECONDS_A_SAMPLE))]


def exposed(source: Any, quantization: Quantization, *, shapes: Shapes | None = None) -> Exposed:
    """Import an ONNX or PyTorch network with its inner tensors as outputs, quantised as in `load_quantised`."""
    source = Path(source) if isinstance(source, str) else source
    front_end, name = front_end_of(source), _name(source)
    if not isinstance(front_end, OnnxGraphs):
        raise UnsupportedError(name, "its operators one by one", "ONNX and PyTorch networks", "exporting it to ONNX")
    model = front_end.graph(source, shapes or {})

    def prepared() -> bytes:
        whole = folded_model(model, name, shapes or {})
        if quantization.calibration:
            calibrate(whole, name, quantization)
        expose(whole)
        return bytes(whole.SerializeToString())

    seconds = SECONDS_A_SAMPLE * max(map(len, quantization.calibration.values()), default=0)
    whole = onnx.load_from_string(apart(prepared, name, bytes_of(model), seconds))
    network = _network(deep(lambda: imported(whole, name)), source, quantization)
    return Exposed(network, whole, name, len(model.graph.output))


def input_shapes(source: Any, shapes: Shapes) -> Inputs:
    """Shape and NumPy type of every input, by name; `shapes` fixes open shapes."""
    return front_end_of(source).inputs(source, shapes)


def reference(source: Any, values: Values) -> dict[str, Any]:
    """Outputs of the reference runtime of the network's format, by name; for a file, computed in a child process."""
    return {name: found[0] for name, found in references(source, [values]).items()}


def references(source: Any, samples: Sequence[Values]) -> dict[str, Any]:
    """Outputs of the reference runtime for several samples, by name, stacked along a new first axis."""
    source = Path(source) if isinstance(source, str) else source
    front_end = front_end_of(source)

    def computed() -> dict[str, Any]:
        found = front_end.reference(source, samples)
        return {name: np.stack([outputs[name] for outputs in found]) for name in found[0]}

    path = source.source if isinstance(source, Bound) else source
    if not isinstance(path, Path) or not path.is_file():
        return computed()
    size = size_of(path) + sum(value.nbytes for values in samples for value in values.values())
    return arrays_apart(
        computed, str(source), size, SECONDS_A_SAMPLE * len(samples), f"running it in {front_end.runtime}"
    )


def random_inputs(
    source: Any, inputs: Inputs, seed: int = 0, ranges: Mapping[str, tuple[float, float]] | None = None
) -> dict[str, Any]:
    """A random value for each input: within its range in `ranges`, or a valid index if it indexes a table."""
    generator, bounds = np.random.default_rng(seed), dict(ranges or {})
    if any(np.issubdtype(kind, np.integer) and name not in bounds for name, (_, kind) in inputs.items()):
        found = _most_index(source, {name: shape for name, (shape, _) in inputs.items()})
        bounds |= {name: (0, most) for name, most in found.items() if name not in bounds}
    return {name: random_values(generator, *entry, bounds.get(name)) for name, entry in inputs.items()}


def _most_index(source: Any, shapes: Shapes) -> dict[str, int]:
    """The largest valid index of each input that indexes a table, if it is known."""
    front_end = front_end_of(Path(source) if isinstance(source, str) else source)
    if not isinstance(front_end, OnnxGraphs):
        return {}
    model, name = front_end.graph(source, shapes), _name(source)
    found: dict[str, int] = json.loads(apart(lambda: json.dumps(most_index(model)).encode(), name, bytes_of(model)))
    return found


def runtime_of(source: Any) -> str:
    """Name of the reference runtime for a source."""
    return front_end_of(source).runtime


def front_end_of(source: Any, others: Sequence[FrontEnd] = ()) -> FrontEnd:
    """The first front end that accepts the source; `others` are asked first. Raises `ModelError` if none does."""
    for front_end in (*others, *FRONT_ENDS):
        if front_end.accepts(source):
            return front_end
    announced = cast(list[FrontEnd], plugins.announced("frontend"))
    for front_end in announced:
        if front_end.accepts(source):
            return front_end
    what = f"its suffix '{source.suffix}'" if isinstance(source, Path) else f"a {type(source).__name__}"
    raise ModelError(
        str(source)[:200],
        what,
        "networks are .onnx, .pt2 and .tflite files, PyTorch modules, or Relax programs",
        "exporting it to ONNX",
    )
