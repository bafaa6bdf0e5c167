"""Find the first operator whose error exceeds that of quantisation.

The network is built again with all of its tensors as outputs. For each operator, onnxruntime computes the result from
the program's own inputs of that operator, in float and with quantised operands; a larger error is a fault.
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
    """All operators, in order, with their errors."""

    operators: tuple[Departure, ...]
    outputs: tuple[Any, ...]
    """Outputs of the network, computed by the program that was built for this."""

    @property
    def first(self) -> Departure | None:
        """The first operator whose error exceeds that of quantisation, or None."""
        return next((each for each in self.operators if each.departs), None)


def find(model: Any, quantization: Quantization, values: Values, *, shapes: Shapes | None = None) -> Departures:
    """Compare every operator of an ONNX or PyTorch network on one sample: one array per input, in order.

    `quantization` must be that of the program under test. Raises `OptionError`, `UnsupportedError`, `ModelError`.
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
