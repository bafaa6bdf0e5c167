"""Lower a decided schedule: from a marked contraction to tensorised loops bound to the device's levels.

The resulting nest for levels pe / cu / array (every loop has the annotation `cim.loop`):

    time.group, time.column                     passes
      output buffer = 0
      time.row
        program the arrays of this pass
        pe.group, pe.column, pe.row, pe.pixel   side by side
          cu.* ...
            array.* ...
              time.pixel                        steps
                load the input vector
                MVM                             one array

With stationary inputs, time.pixel is outermost: every step repeats all passes. For windows and packed groups,
`_form.py` first writes out the matrix that these loops cut.

Tiles that do not divide an extent are padded with zeros: unused word lines and unused columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from tvm import tirx
from tvm.ir import IRModule
from tvm.s_tir import Schedule

from cyclecast._tvm._block import Contraction, operands_of
from cyclecast._tvm._json import copied
from cyclecast._tvm._nest import ARRAY_SCOPE, INPUT_SCOPE, LOOP, OUTPUT_SCOPE, TIME
from cyclecast.errors import ScheduleError
from cyclecast.mapping import Mapping
from cyclecast.network import Kind
from cyclecast.schedule._form import written_out
from cyclecast.schedule._intrinsics import REGISTRY, Implementation, Tile, mvm_intrinsic, program_intrinsic

INPUT_ORDER = (Kind.GROUP, Kind.PIXEL, Kind.REDUCTION)
WEIGHT_ORDER = (Kind.GROUP, Kind.REDUCTION, Kind.FILTER)
OUTPUT_ORDER = (Kind.GROUP, Kind.PIXEL, Kind.FILTER)
BLOCK_ORDER = (Kind.GROUP, Kind.PIXEL, Kind.FILTER, Kind.REDUCTION)


def as_module(function: Any) -> IRModule:
    """A deep copy of the function as the `main` of its own module, as MetaSchedule expects it.

    A schedule edits in place what no other module holds, and functions may share their bodies.
    """
    module = IRModule({"main": function.with_attr("global_symbol", "main")})
    made: IRModule = copied(module)
    return made


def lower(
    schedule: Schedule,
    contraction: Contraction,
    mapping: Mapping,
    implementation: Implementation,
    annotations: dict[str, str],
) -> None:
    """Turn the contraction's block into the nest above, in place, and annotate it with `annotations` (of `notes`).

    Raises `ScheduleError` for windows and packed groups.
    """
    if needs_form(mapping):
        name = mapping.workload.name
        what = f"a window of {mapping.window or 1} outputs and {mapping.packed} groups in an array"
        raise ScheduleError(name, what, "its matrix must be written out first", "lowered(module, device)")
    block = schedule.get_sblock(contraction.block)
    types = _to_matrix_form(schedule, block, contraction)
    result = schedule.get_consumers(block)[0]
    _pad(schedule, block, mapping)
    written = _lower_matrix(schedule, block, mapping, Tile(mapping.word_lines, mapping.filters, *types), implementation)
    if implementation != "driver" or not _feeds(schedule, written, result):
        schedule.reverse_compute_inline(result)
    _annotate(schedule, written, annotations)


def _annotate(schedule: Schedule, block: Any, annotations: dict[str, str]) -> None:
    for name, value in annotations.items():
        schedule.annotate(block, name, value)


def _feeds(schedule: Schedule, block: Any, consumer: Any) -> bool:
    """Whether the consumer reads the block's output directly."""
    return any(schedule.get(producer).same_as(schedule.get(block)) for producer in schedule.get_producers(consumer))


def needs_form(mapping: Mapping) -> bool:
    """Whether the matrix of a mapping must be written out before loops can cut it."""
    return mapping.packed > 1 or mapping.outputs > 1


def lower_form(
    function: Any,
    contraction: Contraction,
    mapping: Mapping,
    implementation: Implementation,
    annotations: dict[str, str],
) -> Any:
    """The module of a function whose matrix is written out and then lowered."""
    schedule = Schedule(as_module(written_out(function, contraction, mapping)))
    block = schedule.get_sblock(contraction.block)
    operands: Any = operands_of(schedule.get(block))  # a contraction has them
    data, weight, _ = operands
    types = (str(buffer.dtype) for buffer in (data.source, weight.source, schedule.get(block).body.buffer))
    tile = Tile(mapping.packed * mapping.word_lines, mapping.packed * mapping.filters, *types)
    written = _lower_matrix(schedule, block, mapping, tile, implementation)
    _annotate(schedule, written, annotations)
    return schedule.mod


