"""Operator by operator: where a program departs from its network by more than quantisation explains.

The network is built once more with all of its tensors as outputs. Each operator is then computed by onnxruntime from
the values that the program had at its inputs, as it is and with quantised operands: what is left is a fault.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cyclecast.errors import OptionError
from cyclecast.executable import build_program
from cyclecast.frontend import Departure, Quantization, Shapes, Values, exposed


@dataclass(frozen=True, slots=True)
class Departures:
    """Every operator in order."""

    operators: tuple[Departure, ...]
    outputs: tuple[Any, ...]
    """Of the network, as the program that was built for this computes them."""

    @property
    def first(self) -> Departure | None:
        """The first operator that departs by more than its quantisation explains."""
        return next((each for each in self.operators if each.departs), None)


def find(model: Any, quantization: Quantization, values: Values, *, shapes: Shapes | None = None) -> Departures:
    """Every operator of an ONNX or PyTorch network, on one sample: an array for each input, in order.

    `quantization` must be that of the program that is asked about.
    """
    whole = exposed(model, quantization, shapes=shapes)
    outputs = build_program(whole.network.program)(*values.values())
    names = [value.name for value in whole.model.graph.output]
    inputs = [value.name for value in whole.model.graph.input]
    if len(inputs) != len(values):
        raise OptionError(whole.name, f"{len(values)} inputs", f"it takes {', '.join(inputs)}", "an array for each")
    known = dict(zip(names, outputs, strict=True)) | dict(zip(inputs, map(np.asarray, values.values()), strict=True))
    own = tuple(outputs[: whole.outputs])
    return Departures(tuple(whole.departures(known, quantization)), own)
