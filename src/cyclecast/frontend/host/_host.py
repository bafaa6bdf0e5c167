"""Cost of host operators for the host's roofline: elementary operations and bytes.

Counted are the operators of the imported float network, unfused: each loads its operands and stores its results. An
operator does `PER_ELEMENT` operations per element of its largest tensor (1 if it is not listed); windows, sorts and
products do one per term. Quantisation of kernel inputs and scaling of sums are part of the compiled program but not of
the network, and are not counted (A33).
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
"""Operations of a function such as exp: argument reduction, a polynomial of about seven terms, and scaling."""

FACTORS: Mapping[str, int] = {
    "arange broadcast_to concat dynamic_strided_slice flip full full_like gather_elements gather_nd layout_transform "
    "ones ones_like pad permute_dims pixel_shuffle repeat reverse_sequence scatter_elements scatter_nd split stack "
    "strided_slice take tile zeros zeros_like": 0,  # only moves bytes
    "clip ewise_fma leakyrelu prelu selu": 2,
    "std variance": 4,  # mean, difference, square, sum
    "batch_norm group_norm instance_norm layer_norm rms_norm": 8,  # as above, and four operations more
    "image.grid_sample image.resize2d image.resize3d": 15,  # eight neighbours, weighted
    "acos acosh asin asinh atan atan2 atanh cos cosh erf exp log sin sinh tan tanh": FUNCTION,
    "sigmoid silu softplus": FUNCTION + 3,
    "log_softmax softmax": FUNCTION + 4,  # maximum, difference, sum, quotient
    "gelu gelu_tanh": FUNCTION + 6,
    "log_add_exp power": 2 * FUNCTION + 2,
}
"""Operations per element of the largest tensor: additions, multiplications, comparisons, divisions."""
PER_ELEMENT = {name: factor for names, factor in FACTORS.items() for name in names.split()}

SCALING = ("quantize", "dequantize")
"""Conversions between integers and floats, which are not counted (A33)."""
VIEW_NAMES = "batch_flatten dropout expand_dims flatten memory.view reshape shape_of shape_to_tensor squeeze"
VIEWS = {*VIEW_NAMES.split(), "tensor_to_shape"}
"""Operators that only change the view of the same bytes; they cost nothing."""

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
    """Operators of the imported network that are no kernels, summed up by name and reason."""
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
        HostOperator(
            name,
            count=demand.count,
            operations=demand.operations,
            bytes=demand.bytes,
            macs=demand.macs,
            reason=reason,
        )
        for (name, reason), demand in sorted(found.items())
    )


def name_of(call: Any) -> str:
    """Name of an operator in reports; a function of the program has its name without number."""
    if call.op.name == "relax.call_tir":
        return str(call.args[0].name_hint).rstrip("0123456789")
    return str(call.op.name).removeprefix("relax.").removeprefix("nn.")


def is_product(name: str) -> bool:
    """Whether an operator multiplies and accumulates."""
    return name in ("matmul", "einsum") or name.startswith(("conv", "attention"))


def operations(call: Any) -> int:
    """Elementary operations of one call.

    In an einsum every index occurs in at least two of the three tensors. So the number of products is at most the
    square root of the product of the tensors' sizes, with equality if no index occurs in all three.
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
    """Multiply-accumulates of a convolution that is no kernel."""
    data, weight = call.args[:2]
    layout = str(call.attrs.kernel_layout)
    if name.endswith("transpose"):
        return _elements(data.ty, call) * (_elements(weight.ty, call) // int(weight.ty.shape[layout.index("I")]))
    return _elements(call.ty, call) * (_elements(weight.ty, call) // int(weight.ty.shape[layout.index("O")]))


def _operands(call: Any) -> list[Any]:
    """Types of all input tensors."""
    return [part for argument in call.args for part in _tensors(getattr(argument, "ty", None))]


def _results(call: Any) -> list[Any]:
    return _tensors(call.ty)


def _tensors(kind: Any) -> list[Any]:
    if isinstance(kind, relax.TupleType):
        return [part for field in kind.fields for part in _tensors(field)]
    return [kind] if isinstance(kind, relax.TensorType) else []


def _elements(kind: Any, call: Any) -> int:
    """Values of a tensor; if its shape is unknown, those of the largest known tensor of the call."""
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
