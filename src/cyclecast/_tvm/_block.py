"""Read a TIR block as a workload: the contraction `output[...] += input[...] * weight[...]`.

The role of an iterator follows from the operands that it indexes. Names and layouts of operators have no influence, so
convolutions of any rank, stride, padding, dilation and grouping, dense layers and matrix products are read by one code.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import tvm_ffi
from tvm import tirx
from tvm.ir import Expr, TensorLoad, Var
from tvm.ir.prim.expr import FloorDiv
from tvm.s_tir.stmt import SBlock
from tvm.sym.pattern import detect_linear_equation

from cyclecast.errors import ScheduleError
from cyclecast.network import Axis, Kind, Slide, Workload

if TYPE_CHECKING:
    from tvm import relax

KIND_BY_OPERANDS = {
    (True, True, True): Kind.GROUP,
    (True, False, True): Kind.PIXEL,
    (False, True, True): Kind.FILTER,
    (True, True, False): Kind.REDUCTION,
}
"""The role of an iterator; the key says whether it indexes (input, weight, output)."""

INTEGER_BITS = {"int8": 8, "uint8": 8, "int16": 16, "uint16": 16}


@dataclass(frozen=True, slots=True)
class Split:
    """An iterator over the filters of all groups, which must be split into (group, filter of the group)."""

    iterator: int
    """Position of the iterator in the block."""
    inner: int
    """Filters of a group."""


@dataclass(frozen=True, slots=True)
class Contraction:
    """A block that multiplies and accumulates, and the role of each of its iterators."""

    block: str
    kinds: tuple[Kind, ...]
    """The role of each block iterator; `Kind.FILTER` for a split iterator."""
    splits: tuple[Split, ...]
    workload: Workload


def contraction_of(block: SBlock, name: str) -> Contraction | None:
    """The contraction of an `SBlock`; None if it computes something else, or not on integers."""
    operands = operands_of(block)
    if operands is None:
        return None
    data, weight, output = operands
    bits = tuple(INTEGER_BITS.get(str(load.source.dtype)) for load in (data, weight))
    if bits[0] is None or bits[1] is None:
        return None
    used = [[variables_of(index) for index in indices] for indices in (data.indices, weight.indices, output)]
    kinds: list[Kind] = []
    splits: list[Split] = []
    axes: list[Axis] = []
    for position, iterator in enumerate(block.iter_vars):
        extent, label = int(iterator.dom.extent), _label(iterator.var)
        inside = tuple(any(iterator.var in variables for variables in operand) for operand in used)
        kind = _unit_kind(iterator) if extent == 1 else KIND_BY_OPERANDS.get((inside[0], inside[1], inside[2]))
        if kind is None:
            return None
        inner = _common_divisor(iterator.var, (*data.indices, *weight.indices)) if kind is Kind.GROUP else 1
        if inner > 1:
            splits.append(Split(position, inner))
            kind = Kind.FILTER
            axes += [Axis(f"{label}_group", extent // inner, Kind.GROUP), Axis(label, inner, Kind.FILTER)]
        else:
            axes.append(Axis(label, extent, kind))
        kinds.append(kind)
    slides = _slides(block, kinds, data.indices)
    workload = Workload(name, tuple(axes), input_bits=bits[0], weight_bits=bits[1], slides=slides)
    return Contraction(str(block.name_hint), tuple(kinds), tuple(splits), workload)


def _slides(block: SBlock, kinds: list[Kind], indices: Sequence[Expr]) -> tuple[Slide, ...]:
    """A slide for every input index of the form pixel x stride + tap x dilation whose outputs share inputs."""
    roles = dict(zip((iterator.var for iterator in block.iter_vars), kinds, strict=True))
    iterators = {iterator.var: iterator for iterator in block.iter_vars}
    labels = [_label(variable) for variable in iterators]
    used = [variables_of(index) for index in indices]
    slides = []
    for index, variables in zip(indices, used, strict=True):
        pair = sorted(variables, key=lambda variable: roles.get(variable, Kind.GROUP) is not Kind.PIXEL)
        if [roles.get(variable) for variable in pair] != [Kind.PIXEL, Kind.REDUCTION]:
            continue
        factors = detect_linear_equation(index, pair)
        alone = all(sum(v in others for others in used) == labels.count(_label(v)) == 1 for v in pair)
        if alone and len(factors) and all(isinstance(f, tirx.IntImm) for f in factors) and int(factors[2]) == 0:
            (outputs, taps), names = (int(iterators[v].dom.extent) for v in pair), [_label(v) for v in pair]
            stride, dilation = int(factors[0]), int(factors[1])
            slide = Slide(names[0], names[1], outputs, taps, stride=stride, dilation=dilation)
            slides += [slide] if stride > 0 < dilation and slide.shares else []
    return tuple(slides)


def _label(variable: Var) -> str:
    return str(variable.name).removeprefix("v_")


def contractions_in(function: tirx.PrimFunc, name: str) -> list[Contraction]:
    """Every contraction of a `PrimFunc`, in program order."""
    found: list[Contraction] = []

    def visit(block: SBlock) -> None:
        contraction = contraction_of(block, name)
        if contraction is not None:
            found.append(contraction)

    tvm_ffi.structural_walk(function.body, [(SBlock, visit)], order="pre")
    return found


def workload_of(function: tirx.PrimFunc, name: str) -> Workload:
    """The workload of a `PrimFunc` with one contraction. Raises `ScheduleError` for none or several."""
    found = contractions_in(function, name)
    if len(found) != 1:
        raise ScheduleError(
            name, f"{len(found)} integer contractions in the function", "there must be exactly one",
            "one int8 or int16 convolution, dense layer or matrix product per function",
        )  # fmt: skip
    return found[0].workload


def kernel_calls(main: relax.Function) -> Counter[str]:
    """Number of calls (`call_tir`) in a Relax function, by callee."""
    calls = (binding.value for block in main.body.blocks for binding in block.bindings)
    named = (call for call in calls if str(getattr(getattr(call, "op", None), "name", "")) == "relax.call_tir")
    return Counter(str(call.args[0].name_hint) for call in named)


def operands_of(block: SBlock) -> tuple[TensorLoad, TensorLoad, tuple[Expr, ...]] | None:
    """Load of the input, load of the weight, indices of the output of `output += input * weight`; None for others."""
    store = block.body
    if block.init is None or not isinstance(store, tirx.BufferStore) or not isinstance(store.value, tirx.Add):
        return None
    product = store.value.b
    if not isinstance(product, tirx.Mul):
        return None
    data, weight = _uncast(product.a), _uncast(product.b)
    if not isinstance(data, TensorLoad) or not isinstance(weight, TensorLoad):
        return None
    return data, weight, tuple(store.indices)


def _uncast(value: Expr) -> Expr:
    return value.value if isinstance(value, tirx.Cast) else value


def variables_of(expression: Expr) -> set[Var]:
    """All variables of an expression."""
    found: set[Var] = set()
    tvm_ffi.structural_walk(expression, [(tirx.Var, found.add)], order="pre")
    return found


def _unit_kind(iterator: tirx.IterVar) -> Kind:
    """The role of an iterator of extent 1, whose indices are often simplified away: one that changes no extent."""
    return Kind.REDUCTION if iterator.iter_type == tirx.IterVar.CommReduce else Kind.PIXEL


def _common_divisor(variable: Var, indices: Sequence[Expr]) -> int:
    """The constant by which the operands' indices floor-divide the variable; 1 without a division, or with several."""
    divisors: set[int] = set()

    def visit(division: FloorDiv) -> None:
        if variable.same_as(division.a) and isinstance(division.b, tirx.IntImm):
            divisors.add(int(division.b))

    for index in indices:
        tvm_ffi.structural_walk(index, [(FloorDiv, visit)], order="pre")
    return divisors.pop() if len(divisors) == 1 else 1
