"""A kernel in C: the host arranges operands as matrices, the device multiplies, the host stores the results."""

from __future__ import annotations

from math import prod
from typing import Any

import tvm_ffi
from tvm import tirx
from tvm.ir import TensorLoad

from cyclecast._tvm._nest import ARRAY_SCOPE, INPUT_SCOPE, OUTPUT_SCOPE
from cyclecast.csource._function import FunctionWriter, Written
from cyclecast.csource._text import plain
from cyclecast.csource._tile_loops import describe, device_function
from cyclecast.errors import ScheduleError
from cyclecast.mapping import Mapping


def kernel(name: str, label: str, function: Any, mapping: Mapping) -> Written:
    """The kernel of a flat function that was lowered by the mapping; its text has the host's and the device's function.

    `label` is the name that the kernel passes to the driver when it begins.
    """
    texts: list[str] = []

    def on_device(writer: FunctionWriter, nest: Any) -> None:
        inputs, weights, results = operands(nest)
        kinds = tuple(str(buffer.dtype) for buffer in (inputs, weights, results))
        lines, filters = mapping.packed * mapping.word_lines, mapping.packed * mapping.filters
        _require_sizes(name, mapping, (inputs, weights, results))
        texts.append(device_function(name, mapping, (kinds[0], kinds[1], kinds[2])))
        tile = writer.allocate("int32", lines * filters, "tile")
        sums = writer.allocate("int64", filters, "sums")
        matrices = ", ".join(writer.name_of(buffer) for buffer in (inputs, weights, results))
        writer.lines.add(
            f'TRY(cyclecast_begin(device, "{plain(label)}"));',
            f"TRY({name}_on_device(device, {matrices}, {tile}, {sums}));",
        )

    what = "arrange the operands, multiply on the device, put the results in their places"
    written = FunctionWriter(name, function, on_device).written(f"{plain(mapping.workload.name)}: {what}.")
    if not texts:
        raise ScheduleError(name, "no nest of loops on the device", lever="the folder of a tuning")
    return Written(name, written.declaration, "\n".join([*texts, written.text]), written.workspace, True)


def operands(nest: Any) -> tuple[Any, Any, Any]:
    """Matrices of inputs, weights and results: sources of input buffers and arrays, target of output buffers."""
    found: dict[str, Any] = {}

    def visit(store: Any) -> None:
        scope = str(store.buffer.scope())
        if isinstance(store.value, TensorLoad):
            source = str(store.value.source.scope())
            if scope in (INPUT_SCOPE, ARRAY_SCOPE):
                found[scope] = store.value.source
            elif source == OUTPUT_SCOPE:
                found[source] = store.buffer

    tvm_ffi.structural_walk(nest, [(tirx.BufferStore, visit)], order="pre")
    if len(found) != 3:
        raise ScheduleError("nest", f"it copies {', '.join(sorted(found)) or 'nothing'}", "inputs, weights and results")
    return found[INPUT_SCOPE], found[ARRAY_SCOPE], found[OUTPUT_SCOPE]


def _require_sizes(name: str, mapping: Mapping, buffers: tuple[Any, Any, Any]) -> None:
    covered = {axis: int(mapping.spatial(axis) * mapping.temporal.along(axis)) for axis in AXES}
    rows, columns = (
        covered["row"] * mapping.packed * mapping.word_lines,
        covered["column"] * mapping.packed * mapping.filters,
    )
    pixels, groups = covered["pixel"], covered["group"]
    wanted = [groups * pixels * rows, groups * rows * columns, groups * pixels * columns]
    have = [prod(int(extent) for extent in buffer.shape) for buffer in buffers]
    if have != wanted:
        raise ScheduleError(name, f"matrices of {have} values", f"the mapping {describe(mapping)} has {wanted}")


AXES: tuple[Any, ...] = ("group", "row", "column", "pixel")
