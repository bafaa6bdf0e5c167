"""TFLite files, real and quantised, by TVM's importer; LiteRT is the reference.

Arithmetic on shapes is taken out before the import: with fixed shapes every tensor says its own.
"""

from __future__ import annotations

import gc
import json
import warnings
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from itertools import chain, count
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from tvm.ir import IRModule
from tvm.relax.frontend.tflite import from_tflite
from tvm.relax.frontend.tflite.tflite_frontend import OperatorConverter

from cyclecast._tvm._native import without_native_chatter
from cyclecast.errors import ModelError, OperatorsError, OptionError, Refused, UnsupportedError
from cyclecast.frontend._apart import apart, deep
from cyclecast.frontend._averages import with_rounded_averages
from cyclecast.frontend._base import Inputs, Quantization, Shapes, Values, require_narrow, size_of
from cyclecast.frontend._graph import MOST_NODES
from cyclecast.frontend._sparse import densify
from cyclecast.frontend._words import first_line, shortened

INSTALL = "pip install tflite==2.18.0 ai-edge-litert==2.3.0"
IDENTIFIER = b"TFL3"
LARGEST_TENSOR = 1 << 28
"""Values; more is a mistake in a shape."""
SCALING = ("QUANTIZE", "DEQUANTIZE")
TYPES = {"FLOAT32": "float32", "FLOAT64": "float64", "INT8": "int8", "UINT8": "uint8", "INT16": "int16"}
TYPES |= {"INT32": "int32", "INT64": "int64", "BOOL": "bool", "FLOAT16": "float16"}


@dataclass(frozen=True, slots=True)
class TfLite:
    """The front end for `.tflite` files."""

    @property
    def runtime(self) -> str:
        """Its reference."""
        return "LiteRT"

    def accepts(self, source: Any) -> bool:
        """Files by their suffix."""
        return isinstance(source, Path) and source.suffix == ".tflite"

    def inputs(self, source: Path, shapes: Shapes) -> Inputs:
        """The inputs of the file."""
        return _inputs_from(_apart(lambda: _inputs_as_bytes(_inputs_of(_read(source), source, shapes)), source))

    def load(self, source: Path, shapes: Shapes, quantization: Quantization) -> Any:
        """Import the file; every failure is a `ModelError` that names it."""
        if quantization.calibration:
            raise UnsupportedError(
                str(source), "calibration", "ONNX and PyTorch networks are calibrated", "a quantised .tflite file"
            )

        def prepared() -> bytes:
            model = _read(source)
            inputs = _inputs_of(model, source, shapes)
            _without_shape_arithmetic(model)
            _without_sparse_constants(model, source)
            content = _explicit(model, source)
            _import(content, inputs, source)  # the same that is done below, with limits
            return _inputs_as_bytes(inputs) + b"\n" + content

        inputs, _, content = _apart(prepared, source).partition(b"\n")
        return deep(lambda: _import(content, _inputs_from(inputs), source))

    def reference(self, source: Path, samples: Sequence[Values]) -> list[dict[str, Any]]:
        """What LiteRT computes."""
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


def _schema() -> Any:
    try:
        import tflite  # noqa: F401 - TVM's importer asks for it
        from ai_edge_litert import schema_py_generated
    except ImportError as error:
        raise OptionError("TFLite networks", str(error), "tflite and LiteRT read them", INSTALL) from error
    return schema_py_generated


def _litert() -> Any:
    _schema()
    from ai_edge_litert import interpreter

    return interpreter


def _read(source: Path) -> Any:
    """The file as a tree of objects."""
    schema = _schema()
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
    return model


def _unpacked(schema: Any, content: bytes) -> Any:
    try:
        return schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    except Exception:  # the format has no checks: whatever reading past an end raises
        return None


def _is_whole(model: Any) -> bool:
    """Whether every index points at something, and no tensor is larger than any network's."""
    graph = model.subgraphs[0]
    lists = (model.operatorCodes, model.buffers, graph.tensors, graph.operators, graph.inputs, graph.outputs)
    if any(part is None or not len(part) for part in lists):
        return False
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
        and all(-1 <= index < len(graph.tensors) for index in used)  # -1 is an input that is left out
        and all(0 <= code < len(model.operatorCodes) for code in codes)
        and all(tensor.name and 0 <= tensor.buffer < len(model.buffers) for tensor in graph.tensors)
        and all(prod(map(int, tensor.shape)) <= LARGEST_TENSOR for tensor in graph.tensors)
    )


