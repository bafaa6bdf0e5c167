"""Relax programs in memory, from other importers or pass pipelines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tvm
from tvm import relax, tirx
from tvm.ir import IRModule

from cyclecast._tvm._defined import with_defined_operators
from cyclecast._tvm._native import without_native_chatter
from cyclecast.errors import ModelError, UnsupportedError
from cyclecast.frontend._base import Inputs, Quantization, Shapes, Values
from cyclecast.frontend._words import first_line

NAME = "IRModule"


@dataclass(frozen=True, slots=True)
class Relax:
    """The front end for an `IRModule` whose `main` is the network, with its weights as constants."""

    @property
    def runtime(self) -> str:
        """Name of the reference runtime."""
        return "TVM"

    def accepts(self, source: Any) -> bool:
        """Whether the source is an `IRModule`."""
        return isinstance(source, IRModule)

    def inputs(self, source: IRModule, shapes: Shapes) -> Inputs:
        """Shape and type of the parameters of `main`."""
        main = _bound(source, shapes)["main"]
        return {
            str(variable.name): (
                tuple(int(extent) for extent in variable.ty.shape),
                np.dtype(str(variable.ty.dtype)),
            )
            for variable in main.params
        }

    def load(self, source: IRModule, shapes: Shapes, quantization: Quantization) -> Any:
        """The program with bound shapes. Raises `ModelError` for an open shape, `UnsupportedError` for calibration."""
        if quantization.calibration:
            raise UnsupportedError(NAME, "calibration", "ONNX and PyTorch networks are calibrated", "one of these")
        program = _bound(source, shapes)
        with without_native_chatter():
            for step in (relax.transform.DecomposeOpsForInference(), relax.transform.ConvertToDataflow(1)):
                program = step(program)
        return program

    def reference(self, source: IRModule, samples: Sequence[Values]) -> list[dict[str, Any]]:
        """Outputs of the program, compiled by TVM for the host."""
        program = _bound(source, {name: value.shape for name, value in samples[0].items()})
        try:
            with without_native_chatter():
                legal = with_defined_operators(relax.transform.LegalizeOps()(program))
                machine = relax.VirtualMachine(tvm.compile(legal, target="llvm"), tvm.cpu())
                parameters = [str(part.name) for part in program["main"].params]
                outputs = [_outputs_of(machine, [values[name] for name in parameters]) for values in samples]
        except (RuntimeError, ValueError, KeyError) as error:
            raise ModelError(NAME, "TVM does not run it", first_line(error), "values that fit") from error
        return outputs


def _outputs_of(machine: Any, values: Sequence[Any]) -> dict[str, Any]:
    result = machine["main"](*(tvm.runtime.tensor(np.asarray(value)) for value in values))
    outputs = [result] if hasattr(result, "numpy") else list(result)
    return {f"output{place}": output.numpy() for place, output in enumerate(outputs)}


def _bound(source: IRModule, shapes: Shapes) -> IRModule:
    """The program with all input shapes fixed; an open first extent becomes 1."""
    if not any(str(variable.name_hint) == "main" for variable in source.get_global_vars()):
        raise ModelError(NAME, "there is no function 'main'", "it is the network", "renaming it")
    main = source["main"]
    names = [str(variable.name) for variable in main.params]
    for name in shapes:
        if name not in names:
            raise ModelError(
                f"{NAME}: input '{name}'", "there is no such input", f"there are {', '.join(names)}", "one of these"
            )
    extents: dict[str, int] = {}
    for variable, extent in _open(main, shapes):
        if extents.setdefault(variable, extent) != extent:
            demand = f"symbolic extent {variable} is bound to {extents[variable]} and to {extent}"
            raise ModelError(NAME, demand, "it has one value", "equal values")
    return relax.transform.BindSymbolicVars(extents, "main")(source) if extents else source


def _open(main: Any, shapes: Shapes) -> Iterator[tuple[str, int]]:
    """Symbolic extents of the inputs, each with the value that it is bound to."""
    for variable in main.params:
        name, kind = str(variable.name), variable.ty
        where = f"{NAME}: input '{name}'"
        if not isinstance(kind, relax.TensorType) or kind.shape is None:
            raise UnsupportedError(where, "it is no tensor of known rank", "inputs are tensors", "another program")
        given = shapes.get(name)
        if given is not None and len(given) != len(kind.shape):
            raise ModelError(where, f"{len(given)} dimensions given", f"it has {len(kind.shape)}", "its own number")
        for place, extent in enumerate(kind.shape):
            fixed = isinstance(extent, tirx.IntImm)
            if fixed and given is not None and int(extent) != given[place]:
                raise ModelError(
                    where, f"dimension {place} given as {given[place]}", f"it is {int(extent)}", "that value"
                )
            if not fixed and given is None and place:
                lever = f"shapes={{'{name}': (...)}}"
                raise UnsupportedError(where, f"dimension {place} is open ({extent})", "shapes must be fixed", lever)
            if not fixed:
                yield str(extent), int(given[place]) if given is not None else 1
