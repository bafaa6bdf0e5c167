"""Replace each `If` with a known condition by the branch that is taken."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from cyclecast.frontend.graphs._nodes import fresh_names, inferred_shapes, names_read

LOG = logging.getLogger(__name__)
MOST_NODES = 1000
"""Most nodes that a condition is computed from."""


def take_branches(model: Any) -> bool:
    """Inline the branches that are taken, in place; return whether there were any."""
    changed = False
    while any(node.op_type == "If" and not node.domain for node in model.graph.node):  # branches may contain others
        conditions, fresh = _Conditions(model), fresh_names(model.graph)
        nodes: list[Any] = []
        for node in model.graph.node:
            taken = conditions.value(node.input[0]) if node.op_type == "If" and not node.domain else None
            nodes += [node] if taken is None else _branch(model, node, "then" if taken else "else", fresh)
        if len(nodes) == len(model.graph.node) and all(map(_is, nodes, model.graph.node)):
            return changed
        copied = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
        del model.graph.node[:]
        model.graph.node.extend(copied)
        changed = True
    return changed


def _is(one: Any, other: Any) -> bool:
    return one is other


class _Conditions:
    """Values of conditions that follow from constants and fixed shapes."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.constants = {part.name: part for part in model.graph.initializer}
        self.makers = {output: node for node in model.graph.node for output in node.output if output}
        self._shapes: dict[str, tuple[int, ...]] | None = None

    def value(self, name: str) -> bool | None:
        """The value of a condition; None if it depends on inputs or cannot be computed."""
        needed: dict[str, Any] = {}
        shapes: list[Any] = []
        if not self._collect(name, needed, shapes):
            return None
        used = {each for node in needed.values() for each in names_read(node)} | {name}
        parts = [part for key, part in self.constants.items() if key in used]
        nodes = [node for node in self.model.graph.node if any(output in needed for output in node.output)]
        result = helper.make_tensor_value_info(name, TensorProto.BOOL, None)
        graph = helper.make_graph(nodes, "condition", [], [result], [*parts, *shapes])
        whole = helper.make_model(graph, opset_imports=self.model.opset_import, functions=self.model.functions)
        try:
            found: Any = ReferenceEvaluator(whole).run(None, {})
            return bool(np.asarray(found[0]).reshape(()))
        except Exception:  # of any class: onnxruntime reports errors of invalid models next
            LOG.debug("a condition cannot be computed", exc_info=True)
            return None

    def _collect(self, name: str, needed: dict[str, Any], shapes: list[Any]) -> bool:
        """Collect the nodes that compute a tensor; return whether they depend on constants and known shapes only."""
        waiting = [name]
        while waiting:
            each = waiting.pop()
            if each in self.constants or each in needed or any(part.name == each for part in shapes):
                continue
            node = self.makers.get(each)
            if node is None or len(needed) > MOST_NODES:
                return False
            shape = self._shape(node)
            if shape is None:
                needed[each] = node
                waiting += names_read(node)
            else:
                shapes.append(numpy_helper.from_array(shape, each))
        return True

    def _shape(self, node: Any) -> Any:
        """The result of a `Shape` node if the shape is known, else None."""
        if node.op_type != "Shape" or node.domain:
            return None
        self._shapes = inferred_shapes(self.model) if self._shapes is None else self._shapes
        shape = self._shapes.get(node.input[0])
        bounds = {item.name: item.i for item in node.attribute}
        return None if shape is None else np.array(shape[bounds.get("start", 0) : bounds.get("end")], "int64")


def _branch(model: Any, node: Any, which: str, fresh: Callable[[], str]) -> list[Any]:
    """The nodes of a branch, with fresh names for its tensors."""
    (branch,) = (item.g for item in node.attribute if item.name == f"{which}_branch")
    made = [part.name for part in branch.initializer]
    made += [name for inner in branch.node for name in inner.output if name]
    names = {name: fresh() for name in made}
    for part in branch.initializer:
        copied = model.graph.initializer.add()
        copied.CopyFrom(part)
        copied.name = names[part.name]
    nodes = [onnx.NodeProto.FromString(inner.SerializeToString()) for inner in branch.node]
    for inner in nodes:
        inner.name = inner.name or next(iter(inner.output), "")  # for errors
        _rename(inner, names)
        inner.output[:] = [names.get(name, name) for name in inner.output]
    ends = zip(branch.output, node.output, strict=True)
    return nodes + [
        helper.make_node("Identity", [names.get(value.name, value.name)], [target]) for value, target in ends if target
    ]


def _rename(node: Any, names: dict[str, str]) -> None:
    """Rename tensors that a node and its subgraphs read."""
    node.input[:] = [names.get(name, name) for name in node.input]
    for graph in _graphs(node):
        own = {part.name for part in (*graph.initializer, *graph.input)}
        own.update(name for inner in graph.node for name in inner.output)
        others = {name: other for name, other in names.items() if name not in own}
        for inner in graph.node:
            _rename(inner, others)
        for value in graph.output:
            value.name = others.get(value.name, value.name)


def _graphs(node: Any) -> Iterator[Any]:
    for item in node.attribute:
        if item.type == onnx.AttributeProto.GRAPH:
            yield item.g
        yield from item.graphs
