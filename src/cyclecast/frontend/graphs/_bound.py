"""Bind inputs of an ONNX network to constants."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import helper, numpy_helper

from cyclecast.errors import ModelError
from cyclecast.frontend._base import Values
from cyclecast.frontend.graphs._shapes import open_inputs


def bind(model: Any, source: str, constants: Values) -> None:
    """Turn inputs into constants, in place. Raises `ModelError` for an unknown input or a value that does not fit."""
    inputs = {value.name: value for value in open_inputs(model)}
    for name, value in constants.items():
        where = f"{source}: input '{name}'"
        if name not in inputs:
            raise ModelError(where, "there is no such input", f"there are {', '.join(inputs)}", "one of these")
        if inputs[name].type.WhichOneof("value") != "tensor_type":
            raise ModelError(where, "it is no tensor", "constants are tensors", "leaving it open")
        found = _fitted(inputs[name], np.asarray(value), where)
        model.graph.initializer.append(numpy_helper.from_array(found, name))
    kept = [value for value in model.graph.input if value.name not in constants]
    copied = [type(value).FromString(value.SerializeToString()) for value in kept]
    del model.graph.input[:]
    model.graph.input.extend(copied)
    model.ir_version = max(model.ir_version, 4)  # the first version in which constants need not be inputs


def _fitted(wanted: Any, value: Any, where: str) -> Any:
    """The value in the input's type and shape. Raises `ModelError` if it does not fit."""
    kind, tensor = np.dtype(helper.tensor_dtype_to_np_dtype(wanted.type.tensor_type.elem_type)), wanted.type.tensor_type
    shown = np.array2string(value, threshold=4)[:60]
    if value.dtype.kind not in "biuf":
        raise ModelError(where, f"a constant {shown}", "constants are numbers", f"{wanted.name}=16000")
    with np.errstate(all="ignore"):
        cast = value.astype(kind)
    exact = np.array_equal(cast.astype(value.dtype), value) if kind.kind in "biu" else _is_close(cast, value)
    if not exact:
        raise ModelError(where, f"a constant {shown}", f"it is of type {kind}", "a value that fits")
    if not tensor.HasField("shape"):
        return cast
    extents = [extent.dim_value for extent in tensor.shape.dim]
    shape = [extent if extent > 0 else 1 for extent in extents]
    open_places = [place for place, extent in enumerate(extents) if extent <= 0]
    size = int(np.prod(shape))
    if len(open_places) == 1 and size and cast.size % size == 0:
        shape[open_places[0]] = cast.size // size
    if cast.ndim == len(shape) and all(one in (0, other) for one, other in zip(extents, cast.shape, strict=True)):
        return cast
    if cast.ndim > 1 or cast.size != int(np.prod(shape)):
        raise ModelError(where, f"a constant of shape {cast.shape}", f"the file has {tuple(extents)}", "that shape")
    return cast.reshape(shape)


def _is_close(cast: Any, value: Any) -> bool:
    """Whether a cast of floats only rounds: it turns no finite value into an infinite one."""
    return np.array_equal(np.isfinite(cast), np.isfinite(value))
