"""Averages of integers, rounded as TFLite rounds: to nearest, halves away from zero.

TVM's importer truncates the quotient.
"""

from __future__ import annotations

from typing import Any

from tvm import relax
from tvm.ir import IRModule
from tvm.relax.expr_functor import PyExprMutator, mutator

from cyclecast.frontend.quantization._products import name_of


def with_rounded_averages(program: IRModule) -> IRModule:
    """The program with rounded average pooling of int32 tensors."""
    rewriter = _Averages(program)
    rewriter.builder_.update_func(program.get_global_var("main"), rewriter.visit_expr(program["main"]))
    return rewriter.builder_.get()


@mutator
class _Averages(PyExprMutator):  # type: ignore[misc] # TVM is untyped
    """Rewrites average pooling of integers."""

    def visit_call_(self, call: Any) -> Any:
        """Average in float32, then round half away from zero."""
        call = self.visit_expr_post_order(call)
        if name_of(call) != "relax.nn.avg_pool2d" or str(call.args[0].ty.dtype) != "int32":
            return call
        emit, half, zero = self.builder_.emit, relax.const(0.5, "float32"), relax.const(0.0, "float32")
        real = emit(relax.op.astype(call.args[0], "float32"))
        mean = emit(relax.Call(call.op, [real], call.attrs))
        up, down = (
            emit(rounded(emit(moved(mean, half))))
            for rounded, moved in ((relax.op.floor, relax.op.add), (relax.op.ceil, relax.op.subtract))
        )
        away = emit(relax.op.where(emit(relax.op.greater_equal(mean, zero)), up, down))
        return emit(relax.op.astype(away, "int32"))
