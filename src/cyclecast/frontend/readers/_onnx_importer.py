"""TVM's ONNX importer with checks: an ignored attribute or a wrong result is an error that names the node.

TVM converts each operator separately. A converter may ignore an attribute, make fewer outputs, or make them of another
shape or type. So each attribute that differs from the standard's default must be read, and each result must have the
shape and type that ONNX infers.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import tvm
import tvm_ffi
from onnx import TensorProto, external_data_helper, helper
from tvm import relax, topi
from tvm.relax.frontend.onnx.onnx_frontend import ONNXGraphImporter

from cyclecast._tvm._native import without_native_chatter
from cyclecast.errors import UnsupportedError
from cyclecast.frontend._words import first_line
from cyclecast.frontend.graphs._nodes import inferred_types, version_of

LOG = logging.getLogger(__name__)
LEVER = "exporting the network without it"
CONSTANT_LEVER = "exporting it as a constant, or --constant if it is an input of the network"
WITHOUT_EFFECT = {
    ("BatchNormalization", "momentum"),
    ("BatchNormalization", "spatial"),
    ("Dropout", "ratio"),
    ("Dropout", "seed"),
    ("MaxPool", "storage_order"),
    ("Split", "num_outputs"),
}
"""Attributes that do not change the values of the first output, or that follow from the shapes of the outputs."""
TYPES = {
    *(TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.BOOL),
    *(TensorProto.INT8, TensorProto.INT16, TensorProto.INT32, TensorProto.INT64),
    *(TensorProto.UINT8, TensorProto.UINT16, TensorProto.UINT32, TensorProto.UINT64),
}
"""Types of values that TVM represents as ONNX does."""
COUNTED = ("NonMaxSuppression",)
"""Operators whose number of result rows is known only at run time; TVM's type has the maximum."""
CONSTANT = {"ConstantOfShape": (0,), "Expand": (1,), "NonMaxSuppression": (2, 3, 4)}
"""Places of operands that the importer misreads if they are computed."""


def imported(model: Any, source: str, weights: Path | None = None, *, rehearsed: bool = False) -> Any:
    """The model as a Relax program; `weights` is the file of its external weights.

    With `rehearsed`, large float weights are replaced by zeros, which need neither time nor memory. Raises
    `UnsupportedError`, which names the node.
    """
    version = version_of(model)
    with redirect_stdout(StringIO()), without_native_chatter(), warnings.catch_warnings(action="ignore"):
        try:
            return _Importer(model, source, weights, rehearsed).from_onnx(model.graph, version)
        except UnsupportedError as error:
            reason = error
        except Exception as error:  # any error outside of nodes
            LOG.debug("the importer failed", exc_info=True)
            reason = UnsupportedError(source, "it cannot be imported", first_line(error), LEVER)
    # A new error, raised here: a cause would keep the importer's state alive, and that prints complaints at its end.
    raise UnsupportedError(reason.where, reason.demand, reason.bound, reason.lever)


class _Importer(ONNXGraphImporter):  # type: ignore[misc] # TVM is untyped
    """TVM's importer, which checks the result of each node."""

    def __init__(self, model: Any, source: str, weights: Path | None, rehearsed: bool) -> None:
        super().__init__(None, "float32")
        self.source, self.weights, self.rehearsed = source, weights, rehearsed
        self.types, self.constants = inferred_types(model), {part.name for part in model.graph.initializer}
        self.bb = _NodeBuilder()
        self.watched = _WatchedImporter({})

    def _construct_nodes(self, graph: Any) -> None:
        for node in graph.node:
            where = f"{self.source}: node '{node.name or next(iter(node.output), '?')}' ({node.op_type})"
            _require_constant(node, self.constants, where)
            _require_types(node, self.types, where)
            try:
                super()._construct_nodes(onnx.GraphProto(node=[node]))
            except Exception as error:
                LOG.debug("the importer failed", exc_info=True)
                raise UnsupportedError(where, "it cannot be imported", first_line(error), LEVER) from None
            if node.op_type != "If":
                _require_read(node, self.watched, self.opset, where)
            for name in filter(None, node.output if node.op_type not in COUNTED else ()):
                _require_equal(self._nodes.get(name), self.types.get(name), where)

    def _parse_array(self, tensor_proto: Any) -> Any:
        if self.weights is None or not external_data_helper.uses_external_data(tensor_proto):
            return super()._parse_array(tensor_proto)
        kind, shape = helper.tensor_dtype_to_np_dtype(tensor_proto.data_type), tuple(tensor_proto.dims)
        if self.rehearsed and np.issubdtype(kind, np.floating):
            return tvm_ffi.from_dlpack(np.zeros(shape, kind))
        place = external_data_helper.ExternalDataInfo(tensor_proto).offset or 0
        return tvm.runtime.tensor(np.memmap(self.weights, kind, "r", place, shape))

    def _parse_attr(self, attr_proto: Any) -> Any:
        self.watched = _WatchedImporter(super()._parse_attr(attr_proto))
        return self.watched