def _apart(work: Callable[[], bytes], source: Path) -> bytes:
    _schema()  # is imported once and for all
    return apart(work, str(source), size_of(source))


def _inputs_of(model: Any, source: Path, shapes: Shapes) -> Inputs:
    graph = model.subgraphs[0]
    tensors = [graph.tensors[index] for index in graph.inputs]
    names = [_name(tensor) for tensor in tensors]
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


def _name(tensor: Any) -> str:
    return str(tensor.name.decode(errors="replace"))


def _shape_and_type(tensor: Any, source: Path, shapes: Shapes) -> tuple[tuple[int, ...], Any]:
    """The shape of an input; what the file leaves open stays as the file has it when run without a resize."""
    where, schema = f"{source}: input '{_name(tensor)}'", _schema()
    kind = _names(schema.TensorType).get(tensor.type, "?")
    if kind not in TYPES:
        raise UnsupportedError(where, f"it is of type {kind}", "inputs are numbers", "exporting it with numbers")
    stored = tuple(int(extent) for extent in (tensor.shape if tensor.shape is not None else ()))
    given = tuple(int(extent) for extent in shapes.get(_name(tensor), stored))
    if given != stored:
        shape = ",".join(map(str, stored))
        raise UnsupportedError(
            where, f"a shape of {given}", f"the file fixes {shape}", f"--shape {_name(tensor)}={shape}"
        )
    if any(extent < 1 for extent in stored) or prod(stored) > LARGEST_TENSOR:
        raise UnsupportedError(where, f"a shape of {stored}", "extents are 1 to 2^28 values in all", "another network")
    return stored, np.dtype(TYPES[kind])


def _without_shape_arithmetic(model: Any) -> None:
    """Reshapes take the shapes of their results; what computed these is not used any more and goes."""
    schema, graph = _schema(), model.subgraphs[0]
    for operator in graph.operators:
        if len(operator.outputs) and _code(model.operatorCodes[operator.opcodeIndex]) == schema.BuiltinOperator.RESHAPE:
            operator.inputs = operator.inputs[:1]
            operator.builtinOptionsType = schema.BuiltinOptions.ReshapeOptions
            operator.builtinOptions = schema.ReshapeOptionsT()
            operator.builtinOptions.newShape = list(graph.tensors[operator.outputs[0]].shape)
    while True:
        used = {*map(int, graph.outputs), *(int(i) for operator in graph.operators for i in operator.inputs)}
        live = [operator for operator in graph.operators if used & set(map(int, operator.outputs))]
        if len(live) == len(graph.operators):
            return
        graph.operators = live


def _without_sparse_constants(model: Any, source: Path) -> None:
    types, schema = _names(_schema().TensorType), _schema()
    kinds = {number: TYPES[name] for number, name in types.items() if name in TYPES}
    densify(model, kinds, schema.BuiltinOperator.DENSIFY, str(source))


class _Explicit:
    """Puts operators between real and quantised values where the importer takes only real ones."""

    def __init__(self, model: Any, supported: frozenset[str]) -> None:
        self.schema, self.model, self.graph = _schema(), model, model.subgraphs[0]
        self.names = _names(self.schema.BuiltinOperator)
        self.supported = supported
        self.codes: dict[str, int] = {}

    def rewrite(self) -> None:
        """In place."""
        operators = []
        for operator in self.graph.operators:
            before, after = self._around(operator)
            operators += [*before, operator, *after]
        self.graph.operators = operators

    def _around(self, operator: Any) -> tuple[list[Any], list[Any]]:
        name = self.names[_code(self.model.operatorCodes[operator.opcodeIndex])]
        inputs = [index for index in map(int, operator.inputs) if self._is_quantised(index)]
        outputs = [index for index in map(int, operator.outputs) if self._is_quantised(index)]
        hybrid = not outputs and len(operator.inputs) > 0 and not self._is_quantised(int(operator.inputs[0]))
        taken = name in self.supported and not hybrid
        if taken or name in SCALING or not inputs + outputs:
            return [], []
        real = {index: self._real(index) for index in {*inputs, *outputs}}
        operator.inputs = [real.get(int(index), int(index)) for index in operator.inputs]
        operator.outputs = [real.get(int(index), int(index)) for index in operator.outputs]
        before = [self._operator("DEQUANTIZE", index, real[index]) for index in dict.fromkeys(inputs)]
        return before, [self._operator("QUANTIZE", real[index], index) for index in outputs]

    def _is_quantised(self, index: int) -> bool:
        if index < 0:
            return False
        scales = self.graph.tensors[index].quantization
        return scales is not None and scales.scale is not None and len(scales.scale) > 0

    def _real(self, index: int) -> int:
        """A tensor of real values like a quantised one."""
        like, tensor = self.graph.tensors[index], self.schema.TensorT()
        tensor.name, tensor.shape, tensor.type = like.name + b":real", like.shape, self.schema.TensorType.FLOAT32
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def _operator(self, name: str, source: int, target: int) -> Any:
        if name not in self.codes:
            code = self.schema.OperatorCodeT()
            code.builtinCode = code.deprecatedBuiltinCode = getattr(self.schema.BuiltinOperator, name)
            self.model.operatorCodes.append(code)
            self.codes[name] = len(self.model.operatorCodes) - 1
        operator = self.schema.OperatorT()
        operator.opcodeIndex, operator.inputs, operator.outputs = self.codes[name], [source], [target]
        return operator


