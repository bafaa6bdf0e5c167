"""TFLite files, float and quantised, read by TVM's importer; LiteRT is the reference."""

from __future__ import annotations

import gc
import json
import logging
import warnings
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import partial
from io import StringIO
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from tvm.ir import IRModule
from tvm.relax.frontend.tflite import from_tflite

from cyclecast._tvm._native import without_native_chatter
from cyclecast.errors import ModelError, UnsupportedError
from cyclecast.frontend._apart import apart, deep
from cyclecast.frontend._base import Inputs, Quantization, Shapes, Values, size_of
from cyclecast.frontend._words import first_line
from cyclecast.frontend.quantization._averages import with_rounded_averages
from cyclecast.frontend.readers._tflite_explicit import explicit
from cyclecast.frontend.readers._tflite_graph import TYPES, names_of, schema_of_files, text_of
from cyclecast.frontend.readers._tflite_importer import LEVER, Importer
from cyclecast.frontend.readers._tflite_sparse import densify

LOG = logging.getLogger(__name__)
IDENTIFIER = b"TFL3"
LARGEST_TENSOR = 1 << 28
"""Most values of a tensor; more indicates a wrong shape."""


@dataclass(frozen=True, slots=True)
class TfLite:
    """The front end for `.tflite` files."""

    @property
    def runtime(self) -> str:
        """Name of the reference runtime."""
        return "LiteRT"

    def accepts(self, source: Any) -> bool:
        """Whether the source is a `.tflite` file."""
        return isinstance(source, Path) and source.suffix == ".tflite"

    def inputs(self, source: Path, shapes: Shapes) -> Inputs:
        """Shape and type of the inputs of the file."""
        return _inputs_from(_apart(lambda: _inputs_as_bytes(_inputs_of(_read(source), source, shapes)), source))

    def load(self, source: Path, shapes: Shapes, quantization: Quantization) -> Any:
        """Import the file. Raises `ModelError`, which names the file; `UnsupportedError` for calibration."""
        if quantization.calibration:
            raise UnsupportedError(
                str(source), "calibration", "ONNX and PyTorch networks are calibrated", "a quantised .tflite file"
            )

        def prepared() -> bytes:
            model = _read(source)
            inputs = _inputs_of(model, source, shapes)
            _without_sparse_constants(model, source)
            explicit(model, str(source))
            content = _packed(model)
            _import(content, inputs, source)  # a trial of the import below, with limits
            return _inputs_as_bytes(inputs) + b"\n" + content

        inputs, _, content = _apart(prepared, source).partition(b"\n")
        return deep(lambda: _import(content, _inputs_from(inputs), source))

    def reference(self, source: Path, samples: Sequence[Values]) -> list[dict[str, Any]]:
        """Outputs of LiteRT."""
        try:
            with without_native_chatter():
                interpreter = _litert().Interpreter(model_path=str(source))
                interpreter.allocate_tensors()
            return [_outputs_of(interpreter, values) for values in samples]
        except (RuntimeError, ValueError, KeyError) as error:
            reason = first_line(error)
            raise ModelError(str(source), "LiteRT does not run it", reason, "--inputs with values that fit") from error


def _outputs_of(interpreter: Any, values: Values) -> dict[str, Any]:
    for detail in interpreter.get_input_details():
        interpreter.set_tensor(detail["index"], values[detail["name"]])
    interpreter.invoke()
    return {detail["name"]: interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()}


def _litert() -> Any:
    schema_of_files()
    from ai_edge_litert import interpreter

    return interpreter


def _read(source: Path) -> Any:
    """The file as a tree of objects."""
    schema = schema_of_files()
    if not source.is_file():
        demand = "it is a folder" if source.is_dir() else "there is no such file"
        raise ModelError(str(source), demand, "a network is a TFLite file", "another path")
    try:
        content = source.read_bytes()
    except OSError as error:
        raise ModelError(str(source), "it cannot be read", str(error.strerror), "another path") from error
    if content[4:8] != IDENTIFIER:
        raise ModelError(str(source), "it cannot be read as TFLite", "its identifier is not TFL3", "exporting it again")
    model = _unpacked(schema, content)
    if model is None or not model.subgraphs or not _is_whole(model):
        raise ModelError(
            str(source), "it cannot be read as TFLite", f"its {len(content)} bytes are damaged or cut off",
            "exporting it again",
        )  # fmt: skip
    if not len(model.subgraphs[0].inputs):
        raise UnsupportedError(str(source), "it has no inputs", "a network has at least one", "exporting it again")
    return model


def _unpacked(schema: Any, content: bytes) -> Any:
    try:
        return schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    except Exception:  # the format has no checks: any error of reading beyond the end
        return None


