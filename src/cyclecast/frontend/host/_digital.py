"""The operators of a network that arrays do not compute, in chains that are fused.

A chain is a product with the element-wise operators that follow it, or another operator with those: each element goes
through all of them, so only what enters and leaves the chain is moved. Sums of a product have 32 bits, as in the
program; a result that only products read has the bits of an activation; all others have the type of the network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any

from tvm import DataType, relax
from tvm.ir import Op

from cyclecast.device import OperationClass
from cyclecast.frontend.host._host import PER_ELEMENT, SCALING, VIEWS, name_of, operations
from cyclecast.frontend.host._reach import ELEMENTWISE
from cyclecast.network import DigitalOperator

CLASSES: Mapping[OperationClass, str] = {
    OperationClass.ADD: "add subtract negative ewise_fma",
    OperationClass.MULTIPLY: "multiply square",
    OperationClass.DIVIDE: "divide floor_divide floor_mod mod",
    OperationClass.COMPARE: "abs clip equal greater greater_equal leakyrelu less less_equal logical_and logical_not "
    "logical_or logical_xor maximum minimum not_equal prelu relu relu6 sign where",
    OperationClass.SHIFT: "astype bitwise_and bitwise_not bitwise_or bitwise_xor ceil floor left_shift right_shift "
    "round trunc",
    OperationClass.LOOKUP: "acos acosh asin asinh atan atan2 atanh cos cosh erf exp gelu gelu_tanh log log_add_exp "
    "power rsqrt selu sigmoid silu sin sinh softplus sqrt tan tanh",
    OperationClass.REDUCE: "adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d avg_pool1d avg_pool2d "
    "avg_pool3d cumsum mean sum",
    OperationClass.POOL: "adaptive_max_pool1d adaptive_max_pool2d argmax argmin max max_pool1d max_pool2d max_pool3d "
    "min",
    OperationClass.SOFTMAX: "log_softmax softmax",
    OperationClass.NORMALISE: "batch_norm group_norm instance_norm layer_norm rms_norm",
}
"""Operators by the class of their operations."""
CLASS_OF = {name: kind for kind, names in CLASSES.items() for name in names.split()}
OTHER = "other"
"""Class of operations that no digital unit does."""
SUM_BYTES = 4
"""Bytes of a sum in the program."""
LINEAR = ("add", "divide", "multiply", "subtract")
"""Operators that are part of the rescaling before them if the other operand is constant: a bias, a scale."""
ON_ARRAYS, OUTPUT = "arrays", "output"
"""Readers of a result that are no chain."""


@dataclass(frozen=True, slots=True)
class _Result:
    """A computed tensor, or several that one operator computes."""

    chain: int
    after: int
    elements: int
    bytes: int
    """Size in the types of the network."""
    is_sum: bool
    """Whether it is a rescaled sum of a product, so that a constant that is added is a bias."""


class DigitalOperators:
    """Collects the operators that arrays do not compute, binding by binding."""

    def __init__(self, known: set[Any], activation_bits: int) -> None:
        """`known` are the variables that hold constants."""
        self.known, self.narrow = known, -(-activation_bits // 8)
        self.results: dict[Any, _Result] = {}
        self.roots: dict[Any, list[Any]] = {}
        """By variable of a view or a tuple: the variables whose values it has."""
        self.readers: dict[Any, set[int | str]] = {}
        """By variable: the chains that read it, `ON_ARRAYS`, `OUTPUT`."""
        self.found: list[tuple[DigitalOperator, Any]] = []
        """Operators, without the bytes that they store, and the variables of their results."""
        self.chains = 0

    def product(self, variable: Any, call: Any, place: int) -> None:
        """Add an operator of the network: its sums are rescaled."""
        for argument in call.args:
            for root in self._roots(argument):
                self.readers.setdefault(root, set()).add(ON_ARRAYS)
        elements, size = _size(call.ty)
        self.results[variable] = _Result(self._new(), place, elements, size, is_sum=True)
        work = ((str(OperationClass.SHIFT), elements),)
        self._add("requantise", variable, work, elements, through=SUM_BYTES * elements, loads=0)

    def other(self, variable: Any, value: Any, after: int) -> None:
        """Add any other binding; `after` is the last operator on arrays that it depends on, or `NOWHERE`."""
        name = name_of(value) if isinstance(value, relax.Call) and isinstance(value.op, Op) else ""
        read = self._roots(value)
        if not name or name in VIEWS or name in SCALING:
            self.roots[variable] = read
            return
        elements, size = _size(value.ty)
        inside = self._continued(name, read, elements)
        chain = self.results[inside].chain if inside is not None else self._new()
        constants = [part for part in value.args if not self._roots(part)]
        is_sum = inside is not None and self.results[inside].is_sum and name in LINEAR and bool(constants)
        self.results[variable] = _Result(chain, after, elements, size, is_sum)
        loads = sum(min(size, _size(getattr(part, "ty", None))[1]) for part in constants)
        for root in read:
            self.readers.setdefault(root, set()).add(chain)
            loads += 0 if root is inside else self._bytes(root)
        work = () if is_sum else _work("multiply" if name == "divide" and constants else name, value, elements)
        through = self.results[inside].bytes if inside is not None else 0
        self._add(name, variable, work, operations(value), through=through, loads=loads)

    def operators(self, result: Any) -> tuple[DigitalOperator, ...]:
        """All operators; `result` is what the network returns."""
        for root in self._roots(result):
            self.readers.setdefault(root, set()).add(OUTPUT)
        stored = []
        for operator, variable in self.found:
            outside = self.readers.get(variable, set()) - {operator.chain}
            made = self.results[variable]
            size = self.narrow * made.elements if outside <= {ON_ARRAYS} else made.bytes
            stored.append(replace(operator, stores=size if outside else 0))
        return tuple(stored)

    def _add(
        self, name: str, variable: Any, work: tuple[tuple[str, int], ...], count: int, *, through: int, loads: int
    ) -> None:
        made = self.results[variable]
        operator = DigitalOperator(
            name,
            chain=made.chain,
            after=made.after,
            work=work,
            operations=count,
            through=through,
            loads=loads,
            stores=0,
        )
        self.found.append((operator, variable))

    def _new(self) -> int:
        self.chains += 1
        return self.chains - 1

    def _roots(self, value: Any) -> list[Any]:
        """The variables of computed tensors that a value is made of, each once."""
        if isinstance(value, relax.Var):
            return [] if value in self.known else self.roots.get(value, [value])
        parts = {relax.Call: "args", relax.Tuple: "fields"}.get(type(value))
        if isinstance(value, relax.TupleGetItem):
            return self._field(value)
        found = [root for part in getattr(value, parts) for root in self._roots(part)] if parts else []
        return list(dict.fromkeys(found))

    def _field(self, value: Any) -> list[Any]:
        roots = self._roots(value.tuple_value)
        fields = len(value.tuple_value.ty.fields)
        return roots[value.index : value.index + 1] if len(roots) == fields else roots

    def _continued(self, name: str, read: list[Any], elements: int) -> Any:
        """The operand whose chain an element-wise operator continues, the last computed one; None if there is none."""
        equal = [root for root in read if root in self.results and self.results[root].elements == elements]
        return max(equal, key=lambda root: self.results[root].chain) if equal and name in ELEMENTWISE else None

    def _bytes(self, root: Any) -> int:
        return self.results[root].bytes if root in self.results else _size(root.ty)[1]


def _work(name: str, call: Any, elements: int) -> tuple[tuple[str, int], ...]:
    """The operations of a digital unit: one for each element of an element-wise operator."""
    if PER_ELEMENT.get(name) == 0:
        return ()
    kind = CLASS_OF.get(name)
    whole = kind in (OperationClass.REDUCE, OperationClass.POOL)
    return ((str(kind or OTHER), operations(call) if whole or not kind else elements),)


def _size(kind: Any) -> tuple[int, int]:
    """Number of elements and bytes of a tensor or of all tensors of a tuple; 0 for unknown extents."""
    if isinstance(kind, relax.TupleType):
        sizes = [_size(field) for field in kind.fields]
        return sum(count for count, _ in sizes), sum(size for _, size in sizes)
    try:
        elements = prod(int(extent) for extent in kind.shape)
        return elements, -(-elements * int(DataType(str(kind.dtype)).bits) // 8)
    except (AttributeError, TypeError):
        return 0, 0
