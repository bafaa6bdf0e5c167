"""Write out the matrix of a mapping with windows or packed groups, which loops over the kernel's axes cannot express.

The contraction is replaced by four blocks in matrix-vector form, each a plain computation of its indices:

    input  [group, pixel, row]       the inputs of a window of outputs; zero beyond the edges
    weight [group, row, column]      shifted copies of the filters, packed groups on a diagonal; zero elsewhere
    product[group, pixel, column]    the contraction
    output                           every result at its place in the kernel's output

A row is (row tile, group of the pack, word line), a column (column tile, group of the pack, filter): plain tiles of the
product are exactly the tiles of the mapping. Extents are those that the loops of the mapping cover.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import tvm_ffi
from tvm import te, tirx
from tvm.ir import Range, Var
from tvm.s_tir.stmt import SBlock, SBlockRealize
from tvm.sym import Analyzer

from cyclecast._tvm._block import Contraction, operands_of, variables_of
from cyclecast.errors import ScheduleError
from cyclecast.mapping import Mapping
from cyclecast.network import Axis, Kind, Slide


def written_out(function: Any, contraction: Contraction, mapping: Mapping) -> Any:
    """The function with its contraction as the four blocks above; the product block keeps the contraction's name."""
    found: list[Any] = []

    def visit(block: Any) -> None:
        if str(block.name_hint) == contraction.block:
            found.append(block)

    tvm_ffi.structural_walk(function.body, [(SBlock, visit)], order="pre")
    (block,) = found
    return _spliced(function, block, _Matrix(block, contraction, mapping).computation())


@dataclass(frozen=True, slots=True)
class _Cell:
    """An index of the matrix form: the place along every axis, and the conditions under which it is not zero."""

    at: dict[Axis, Any]
    conditions: tuple[Any, ...]