def _is_whole(model: Any) -> bool:
    """Whether all indices are valid, and no tensor is too large."""
    graph = model.subgraphs[0]
    lists = (model.operatorCodes, model.buffers, graph.tensors, graph.operators, graph.outputs)
    if any(part is None or not len(part) for part in lists):
        return False
    graph.inputs = [] if graph.inputs is None else graph.inputs
    for tensor in graph.tensors:
        tensor.shape = [] if tensor.shape is None else tensor.shape
    for operator in graph.operators:
        operator.inputs = [] if operator.inputs is None else operator.inputs
        operator.outputs = [] if operator.outputs is None else operator.outputs
    made = [*graph.inputs, *graph.outputs, *(index for operator in graph.operators for index in operator.outputs)]
    used = [index for operator in graph.operators for index in operator.inputs]
    codes = [operator.opcodeIndex for operator in graph.operators]
    return (
        all(0 <= index < len(graph.tensors) for index in made)
        and all(-1 <= index < len(graph.tensors) for index in used)  # -1 is an omitted input
        and all(0 <= code < len(model.operatorCodes) for code in codes)
        and all(tensor.name and 0 <= tensor.buffer < len(model.buffers) for tensor in graph.tensors)
        and all(prod(map(int, tensor.shape)) <= LARGEST_TENSOR for tensor in graph.tensors)
    )


def _apart(work: Callable[[], bytes], source: Path) -> bytes:
    schema_of_files()  # imported before the fork, for all later forks
    return apart(work, str(source), size_of(source))


def _inputs_of(model: Any, source: Path, shapes: Shapes) -> Inputs:
    graph = model.subgraphs[0]
    tensors = [graph.tensors[index] for index in graph.inputs]
    names = [text_of(tensor) for tensor in tensors]
    if len({*names}) < len(names):
        raise UnsupportedError(str(source), "two inputs of one name", "inputs are known by names", "exporting it again")
    for name in shapes:
        if name not in names:
            raise ModelError(
                f"{source}: input '{name}'", "there is no such input", f"there are {', '.join(names)}", "one of these"
            )
    return {name: _shape_and_type(tensor, source, shapes) for name, tensor in zip(names, tensors, strict=True)}


def _inputs_as_bytes(inputs: Inputs) -> bytes:
    return json.dumps([[name, shape, str(kind)] for name, (shape, kind) in inputs.items()]).encode()


def _inputs_from(content: bytes) -> Inputs:
    return {name: (tuple(shape), np.dtype(kind)) for name, shape, kind in json.loads(content)}


def _shape_and_type(tensor: Any, source: Path, shapes: Shapes) -> tuple[tuple[int, ...], Any]:
    """Shape and type of an input; an open extent has the value in the file, as LiteRT has it without a resize."""
    where, schema = f"{source}: input '{text_of(tensor)}'", schema_of_files()
    kind = names_of(schema.TensorType).get(tensor.type, "?")
    if kind not in TYPES:
        raise UnsupportedError(where, f"it is of type {kind}", "inputs are numbers", "exporting it with numbers")
    stored = tuple(int(extent) for extent in (tensor.shape if tensor.shape is not None else ()))
    given = tuple(int(extent) for extent in shapes.get(text_of(tensor), stored))
    if given != stored:
        shape = ",".join(map(str, stored))
        raise UnsupportedError(
            where, f"a shape of {given}", f"the file fixes {shape}", f"--shape {text_of(tensor)}={shape}"
        )
    if any(extent < 1 for extent in stored) or prod(stored) > LARGEST_TENSOR:
        raise UnsupportedError(where, f"a shape of {stored}", "extents are 1 to 2^28 values in all", "another network")
    return stored, np.dtype(TYPES[kind])


def _without_sparse_constants(model: Any, source: Path) -> None:
    schema = schema_of_files()
    kinds = {number: TYPES[name] for number, name in names_of(schema.TensorType).items() if name in TYPES}
    densify(model, kinds, schema.BuiltinOperator.DENSIFY, str(source))


def _import(content: bytes, inputs: Inputs, source: Path) -> Any:
    shapes, watched = {name: shape for name, (shape, _) in inputs.items()}, partial(Importer, source=str(source))
    with redirect_stdout(StringIO()), without_native_chatter(), warnings.catch_warnings(action="ignore"):
        try:
            program = from_tflite(_opened(content), shapes, op_converter=watched)
            return with_rounded_averages(IRModule({"main": program["main"].without_attr("params")}))
        except UnsupportedError as error:
            parts = error.where, error.demand, error.bound, error.lever
        except Exception as error:  # any error outside of operators
            LOG.debug("the importer failed", exc_info=True)
            parts = str(source), "it cannot be imported", first_line(error), LEVER
        gc.collect()  # objects of the importer print complaints at their end; here, the output is discarded
    raise UnsupportedError(*parts)


def _packed(model: Any) -> bytes:
    import flatbuffers

    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), IDENTIFIER)
    return bytes(builder.Output())


def _opened(content: bytes) -> Any:
    """The model as an object of the importer's package."""
    import tflite

    return tflite.Model.GetRootAsModel(content, 0)
