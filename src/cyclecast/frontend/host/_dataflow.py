"""Data flow between the operators of an imported network, before quantisation.

For each tensor and each operator that it depends on, a `Flow` gives the pixel of that operator that an element needs.
An operator without a rule needs all of its inputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

from tvm import relax
from tvm.ir import Op

from cyclecast.frontend.host._digital import DigitalOperators
from cyclecast.frontend.host._host import name_of
from cyclecast.frontend.host._reach import (
    ELEMENTWISE,
    Dimensions,
    broadcast,
    conv_dimensions,
    dimensions_of,
    matmul_dimensions,
    shape_of,
)
from cyclecast.network import NOWHERE, Along, Axis, DigitalOperator, Edge, Kind, Operator, Reach, Workload

Flow = dict[int, Reach]
"""Reach by operator index; its axes are dimensions of the tensor."""


@dataclass(slots=True)
class Kernels:
    """Kernels created so far for the products of a network."""

    names: dict[str, str] = field(default_factory=dict)
    """Name in reports, by the name of the kernel's function."""
    reasons: dict[Any, str | None] = field(default_factory=dict)
    """By product: why it is no kernel, or None if it is one."""
    calls: dict[Any, str] = field(default_factory=dict)
    """By product: the name of its kernel's function."""
    latest: str = ""


def operators_of(
    function: Any, calls: Mapping[Any, str], workloads: Mapping[str, Workload], bits: tuple[int, int], known: set[Any]
) -> tuple[tuple[Operator, ...], tuple[DigitalOperator, ...]]:
    """The operators of a network in program order, and those that arrays do not compute; only what an output needs.

    `calls` maps products to their kernels, `workloads` maps kernels to workloads. `bits` are those of activations and
    weights in products of two computed operands. `known` are the variables that hold constants.
    """
    bindings = [binding for block in function.body.blocks for binding in block.bindings]
    live = _live(bindings, function.body.body)
    walk = _Walk(calls, workloads, bits, known)
    for binding in bindings:
        if binding.var in live and binding.var not in known:
            walk.bind(binding.var, binding.value)
    return tuple(walk.operators), walk.digital.operators(function.body.body)


def _live(bindings: list[Any], result: Any) -> set[Any]:
    live = set(_variables(result))
    for binding in reversed(bindings):
        if binding.var in live:
            live.update(_variables(binding.value))
    return live


def _variables(value: Any) -> list[Any]:
    match value:
        case relax.Var():
            return [value]
        case relax.Call():
            return [variable for argument in value.args for variable in _variables(argument)]
        case relax.Tuple():
            return [variable for field in value.fields for variable in _variables(field)]
        case relax.TupleGetItem():
            return _variables(value.tuple_value)
        case _:
            return []


