"""Recurrent layers as matrix products: one for the inputs of all steps, and one per step for the state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from cyclecast.frontend.graphs._nodes import GraphWriter

MOST_STEPS = 256
"""Most steps of all directions together; longer sequences make too large programs."""
DEFAULTS = {"LSTM": (b"Sigmoid", b"Tanh", b"Tanh"), "GRU": (b"Sigmoid", b"Tanh"), "RNN": (b"Tanh",)}
STEPLESS = ("Tanh", "Sigmoid", "Relu")
"""Supported activations of a plain recurrent layer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Direction:
    """Weights and initial state of one direction of a layer."""

    inputs: Any
    """Input weights, (gates x hidden, features)."""
    states: Any
    """Recurrent weights, (gates x hidden, hidden)."""
    bias: Any
    """Biases of inputs and of states, (2, gates x hidden)."""
    peepholes: Any
    """Peephole weights, (3 x hidden), or None."""
    initial: list[str]
    activation: str


Step = Callable[[Direction, str, list[str], GraphWriter], list[str]]
"""From the input part of the gates and the states to the new states; the first state is the output."""


def lstm(node: Any, writer: GraphWriter) -> list[str] | None:
    """LSTM (Hochreiter and Schmidhuber, 1997) with peepholes, as in ONNX; None if it is not supported."""
    return _layer(node, writer, 4, 2, _lstm_step)


def gru(node: Any, writer: GraphWriter) -> list[str] | None:
    """GRU (Cho et al., 2014) with `linear_before_reset` 0 or 1; None if it is not supported."""
    after = bool(writer.attributes(node).get("linear_before_reset", 0))
    return _layer(node, writer, 3, 1, _gru_step_after if after else _gru_step_before)


def rnn(node: Any, writer: GraphWriter) -> list[str] | None:
    """A plain recurrent layer; None if it is not supported."""
    return _layer(node, writer, 1, 1, _rnn_step)


def _lstm_step(part: Direction, inputs: str, states: list[str], writer: GraphWriter) -> list[str]:
    hidden, cell = states
    recurrent = writer.node("MatMul", hidden, writer.constant(part.states.T))
    gates = writer.node("Add", inputs, recurrent)
    entry, out, forget, new = writer.split("Split", 4, gates, *_parts(part, 4, writer), axis=-1)
    peeps = np.split(part.peepholes, 3) if part.peepholes is not None else [None] * 3

    def gate(value: str, peep: Any, seen: str) -> str:
        if peep is not None:
            value = writer.node("Add", value, writer.node("Mul", seen, writer.constant(peep)))
        return writer.node("Sigmoid", value)

    kept = writer.node("Mul", gate(forget, peeps[2], cell), cell)
    added = writer.node("Mul", gate(entry, peeps[0], cell), writer.node("Tanh", new))
    state = writer.node("Add", kept, added)
    return [writer.node("Mul", gate(out, peeps[1], state), writer.node("Tanh", state)), state]


def _gru_step_before(part: Direction, inputs: str, states: list[str], writer: GraphWriter) -> list[str]:
    """A step with the reset gate applied to the state, before the product."""
    (hidden,), size = states, part.states.shape[1]
    first, last = writer.split("Split", 2, inputs, writer.constant(np.array([2 * size, size])), axis=-1)
    recurrent = writer.node("MatMul", hidden, writer.constant(part.states[: 2 * size].T))
    gates = writer.node("Sigmoid", writer.node("Add", first, recurrent))
    update, reset = writer.split("Split", 2, gates, writer.constant(np.array([size, size])), axis=-1)
    kept = writer.node("MatMul", writer.node("Mul", reset, hidden), writer.constant(part.states[2 * size :].T))
    return [_mixed(update, writer.node("Tanh", writer.node("Add", last, kept)), hidden, writer)]


def _gru_step_after(part: Direction, inputs: str, states: list[str], writer: GraphWriter) -> list[str]:
    """A step with the reset gate applied to the product with its bias."""
    (hidden,), size = states, part.states.shape[1]
    recurrent = writer.node("MatMul", hidden, writer.constant(part.states.T))
    sizes = writer.constant(np.array([2 * size, size]))
    first, last = writer.split("Split", 2, inputs, sizes, axis=-1)
    gates, kept = writer.split("Split", 2, recurrent, sizes, axis=-1)
    gates = writer.node("Sigmoid", writer.node("Add", first, gates))
    update, reset = writer.split("Split", 2, gates, writer.constant(np.array([size, size])), axis=-1)
    kept = writer.node("Add", kept, writer.constant(part.bias[1, 2 * size :]))
    new = writer.node("Tanh", writer.node("Add", last, writer.node("Mul", reset, kept)))
    return [_mixed(update, new, hidden, writer)]


def _mixed(update: str, new: str, hidden: str, writer: GraphWriter) -> str:
    """(1 - update) new + update hidden."""
    return writer.node("Add", new, writer.node("Mul", update, writer.node("Sub", hidden, new)))


def _rnn_step(part: Direction, inputs: str, states: list[str], writer: GraphWriter) -> list[str]:
    recurrent = writer.node("MatMul", states[0], writer.constant(part.states.T))
    return [writer.node(part.activation, writer.node("Add", inputs, recurrent))]


