"""ONNX graphs in memory: fix shapes, fold constants, import to Relax.

Most networks fail to import because of arithmetic on shapes, not because of their operators. With fixed input shapes
onnxruntime folds this arithmetic, and batch normalisation into convolutions, before the import.
"""

from __future__ import annotations

import logging
import tempfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from tvm.relax.frontend.onnx import onnx_frontend

from cyclecast.errors import ModelError, OperatorsError, Refused, UnsupportedError
from cyclecast.frontend._apart import apart, deep
from cyclecast.frontend._base import Inputs, Quantization, Shapes, Values, require_narrow
from cyclecast.frontend._words import first_line, shortened
from cyclecast.frontend.graphs._branches import take_branches
from cyclecast.frontend.graphs._constant_folding import fold, weights_beside, write_apart
from cyclecast.frontend.graphs._nodes import bytes_of, inferred_shapes, names_read
from cyclecast.frontend.graphs._rewritten_operators import RUNTIME, advice, rewrite
from cyclecast.frontend.graphs._shapes import fix_shapes, open_inputs
from cyclecast.frontend.host._extents import require_extents
from cyclecast.frontend.quantization._calibrate import calibrate, session_of
from cyclecast.frontend.readers._onnx_importer import imported

LOG = logging.getLogger(__name__)
LARGEST_TENSOR = 1 << 28
"""Most values of a tensor; more than twice as many as any tested open network has."""
MOST_WITH_FUNCTIONS, DEEPEST = 200_000, 200
"""Most nodes after functions are inlined; deepest nesting of function calls."""
FOLDED, FOLDED_PER_BYTE = 1 << 25, 16
"""Most values that constant folding may produce: for a small file, and per byte of a large file."""
SECONDS_A_SAMPLE = 10
"""Processor seconds per calibration sample."""
RUNTIMES = {
    *("Attention", "SkipLayerNormalization", "EmbedLayerNormalization", "FastGelu", "BiasGelu", "MatMulInteger16"),
    "AllClassNMS",
}
"""Operators that TVM's importer converts as onnxruntime defines them, not as the standard does."""
MOST_NODES_FOLDED = 50_000
"""Most nodes after inlining of functions and constant folding."""
MOST_ROUNDS = 5
"""Most rounds of rewriting and folding."""
MOST_NODES = 3
"""Nodes that an error names for each operator."""


def program_of(model: Any, source: str, shapes: Shapes, quantization: Quantization) -> Any:
    """Import a model in memory as a Relax program; `source` names it in errors.

    Functions, folding, calibration and a trial import run in a child process with limits, because an untrusted file may
    need endless time or memory. The import is then repeated in this process.
    """

    _fix(model, source, shapes)
    samples = quantization.calibration.values()
    with tempfile.TemporaryDirectory(prefix="cyclecast-") as folder:
        path, seconds = Path(folder) / "prepared.onnx", SECONDS_A_SAMPLE * max(map(len, samples), default=0)
        apart(partial(_prepare, model, source, quantization, path), source, bytes_of(model), seconds)
        del model  # frees memory for the prepared one
        outline = onnx.load(path, load_external_data=False)
        return deep(lambda: imported(outline, source, weights_beside(path)))


def _prepare(model: Any, source: str, quantization: Quantization, path: Path) -> bytes:
    """Fold and calibrate the model, write it to a file, and try the import. Runs in the child process."""
    whole = _whole(model, source)
    if quantization.calibration:
        calibrate(whole, source, quantization)
    write_apart(whole, path)
    require_extents(imported(whole, source, weights_beside(path), rehearsed=True), source)
    return b""


def folded_model(model: Any, source: str, shapes: Shapes) -> Any:
    """Fix shapes, fold constants and reject operators that cannot be imported; changes the model in place.

    Call it in a child process with limits if the model is untrusted.
    """
    _fix(model, source, shapes)
    return _whole(model, source)


def _fix(model: Any, source: str, shapes: Shapes) -> None:
    _require_names(model, source)
    _without_defaults(model)
    fix_shapes(model, source, shapes)


