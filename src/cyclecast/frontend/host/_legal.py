"""Lower operators to loops: by TVM, except where its results differ from the standards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tvm import relax, te, tirx
from tvm.ir import IRModule, Op

from cyclecast.errors import UnsupportedError
from cyclecast.frontend._words import first_line


def _quantised(builder: Any, call: Any) -> Any:
    """Quantise as TVM does, but NaN becomes 0; TVM's result for NaN depends on the order of comparisons."""

    def numbers(data: Any) -> Any:
        def number(*indices: Any) -> Any:
            return tirx.Select(tirx.isnan(data[indices]), tirx.const(0, data.dtype), data[indices])

        return te.compute(data.shape, number, name="number")

    data = builder.emit_te(numbers, call.args[0], primfunc_name_hint="numbers")
    return call.op.get_attr("FLegalize")(builder, relax.Call(call.op, [data, *call.args[1:]], call.attrs))


def _extreme(combine: Callable[[Any, Any], Any], neutral: float) -> Callable[[Any, Any], Any]:
    """Maximum or minimum of floats that starts from an infinity; TVM starts from finite values and loses infinities."""

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


def _compared(builder: Any, call: Any) -> Any:
    """Compare booleans as bytes, which LLVM can compare."""
    operands = call.args
    if str(operands[0].ty.dtype) == "bool":
        operands = [builder.emit_te(_bytes, operand, primfunc_name_hint="bytes") for operand in operands]
    return call.op.get_attr("FLegalize")(builder, relax.Call(call.op, operands, call.attrs))


def _bytes(data: Any) -> Any:
    return te.compute(data.shape, lambda *indices: data[indices].astype("int8"), name="bytes")


def require_legal(program: Any, where: str) -> None:
    """Raise `UnsupportedError` for an operator that TVM has not lowered: the build would fail."""
    for call in calls_of(program):
        if call.op.name.startswith(COMPUTED):
            raise UnsupportedError(
                f"{where}: {_described(call)}", "TVM cannot lower it", "operators become loops", LEVER
            )


def refusal(program: Any, where: str, error: BaseException) -> UnsupportedError:
    """The error for a failed lowering; it names the first operator that cannot be lowered alone."""
    reason = first_line(error)
    for call in calls_of(program):
        try:
            relax.transform.LegalizeOps(LEGAL)(_alone(call))
        except Exception as found:  # TVM raises errors of many classes
            return UnsupportedError(f"{where}: {_described(call)}", "TVM cannot lower it", first_line(found), LEVER)
    return UnsupportedError(where, "an operator cannot be lowered", reason, LEVER)


def calls_of(program: Any) -> list[Any]:
    """All calls of operators in `main`."""
    bindings = [binding for block in program["main"].body.blocks for binding in block.bindings]
    calls = [binding.value for binding in bindings if isinstance(binding.value, relax.Call)]
    return [call for call in calls if isinstance(call.op, Op)]


def _described(call: Any) -> str:
    name, kinds = call.op.name.removeprefix("relax.").removeprefix("nn."), [argument.ty for argument in call.args]
    tensors = [kind for kind in kinds if isinstance(kind, relax.TensorType)]
    shapes = [f"{kind.dtype} {tuple(map(_extent, kind.shape or ()))}" for kind in tensors]
    return f"operator '{name}' of {' and '.join(shapes[:2]) or 'nothing'}"


def _extent(extent: Any) -> int | str:
    return int(extent) if hasattr(extent, "value") else str(extent)


def _alone(call: Any) -> Any:
    """A program with this call only; its computed operands are inputs."""
    builder = relax.BlockBuilder()
    given = {part: relax.Var("input", part.ty) for part in call.args if isinstance(part, relax.Var)}
    with builder.function("main", list(given.values())):
        arguments = [given.get(part, part) for part in call.args]
        made = builder.emit(relax.Call(call.op, arguments, call.attrs, call.ty_args))
        builder.emit_func_output(made)
    return IRModule({"main": builder.get()["main"]})


LEVER = "exporting the network without it"
COMPUTED = ("relax.nn.", "relax.image.", "relax.vision.")
"""Prefixes of names of operators that must be lowered to loops."""
LEGAL = {
    "relax.equal": _compared,
    "relax.not_equal": _compared,
    "relax.quantize": _quantised,
    "relax.max": _extreme(lambda one, other: tirx.max(one, other), float("-inf")),
    "relax.min": _extreme(lambda one, other: tirx.min(one, other), float("inf")),
}
