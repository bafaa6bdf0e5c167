"""Fix the input shapes of an ONNX network; this is the first step of the import."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from math import prod
from operator import index
from typing import Any

from cyclecast.errors import ModelError, UnsupportedError
from cyclecast.frontend._base import Shapes
from cyclecast.frontend._words import shortened

LOG = logging.getLogger(__name__)
LARGEST_TENSOR = 1 << 31
"""Most values of one input; more indicates a wrong shape."""

Given = defaultdict[str, set[int]]
"""Extents given to dimensions, by dimension name; exporters also use one name, '?', for different extents."""


def open_inputs(model: Any) -> list[Any]:
    """The inputs without an initialiser: a caller must provide these."""
    constants = {constant.name for constant in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in constants]


def fix_shapes(model: Any, source: str, shapes: Shapes) -> None:
    """Write the given shapes into the inputs, in place.

    An open dimension takes the extent given to a dimension of the same name in another input; an open batch dimension
    becomes 1. Raises `ModelError` for an impossible shape, `UnsupportedError` if a dimension stays open.
    """
    inputs = {value.name: value for value in open_inputs(model)}
    for name in shapes:
        if name not in inputs:
            raise ModelError(
                f"{source}: input '{name}'", "there is no such input", f"there are {', '.join(inputs)}", "one of these"
            )
    for name, value in inputs.items():
        _require_tensor(value, _where(source, name))
    for value in model.graph.output:
        if value.type.WhichOneof("value") not in ("tensor_type", None):
            _require_tensor(value, f"{source}: output '{shortened(value.name)}'", "outputs")
    given: Given = defaultdict(set)
    for name, shape in shapes.items():
        _give(inputs[name], _checked(shape, name, source), _where(source, name), given)
    for name, value in inputs.items():
        _complete(value, _where(source, name), given)


def _where(source: str, name: str) -> str:
    return f"{source}: input '{shortened(name)}'"


def _require_tensor(value: Any, where: str, what: str = "inputs") -> None:
    kind = value.type.WhichOneof("value")
    if kind != "tensor_type":
        found = str(kind).removesuffix("_type")
        raise UnsupportedError(where, f"it is of type '{found}'", f"{what} are tensors", "exporting it with tensors")


def _checked(shape: Sequence[int], name: str, source: str) -> list[int]:
    try:
        extents = [index(extent) for extent in shape]
    except TypeError:
        extents = []
    if any(not 1 <= extent <= LARGEST_TENSOR for extent in extents) or len(extents) != len(shape):
        given = ",".join(str(extent) for extent in shape)
        raise ModelError(
            _where(source, name),
            f"a shape of {given}",
            "extents are integers from 1 to 2^31",
            f"--shape {name}=1,3,224,224",
        )
    return extents


def _give(value: Any, shape: list[int], where: str, given: Given) -> None:
    """Fix an input's dimensions, and record the extents by dimension name."""
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        for _ in shape:
            tensor.shape.dim.add()
    dimensions = tensor.shape.dim
    if len(shape) != len(dimensions):
        raise ModelError(where, f"{len(shape)} dimensions given", f"it has {len(dimensions)}", _lever(value))
    for position, (dimension, extent) in enumerate(zip(dimensions, shape, strict=True)):
        if dimension.dim_value > 0 and dimension.dim_value != extent:
            demand = f"dimension {position} given as {extent}"
            raise ModelError(where, demand, f"the file fixes it at {dimension.dim_value}", "that value")
        given[dimension.dim_param].add(extent)
        dimension.dim_value = extent


def _complete(value: Any, where: str, given: Given) -> None:
    """Fix dimensions known by name, then the batch. Raises `UnsupportedError` if a dimension stays open."""
    if not value.type.tensor_type.HasField("shape"):
        raise UnsupportedError(where, "the file does not state its shape", "shapes must be fixed", _lever(value))
    dimensions = value.type.tensor_type.shape.dim
    for position, dimension in enumerate(dimensions):
        if dimension.dim_value > 0:
            continue
        name = dimension.dim_param
        if name.strip("?") and len(given[name]) == 1:
            (dimension.dim_value,) = given[name]
        elif position == 0 and len(dimensions) > 1:
            LOG.info("%s: batch dimension is open, taken as 1", where)
            dimension.dim_value = 1
        else:
            demand = f"dimension {position} is open ({shortened(name) or '?'})"
            raise UnsupportedError(where, demand, "shapes must be fixed", _lever(value))
    if prod(dimension.dim_value for dimension in dimensions) > LARGEST_TENSOR:
        raise UnsupportedError(where, "more than 2^31 values", "tensors are smaller", "a smaller shape")


def _lever(value: Any) -> str:
    """An example of the option, with N for open extents."""
    shape = [
        dimension.dim_value if dimension.dim_value > 0 else 1 if position == 0 else "N"
        for position, dimension in enumerate(value.type.tensor_type.shape.dim)
    ]
    return f"--shape {value.name}={','.join(str(extent) for extent in shape) or 'N,N,...'}"