def _names(enumeration: Any) -> dict[int, str]:
    return {value: name for name, value in vars(enumeration).items() if isinstance(value, int)}


def _code(operator_code: Any) -> int:
    return int(max(operator_code.builtinCode, operator_code.deprecatedBuiltinCode))


def _require_operators(model: Any, source: Path, known: set[str]) -> None:
    """Name every operator that the importer does not know, with how many there are."""
    names, refused = _names(_schema().BuiltinOperator), defaultdict[str, list[str]](list)
    graph = model.subgraphs[0]
    for operator in graph.operators:
        code = model.operatorCodes[operator.opcodeIndex]
        name = names.get(_code(code), f"number {_code(code)}")
        custom = (code.customCode or b"?").decode(errors="replace") if name == "CUSTOM" else ""
        if custom or name not in known:
            results = [_name(graph.tensors[index]) for index in operator.outputs]
            refused[f"CUSTOM {custom}" if custom else name] += results[:1] or ["?"]
    if refused:
        advice = "export it to ONNX, or without them"
        rows = [Refused(name, len(nodes), tuple(nodes[:MOST_NODES]), advice) for name, nodes in refused.items()]
        raise OperatorsError(str(source), sorted(rows))


def _explicit(model: Any, source: Path) -> bytes:
    """The file with operators that the importer takes, and none that it does not know."""
    for tensor in model.subgraphs[0].tensors:
        require_narrow(f"{source}: tensor '{shortened(_name(tensor))}'", len(tensor.shape))
    for place, operator in enumerate(model.subgraphs[0].operators):
        require_narrow(f"{source}: operator {place}", 0, max(len(operator.inputs), len(operator.outputs)))
    _require_operators(model, source, set(OperatorConverter(_opened(_packed(model)), None, None, None).convert_map))
    _Explicit(model, frozenset(OperatorConverter._SUPPORTED_QUANTIZED_OPS)).rewrite()
    _name_apart(model.subgraphs[0])
    return _packed(model)


def _name_apart(graph: Any) -> None:
    """The importer goes by names, the format by numbers: two tensors of one name would be one."""
    used: set[bytes] = set()
    first = [*map(int, graph.inputs), *map(int, graph.outputs)]
    for place in dict.fromkeys([*first, *range(len(graph.tensors))]):
        tensor, name = graph.tensors[place], graph.tensors[place].name
        more = (name + b":%d" % number for number in count(1))
        tensor.name = next(each for each in chain([name], more) if each not in used)
        used.add(tensor.name)


def _import(content: bytes, inputs: Inputs, source: Path) -> Any:
    with redirect_stdout(StringIO()), without_native_chatter(), warnings.catch_warnings(action="ignore"):
        try:
            program = from_tflite(_opened(content), {name: shape for name, (shape, _) in inputs.items()})
            return with_rounded_averages(IRModule({"main": program["main"].without_attr("params")}))
        except Exception as error:  # whatever an operator's converter meets
            reason = first_line(error)
        gc.collect()  # what the importer leaves behind complains when it goes: here, where nobody hears it
    raise UnsupportedError(str(source), "an operator cannot be imported", reason, "exporting it to ONNX")


def _packed(model: Any) -> bytes:
    import flatbuffers

    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), IDENTIFIER)
    return bytes(builder.Output())


def _opened(content: bytes) -> Any:
    """The model as the importer takes it."""
    import tflite

    return tflite.Model.GetRootAsModel(content, 0)