def lower_function(
    function: Any,
    contraction: Contraction,
    mapping: Mapping,
    implementation: Implementation,
    annotations: dict[str, str],
) -> Any:
    """The function with its contraction lowered, with or without a written-out matrix; without attributes."""
    if needs_form(mapping):
        result = lower_form(function, contraction, mapping, implementation, annotations)["main"]
    else:
        schedule = Schedule(as_module(function))
        lower(schedule, contraction, mapping, implementation, annotations)
        result = schedule.mod["main"]
    return tirx.PrimFunc(result.params, result.body, result.ret_type)


def _lower_matrix(schedule: Schedule, block: Any, mapping: Mapping, tile: Tile, implementation: Implementation) -> Any:
    """Turn a contraction in matrix-vector form, padded to the mapping, into the nest; return the write-back block."""
    loops = _tile(schedule, block, mapping, tile)
    written = schedule.cache_write(block, 0, OUTPUT_SCOPE)
    schedule.reverse_compute_at(written, loops[(TIME, "column")], preserve_unit_loops=True)
    programmed = _program_arrays(schedule, block, loops[(TIME, "row")], mapping, tile)
    loaded = schedule.cache_read(block, 0, INPUT_SCOPE)
    innermost = [loop for (_, axis), loop in loops.items() if axis != "tile"][-1]
    schedule.compute_at(loaded, innermost, preserve_unit_loops=True)
    for buffer in (loaded, programmed):
        _inline_all_before(schedule, schedule.get_producers(buffer)[0])
    schedule.decompose_reduction(block, loops[(TIME, "row")])
    for (level, axis), loop in loops.items():
        if axis != "tile":
            schedule.annotate(loop, LOOP, f"{level}.{axis}")
    with REGISTRY:
        schedule.tensorize(loops[("filter", "tile")], mvm_intrinsic(tile, implementation))
        if implementation == "behaviour":
            first = schedule.get_loops(programmed)[-2]
            schedule.tensorize(first, program_intrinsic(tile))
    return written


def _to_matrix_form(schedule: Schedule, block: Any, contraction: Contraction) -> tuple[str, str, str]:
    """im2col: operands become (group, pixel, reduction), (group, reduction, filter) and (group, pixel, filter).

    Returns the types of input, weight and output. Raises `ScheduleError` for an index that mixes kinds of iterators.
    """
    kinds = list(contraction.kinds)
    index_type = str(schedule.get(block).iter_vars[0].var.ty)

    for cut in reversed(contraction.splits):
        schedule.transform_block_layout(block, _index_map(_cut(cut.iterator, cut.inner), len(kinds), index_type))
        kinds[cut.iterator : cut.iterator + 1] = [Kind.GROUP, Kind.FILTER]
    for operand in (("read", 0), ("read", 1), ("write", 0)):
        schedule.reindex(block, operand)
    form = schedule.get(block)
    kind_of = {iterator.var: kind for iterator, kind in zip(form.iter_vars, kinds, strict=True)}
    product = form.body.value.b
    data, weight = (load.value if isinstance(load, tirx.Cast) else load for load in (product.a, product.b))
    output = form.body.buffer
    for operand, indices, buffer, order in (
        (("read", 0), data.indices, data.source, INPUT_ORDER),
        (("read", 1), weight.indices, weight.source, WEIGHT_ORDER),
        (("write", 0), form.body.indices, output, OUTPUT_ORDER),
    ):
        roles = [kind_of.get(index) for index in indices]
        if any(role not in order for role, extent in zip(roles, buffer.shape, strict=True) if int(extent) > 1):
            raise ScheduleError(
                contraction.block, "an index that varies with too many iterators", "TVM could not simplify it",
                "the operator as Relax legalises it",
            )  # fmt: skip
        fused = _fuse_by_kind(roles, [int(extent) for extent in buffer.shape], order, index_type)
        schedule.transform_layout(block, operand, _index_map(fused, len(roles), index_type))
    extents = [int(iterator.dom.extent) for iterator in form.iter_vars]
    fused = _fuse_by_kind(kinds, extents, BLOCK_ORDER, index_type)
    schedule.transform_block_layout(block, _index_map(fused, len(kinds), index_type))
    return str(data.source.dtype), str(weight.source.dtype), str(output.dtype)


def _index_map(function: Any, dimensions: int, index_type: str) -> Any:
    """An index map over variables named ax_0, ax_1 ..., which do not occur in a trace."""
    return tirx.IndexMap.from_func(function, ndim=dimensions, index_dtype=index_type)


