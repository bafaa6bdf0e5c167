"""Integer operators for the parts that the device computes.

A convolution or matrix product with constant weights becomes: quantise the input, multiply integers, scale back.

* weights: symmetric, one scale per output channel, quantised here;
* inputs: symmetric, one scale per tensor, taken from the largest magnitude at run time (dynamic quantisation);
* sums: int32 for up to 8 bits and so few terms that none overflows (133 thousand for 8 bits), int64 otherwise.

Each integer product is a kernel of its own, a function of the program that equal products share.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import numpy as np
from tvm import relax, tirx
from tvm.ir import GenericConst, IRModule, Op
from tvm.relax.expr_functor import PyExprMutator, mutator

from cyclecast._tvm._block import workload_of
from cyclecast.frontend._fold import constants_of
from cyclecast.frontend._host import host_operators
from cyclecast.workload import HostOperator, Member, Workload

OPAQUE = 8
"""TVM's pattern of functions that take no part in operator fusion."""

CONVOLUTIONS = {"relax.nn.conv1d": "OIW", "relax.nn.conv2d": "OIHW"}
"""The convolutions that become kernels, and the weight layout that they must have."""
MATMUL = "relax.matmul"


@dataclass(frozen=True, slots=True)
class Bits:
    """Widths of the quantised values."""

    activation: int
    weight: int

    def sums(self, terms: int) -> str:
        """The type of sums of so many products, which holds the largest of them."""
        largest = terms * ((1 << (self.activation - 1)) - 1) * ((1 << (self.weight - 1)) - 1)
        return "int32" if max(self.activation, self.weight) <= 8 and largest < 1 << 31 else "int64"


@dataclass(slots=True)
class Kernels:
    """The kernels made so far."""

    names: dict[str, str] = field(default_factory=dict)
    """What each is called in reports, by the name of its function."""
    counts: Counter[str] = field(default_factory=Counter)


def quantize(program: IRModule, bits: Bits) -> tuple[IRModule, tuple[Member, ...], tuple[HostOperator, ...]]:
    """The program with integer kernels, legalised and fused; its workloads; and what stays on the host."""
    main = program["main"]
    constants = constants_of(main)
    kernels = Kernels()
    rewriter = _Quantizer(program, constants, bits, kernels)
    rewriter.builder_.update_func(program.get_global_var("main"), rewriter.visit_expr(main))
    host = host_operators(main, constants, lambda call: _is_kernel(call, constants))
    whole = _fuse_host(rewriter.builder_.get())
    members = tuple(
        Member(_workload(whole[kernel], name, bits), kernels.counts[kernel], kernel)
        for kernel, name in kernels.names.items()
    )
    return whole, members, host


def _workload(function: Any, name: str, bits: Bits) -> Workload:
    return replace(workload_of(function, name), input_bits=bits.activation, weight_bits=bits.weight)


def _is_kernel(call: Any, constants: Mapping[Any, Any]) -> bool:
    """Whether the call multiplies by constant weights in a form that the device takes."""
    name = call.op.name if isinstance(call.op, Op) else ""
    if (name not in CONVOLUTIONS and name != MATMUL) or str(call.ty.dtype) != "float32":
        return False
    data, weight = call.args
    if not isinstance(constants.get(weight, weight), GenericConst) or isinstance(data, GenericConst):
        return False
    if name in CONVOLUTIONS:
        return str(call.attrs.kernel_layout) == CONVOLUTIONS[name]
    return len(data.ty.shape) >= len(weight.ty.shape) >= 2


@mutator
class _Quantizer(PyExprMutator):  # type: ignore[misc] # TVM is untyped
    """Rewrites the calls that become kernels."""

    def __init__(self, program: IRModule, constants: Mapping[Any, Any], bits: Bits, kernels: Kernels) -> None:
        super().__init__(program)
        self.constants = constants
        self.bits = bits
        self.kernels = kernels
        self.quantized: dict[Any, tuple[Any, Any]] = {}

    def visit_dataflow_var_(self, variable: Any) -> Any:
        """Variables that hold constants are their constants."""
        return self.constants[variable] if variable in self.constants else super().visit_dataflow_var_(variable)

    def visit_call_(self, call: Any) -> Any:
        """Replace the call if it is a kernel; visit its arguments first."""
        call = self.visit_expr_post_order(call)
        if not _is_kernel(call, {}):
            return call
        data, weight = call.args
        values, scales = quantize_weights(weight.value.numpy(), _channel_axis(call), self.bits.weight)
        integers, scale = self._quantized_input(data)
        product = self._kernel(call, integers, relax.const(values, str(values.dtype)))
        emit = self.builder_.emit
        factor = emit(relax.op.multiply(scale, relax.const(_beside_output(scales, call), "float32")))
        return relax.op.multiply(emit(relax.op.astype(product, "float32")), factor)

    def _quantized_input(self, data: Any) -> tuple[Any, Any]:
        """The integers and the scale of an activation, computed once for all that use it."""
        if data not in self.quantized:
            emit, most = self.builder_.emit, (1 << (self.bits.activation - 1)) - 1
            largest = emit(relax.op.max(emit(relax.op.abs(data))))
            least = relax.const(np.float32(np.finfo(np.float32).tiny * most), "float32")
            scale = emit(relax.op.divide(emit(relax.op.maximum(largest, least)), relax.const(float(most), "float32")))
            rounded = emit(relax.op.round(emit(relax.op.divide(data, scale))))
            self.quantized[data] = (emit(relax.op.astype(rounded, integer_type(self.bits.activation))), scale)
        return self.quantized[data]

    def _kernel(self, call: Any, integers: Any, weights: Any) -> Any:
        """Call the integer kernel; equal kernels are one function."""
        sums = self.bits.sums(_terms(call))
        function = _integer_function(call, integers.ty, weights.ty, sums)
        name, label = _names(call)
        variable = self.builder_.add_func(function, name)
        self.kernels.names.setdefault(variable.name_hint, label)
        self.kernels.counts[variable.name_hint] += 1
        output = relax.TensorType(call.ty.shape, sums)
        return self.builder_.emit(relax.call_tir(variable, [integers, weights], output))