def _whole(model: Any, source: str) -> Any:
    _require_functions(model, source)
    whole, is_foreign = model, _is_foreign(model)
    for rounds in range(MOST_ROUNDS):  # folding enables rewrites, and rewrites enable folding
        changed = take_branches(whole)
        if not _rewrite(whole, source) and not changed and rounds:
            break
        _require_operators(whole, source, is_foreign)
        _require_sizes(whole, source)
        whole = fold(whole, source)
    _require_operators(whole, source, _is_unknown)
    if len(whole.graph.node) > MOST_NODES_FOLDED:
        bound = f"at most {MOST_NODES_FOLDED:,}"
        raise UnsupportedError(source, f"{len(whole.graph.node):,} operators", bound, "a smaller one")
    for node in whole.graph.node:
        require_narrow(f"{source}: {_node(node)}", 0, max(len(node.input), len(node.output)))
    return whole


def _require_functions(model: Any, source: str) -> None:
    """Raise `UnsupportedError` for functions that make too many nodes when inlined, or that recurse."""
    bodies = {(function.domain, function.name): function for function in model.functions}
    sizes: dict[tuple[str, str], int] = {}

    def size(key: tuple[str, str], callers: frozenset[tuple[str, str]]) -> int:
        if key in callers or len(callers) > DEEPEST:
            raise UnsupportedError(
                source, f"function '{key[1]}' calls itself", "functions must not be recursive", "exporting it again"
            )
        if key not in sizes:
            sizes[key] = sum(each(node, callers | {key}) for node in bodies[key].node)
        return sizes[key]

    def each(node: Any, callers: frozenset[tuple[str, str]]) -> int:
        key = (node.domain, node.op_type)
        graphs = [graph for part in node.attribute for graph in (part.g, *part.graphs)]
        inside = sum(each(inner, callers) for graph in graphs for inner in graph.node)
        return 1 + inside + (size(key, callers) if key in bodies else 0)

    nodes = sum(each(node, frozenset()) for node in model.graph.node)
    if nodes > MOST_WITH_FUNCTIONS:
        bound = f"at most {MOST_WITH_FUNCTIONS:,}"
        raise UnsupportedError(
            source, "its functions, put in the place of calls, make more nodes", bound, "a smaller one"
        )


def _without_defaults(model: Any) -> None:
    """Remove inputs that are initialisers: older files list all of them, and they are not folded otherwise."""
    inputs = open_inputs(model)
    if len(inputs) < len(model.graph.input):
        kept = [onnx.ValueInfoProto.FromString(value.SerializeToString()) for value in inputs]
        del model.graph.input[:]
        model.graph.input.extend(kept)
        model.ir_version = max(model.ir_version, 4)  # the first version in which constants need not be inputs


def _require_names(model: Any, source: str) -> None:
    """Raise `ModelError` for names that are no text; protobuf returns bytes for damaged text."""
    for node in model.graph.node:
        if not all(isinstance(name, str) for name in (node.op_type, node.domain, node.name, *node.input, *node.output)):
            raise ModelError(source, "a node whose names are no text", "the file is damaged", "exporting it again")
        if not any(node.output):
            raise ModelError(source, f"a node without outputs ({node.op_type})", "it has one", "exporting it again")


def _rewrite(model: Any, source: str) -> bool:
    """Rewrite operators; return whether any changed.

    Failures on invalid models are ignored here; onnxruntime reports them next.
    """
    try:
        return rewrite(model, _is_unknown)
    except UnsupportedError as error:
        raise UnsupportedError(f"{source}: {error.where}", error.demand, error.bound, error.lever) from None
    except Exception as error:  # of any class: the model may be invalid
        LOG.debug("%s: its operators cannot be rewritten", source, exc_info=True)
        reason = first_line(error)
    if _is_valid(model):
        raise UnsupportedError(source, "its operators cannot be rewritten", reason, "exporting the network without it")
    return False


def _is_valid(model: Any) -> bool:
    try:
        onnx.checker.check_model(model)
    except Exception:  # of any class
        return False
    return True


