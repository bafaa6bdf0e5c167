"""Integer operators for the parts that the device computes.

A convolution or matrix product with constant weights becomes a product of integers (Jacob et al., CVPR 2018, eq. 7):

    sum (x - zx)(w - zw) sx sw = (sum x w - zx sum (w - zw) - zw sum x) sx sw

The arrays compute the first sum; the zero-point terms, bias and scaling are digital and exact.

* Operands that the network dequantises right before the product keep their integers, scales and zero points.
* Other weights are quantised here, with one scale for each output channel.
* Other inputs are quantised when the program runs, each input vector of a matrix product and each image of a
  convolution with a scale from its own extremes (dynamic quantisation).
* Sums: int32 for up to 8 bits and so few terms that none overflows (32,767 for 8 bits), int64 otherwise.

Each integer product is a kernel of its own, a function of the program that equal products share.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from tvm import relax
from tvm.ir import GenericConst, IRModule
from tvm.relax.expr_functor import PyExprMutator, mutator

from cyclecast._tvm._block import kernel_calls, workload_of
from cyclecast.frontend._base import Quantization
from cyclecast.frontend.host._dataflow import Kernels, operators_of
from cyclecast.frontend.host._fused import fuse_host
from cyclecast.frontend.host._host import host_operators
from cyclecast.frontend.host._relax_constants import constants_of, values_of
from cyclecast.frontend.quantization._dynamic import DynamicQuantizer
from cyclecast.frontend.quantization._integers import (
    STORED,
    Activation,
    Constant,
    Recovered,
    quantised_constants,
    quantize_weights,
)
from cyclecast.frontend.quantization._products import (
    CONVOLUTIONS,
    REAL,
    SUMS,
    beside_output,
    filter_axes,
    integer_function,
    is_product,
    last_two_turned,
    name_of,
    names,
    on_integers,
    padding,
    refusal,
    terms,
    vector_axes,
    weight_sums,
)
from cyclecast.network import NOT_FINITE, DigitalOperator, HostOperator, Member, Operator, Workload

SAME_SCALE = 1e-5
"""Relative tolerance of two equal scales."""


@dataclass(frozen=True, slots=True)
class _Sums:
    """The integer result of a kernel, and the value of one unit, which broadcasts against the output."""

    integers: Any
    factor: Any


def quantize(
    program: IRModule, quantization: Quantization
) -> tuple[IRModule, tuple[Member, ...], tuple[HostOperator, ...], tuple[Operator, ...], tuple[DigitalOperator, ...]]:
    """The program with integer kernels, legalised and fused; its workloads, host operators, operators on arrays and
    digital operators.
    """
    main = program["main"]
    constants = constants_of(main)
    quantised = quantised_constants(main, constants)
    kernels = Kernels()
    rewriter = _Quantizer(program, constants, quantised, quantization, kernels)
    rewriter.builder_.update_func(program.get_global_var("main"), rewriter.visit_expr(main))
    host = host_operators(main, {**constants, **quantised}, lambda call: kernels.reasons.get(call, ""))
    whole = fuse_host(rewriter.builder_.get())
    counts = kernel_calls(whole["main"])  # without dead code
    members = tuple(
        Member(_workload(whole[kernel], name, quantization), counts[kernel], kernel)
        for kernel, name in kernels.names.items()
        if counts[kernel]
    )
    workloads = {member.kernel: member.workload for member in members}
    bits = quantization.activation_bits, quantization.weight_bits
    operators = operators_of(main, kernels.calls, workloads, bits, {*constants, *quantised})
    return whole, members, host, *operators


def _workload(function: Any, name: str, quantization: Quantization) -> Workload:
    bits = quantization.activation_bits, quantization.weight_bits
    return replace(workload_of(function, name), input_bits=bits[0], weight_bits=bits[1])


@mutator
class _Quantizer(PyExprMutator):  # type: ignore[misc] # TVM is untyped
    """Rewrites the calls that become kernels."""

    def __init__(
        self,
        program: IRModule,
        constants: Mapping[Any, Any],
        quantised: Mapping[Any, Constant],
        quantization: Quantization,
        kernels: Kernels,
    ) -> None:
        super().__init__(program)
        self.constants = constants
        self.quantised = quantised
        self.known = {**constants, **quantised}
        self.quantization = quantization
        self.kernels = kernels
        self.recovered = Recovered(self.builder_)
        self.dynamic = DynamicQuantizer(self.builder_, quantization.activation_bits, quantization.activations)
        self.sums: dict[Any, _Sums] = {}

    def visit_dataflow_var_(self, variable: Any) -> Any:
        """Replace a variable that holds a constant by the constant."""
        return self.constants[variable] if variable in self.constants else super().visit_dataflow_var_(variable)

    def visit_call_(self, call: Any) -> Any:
        """Replace the call if it is a kernel; visit its arguments first."""
        original, call = call, self.visit_expr_post_order(call)
        match name_of(call):
            case "relax.add":
                return self._with_bias(original, call)
            case "relax.astype":
                return self._exact(call)
            case "relax.where":
                return self._finite(call)
            case "relax.quantize":
                return self._requantised(call)
            case name if is_product(name):
                made, reason = self._product(original, call)
                self.kernels.reasons[original] = reason
                if reason is None:
                    self.kernels.calls[original] = self.kernels.latest
                return made
        return call

    def _product(self, original: Any, call: Any) -> tuple[Any, str | None]:
        """The kernel with its scaling and None, or the call and the reason why it stays on the host."""
        reason, kind = refusal(original, self.known), str(call.ty.dtype)
        if reason is None and kind in REAL[1:]:
            call = self._in_single_precision(call)
        if reason is not None:
            return call, reason
        made, reason = self._put_right(original, call)
        return (made if kind not in REAL[1:] else self._emit(relax.op.astype(made, kind))), reason

    def _in_single_precision(self, call: Any) -> Any:
        """The call with operands cast to float32."""
        operands = [
            relax.const(values_of(part).astype("float32")) if isinstance(part, GenericConst)
            else self._emit(relax.op.astype(part, "float32"))
            for part in call.args
        ]  # fmt: skip
        return self.builder_.normalize(relax.Call(call.op, operands, call.attrs))

    def _put_right(self, original: Any, call: Any) -> tuple[Any, str | None]:
        """The kernel of a product, transposed if its weights are on the left."""
        data, weight = call.args
        known = self._constant(original.args[1], weight)
        if known is not None:
            return self._kernel(call, data, known)
        known = self._constant(original.args[0], data)
        assert known is not None, "a product without constants is refused"
        turned = self._emit(relax.op.permute_dims(weight, last_two_turned(weight)))
        right = relax.const(np.ascontiguousarray(np.swapaxes(known.values(), -1, -2)))
        swapped = self.builder_.normalize(relax.op.matmul(turned, right))
        result, reason = self._kernel(swapped, turned, known.turned())
        return (call if reason else self._emit(relax.op.permute_dims(result, last_two_turned(result)))), reason

    def _constant(self, original: Any, operand: Any) -> Constant | None:
        """The operand if it is constant, with its integers if it is quantised; else None."""
        if original in self.quantised:
            return self.quantised[original]
        return Constant.of(values_of(operand)) if isinstance(operand, GenericConst) else None

    def _weights(self, known: Constant, call: Any) -> Constant:
        scheme, bits = self.quantization.weights, self.quantization.weight_bits
        if known.is_real:
            known = quantize_weights(known.integers, filter_axes(call), bits, scheme)
        return known.signed(bits)

    def _kernel(self, call: Any, data: Any, known: Constant) -> tuple[Any, str | None]:
        reason = self._unfit(known, call, data)
        if reason:
            return call, reason
        weights, activation = self._weights(known, call), self._activation(call, data)
        reason = self._too_wide(activation.bits, weights.bits)
        return (call, reason) if reason else (self._result(call, activation, weights), None)

    def _unfit(self, known: Constant, call: Any, data: Any) -> str:
        """Why the operands cannot be used in a kernel; integers of the network are never quantised again."""
        if known.is_real and not np.isfinite([known.integers.min(initial=0), known.integers.max(initial=0)]).all():
            return NOT_FINITE
        if not known.is_real and not (known.is_integer and known.varies_only_along(filter_axes(call))):
            return "its integer weights have no one scale for each filter"
        if name_of(self._bound(data)) == "relax.dequantize" and self.recovered.activation(data) is None:
            return "its integer inputs have no one scale"
        return ""

    def _too_wide(self, activation: int, weight: int) -> str:
        """Why integers of the network are too wide for the device; they are never requantised."""
        most = self.quantization
        widths = (("input", activation, most.activation_bits), ("weight", weight, most.weight_bits))
        return next((f"{bits}-bit {what}s, arrays take {most}" for what, bits, most in widths if bits > most), "")

    def _result(self, call: Any, activation: Activation, weights: Constant) -> Any:
        sums = sums_type(terms(call), activation.bits, weights.bits)
        integers = self._multiplied(call, activation, weights, sums)
        if str(call.ty.dtype) in SUMS:
            return self._emit(relax.op.astype(integers, str(call.ty.dtype)))
        scales = beside_output(weights.scale, call)
        if activation.is_static:
            return self._scaled(_Sums(integers, (activation.scale * scales).astype("float32")))
        factor = self._emit(relax.op.multiply(activation.scale, relax.const(scales, "float32")))
        return self._emit(relax.op.multiply(self._emit(relax.op.astype(integers, "float32")), factor))

    def _multiplied(self, call: Any, activation: Activation, weights: Constant, sums: str) -> Any:
        """Exact integer sums: those of the kernel, corrected by the zero points."""
        data, pads = activation.integers, padding(call)
        is_centred = not isinstance(activation.zero, relax.Expr) and activation.zero == 0
        if pads is not None and not is_centred:
            data = self._padded(activation, pads)
        padded = data is not activation.integers
        total = self._called(call, data, relax.const(weights.integers), sums, padded)
        if not is_centred:
            centred = weights.integers - weights.zero if weights.zero.any() else weights.integers
            total = self._without_zero(total, activation.zero, weight_sums(centred, call), sums)
        if weights.zero.any():
            inputs = self._input_sums(call, data, sums, padded)
            zero = relax.const(beside_output(weights.zero, call), sums)
            total = self._emit(relax.op.subtract(total, self._emit(relax.op.multiply(inputs, zero))))
        return total

    def _called(self, call: Any, data: Any, weights: Any, sums: str, padded: bool) -> Any:
        """Call the integer kernel; equal kernels share one function."""
        function = integer_function(call, data.ty, weights.ty, sums, padded=padded)
        name, label = names(call)
        variable = self.builder_.add_func(function, name)
        self.kernels.latest = str(variable.name_hint)
        self.kernels.names.setdefault(self.kernels.latest, label)
        return self._emit(relax.call_tir(variable, [data, weights], relax.TensorType(call.ty.shape, sums)))

    def _padded(self, activation: Activation, pads: list[int]) -> Any:
        """The integers, padded with their zero point."""
        data, zero = activation.integers, activation.zero
        if not isinstance(zero, relax.Expr):
            return self._emit(relax.op.nn.pad(data, pads, "constant", float(zero)))
        centred = self._emit(relax.op.subtract(self._emit(relax.op.astype(data, "int32")), zero))
        around = self._emit(relax.op.add(self._emit(relax.op.nn.pad(centred, pads)), zero))
        return self._emit(relax.op.astype(around, str(data.ty.dtype)))

    def _without_zero(self, total: Any, zero: Any, weights: Any, sums: str) -> Any:
        """Subtract the input's zero point times the sums of the weights."""
        if not isinstance(zero, relax.Expr):
            return self._emit(relax.op.subtract(total, relax.const(zero * weights, sums)))
        wide = self._emit(relax.op.astype(zero, sums)) if sums != "int32" else zero
        return self._emit(relax.op.subtract(total, self._emit(relax.op.multiply(wide, relax.const(weights, sums)))))

    def _input_sums(self, call: Any, data: Any, sums: str, padded: bool) -> Any:
        """Sum of the inputs of each output, which broadcasts against the output."""
        if name_of(call) not in CONVOLUTIONS:
            return self._emit(relax.op.sum(self._emit(relax.op.astype(data, sums)), axis=-1, keepdims=True))
        groups, (axis,) = int(call.attrs.groups), filter_axes(call)
        extents = [int(extent) for extent in call.args[1].ty.shape]
        filters, extents[axis] = extents[axis], groups
        ones = relax.const(np.ones(extents, str(data.ty.dtype)))
        added = self._emit(on_integers(call, data, ones, sums, padded=padded))
        channel = str(call.attrs.out_layout).index("C")
        return added if groups == 1 else self._emit(relax.op.repeat(added, filters // groups, channel))

    def _scaled(self, sums: _Sums) -> Any:
        """Sums as float values."""
        real = self._emit(relax.op.astype(sums.integers, "float32"))
        result = self._emit(relax.op.multiply(real, relax.const(sums.factor, "float32")))
        self.sums[result] = sums
        return result

    def _with_bias(self, original: Any, call: Any) -> Any:
        """Add a bias as integers before scaling, if its scale equals that of the sums."""
        for sums, other in zip(map(self._sums, call.args), reversed(original.args), strict=True):
            bias = self.quantised.get(other)
            if sums is None or bias is None or [*call.ty.shape] != [*sums.integers.ty.shape]:
                continue
            if np.allclose(np.broadcast_to(bias.scale, np.broadcast_shapes(bias.scale.shape, sums.factor.shape)),
                           sums.factor, rtol=SAME_SCALE, atol=0):  # fmt: skip
                added = relax.const(bias.integers.astype("int64") - bias.zero, str(sums.integers.ty.dtype))
                return self._scaled(_Sums(self._emit(relax.op.add(sums.integers, added)), sums.factor))
        return call

    def _exact(self, call: Any) -> Any:
        """Cast sums of scale 1 to an integer type without a detour over floats."""
        sums = self._sums(call.args[0])
        if sums is None or str(call.ty.dtype) not in SUMS or not (sums.factor == 1).all():
            return call
        return self._emit(relax.op.astype(sums.integers, str(call.ty.dtype)))

    def _finite(self, call: Any) -> Any:
        """Remove a replacement of non-finite values by zero: sums are finite."""
        condition, zero, value = call.args
        inverted = self._bound(condition)
        finite = self._bound(inverted.args[0]) if name_of(inverted) == "relax.logical_not" else None
        if self._sums(value) is None or finite is None or name_of(finite) != "relax.isfinite":
            return call
        if not finite.args[0].same_as(value):
            return call
        return value if isinstance(zero, GenericConst) and not zero.value.numpy().any() else call

    def _bound(self, variable: Any) -> Any:
        return self.builder_.lookup_binding(variable) if isinstance(variable, relax.Var) else None

    def _requantised(self, call: Any) -> Any:
        """Requantise sums: multiply by the ratio of scales and round once (eq. 4)."""
        data, scale, zero = call.args
        sums, kind = self._sums(data), str(call.ty.dtype)
        if (
            sums is None
            or kind not in STORED
            or not all(isinstance(p, GenericConst) and p.value.numpy().size == 1 for p in (scale, zero))
        ):
            return call
        ratio = (sums.factor / scale.value.numpy().reshape(())).astype("float32")
        emit = self._emit
        real = emit(relax.op.multiply(emit(relax.op.astype(sums.integers, "float32")), relax.const(ratio)))
        moved = emit(relax.op.add(emit(relax.op.round(real)), relax.const(float(zero.value.numpy().item()), "float32")))
        bounds = np.iinfo(kind)
        return emit(relax.op.astype(emit(relax.op.clip(moved, int(bounds.min), int(bounds.max))), kind))

    def _sums(self, variable: Any) -> _Sums | None:
        while variable not in self.sums:
            variable = self._bound(variable)
            if not isinstance(variable, relax.Var):
                return None
        return self.sums[variable]

    def _activation(self, call: Any, data: Any) -> Activation:
        """The integers of a product's input: recovered, or quantised once for all products that use it."""
        return self.recovered.activation(data) or self.dynamic.activation(data, vector_axes(call))

    def _emit(self, value: Any) -> Any:
        return self.builder_.emit(value)


def sums_type(count: int, input_bits: int, weight_bits: int) -> str:
    """Type that holds every sum of `count` products, zero points included."""
    return "int32" if input_bits + weight_bits + count.bit_length() <= 31 else "int64"