def _cut(position: int, inner: int) -> Any:
    """The index function that splits one dimension into (outer, inner)."""

    def cut(*ax: Any) -> list[Any]:
        return [*ax[:position], ax[position] // inner, ax[position] % inner, *ax[position + 1 :]]

    return cut


def _fuse_by_kind(kinds: Sequence[Kind | None], extents: Sequence[int], order: Sequence[Kind], index_type: str) -> Any:
    """The index function that fuses all dimensions of each kind, in `order`; the last dimension varies fastest."""

    def fused(*ax: Any) -> list[Any]:
        out = []
        for wanted in order:
            value = tirx.IntImm(index_type, 0)
            for index, kind, extent in zip(ax, kinds, extents, strict=True):
                if kind is wanted and extent > 1:
                    value = value * tirx.IntImm(index_type, extent) + index
            out.append(value)
        return out

    return fused


def _pad(schedule: Schedule, block: Any, mapping: Mapping) -> None:
    def covered(axis: Any, tile: int) -> int:
        return int(mapping.spatial(axis) * mapping.temporal.along(axis) * tile)

    schedule.pad_einsum(
        block,
        [
            covered("group", 1),
            covered("pixel", 1),
            covered("column", mapping.filters),
            covered("row", mapping.word_lines),
        ],
    )


def _tile(schedule: Schedule, block: Any, mapping: Mapping, tile: Tile) -> dict[tuple[str, str], Any]:
    """Split and reorder the four loops; return each new loop by (level, axis), outermost first."""
    levels = [entry.level for entry in mapping.levels]
    spatial = {axis: [entry.factors.along(axis) for entry in mapping.levels] for axis in _AXES}
    group, pixel, column, row = schedule.get_loops(block)
    loops: dict[tuple[str, str], Any] = {}

    def split(loop: Any, factors: list[int], names: list[tuple[str, str]]) -> None:
        loops.update(zip(names, schedule.split(loop, factors), strict=True))

    outer = {axis: [(TIME, axis), *((level, axis) for level in levels)] for axis in _AXES}
    time = mapping.temporal
    split(group, [time.group, *spatial["group"]], outer["group"])
    split(column, [time.column, *spatial["column"], tile.filters], [*outer["column"], ("filter", "tile")])
    split(row, [time.row, *spatial["row"], tile.word_lines], [*outer["row"], ("word line", "tile")])
    if mapping.input_stationary:  # the pixels of one step are neighbours, so the step has its own output buffer
        split(pixel, [time.pixel, *spatial["pixel"]], outer["pixel"])
    else:
        split(pixel, [*spatial["pixel"], time.pixel], [*outer["pixel"][1:], (TIME, "pixel")])
    passes = [(TIME, "group"), (TIME, "column"), (TIME, "row")]
    side_by_side = [(level, axis) for level in levels for axis in _AXES]
    steps = [(TIME, "pixel")]
    order = steps + passes + side_by_side if mapping.input_stationary else passes + side_by_side + steps
    order += [("filter", "tile"), ("word line", "tile")]
    schedule.reorder(*(loops[name] for name in order))
    return {name: loops[name] for name in order}


_AXES: tuple[Any, ...] = ("group", "column", "row", "pixel")


def _program_arrays(schedule: Schedule, block: Any, passes: Any, mapping: Mapping, tile: Tile) -> Any:
    """Copy the weights of one pass into the arrays, each a contiguous tile of word lines x filters."""
    lines, filters = tile.word_lines, tile.filters
    copied = schedule.cache_read(block, 1, ARRAY_SCOPE)

    def tiled(*ax: Any) -> list[Any]:
        group, row, column = ax
        return [group, column // filters, row // lines, row % lines, column % filters]

    index_type = str(schedule.get(block).iter_vars[0].var.ty)
    schedule.transform_layout(block, ("read", 1), _index_map(tiled, 3, index_type))
    schedule.compute_at(copied, passes, preserve_unit_loops=True)
    group, row, column = schedule.get_loops(copied)[-3:]
    row_tiles = prod(entry.factors.row for entry in mapping.levels)
    column_tiles = prod(entry.factors.column for entry in mapping.levels)
    rows = schedule.split(row, [row_tiles, lines])
    columns = schedule.split(column, [column_tiles, filters])
    schedule.reorder(group, columns[0], rows[0], rows[1], columns[1])
    return copied


def _inline_all_before(schedule: Schedule, block: Any) -> None:
    """Inline the producers of the block (padding, im2col), so that only the block itself has a buffer."""
    for producer in schedule.get_producers(block):
        _inline_all_before(schedule, producer)
        schedule.compute_inline(producer)
