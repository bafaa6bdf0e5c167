"""Sparse constants of TFLite files, written out as dense ones.

A tensor is cut into blocks or not, and its dimensions are walked in a given order, those within blocks last. Each is
dense, or lists for each position of what is walked before it the indices that are there.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from cyclecast.errors import UnsupportedError

DENSE, MOST_VALUES = 0, 1 << 28


def densify(model: Any, kinds: dict[int, str], operator: int, source: str) -> None:
    """Write every sparse constant out, and drop the operators that only do so.

    `kinds` are the NumPy types of the tensors' types, `operator` the number of DENSIFY. In place. Raises
    `UnsupportedError` that names the tensor where its description contradicts itself, or where it is no constant.
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
    """The dense tensor; an error of Python or NumPy where the parts do not fit."""
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
    """Along each axis the index of every value that is stored."""
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
