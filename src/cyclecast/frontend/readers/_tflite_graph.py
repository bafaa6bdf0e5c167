"""A TFLite file as a tree of objects that can be read and changed."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from cyclecast.errors import OptionError
from cyclecast.frontend._words import shortened

INSTALL = "pip install tflite==2.18.0 ai-edge-litert==2.3.0"
TYPES = {"FLOAT32": "float32", "FLOAT64": "float64", "INT8": "int8", "UINT8": "uint8", "INT16": "int16"}
TYPES |= {"INT32": "int32", "INT64": "int64", "BOOL": "bool", "FLOAT16": "float16"}


def schema_of_files() -> Any:
    """The classes of the format. Raises `OptionError` if the packages are missing."""
    try:
        import tflite  # noqa: F401 - TVM's importer asks for it
        from ai_edge_litert import schema_py_generated
    except ImportError as error:
        raise OptionError("TFLite networks", str(error), "tflite and LiteRT read them", INSTALL) from error
    return schema_py_generated


def names_of(enumeration: Any) -> dict[int, str]:
    """Names of an enumeration's members, by number."""
    return {value: name for name, value in vars(enumeration).items() if isinstance(value, int)}


def text_of(tensor: Any) -> str:
    """The name of a tensor."""
    return str(tensor.name.decode(errors="replace"))


class Graph:
    """The first subgraph of a TFLite file; tensors and operators are known by index."""

    def __init__(self, model: Any) -> None:
        self.schema, self.model, self.graph = schema_of_files(), model, model.subgraphs[0]
        self.names, self.types = names_of(self.schema.BuiltinOperator), names_of(self.schema.TensorType)
        self.tensors = self.graph.tensors
        self._codes: dict[str, int] = {}

    def name(self, operator: Any) -> str:
        """Name of an operator's kind."""
        code = self.model.operatorCodes[operator.opcodeIndex]
        number = int(max(code.builtinCode, code.deprecatedBuiltinCode))
        name = self.names.get(number, f"number {number}")
        return f"CUSTOM {(code.customCode or b'?').decode(errors='replace')}" if name == "CUSTOM" else name

    def where(self, operator: Any) -> str:
        """Name of an operator for errors: its first result and its kind."""
        results = [text_of(self.tensors[index]) for index in operator.outputs]
        return f"node '{shortened(next(iter(results), '?'))}' ({shortened(self.name(operator))})"

    def makers(self) -> dict[int, Any]:
        """The operator that computes each tensor, by the tensor's index."""
        return {int(index): operator for operator in self.graph.operators for index in operator.outputs}

    def shape(self, index: int) -> tuple[int, ...]:
        """Shape of a tensor in the file."""
        return tuple(map(int, self.tensors[index].shape))

    def kind(self, index: int) -> str:
        """Type of a tensor's values, as the format names it."""
        return self.types.get(self.tensors[index].type, "?")

    def is_quantised(self, index: int) -> bool:
        """Whether a tensor has a scale."""
        scales = self.tensors[index].quantization if index >= 0 else None
        return scales is not None and scales.scale is not None and len(scales.scale) > 0

    def values(self, index: int, makers: dict[int, Any]) -> Any:
        """Constant values of a tensor, with float16 constants converted to float32; None if they are computed."""
        maker = makers.get(index)
        if maker is not None:
            is_real = self.name(maker) == "DEQUANTIZE" and self.kind(int(maker.inputs[0])) == "FLOAT16"
            found = self.values(int(maker.inputs[0]), makers) if is_real else None
            return None if found is None else found.astype("float32")
        data, kind = self.model.buffers[self.tensors[index].buffer].data, TYPES.get(self.kind(index))
        if data is None or not len(data) or kind is None:
            return None
        found = np.frombuffer(np.asarray(data, "uint8").tobytes(), kind)
        return found.reshape(self.shape(index)) if len(found) == prod(self.shape(index)) else None

    def tensor(self, name: bytes, shape: Sequence[int], like: int) -> int:
        """Index of a new tensor with the type and scales of another."""
        tensor, other = self.schema.TensorT(), self.tensors[like]
        tensor.name, tensor.shape, tensor.type = name, list(shape), other.type
        tensor.quantization = other.quantization
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def constant(self, name: bytes, values: Any) -> int:
        """Index of a new constant tensor."""
        buffer, tensor = self.schema.BufferT(), self.schema.TensorT()
        buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), "uint8")
        self.model.buffers.append(buffer)
        tensor.name, tensor.shape, tensor.buffer = name, list(values.shape), len(self.model.buffers) - 1
        tensor.type = getattr(self.schema.TensorType, str(values.dtype).upper())
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def operator(self, name: str, inputs: Sequence[int], output: int, options: str = "", **fields: Any) -> Any:
        """A new operator, not yet in the graph; `options` names its options class, `fields` are their values."""
        if name not in self._codes:
            code = self.schema.OperatorCodeT()
            code.builtinCode = getattr(self.schema.BuiltinOperator, name)
            code.deprecatedBuiltinCode = min(code.builtinCode, 127)
            self.model.operatorCodes.append(code)
            self._codes[name] = len(self.model.operatorCodes) - 1
        operator = self.schema.OperatorT()
        operator.opcodeIndex, operator.inputs, operator.outputs = self._codes[name], list(inputs), [output]
        if options:
            operator.builtinOptionsType = getattr(self.schema.BuiltinOptions, options)
            operator.builtinOptions = getattr(self.schema, f"{options}T")()
            for field, value in fields.items():
                setattr(operator.builtinOptions, field, value)
        return operator
