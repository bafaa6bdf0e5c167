"""Float operators as loops, fused: as TVM writes them, but where its values are not those of the standards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tvm import relax, te, tirx


def fuse_host(program: Any) -> Any:
    """Legalise and fuse the float operators; the kernels are legal already and stay as they are."""
    for step in (
        relax.transform.DeadCodeElimination(),
        relax.transform.LegalizeOps(LEGAL),
        relax.transform.AnnotateTIROpPattern(),
        relax.transform.FoldConstant(),
        relax.transform.FuseOps(),
        relax.transform.FuseTIR(),
        relax.transform.DeadCodeElimination(),
    ):
        program = step(program)
    return program


def _quantised(builder: Any, call: Any) -> Any:
    """As TVM does it, once NaN is 0: otherwise the order of comparisons would say what becomes of it."""

    def numbers(data: Any) -> Any:
        def number(*indices: Any) -> Any:
            return tirx.Select(tirx.isnan(data[indices]), tirx.const(0, data.dtype), data[indices])

        return te.compute(data.shape, number, name="number")

    data = builder.emit_te(numbers, call.args[0], primfunc_name_hint="numbers")
    return call.op.get_attr("FLegalize")(builder, relax.Call(call.op, [data, *call.args[1:]], call.attrs))


def _extreme(combine: Callable[[Any, Any], Any], neutral: float) -> Callable[[Any, Any], Any]:
    """The largest or least of real numbers. TVM starts from finite ones, so that infinities alone are lost."""

    def legal(builder: Any, call: Any) -> Any:
        if not str(call.ty.dtype).startswith(("float", "bfloat")):
            return call.op.get_attr("FLegalize")(builder, call)
        rank = len(call.args[0].ty.shape)
        axes = range(rank) if call.attrs.axis is None else [int(axis) % rank for axis in call.attrs.axis]
        return builder.call_te(_reduced, call.args[0], list(axes), bool(call.attrs.keepdims), primfunc_name_hint=name)

    def _reduced(data: Any, axes: list[int], keepdims: bool) -> Any:
        reducer = te.comm_reducer(combine, lambda kind: tirx.const(neutral, kind), name=name)
        along = {axis: te.reduce_axis((0, data.shape[axis]), name=f"k{axis}") for axis in axes}
        kept = [axis for axis in range(len(data.shape)) if keepdims or axis not in along]

        def value(*indices: Any) -> Any:
            outer = dict(zip(kept, indices, strict=True))
            places = [along.get(axis, outer.get(axis)) for axis in range(len(data.shape))]
            return reducer(data[tuple(places)], axis=list(along.values()))

        return te.compute([1 if axis in along else data.shape[axis] for axis in kept], value, name=name)

    name = "max" if neutral < 0 else "min"
    return legal


LEGAL = {
    "relax.quantize": _quantised,
    "relax.max": _extreme(lambda one, other: tirx.max(one, other), float("-inf")),
    "relax.min": _extreme(lambda one, other: tirx.min(one, other), float("inf")),
}