class _Matrix:
    """The four computations of one mapping of one contraction."""

    def __init__(self, block: Any, contraction: Contraction, mapping: Mapping) -> None:
        operands: Any = operands_of(block)  # a contraction has them
        data, weight, output = operands
        self.name = contraction.block
        self.mapping = mapping
        self.splits = {cut.iterator: cut.inner for cut in contraction.splits}
        names = [axis.name for axis in contraction.workload.axes]
        self.axes = tuple(
            axis if names.count(axis.name) == 1 else replace(axis, name=f"{axis.name}.{place}")
            for place, axis in enumerate(contraction.workload.axes)
        )
        self.iterators = block.iter_vars
        self.index_type = str(block.iter_vars[0].var.ty)
        self.data, self.weight, self.output = data, weight, output
        self.buffers = data.source, weight.source, block.body.buffer
        windows = mapping.window or (1,) * len(mapping.workload.slides)
        moved = {slide: window for slide, window in zip(mapping.workload.slides, windows, strict=True) if window > 1}
        self.windows: dict[Slide, int] = moved
        self.by_pixel = {slide.pixel: slide for slide in moved}
        self.by_kernel = {slide.kernel: slide for slide in moved}

    def computation(self) -> Any:
        """The four blocks, as the body of a function."""
        m = self.mapping
        group, pixel = self._covered("group"), self._covered("pixel")
        row = self._covered("row") * m.packed * m.word_lines
        column = self._covered("column") * m.packed * m.filters
        x, w = (te.placeholder(buffer.shape, buffer.dtype, name=buffer.name) for buffer in self.buffers[:2])
        inputs = te.compute(self._shape(group, pixel, row), lambda g, p, r: self._input(x, g, p, r), f"{self.name}_in")
        weights = te.compute(
            self._shape(group, row, column), lambda g, r, c: self._weight(w, g, r, c), f"{self.name}_weights"
        )
        along = te.reduce_axis((self._whole(0), self._whole(row)), "r")
        wide = str(self.buffers[2].dtype)

        def contract(g: Any, p: Any, c: Any) -> Any:
            return te.sum(inputs[g, p, along].astype(wide) * weights[g, along, c].astype(wide), axis=along)

        product = te.compute(self._shape(group, pixel, column), contract, self.name)
        results = te.compute(self.buffers[2].shape, lambda *at: product(*self._result(at)), f"{self.name}_out")
        made = te.create_prim_func([x, w, results])
        return _substituted(made.body, dict(zip(made.params, self.buffers, strict=True)))

    def _covered(self, axis: Any) -> int:
        return int(self.mapping.spatial(axis) * self.mapping.temporal.along(axis))

    def _whole(self, value: int) -> Any:
        return tirx.IntImm(self.index_type, value)

    def _shape(self, *extents: int) -> tuple[Any, ...]:
        return tuple(self._whole(extent) for extent in extents)

    def _extents(self, kind: Kind) -> dict[Axis, int]:
        """Extents of the matrix form along the axes of a kind: windows for pixels, covered elements for kernel axes."""
        found = {axis: axis.extent for axis in self.axes if axis.kind is kind}
        for axis in found:
            if kind is Kind.PIXEL and axis.name in self.by_pixel:
                found[axis] = -(-axis.extent // self.windows[self.by_pixel[axis.name]])
            if kind is Kind.REDUCTION and axis.name in self.by_kernel:
                slide = self.by_kernel[axis.name]
                found[axis] = int(slide.elements(self.windows[slide]))
        return found

    def _places(self, kind: Kind, index: Any) -> dict[Axis, Any]:
        extents = self._extents(kind)
        return dict(zip(extents, _unravelled(index, list(extents.values())), strict=True))

    def _groups(self, group: Any, member: Any) -> _Cell:
        packed, groups = self.mapping.packed, self.mapping.workload.groups
        index = group * packed + member
        outside = self._covered("group") * packed > groups
        return _Cell(self._places(Kind.GROUP, index), (index < groups,) if outside else ())

    def _value(self, row: Any) -> tuple[Any, _Cell]:
        """Group in the pack, and reduction values, of a row; along a slide with a window, a value is an element."""
        m = self.mapping
        member, value = _untiled(row, m.packed, m.word_lines)
        outside = self._covered("row") * m.word_lines > m.values
        return member, _Cell(self._places(Kind.REDUCTION, value), (value < m.values,) if outside else ())

    def _input(self, tensor: Any, group: Any, pixel: Any, row: Any) -> Any:
        member, values = self._value(row)
        groups = self._groups(group, member)
        at = groups.at | self._places(Kind.PIXEL, pixel) | values.at
        conditions = [*groups.conditions, *values.conditions]
        if self._covered("pixel") > self.mapping.vectors:
            conditions.append(pixel < self.mapping.vectors)
        for slide, window in self.windows.items():
            first, element = self._axis(slide.pixel, Kind.PIXEL), self._axis(slide.kernel, Kind.REDUCTION)
            begin, offset = at[first] * window, at[element]
            if slide.outputs % window:
                last = slide.step * (slide.outputs - 1) + slide.gap * (slide.taps - 1)
                conditions.append(begin * slide.step + offset <= last)
            unit_taps = slide.gap == 1
            at |= {first: begin if unit_taps else begin + offset, element: offset if unit_taps else self._whole(0)}
        return self._loaded(tensor, self.data.indices, at, conditions)

    def _weight(self, tensor: Any, group: Any, row: Any, column: Any) -> Any:
        m = self.mapping
        member, values = self._value(row)
        other, result = _untiled(column, m.packed, m.filters)
        groups = self._groups(group, member)
        at = groups.at | values.at
        conditions = [*groups.conditions, *values.conditions]
        conditions += [member.equal(other)] if m.packed > 1 else []
        if self._covered("column") * m.filters > m.results:
            conditions.append(result < m.results)
        each = self._extents(Kind.FILTER)
        *shifts, filters = _unravelled(result, [*self.windows.values(), prod(each.values())])
        at |= dict(zip(each, _unravelled(filters, list(each.values())), strict=True))
        for slide, shift in zip(self.windows, shifts, strict=True):
            axis = self._axis(slide.kernel, Kind.REDUCTION)
            reach = at[axis] - shift * slide.step
            conditions += [reach >= 0, reach <= slide.gap * (slide.taps - 1)]
            if slide.gap > 1:
                conditions.append((reach % slide.gap).equal(self._whole(0)))
            at |= {axis: reach // slide.gap}
        return self._loaded(tensor, self.weight.indices, at, conditions)

    def _result(self, at: Sequence[Any]) -> tuple[Any, Any, Any]:
        """Indices in the product of a value of the kernel's output."""
        m = self.mapping
        variables = {iterator.var: self._whole(0) for iterator in self.iterators}
        for place, index in zip(at, self.output, strict=True):
            if isinstance(index, Var):
                variables[index] = place
            elif not isinstance(index, tirx.IntImm):
                raise ScheduleError(self.name, f"an output at {index}", "outputs are indexed by iterators alone")
        axes = self._axis_places(variables)
        shifts = []
        for slide, window in self.windows.items():
            axis = self._axis(slide.pixel, Kind.PIXEL)
            shifts.append((axes[axis] % window, window))
            axes |= {axis: axes[axis] // window}
        group = self._ravelled(axes, Kind.GROUP)
        pixel = self._ravelled(axes, Kind.PIXEL)
        result = self._whole(0)
        for shift, window in shifts:
            result = result * window + shift
        result = result * m.workload.filters + self._ravelled(axes, Kind.FILTER)
        column = result
        if m.packed > 1:
            column = (result // m.filters * m.packed + group % m.packed) * m.filters + result % m.filters
        return group // m.packed, pixel, column

    def _axis(self, name: str, kind: Kind) -> Axis:
        return next(axis for axis in self.axes if (axis.name, axis.kind) == (name, kind))

    def _axis_places(self, variables: dict[Any, Any]) -> dict[Axis, Any]:
        """A value for every axis, from one for every iterator."""
        axes, places = iter(self.axes), {}
        for position, iterator in enumerate(self.iterators):
            value = variables[iterator.var]
            if position in self.splits:
                places[next(axes)] = value // self.splits[position]
                value = value % self.splits[position]
            places[next(axes)] = value
        return places

    def _loaded(self, tensor: Any, indices: Any, at: dict[Axis, Any], conditions: Sequence[Any]) -> Any:
        """The tensor at the kernel's indices, or zero if a condition fails."""
        analyzer, absent = Analyzer(), set()
        for axis in self.axes:
            if axis not in at:
                at[axis] = Var(f"absent_{axis.name}", self.index_type)
                analyzer.bind(at[axis], Range(self._whole(0), self._whole(axis.extent)))
                absent.add(at[axis])
        variables, axes = {}, iter(self.axes)
        for position, iterator in enumerate(self.iterators):
            value = at[next(axes)]
            if position in self.splits:
                value = value * self.splits[position] + at[next(axes)]
            variables[iterator.var] = value
        places = [analyzer.simplify(_substituted(index, variables)) for index in indices]
        if any(variables_of(place) & absent for place in places):
            raise ScheduleError(self.name, "an index that varies with too many iterators", "TVM could not simplify it")
        value = tensor(*places)
        zero = tirx.const(0, str(tensor.dtype))
        return tirx.if_then_else(tirx.all(*conditions), value, zero) if conditions else value

    def _ravelled(self, places: dict[Axis, Any], kind: Kind) -> Any:
        index = self._whole(0)
        for axis, extent in self._extents(kind).items():
            index = index * extent + places[axis]
        return index


def _untiled(index: Any, packed: int, size: int) -> tuple[Any, Any]:
    """Group in the pack, and index in that group, of (tile, group in the pack, place in the tile)."""
    if packed == 1:
        return index * 0, index
    return index // size % packed, index // (packed * size) * size + index % size


def _unravelled(index: Any, extents: Sequence[int]) -> list[Any]:
    """Index along each dimension; the last dimension varies fastest."""
    places = []
    for extent in reversed(extents[1:]):
        places.append(index % extent)
        index = index // extent
    return [*([index] if extents else []), *reversed(places)]


def _substituted(expression: Any, values: dict[Any, Any]) -> Any:
    return tvm_ffi.structural_map(expression, [(Var, lambda variable: values.get(variable, variable))])


def _spliced(function: Any, block: Any, computation: Any) -> Any:
    """The function with the loop nest of a block replaced by the nests of a computation."""
    root = function.body.block
    nests = list(root.body.seq) if isinstance(root.body, tirx.SeqStmt) else [root.body]
    places = [place for place, nest in enumerate(nests) if _is_nest_of(nest, block)]
    if not places:
        raise ScheduleError(str(block.name_hint), "a nest with other blocks", "its matrix is written out alone")
    added = computation.block
    nests[places[0] : places[0] + 1] = list(added.body.seq)
    body = SBlock(
        [], [], [], root.name_hint, tirx.SeqStmt(nests),
        alloc_buffers=[*root.alloc_buffers, *added.alloc_buffers], annotations=root.annotations,
    )  # fmt: skip
    return function.with_body(SBlockRealize([], True, body))


def _is_nest_of(nest: Any, block: Any) -> bool:
    while isinstance(nest, tirx.For):
        nest = nest.body
    return isinstance(nest, SBlockRealize) and bool(nest.block.same_as(block))
