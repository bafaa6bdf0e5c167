"""ONNX's own node tests through cyclecast: the outcome of each, and the table of operators in the documentation.

As a script, it writes that table into `docs/operators.md`.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from cyclecast.device import Device
from cyclecast.errors import CyclecastError
from cyclecast.frontend import load
from cyclecast.workflow.building import compile
from cyclecast.workflow.tuning import estimate

PARTS = 80
RIGHT, REFUSED, WRONG, RAISED = "right", "refused", "wrong", "raised"
PAGE = Path(__file__).parents[1] / "docs" / "operators.md"


@dataclass(frozen=True)
class Outcome:
    """The outcome of a case."""

    name: str
    operator: str
    """Name of the operator; empty for a case with several nodes."""
    constants: bool
    """Whether all inputs except the first are constants."""
    kind: str
    said: str = ""


@cache
def cases() -> dict[str, Any]:
    """All cases by name."""
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings(action="ignore"):
        return {case.name: case for case in collect_testcases(None)}


def outcomes(part: int, constants: bool) -> Iterator[Outcome]:
    """The outcomes of some cases."""
    with TemporaryDirectory() as folder:
        for name in sorted(cases())[part::PARTS]:
            model = _model(cases()[name], constants)
            if model is not None:
                yield _outcome(cases()[name], constants, *model, Path(folder) / "case.onnx")


def _array(value: Any) -> Any:
    return numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else value


def _model(case: Any, constants: bool) -> tuple[Any, list[Any]] | None:
    """The model and its inputs; None if no input of the case can be a constant."""
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    values = [_array(value) for value in case.data_sets[0][0]]
    if not constants:
        return model, values
    names = [value.name for value in model.graph.input]
    if len(names) < 2 or not all(isinstance(value, np.ndarray | np.generic) for value in values[1:]):
        return None
    for name, value in zip(names[1:], values[1:], strict=False):
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    return model, values[:1]


def _outcome(case: Any, constants: bool, model: Any, values: list[Any], path: Path) -> Outcome:
    nodes = case.model.graph.node
    about = case.name, nodes[0].op_type if len(nodes) == 1 else "", constants
    try:
        onnx.save(model, path)
        network = load(path, activation_bits=16, weight_bits=16)
        made = compile(estimate(network, Device.load("isaac16")))(*values)
    except CyclecastError as error:
        return Outcome(*about, REFUSED, str(error).replace(f"{path}: ", ""))
    except Exception as error:  # which is what this looks for
        return Outcome(*about, RAISED, f"{type(error).__name__}: {error}")
    expected = [_array(value) for value in case.data_sets[0][1]]
    scale = _largest(case.data_sets[0][0]) if network.members else 1.0
    wrong = [
        f"{one!r} is not {other!r}" for one, other in zip(made, expected, strict=False) if not _equal(one, other, scale)
    ]
    wrong += [f"{len(made)} outputs are not {len(expected)}"] if len(made) != len(expected) else []
    return Outcome(*about, WRONG if wrong else RIGHT, "; ".join(wrong))


def _largest(values: list[Any]) -> float:
    arrays = [np.asarray(_array(value)) for value in values if isinstance(_array(value), np.ndarray | np.generic)]
    sizes = [np.abs(array.astype("float64")) for array in arrays if array.dtype.kind in "fiu"]
    return max((float(size[np.isfinite(size)].max(initial=0)) for size in sizes), default=1.0)


def _equal(made: Any, expected: Any, scale: float) -> bool:
    """Whether types, shapes and values are equal; floats up to the precision of their type or of 16-bit products."""
    made, expected = np.asarray(made), np.asarray(expected)
    if made.shape != expected.shape or made.dtype != expected.dtype:
        return False
    if expected.dtype.kind in "iub":
        apart = np.abs(made.astype("int64") - expected.astype("int64")).max(initial=0)
        return bool(apart <= (expected.dtype.itemsize == 1 and expected.dtype.kind != "b"))
    one, other = made.astype("float64"), expected.astype("float64")
    step = 1e-2 if expected.dtype.itemsize < 4 else 1e-3
    size = np.abs(other[np.isfinite(other)]).max(initial=0)
    return bool(np.allclose(one, other, rtol=step, atol=step / 10 * max(1.0, size, scale), equal_nan=True))


def table(found: list[Outcome]) -> str:
    """The page: for each operator the numbers of right and refused cases, and the first reason of a refusal."""
    rows: defaultdict[str, list[Outcome]] = defaultdict(list)
    for each in found:
        if each.operator:
            rows[each.operator].append(each)
    lines = []
    for operator, cases_of in sorted(rows.items()):
        right = sum(each.kind == RIGHT for each in cases_of)
        refused = [each.said for each in cases_of if each.kind == REFUSED]
        reason = min(refused, key=lambda text: (len(text), text)).split("; try ")[0] if refused else ""
        lines.append(f"| {operator} | {right} | {len(refused)} | {_cell(reason)} |")
    head, mark, _ = PAGE.read_text(encoding="utf-8").partition("|---|---|---|---|\n")
    return head + mark + "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    short = text if len(text) <= 110 else f"{text[:110]}..."
    return short.replace("|", "\\|").replace("<", "&lt;").replace("_", "\\_").replace("*", "\\*")


if __name__ == "__main__":
    everything = [each for part in range(PARTS) for constants in (False, True) for each in outcomes(part, constants)]
    PAGE.write_text(table(everything), encoding="utf-8")
