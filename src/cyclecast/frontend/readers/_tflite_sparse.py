"""Expand sparse constants of TFLite files to dense ones.

A tensor may be cut into blocks. Its dimensions are traversed in a given order, those inside blocks last. Each dimension
is dense, or lists the present indices for each position of the dimensions before it (as CSR does).
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from cyclecast.errors import UnsupportedError

DENSE, MOST_VALUES = 0, 1 << 28


def densify(model: Any, kinds: dict[int, str], operator: int, source: str) -> None:
    """Expand every sparse constant in place, and remove the DENSIFY operators.

    `kinds` maps tensor types to NumPy types, `operator` is the number of DENSIFY. Raises `UnsupportedError`, which
    names the tensor, if its description is inconsistent or its values are computed.
    """
    graph = model.subgraphs[0]
    for tensor in graph.tensors:
        if tensor.sparsity is not None:
            dense = _dense(tensor, model.buffers[tensor.buffer].data, kinds, source)
            tensor.buffer, tensor.sparsity = len(model.buffers), None
            model.buffers.append(type(model.buffers[0])())
            model.buffers[-1].data = np.frombuffer(dense.tobytes(), "uint8")
    kept = []
    for each in graph.operators:
        if operator not in _codes(model.operatorCodes[each.opcodeIndex]):
            kept.append(each)
            continue
        given, made = (graph.tensors[int(part[0])] if len(part) else None for part in (each.inputs, each.outputs))
        if given is None or made is None or model.buffers[given.buffer].data is None:
            raise _refusal(source, made or given, "it is made dense of values that are computed")
        made.buffer = given.buffer
    graph.operators = kept


def _codes(code: Any) -> set[int]:
    return {int(max(code.builtinCode, code.deprecatedBuiltinCode))}


def _refusal(source: str, tensor: Any, demand: str) -> UnsupportedError:
    name = str(tensor.name.decode(errors="replace"))[:80] if tensor is not None else "?"
    return UnsupportedError(
        f"{source}: tensor '{name}'", demand, "sparse weights are whole constants", "exporting it with dense weights"
    )


def _dense(tensor: Any, content: Any, kinds: dict[int, str], source: str) -> Any:
    if tensor.type not in kinds or content is None:
        raise _refusal(source, tensor, "its sparse values are no constant numbers")
    values = np.frombuffer(np.asarray(content, "uint8").tobytes(), kinds[tensor.type])
    try:
        return _written_out(tensor.sparsity, tuple(map(int, tensor.shape)), values)
    except (ValueError, TypeError, IndexError, AttributeError):
        raise _refusal(source, tensor, "the description of its sparse values is damaged") from None


def _written_out(sparsity: Any, shape: tuple[int, ...], values: Any) -> Any:
    """The dense tensor. Raises an error of Python or NumPy if the parts are inconsistent."""
    order = [int(axis) for axis in sparsity.traversalOrder]
    blocks = [int(axis) for axis in ([] if sparsity.blockMap is None else sparsity.blockMap)]
    levels = list(sparsity.dimMetadata)
    if sorted(order) != list(range(len(shape) + len(blocks))) or len(levels) != len(order) or not levels:
        raise ValueError("axes")
    if len({*blocks}) < len(blocks) or any(not 0 <= axis < len(shape) for axis in blocks):
        raise ValueError("blocks")
    sizes = {axis: int(level.denseSize) for axis, level in zip(order, levels, strict=True) if level.format == DENSE}
    within = {axis: sizes[len(shape) + place] for place, axis in enumerate(blocks) if len(shape) + place in sizes}
    extents = [-(-extent // within.get(axis, 1)) for axis, extent in enumerate(shape)] + [within[b] for b in blocks]
    if any(sizes.get(axis, extent) != extent for axis, extent in enumerate(extents)) or prod(extents) > MOST_VALUES:
        raise ValueError("extents")
    places = _places(order, levels, extents)
    dense = np.zeros(shape, values.dtype)
    at = [places[axis] * within.get(axis, 1) for axis in range(len(shape))]
    for place, axis in enumerate(blocks):
        at[axis] = at[axis] + places[len(shape) + place]
    if len(values) != len(at[0]):
        raise ValueError("values")
    dense[tuple(at)] = values
    return dense


def _places(order: list[int], levels: list[Any], extents: list[int]) -> dict[int, Any]:
    """Index of every stored value along each axis."""
    places: dict[int, Any] = {}
    count = 1
    for axis, level in zip(order, levels, strict=True):
        if level.format == DENSE:
            parents, here = np.repeat(np.arange(count), extents[axis]), np.tile(np.arange(extents[axis]), count)
        else:
            segments, here = (np.asarray(part.values, "int64") for part in (level.arraySegments, level.arrayIndices))
            lengths = np.diff(segments)
            if len(lengths) != count or segments[0] != 0 or segments[-1] != len(here) or (lengths < 0).any():
                raise ValueError("segments")
            if len(here) and (here.min() < 0 or here.max() >= extents[axis]):
                raise ValueError("indices")
            parents = np.repeat(np.arange(count), lengths)
        places = {other: index[parents] for other, index in places.items()} | {axis: here}
        count = len(here)
        if count > MOST_VALUES:
            raise ValueError("too many")
    return places
