"""Sparse weights in TFLite files: equal to LiteRT's, or refused with the name of their tensor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cyclecast.errors import UnsupportedError
from cyclecast.executable import build_program
from cyclecast.frontend import load, reference
from cyclecast.frontend.readers._tflite_sparse import densify

pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed")
pytest.importorskip("tflite", reason="tflite is not installed")
from ai_edge_litert import schema_py_generated as schema

import tflite_files as files

pytestmark = [pytest.mark.tvm, pytest.mark.filterwarnings("ignore:.*SwigPy.*:DeprecationWarning")]
FLOAT = {0: "float32"}


def blocked(dense: Any, blocks: Sequence[int]) -> Any:
    """Cut along each axis into blocks of that size: outer axes, then the blocks that are larger than one."""
    cut = dense.reshape(
        [part for extent, block in zip(dense.shape, blocks, strict=True) for part in (extent // block, block)]
    )
    axes = [*range(0, 2 * dense.ndim, 2), *(2 * axis + 1 for axis, block in enumerate(blocks) if block > 1)]
    return cut.transpose(axes + [2 * axis + 1 for axis, block in enumerate(blocks) if block == 1]).reshape(
        [cut.shape[axis] for axis in axes]
    )


def sparse(dense: Any, order: Sequence[int], listed: set[int], blocks: Sequence[int]) -> tuple[Any, Any]:
    """Its description in the format and its stored values; the axes in `listed` keep only what holds no zeros."""
    parameters, whole = schema.SparsityParametersT(), blocked(dense, blocks)
    order = [*order, *range(dense.ndim, whole.ndim)]
    parameters.traversalOrder = order
    parameters.blockMap = [axis for axis, block in enumerate(blocks) if block > 1]
    walked, parameters.dimMetadata = whole.transpose(order), []
    rows = [walked]
    for axis in order:
        level = schema.DimensionMetadataT()
        parameters.dimMetadata.append(level)
        level.format, level.denseSize = int(axis in listed), whole.shape[axis]
        kept = [[place for place in range(len(row)) if axis not in listed or np.any(row[place])] for row in rows]
        if axis in listed:
            level.denseSize, level.arraySegmentsType, level.arrayIndicesType = 0, 1, 1
            level.arraySegments, level.arrayIndices = schema.Int32VectorT(), schema.Int32VectorT()
            level.arraySegments.values = np.cumsum([0, *map(len, kept)]).tolist()
            level.arrayIndices.values = [place for places in kept for place in places]
        rows = [row[place] for row, places in zip(rows, kept, strict=True) for place in places]
    return parameters, np.array(rows, dense.dtype)


def weighted(path: Path, dense: Any, change: Callable[[Any], None] = lambda _: None) -> Path:
    """A dense layer whose weights are stored in blocks of four filters, of which some are not there."""
    file = files.File()
    entry = file.tensor((1, dense.shape[1]), "float32")
    parameters, values = sparse(dense, [0, 1], {1}, (4, 1))
    weights = file.constant(values)
    file.graph.tensors[weights].shape, file.graph.tensors[weights].sparsity = list(dense.shape), parameters
    change(file.graph.tensors[weights])
    whole = file.operator("DENSIFY", [weights], file.tensor(dense.shape, "float32"), "DensifyOptions")
    result = file.tensor((1, dense.shape[0]), "float32")
    file.operator("FULLY_CONNECTED", [entry, whole, -1], result, "FullyConnectedOptions")
    return file.save(path, [entry], [result])


def holes(shape: Sequence[int]) -> Any:
    random = np.random.default_rng(0)
    return (random.normal(size=shape) * random.integers(0, 2, (shape[0] // 4, shape[1])).repeat(4, 0)).astype("float32")


def test_a_layer_computes_what_litert_does(tmp_path: Path) -> None:
    path = weighted(tmp_path / "sparse.tflite", holes((8, 6)))
    network = load(path, activation_bits=16, weight_bits=16)
    assert [member.workload.name for member in network.members] == ["dense 1x6 -> 8"]
    values = np.random.default_rng(1).normal(size=(1, 6)).astype("float32")
    (expected,) = reference(path, {"t0": values}).values()
    np.testing.assert_allclose(build_program(network.program)(values)[0], expected, atol=5e-3)


@given(st.data())
def test_whatever_is_stored_comes_out(data: st.DataObject) -> None:
    blocks = data.draw(st.lists(st.integers(1, 3), min_size=1, max_size=4))
    shape = [block * data.draw(st.integers(1, 3)) for block in blocks]
    dense = np.random.default_rng(data.draw(st.integers(0, 99))).integers(-1, 2, shape).astype("float32")
    order = data.draw(st.permutations(range(len(shape))))
    listed = data.draw(st.sets(st.sampled_from(order)))
    file = files.File()
    parameters, values = sparse(dense, order, listed, blocks)
    tensor = file.graph.tensors[file.constant(values)]
    tensor.shape, tensor.sparsity = shape, parameters
    densify(file.model, FLOAT, schema.BuiltinOperator.DENSIFY, "file")
    out = np.frombuffer(file.model.buffers[tensor.buffer].data.tobytes(), "float32").reshape(shape)
    np.testing.assert_array_equal(out, dense)


def _index(tensor: Any) -> None:
    tensor.sparsity.dimMetadata[1].arrayIndices.values[0] = 600


def _segments(tensor: Any) -> None:
    tensor.sparsity.dimMetadata[1].arraySegments.values[1] = -1


def _order(tensor: Any) -> None:
    tensor.sparsity.traversalOrder = [0, 0, 2]


def _block(tensor: Any) -> None:
    tensor.sparsity.blockMap = [7]


def _size(tensor: Any) -> None:
    tensor.sparsity.dimMetadata[0].denseSize = 1 << 30


def _no_levels(tensor: Any) -> None:
    tensor.sparsity.dimMetadata = None


def _no_values(tensor: Any) -> None:
    tensor.buffer = 0


def _shape(tensor: Any) -> None:
    tensor.shape = [8, 7, 2]


@pytest.mark.parametrize("change", [_index, _segments, _order, _block, _size, _no_levels, _no_values, _shape])
def test_damaged_descriptions_are_refused_by_name(change: Callable[[Any], None], tmp_path: Path) -> None:
    path = weighted(tmp_path / "sparse.tflite", holes((8, 6)), change)
    with pytest.raises(UnsupportedError, match=r"tensor 't1': (the description of )?its sparse values"):
        load(path)


def test_what_is_computed_is_not_made_dense(tmp_path: Path) -> None:
    file = files.File()
    entry = file.tensor((1, 6), "float32")
    result = file.operator("DENSIFY", [entry], file.tensor((1, 6), "float32"), "DensifyOptions")
    path = file.save(tmp_path / "computed.tflite", [entry], [result])
    with pytest.raises(UnsupportedError, match="tensor 't1': it is made dense of values that are computed"):
        load(path)