class _Walk:
    """Visits the bindings in order and collects operators."""

    def __init__(
        self, calls: Mapping[Any, str], workloads: Mapping[str, Workload], bits: tuple[int, int], known: set[Any]
    ) -> None:
        self.calls, self.workloads, self.bits, self.known = calls, workloads, bits, known
        self.operators: list[Operator] = []
        self.digital = DigitalOperators(known, bits[0])
        self.flows: dict[Any, Flow] = {}
        self.parts: dict[Any, list[Any]] = {}
        """Fields of each tuple, by its variable."""
        self.joined: set[tuple[int, int]] = set()
        """Pairs of operators whose results are combined element by element, for example added."""
        self.reads: list[set[int]] = []
        """For every operator, the operators whose results it reads,"""
        self.behind: list[set[int]] = []
        """and all operators that it depends on."""

    def bind(self, variable: Any, value: Any) -> None:
        before = len(self.operators)
        if isinstance(value, relax.Tuple):
            self.parts[variable] = list(value.fields)
        if isinstance(value, relax.Call) and self.calls.get(value) in self.workloads:  # not removed as dead code
            self.flows[variable] = self._kernel(value)
        elif isinstance(value, relax.Call) and self._is_dynamic(value):
            self.flows[variable] = self._dynamic(value)
        else:
            self.flows[variable] = self._host(value)
        after = max(self.flows[variable], default=NOWHERE)
        if len(self.operators) > before:
            self.digital.product(variable, value, after)
        else:
            self.digital.other(variable, value, after)

    def flow(self, operand: Any) -> Flow:
        if isinstance(operand, relax.Tuple):
            return _merged([self.flow(field) for field in operand.fields])
        return self.flows.get(operand, {})

    def _kernel(self, call: Any) -> Flow:
        kernel = self.calls[call]
        data, dimensions, raster = (
            matmul_dimensions(call, self._is_known) if _is(call, "matmul") else conv_dimensions(call)
        )
        return self._add(kernel, self.workloads[kernel], call, [(data, dimensions)], raster)

    def _is_dynamic(self, call: Any) -> bool:
        return _is(call, "matmul") and not any(self._is_known(operand) for operand in call.args)

    def _is_known(self, operand: Any) -> bool:
        return not isinstance(operand, relax.Var) or operand in self.known

    def _dynamic(self, call: Any) -> Flow:
        """Add a product of two computed operands, whose pixels are the rows of the first."""
        left, right, result = (shape_of(part) for part in (*call.args, call))
        if not left or not right or not result or len(left) < 2 or len(right) < 2:
            return _whole(self._host(call), len(result or ()))
        rank = len(result)
        groups, pixels, filters = prod(result[:-2]), result[-2], result[-1]
        axes = ((groups, Kind.GROUP), (pixels, Kind.PIXEL), (left[-1], Kind.REDUCTION), (filters, Kind.FILTER))
        name = f"product {groups}x{pixels}x{left[-1]} -> {filters}"
        workload = Workload(name, tuple(Axis(kind.value, extent, kind) for extent, kind in axes), *self.bits)
        leading = range(rank - 2)
        first: Dimensions = [*broadcast(left[:-2], result[:-2], leading), Along(rank - 2), None]
        second: Dimensions = [*broadcast(right[:-2], result[:-2], leading), None, None]
        operands = [(call.args[0], first), (call.args[1], second)]
        return self._add("", workload, call, operands, list(range(rank - 1)))

    def _add(
        self, kernel: str, workload: Workload, call: Any, operands: list[tuple[Any, Dimensions]], raster: list[int]
    ) -> Flow:
        shape = shape_of(call)
        assert shape is not None, "kernels have fixed shapes"
        flow = _merged([_through(self.flow(data), dimensions) for data, dimensions in operands])
        place = {dimension: axis for axis, dimension in enumerate(raster)}
        kept = [source for source in sorted(flow) if not self._is_in_another(source, flow)]
        edges = [Edge(source, tuple(_moved(along, place) for along in flow[source])) for source in kept]
        self.reads.append(set(flow))
        self.behind.append(set(flow).union(*(self.behind[source] for source in flow)))
        extents = tuple(shape[dimension] for dimension in raster)
        self.operators.append(Operator(kernel, workload, extents, tuple(edges)))
        return {len(self.operators) - 1: tuple(Along(dimension) for dimension in raster)}

    def _is_in_another(self, source: int, flow: Flow) -> bool:
        """Whether a later source contains this one, and an earlier operator has read both.

        A running sum is one tensor: an operator needs its latest value, not every term.
        """
        later = [
            other
            for other in flow
            if other > source and (source, other) in self.joined and source in self.behind[other]
        ]
        return any(source in reads and other in reads for other in later for reads in self.reads)

    def _host(self, value: Any) -> Flow:
        if isinstance(value, relax.Var):
            return self.flow(value)
        if isinstance(value, relax.TupleGetItem):
            fields = self.parts.get(value.tuple_value)
            return self.flow(fields[value.index] if fields else value.tuple_value)
        if isinstance(value, relax.Tuple):
            return self.flow(value)
        if not isinstance(value, relax.Call):
            return {}
        operands = [part for argument in value.args for part in self._fields(argument)]
        flows = []
        for position, operand in enumerate(operands):
            flow = self.flow(operand)
            if flow:
                flows.append(_through(flow, dimensions_of(value, operand, position)))
        if isinstance(value.op, Op) and name_of(value) in ELEMENTWISE:
            pairs = ((one, other) for first in flows for second in flows for one in first for other in second)
            self.joined.update((one, other) for one, other in pairs if one < other)
        return _merged(flows)

    def _fields(self, argument: Any) -> list[Any]:
        if isinstance(argument, relax.Tuple):
            return list(argument.fields)
        return self.parts.get(argument, [argument])


def _moved(along: Along | None, place: Mapping[int, int]) -> Along | None:
    """`along` with raster axes instead of dimensions; None if its dimension is no raster axis."""
    return replace(along, axis=place[along.axis]) if along and along.axis in place else None


def _through(flow: Flow, dimensions: Dimensions) -> Flow:
    def one(along: Along | None) -> Along | None:
        inner = dimensions[along.axis] if along else None
        return along.after(inner) if along and inner else None

    return {source: tuple(map(one, reach)) for source, reach in flow.items()}


def _merged(flows: list[Flow]) -> Flow:
    """The union of the needs of several operands, by operator."""
    merged: Flow = {}
    for flow in flows:
        for source, reach in flow.items():
            known = merged.get(source)
            merged[source] = tuple(map(_either, known, reach)) if known else reach
    return merged


def _either(one: Along | None, other: Along | None) -> Along | None:
    if not one or not other or (one.axis, one.scale) != (other.axis, other.scale):
        return None
    last, first = max(one.offset, other.offset), min(one.offset - one.span, other.offset - other.span)
    return replace(one, offset=last, span=last - first)


def _whole(flow: Flow, rank: int) -> Flow:
    return {source: (None,) * len(reach) for source, reach in flow.items()}


def _is(call: Any, *names: str) -> bool:
    return isinstance(call.op, Op) and str(call.op.name).removeprefix("relax.").removeprefix("nn.") in names