def run(model: Any, source: str, samples: Sequence[Values]) -> list[dict[str, Any]]:
    """Outputs of onnxruntime for a model in memory, by name, without optimisation. Raises `ModelError`.

    The optimisations of onnxruntime are not exact: they change quantised networks by several units in the last place.
    """
    try:
        session = session_of(model, exact=True)
        names = [output.name for output in session.get_outputs()]
        return [dict(zip(names, session.run(names, dict(values)), strict=True)) for values in samples]
    except Exception as error:  # onnxruntime's errors have no common class
        reason = first_line(error)
        raise ModelError(source, "onnxruntime does not run it", reason, "--inputs with values that fit") from error


def inputs_of(model: Any, source: str, shapes: Shapes) -> Inputs:
    """Shape and NumPy type of every input, by name; `shapes` fixes open shapes."""
    fix_shapes(model, source, shapes)
    return {
        value.name: (
            tuple(dimension.dim_value for dimension in value.type.tensor_type.shape.dim),
            np.dtype(onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)),
        )
        for value in open_inputs(model)
    }


def _require_sizes(model: Any, source: str) -> None:
    """Raise `UnsupportedError` for tensors and folded constants that are too large, if shapes can be inferred."""
    try:
        shapes = inferred_shapes(model)
    except Exception:  # of any class: onnxruntime reports errors of invalid models next
        LOG.debug("%s: its shapes cannot be inferred", source, exc_info=True)
        return
    for name, shape in shapes.items():
        size = prod(shape)
        if size > LARGEST_TENSOR:
            raise UnsupportedError(
                f"{source}: tensor {shortened(name)!r}",
                f"{size:,} values",
                f"at most {LARGEST_TENSOR:,}",
                "smaller shapes",
            )
    folded_values = sum(prod(shapes.get(name, ())) for name in _foldable(model))
    if folded_values > FOLDED and folded_values > (most := FOLDED + FOLDED_PER_BYTE * bytes_of(model)):
        raise UnsupportedError(
            source, f"its constants, once folded, have {folded_values:,} values", f"at most {most:,}", "a smaller one"
        )


def _foldable(model: Any) -> list[str]:
    """Names of tensors that depend on constants only."""
    known = {part.name for part in model.graph.initializer}
    found = []
    for node in model.graph.node:
        if all(name in known for name in names_read(node)):
            known.update(node.output)
            found += [name for name in node.output if name]
    return found


def _is_foreign(model: Any) -> Callable[[Any], bool]:
    """A predicate of nodes: the operator is in no standard, no function of the file, and unknown to the importer."""
    own = {(function.domain, function.name) for function in model.functions}

    def is_foreign(node: Any) -> bool:
        standard = onnx.defs.has(node.op_type, node.domain if node.domain != "ai.onnx" else "")
        if standard and node.op_type == "If":  # the taken branch is unknown
            return any(is_foreign(inner) for branch in node.attribute for inner in branch.g.node)
        return not standard and (node.domain, node.op_type) not in own and _is_unknown(node)

    return is_foreign


def _is_unknown(node: Any) -> bool:
    """Whether the importer has no converter for a node; it goes by name, and some names are onnxruntime's operators."""
    if node.op_type in RUNTIMES and node.domain != RUNTIME:
        return True
    of_others = node.domain not in ("", "ai.onnx", RUNTIME)
    return of_others or onnx_frontend._get_convert_map().get(node.op_type) is None


def _require_operators(model: Any, source: str, is_refused: Callable[[Any], bool]) -> None:
    """Raise `OperatorsError` with each refused operator, its first nodes, and advice."""
    refused: dict[tuple[str, str], list[str]] = defaultdict(list)
    for node in model.graph.node:
        if is_refused(node):
            key = shortened(node.op_type), advice(node.op_type, node.domain)
            refused[key].append(shortened(node.name or next(iter(node.output), "?")))
    if refused:
        rows = [Refused(kind, len(nodes), tuple(nodes[:MOST_NODES]), how) for (kind, how), nodes in refused.items()]
        raise OperatorsError(source, sorted(rows))


def _node(node: Any) -> str:
    return f"node '{shortened(node.name or node.output[0])}' ({shortened(node.op_type)})"
