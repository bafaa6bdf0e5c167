"""What stays on the host, and what it asks of the host's roofline: elementary operations and bytes.

Counted are the operators of the imported float network, each by itself: it loads its operands and stores its results,
as if none were fused. An operator does `PER_ELEMENT` operations for each element of the largest of them, one if it is
not listed; a window, a sort or a product does as many as it has terms. Quantising the inputs of kernels and scaling
their sums is part of the compiled program, but not of the network, and is not counted (A33).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isqrt, prod
from typing import Any

from tvm import DataType, relax
from tvm.ir import Op

from cyclecast.network import HostOperator

FUNCTION = 16
"""A function such as exp: its argument reduced, a polynomial of some seven terms, and the result scaled back."""

FACTORS: Mapping[str, int] = {
    "arange broadcast_to concat dynamic_strided_slice flip full full_like gather_elements gather_nd layout_transform "
    "ones ones_like pad permute_dims pixel_shuffle repeat reverse_sequence scatter_elements scatter_nd split stack "
    "strided_slice take tile zeros zeros_like": 0,  # bytes that change their place
    "clip ewise_fma leakyrelu prelu selu": 2,
    "std variance": 4,  # mean, difference, square, sum
    "batch_norm group_norm instance_norm layer_norm rms_norm": 8,  # these, and two operations each
    "image.grid_sample image.resize2d image.resize3d": 15,  # eight neighbours, weighted
    "acos acosh asin asinh atan atan2 atanh cos cosh erf exp log sin sinh tan tanh": FUNCTION,
    "sigmoid silu softplus": FUNCTION + 3,
    "log_softmax softmax": FUNCTION + 4,  # largest, difference, sum, quotient
    "gelu gelu_tanh": FUNCTION + 6,
    "log_add_exp power": 2 * FUNCTION + 2,
}
"""Operations for an element of the largest operand or result: additions, multiplications, comparisons, quotients."""
PER_ELEMENT = {name: factor for names, factor in FACTORS.items() for name in names.split()}

SCALING = ("quantize", "dequantize")
"""Between integers and real values: what kernels of quantised operands need is not counted (A33)."""
VIEW_NAMES = "batch_flatten dropout expand_dims flatten memory.view reshape shape_of shape_to_tensor squeeze"
VIEWS = {*VIEW_NAMES.split(), "tensor_to_shape"}
"""Another look at the same bytes: nothing to do when the program runs."""

SORTS = {"argsort", "median", "sort", "topk", "unique"}


@dataclass(slots=True)
class _Demand:
    count: int = 0
    operations: int = 0
    bytes: int = 0
    macs: int = 0


def host_operators(
    function: Any, constants: Mapping[Any, Any], refusal: Callable[[Any], str | None]
) -> tuple[HostOperator, ...]:
    """The operators of the imported network that have not become kernels, by name and reason."""
    found: defaultdict[tuple[str, str], _Demand] = defaultdict(_Demand)
    for block in function.body.blocks:
        for binding in block.bindings:
            call = binding.value
            if binding.var in constants or not isinstance(call, relax.Call) or not isinstance(call.op, Op):
                continue
            name, reason = name_of(call), refusal(call)
            if reason is None or name in SCALING:
                continue
            demand = found[name, reason]
            demand.count += 1
            demand.macs += operations(call) // 2 if is_product(name) else 0
            if name not in VIEWS:
                demand.operations += operations(call)
                demand.bytes += sum(_bytes(part, call) for part in (*_operands(call), *_results(call)))
    return tuple(
        HostOperator(name, demand.count, demand.operations, demand.bytes, demand.macs, reason)
        for (name, reason), demand in sorted(found.items())
    )


def name_of(call: Any) -> str:
    """What reports call an operator; a function of the program goes by its name without a number."""
    if call.op.name == "relax.call_tir":
        return str(call.args[0].name_hint).rstrip("0123456789")
    return str(call.op.name).removeprefix("relax.").removeprefix("nn.")


def is_product(name: str) -> bool:
    """Whether an operator multiplies and accumulates."""
    return name in ("matmul", "einsum") or name.startswith(("conv", "attention"))


def operations(call: Any) -> int:
    """Elementary operations of one call.

    In an einsum every index is in two of three tensors at least, so that the square of its products is no more than
    the product of their sizes, and equal to it where no index is in all three.
    """
    name, largest = name_of(call), _largest(call)
    if name == "einsum":
        return 2 * max(largest, isqrt(prod(_elements(part, call) for part in (*_operands(call), *_results(call)))))
    if name in SORTS:
        return largest * max(1, (largest - 1).bit_length())
    if call.attrs is None:  # a function of the program
        return PER_ELEMENT.get(name, 1) * largest
    if name == "matmul":
        return 2 * _elements(call.ty, call) * _last_extent(call.args[0])
    if name.startswith("conv"):
        return 2 * _products(name, call)
    if name.startswith("attention"):
        return 4 * _elements(call.args[0].ty, call) * int(call.args[1].ty.shape[1])  # queries x keys, scores x values
    if hasattr(call.attrs, "pool_size"):
        return _elements(call.ty, call) * prod(int(extent) for extent in call.attrs.pool_size)
    return PER_ELEMENT.get(name, 1) * largest


def _products(name: str, call: Any) -> int:
    """Multiply-accumulates of a convolution that is no kernel: in each direction, every weight meets every position."""
    data, weight = call.args[:2]
    layout = str(call.attrs.kernel_layout)
    if name.endswith("transpose"):
        return _elements(data.ty, call) * (_elements(weight.ty, call) // int(weight.ty.shape[layout.index("I")]))
    return _elements(call.ty, call) * (_elements(weight.ty, call) // int(weight.ty.shape[layout.index("O")]))


def _operands(call: Any) -> list[Any]:
    """The types of all tensors that go in."""
    return [part for argument in call.args for part in _tensors(getattr(argument, "ty", None))]


def _results(call: Any) -> list[Any]:
    return _tensors(call.ty)


def _tensors(kind: Any) -> list[Any]:
    if isinstance(kind, relax.TupleType):
        return [part for field in kind.fields for part in _tensors(field)]
    return [kind] if isinstance(kind, relax.TensorType) else []


def _elements(kind: Any, call: Any) -> int:
    """How many values a tensor has; as many as the largest known of its call where that depends on values."""
    known = _known(kind)
    return _largest(call) if known is None else known


def _largest(call: Any) -> int:
    return max((size for part in (*_operands(call), *_results(call)) if (size := _known(part)) is not None), default=1)


def _known(kind: Any) -> int | None:
    try:
        return prod(int(extent) for extent in kind.shape)
    except TypeError:
        return None


def _last_extent(operand: Any) -> int:
    return int(operand.ty.shape[-1])


def _bytes(kind: Any, call: Any) -> int:
    return -(-_elements(kind, call) * int(DataType(str(kind.dtype)).bits) // 8)