class _NodeBuilder(relax.BlockBuilder):  # type: ignore[misc] # TVM is untyped
    """Keeps padding of float values as a Relax operator, so that quantised integers are found through it."""

    def emit_te(self, func: Any, *args: Any, **more: Any) -> Any:
        """Emit `topi.nn.pad` as `relax.op.nn.pad`; arguments: data, widths before and after each axis, value."""
        if (
            func is topi.nn.pad
            and str(args[0].ty.dtype) == "float32"
            and all(width >= 0 for width in (*args[1], *args[2]))
        ):
            widths = [int(width) for pair in zip(args[1], args[2], strict=True) for width in pair]
            return self.emit(relax.op.nn.pad(args[0], widths, "constant", float(args[3])))
        return super().emit_te(func, *args, **more)


class _WatchedImporter(dict[str, Any]):
    """Attributes of a node that record which of them were read."""

    def __init__(self, found: dict[str, Any]) -> None:
        super().__init__(found)
        self.seen: set[str] = set()

    def __getitem__(self, key: str) -> Any:
        self.seen.add(key)
        return super().__getitem__(key)

    def __contains__(self, key: object) -> bool:
        self.seen.add(str(key))
        return super().__contains__(key)

    def __iter__(self) -> Iterator[str]:
        self.seen.update(super().keys())
        return super().__iter__()

    def get(self, key: str, default: Any = None) -> Any:
        self.seen.add(key)
        return super().get(key, default)

    def pop(self, key: str, *default: Any) -> Any:
        self.seen.add(key)
        return super().pop(key, *default)

    def items(self) -> Any:
        self.seen.update(super().keys())
        return super().items()


def _require_constant(node: Any, constants: set[str], where: str) -> None:
    for place in CONSTANT.get(node.op_type, ()):
        name = node.input[place] if place < len(node.input) else ""
        if name and name not in constants:
            raise UnsupportedError(where, f"input '{name}' is computed", "it must be a constant", CONSTANT_LEVER)


def _require_types(node: Any, types: Mapping[str, Any], where: str) -> None:
    for name in (*node.input, *node.output):
        kind = types.get(name, (0, None))[0]
        if kind and kind not in TYPES:
            what = TensorProto.DataType.Name(kind).lower()
            raise UnsupportedError(
                where, f"values of type {what} in '{name}'", "TVM represents them differently", LEVER
            )


def _require_read(node: Any, watched: _WatchedImporter, version: int, where: str) -> None:
    """Raise `UnsupportedError` for an attribute that matters and that no converter read."""
    domain = node.domain if node.domain != "ai.onnx" else ""
    known = onnx.defs.has(node.op_type, domain)
    defaults = onnx.defs.get_schema(node.op_type, version, domain).attributes if known else {}
    for attribute in node.attribute:
        name = attribute.name
        default = defaults[name].default_value if name in defaults else onnx.AttributeProto()
        is_default = default.type and _value(attribute) == _value(default)
        if name not in watched.seen and (node.op_type, name) not in WITHOUT_EFFECT and not is_default:
            raise UnsupportedError(
                f"{where}: attribute '{name}'",
                "TVM's importer ignores it",
                f"it is {_shown(attribute)}",
                LEVER,
            )


def _value(attribute: Any) -> Any:
    value = helper.get_attribute_value(attribute)
    return list(value) if attribute.type in (attribute.INTS, attribute.FLOATS, attribute.STRINGS) else value


def _shown(attribute: Any) -> str:
    value = _value(attribute)
    return (value.decode(errors="replace") if isinstance(value, bytes) else str(value))[:60]


def _require_equal(made: Any, expected: tuple[int, tuple[int, ...] | None] | None, where: str) -> None:
    """Raise `UnsupportedError` if a result's type or shape differs from what ONNX infers, as far as both are known."""
    kind = getattr(made, "ty", None)
    if expected is None or not isinstance(kind, relax.TensorType):
        return
    number, shape = expected
    if number:
        dtype = "bool" if number == TensorProto.BOOL else str(helper.tensor_dtype_to_np_dtype(number))
        if str(kind.dtype) and str(kind.dtype) != dtype:
            raise UnsupportedError(where, f"TVM imports values of {kind.dtype}", f"ONNX has {dtype}", LEVER)
    if shape is not None and kind.shape is not None:
        try:
            extents = tuple(int(extent) for extent in kind.shape)
        except TypeError:  # symbolic extents
            return
        if extents != shape:
            raise UnsupportedError(where, f"TVM imports a result of {extents}", f"ONNX has {shape}", LEVER)
