"""Make ONNX files readable for onnxruntime: expand sparse constants, lower the opset if the meaning is the same."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from cyclecast.errors import ModelError, UnsupportedError
from cyclecast.frontend._words import shortened
from cyclecast.frontend.graphs._nodes import STANDARD, inferred_types, standard_of

NEWEST = 28
WITHOUT_KERNELS = ("DequantizeLinear", "OneHot", "QuantizeLinear")
"""Operators of opset 28 that onnxruntime 1.32 has no kernel for; they also take more types in opset 28."""
WIDENED = ("BitShift", "Celu", "Compress", "Einsum", "ReverseSequence", "Unique")
"""Operators that take more types in opset 28."""
REALS = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16)
DENSE, DENSE_PER_BYTE = 1 << 24, 16
"""Most values of expanded sparse constants: for a small file, and per byte of a large one."""


def make_readable(model: Any, source: str) -> None:
    """Expand sparse constants and lower the opset, in place.

    Raises `ModelError` for two versions of a domain and damaged sparse constants, `UnsupportedError` for huge ones.
    """
    _refuse_two_versions(model, source)
    _make_dense(model, source)
    standard = standard_of(model)
    kinds = {node.op_type for node in model.graph.node}
    if standard is not None and standard.version == NEWEST and not kinds.isdisjoint(WITHOUT_KERNELS):
        types = inferred_types(model) if "Mod" in kinds else {}
        if not any(_needs_newest(node, types) for node in model.graph.node):
            standard.version = NEWEST - 1


def _refuse_two_versions(model: Any, source: str) -> None:
    versions: dict[str, set[int]] = {}
    for entry in model.opset_import:
        versions.setdefault(STANDARD if not entry.domain else entry.domain, set()).add(entry.version)
    for domain, named in versions.items():
        if len(named) > 1:
            what = f"opset_import names versions {' and '.join(map(str, sorted(named)))} of '{shortened(domain)}'"
            raise ModelError(source, what, "it must name one of each domain", "exporting it again")


def _needs_newest(node: Any, types: dict[str, Any]) -> bool:
    """Whether a node may mean something else in the opset before; operators with subgraphs count as such."""
    attributes = {item.name: item for item in node.attribute}
    if node.op_type == "Mod":
        whole = types.get(node.input[0], (0, None))[0] not in (0, *REALS)
        return not whole and not ("fmod" in attributes and attributes["fmod"].i)
    return "mode" in attributes if node.op_type == "SpaceToDepth" else node.op_type in (*WIDENED, "If", "Loop", "Scan")


def _make_dense(model: Any, source: str) -> None:
    holders = list(_holders(model.graph))
    most, size = DENSE + DENSE_PER_BYTE * model.ByteSize() if holders else 0, 0
    for _, sparse in holders:
        size += prod(map(int, sparse.dims))
        if size > most or any(extent < 0 for extent in sparse.dims):
            what = f"tensor '{shortened(sparse.values.name)}'"
            raise UnsupportedError(
                f"{source}: {what}", f"sparse, {size:,} values in all", f"at most {most:,}", "dense weights"
            )
    for holder, sparse in holders:
        dense = _dense(sparse, source)
        if isinstance(holder, onnx.GraphProto):
            holder.initializer.append(dense)
        else:
            holder.CopyFrom(helper.make_attribute("value", dense))
    for graph in _graphs(model.graph):
        del graph.sparse_initializer[:]


def _dense(sparse: Any, source: str) -> Any:
    """The dense tensor. Raises `ModelError` if it is damaged."""
    try:
        values, places = numpy_helper.to_array(sparse.values), numpy_helper.to_array(sparse.indices)
        shape = tuple(map(int, sparse.dims))
        flat = places if places.ndim == 1 else np.ravel_multi_index(tuple(places.T), shape)
        dense = np.zeros(prod(shape), values.dtype)
        if (flat < 0).any() or len(flat) != len(values):
            raise ValueError("indices and values differ in number")
        dense[flat] = values
    except (ValueError, IndexError, TypeError, OverflowError) as error:
        where = f"{source}: tensor '{shortened(sparse.values.name)}'"
        raise ModelError(where, "its sparse values are damaged", str(error), "exporting it again") from error
    return numpy_helper.from_array(dense.reshape(shape), sparse.values.name)


def _graphs(graph: Any) -> Iterator[Any]:
    """A graph and all its subgraphs."""
    yield graph
    for node in graph.node:
        for item in node.attribute:
            for inner in (*([item.g] if item.HasField("g") else []), *item.graphs):
                yield from _graphs(inner)


def _holders(graph: Any) -> Iterator[tuple[Any, Any]]:
    """All sparse constants, each with the graph or attribute that holds it."""
    for each in _graphs(graph):
        yield from ((each, sparse) for sparse in each.sparse_initializer)
        for node in each.node:
            for item in node.attribute if node.op_type == "Constant" else ():
                if item.name == "sparse_value":
                    yield item, item.sparse_tensor