def _parts(part: Direction, count: int, writer: GraphWriter) -> list[str]:
    return [writer.constant(np.full(count, part.states.shape[1]))]


def _layer(node: Any, writer: GraphWriter, gates: int, states: int, step: Step) -> list[str] | None:
    """Y, Y_h and, of an LSTM, Y_c; None if the layer is not supported."""
    attributes = writer.attributes(node)
    batch_first = bool(attributes.get("layout", 0))
    names = [*node.input, *[""] * 8][:8]
    shape = writer.shape(names[0])
    if shape is None or not _is_plain(node, attributes, names, writer):
        return None
    steps, batch = (shape[1], shape[0]) if batch_first else shape[:2]
    parts = _directions(node, attributes, names, batch, states, writer)
    if steps * len(parts) > MOST_STEPS:
        return None
    data = writer.node("Transpose", names[0], perm=[1, 0, 2]) if batch_first else names[0]
    backward = attributes.get("direction", b"forward") == b"reverse"
    results, finals = [], []
    for place, part in enumerate(parts):
        outputs, last = _run(part, data, steps, backward or place == 1, gates, step, writer)
        results.append(outputs)
        finals.append(last)
    everything = writer.node("Concat", *results, axis=1)
    ends = [writer.node("Concat", *(last[state] for last in finals), axis=0) for state in range(states)]
    if batch_first:
        everything = writer.node("Transpose", everything, perm=[2, 0, 1, 3])
        ends = [writer.node("Transpose", end, perm=[1, 0, 2]) for end in ends]
    return [everything, *ends]


def _is_plain(node: Any, attributes: dict[str, Any], names: list[str], writer: GraphWriter) -> bool:
    """Whether weights are constant, sequences have full length and activations are the defaults."""
    lengths = writer.value(names[4]) if names[4] else None
    shape = writer.shape(names[0]) or (0, 0, 0)
    full = not names[4] or (lengths is not None and (lengths == shape[int(attributes.get("layout", 0))]).all())
    constant = all(writer.value(name) is not None for name in (*names[1:4], names[7]) if name)
    defaults = DEFAULTS[node.op_type]
    wanted = tuple(attributes.get("activations", defaults))
    known = all(
        wanted[at : at + len(defaults)] == defaults or (node.op_type == "RNN" and wanted[at].decode() in STEPLESS)
        for at in range(0, len(wanted), len(defaults))
    )
    return full and constant and known and not attributes.get("input_forget", 0) and "clip" not in attributes


def _directions(
    node: Any, attributes: dict[str, Any], names: list[str], batch: int, states: int, writer: GraphWriter
) -> list[Direction]:
    inputs, recurrent = writer.value(names[1]), writer.value(names[2])
    bias = writer.value(names[3])
    peepholes = writer.value(names[7]) if names[7] else None
    count, rows, size = recurrent.shape
    bias = np.zeros((count, 2 * rows), inputs.dtype) if bias is None else bias
    activations = [name.decode() for name in attributes.get("activations", DEFAULTS[node.op_type] * count)]
    each = len(activations) // count
    parts = []
    for place in range(count):
        initial = [
            _initial(names[5 + state], place, batch, size, attributes, inputs.dtype, writer) for state in range(states)
        ]
        peeps = peepholes[place] if peepholes is not None else None
        both = bias[place].reshape(2, rows)
        parts.append(
            Direction(
                inputs=inputs[place],
                states=recurrent[place],
                bias=both,
                peepholes=peeps,
                initial=initial,
                activation=activations[place * each],
            )
        )
    return parts


def _initial(
    name: str, place: int, batch: int, size: int, attributes: dict[str, Any], kind: Any, writer: GraphWriter
) -> str:
    """Initial state of a direction, (batch, hidden)."""
    if not name:
        return writer.constant(np.zeros((batch, size), kind))
    axis = 1 if attributes.get("layout", 0) else 0
    return writer.node("Gather", name, writer.constant(np.int64(place)), axis=axis)


def _run(
    part: Direction, data: str, steps: int, backward: bool, gates: int, step: Step, writer: GraphWriter
) -> tuple[str, list[str]]:
    """All outputs of a direction, (steps, 1, batch, hidden), and its final states, (1, batch, hidden) each."""
    bias = part.bias.sum(axis=0)
    if step is _gru_step_after:
        size = part.states.shape[1]
        bias = np.concatenate([bias[: 2 * size], part.bias[0, 2 * size :]])
    product = writer.node("MatMul", data, writer.constant(part.inputs.T))
    shares = writer.node("Add", product, writer.constant(bias))
    each = writer.split("Split", steps, shares, writer.constant(np.ones(steps, "int64")), axis=0)
    first = writer.constant(np.array([0]))
    states, outputs = part.initial, []
    for share in reversed(each) if backward else each:
        states = step(part, writer.node("Squeeze", share, first), states, writer)
        outputs.append(writer.node("Unsqueeze", states[0], writer.constant(np.array([0, 1]))))
    ordered = outputs[::-1] if backward else outputs
    return writer.node("Concat", *ordered, axis=0), [writer.node("Unsqueeze", state, first) for state in states]
