"""Averages of integers, rounded as TFLite does: to the nearest integer, halves away from zero.

TVM's importer divides the sums of integers and drops what is left.
"""

from __future__ import annotations

from typing import Any

from tvm import relax
from tvm.ir import IRModule
from tvm.relax.expr_functor import PyExprMutator, mutator

from cyclecast.frontend.integers._products import name_of


def with_rounded_averages(program: IRModule) -> IRModule:
    """The program with every pooling of int32 rounded."""
    rewriter = _Averages(program)
    rewriter.builder_.update_func(program.get_global_var("main"), rewriter.visit_expr(program["main"]))
    return rewriter.builder_.get()


@mutator
class _Averages(PyExprMutator):  # type: ignore[misc] # TVM is untyped
    """Rewrites the calls that average integers."""

    def visit_call_(self, call: Any) -> Any:
        """An average in real numbers, which is exact where it is a half."""
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