def integer_type(bits: int) -> str:
    """The storage type of quantised values."""
    return "int8" if bits <= 8 else "int16"


def quantize_weights(values: Any, axes: tuple[int, ...], bits: int) -> tuple[Any, Any]:
    """Integers and one scale for each index along `axes` (scales keep the rank, with 1 elsewhere).

    Symmetric: value = integer * scale, with the largest magnitude of the channel at 2^(bits-1) - 1.
    """
    most = (1 << (bits - 1)) - 1
    others = tuple(axis for axis in range(values.ndim) if axis not in axes)
    largest = np.abs(values).max(axis=others, keepdims=True)
    scales = np.maximum(largest, np.finfo(np.float32).tiny * most) / most
    return np.rint(values / scales).astype(integer_type(bits)), scales.astype("float32")


def _channel_axis(call: Any) -> tuple[int, ...]:
    """The weight's axes that index outputs: filters of a convolution; batch and columns of a matrix product."""
    if call.op.name in CONVOLUTIONS:
        return (0,)
    rank = len(call.args[1].ty.shape)
    return tuple(axis for axis in range(rank) if axis != rank - 2)


def _terms(call: Any) -> int:
    """How many products are added up for one output."""
    extents = [int(extent) for extent in call.args[1].ty.shape]
    return prod(extents[1:]) if call.op.name in CONVOLUTIONS else extents[-2]


def _beside_output(scales: Any, call: Any) -> Any:
    """The scales in a shape that broadcasts against the output."""
    if call.op.name in CONVOLUTIONS:
        return scales.reshape(-1, *([1] * (scales.ndim - 2)))
    return scales


def _integer_function(call: Any, data: Any, weights: Any, sums: str) -> Any:
    """The call's arithmetic on integers as a `PrimFunc`, which stays out of operator fusion."""
    builder = relax.BlockBuilder()
    x, w = relax.Var("x", data), relax.Var("w", weights)
    with builder.function("main", [x, w]):
        builder.emit_func_output(builder.emit(_on_integers(call, x, w, sums)))
    legal = relax.transform.LegalizeOps()(builder.get())
    (function,) = (part for part in legal.functions.values() if isinstance(part, tirx.PrimFunc))
    return function.with_attr("op_pattern", OPAQUE)


def _on_integers(call: Any, data: Any, weight: Any, sums: str) -> Any:
    if call.op.name == MATMUL:
        return relax.op.matmul(data, weight, out_dtype=sums)
    convolve = relax.op.nn.conv1d if call.op.name.endswith("1d") else relax.op.nn.conv2d
    attrs = call.attrs
    return convolve(
        data,
        weight,
        strides=list(attrs.strides),
        padding=list(attrs.padding),
        dilation=list(attrs.dilation),
        groups=int(attrs.groups),
        data_layout=str(attrs.data_layout),
        kernel_layout=str(attrs.kernel_layout),
        out_layout=str(attrs.out_layout),
        out_dtype=sums,
    )


def _names(call: Any) -> tuple[str, str]:
    """What the kernel's function is called in the program, and the workload in reports."""
    data, weight = ([int(extent) for extent in part.ty.shape] for part in call.args)
    if call.op.name == MATMUL:
        operator = "dense" if len(weight) == 2 else "batch_matmul"
        return operator, f"{operator} {_times(data)} -> {weight[-1]}"
    attrs = call.attrs
    operator = call.op.name.removeprefix("relax.nn.")
    groups = int(attrs.groups)
    parts = [operator, _times(data), f"k{_times(weight[2:])}"]
    if any(int(stride) != 1 for stride in attrs.strides):
        parts.append(f"s{_times(attrs.strides)}")
    if any(int(dilation) != 1 for dilation in attrs.dilation):
        parts.append(f"d{_times(attrs.dilation)}")
    if groups > 1:
        parts.append(f"g{groups}")
    return operator, f"{' '.join(parts)} -> {weight[0]}"


def _times(extents: Any) -> str:
    return "x".join(str(int(extent)) for extent in extents)


def _fuse_host(program: IRModule) -> IRModule:
    """Legalise and fuse the float operators; the kernels are legal already and stay as they are."""
    for step in (
        relax.transform.DeadCodeElimination(),
        relax.transform.LegalizeOps(),
        relax.transform.AnnotateTIROpPattern(),
        relax.transform.FoldConstant(),
        relax.transform.FuseOps(),
        relax.transform.FuseTIR(),
        relax.transform.DeadCodeElimination(),
    ):
        program = step(program)
    return program
