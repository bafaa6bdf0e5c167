"""Checks on extents in a Relax program: products need fixed shapes, and no tensor may be empty."""

from __future__ import annotations

from typing import Any

from tvm import relax
from tvm.ir import IRModule

from cyclecast.errors import UnsupportedError
from cyclecast.frontend._base import require_narrow


def require_extents(program: IRModule, source: str) -> None:
    """Raise `UnsupportedError` for products without fixed shapes, and for empty tensors."""
    for block in program["main"].body.blocks:
        for binding in block.bindings:
            call = binding.value
            if not isinstance(call, relax.Call) or not isinstance(call.ty, relax.TensorType):
                continue
            name = str(getattr(call.op, "name", "")).removeprefix("relax.").removeprefix("nn.")
            where = f"{source}: operator '{name}'"
            extents = _extents(call.ty)
            require_narrow(where, len(extents or ()))
            if extents is not None and any(extent < 1 for extent in extents):
                shape = "x".join(str(extent) for extent in extents)
                raise UnsupportedError(where, f"a result of {shape}", "tensors are not empty", "a larger input shape")
            if name == "matmul" or name.startswith("conv"):
                opened = [part for part in (*call.args, call) if _extents(part.ty) is None]
                if opened:
                    raise UnsupportedError(
                        where,
                        "a shape that depends on values",
                        "shapes must be fixed",
                        "exporting it with fixed shapes",
                    )


def _extents(kind: Any) -> tuple[int, ...] | None:
    """Extents of a tensor, or None if one is unknown."""
    try:
        return tuple(int(extent) for extent in kind.shape)
    except TypeError:
        return None
