"""Read and write nodes of an ONNX graph."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import count
from math import prod
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

STANDARD = "ai.onnx"
"""Long name of the standard domain; the short one is the empty string."""
MOST_VALUES = 1024
"""Most values of a constant that shape inference may need."""


class GraphWriter:
    """Replaces nodes of a model's graph; types and shapes are inferred before, on first use."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.nodes: list[Any] = []
        self.constants = {part.name: part for part in model.graph.initializer}
        for node in model.graph.node:
            if node.op_type == "Constant" and node.attribute[0].name == "value":
                self.constants[node.output[0]] = node.attribute[0].t
        self._fresh = fresh_names(model.graph)
        self._makers = {output: node for node in model.graph.node for output in node.output}
        self.opset = version_of(model)
        self._types: dict[str, tuple[int, tuple[int, ...] | None]] | None = None

    def keep(self, node: Any) -> None:
        """Keep a node unchanged."""
        self.nodes.append(node)

    def replace(self, node: Any, outputs: Sequence[str]) -> None:
        """Replace the outputs of a node by these tensors."""
        for made, output in zip(outputs, node.output, strict=False):
            if output:
                self.nodes.append(helper.make_node("Identity", [made], [output]))

    def finish(self) -> None:
        """Write the nodes into the graph."""
        del self.model.graph.node[:]
        self.model.graph.node.extend(self.nodes)
        del self.model.graph.value_info[:]

    def node(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add a node with one output; return the output's name."""
        return self.split(operator, 1, *inputs, **attributes)[0]

    def split(self, operator: str, outputs: int, *inputs: str, **attributes: Any) -> list[str]:
        """Add a node with several outputs; return their names."""
        names = [self._fresh() for _ in range(outputs)]
        self.nodes.append(helper.make_node(operator, list(inputs), names, **attributes))
        return names

    def like(self, node: Any, operator: str, inputs: Sequence[str], without: Sequence[str] = ()) -> list[str]:
        """Add a node with the attributes of another, except those in `without`."""
        made = helper.make_node(operator, list(inputs), [self._fresh()])
        made.attribute.extend(item for item in node.attribute if item.name not in without)
        self.nodes.append(made)
        return [str(made.output[0])]

    def constant(self, value: Any) -> str:
        """Add a constant; return its name."""
        name = self._fresh()
        part = numpy_helper.from_array(np.asarray(value), name)
        self.model.graph.initializer.append(part)
        self.constants[name] = part
        return name

    def value(self, name: str) -> Any:
        """Array of a constant, or None."""
        return numpy_helper.to_array(self.constants[name]) if name in self.constants else None

    def shape(self, name: str) -> tuple[int, ...] | None:
        """Shape of a tensor, or None if it is unknown."""
        if name in self.constants:
            return tuple(self.constants[name].dims)
        return self._type(name)[1]

    def kind(self, name: str) -> int:
        """ONNX's number of a tensor's type; 0 if it is unknown."""
        return self._type(name)[0]

    def _type(self, name: str) -> tuple[int, tuple[int, ...] | None]:
        if self._types is None:
            self._types = inferred_types(self.model)
        return self._types.get(name, (0, None))

    def maker(self, name: str) -> Any:
        """The node of the original graph that computes a tensor, or None."""
        return self._makers.get(name)

    def attributes(self, node: Any) -> dict[str, Any]:
        """Attributes of a node, by name."""
        return {item.name: helper.get_attribute_value(item) for item in node.attribute}

    def dequantised(self, tensor: str, scale: str, zero: str = "", *, axis: int = 0) -> str:
        """Name of the dequantised tensor; scales with one value become scalars, others lie along `axis`."""
        scale, zero = self._scalar(scale), self._scalar(zero) if zero else ""
        return self.node("DequantizeLinear", tensor, scale, *([zero] if zero else []), axis=axis)

    def quantised(self, tensor: str, scale: str, zero: str) -> str:
        """Name of the quantised tensor; its type is that of the zero point."""
        return self.node("QuantizeLinear", tensor, self._scalar(scale), self._scalar(zero))

    def product(self, left: str, right: str) -> str:
        """Name of the product of two scales, computed now if both are constant."""
        values = self.value(left), self.value(right)
        if values[0] is not None and values[1] is not None:
            return self.constant(values[0] * values[1])
        return self.node("Mul", left, right)

    def _scalar(self, name: str) -> str:
        value = self.value(name)
        if value is not None and value.dtype == np.float16:
            return self._scalar(self.constant(value.astype("float32")))
        if value is not None and value.size == 1 and value.ndim:
            return self.constant(value.reshape(()))
        shape = self.shape(name)
        if value is None and shape and int(np.prod(shape)) == 1:
            return self.node("Reshape", name, self.constant(np.zeros(0, "int64")))
        return name


def names_read(node: Any) -> list[str]:
    """Names of tensors that a node reads, including those that its subgraphs take from outside."""
    names = [name for name in node.input if name]
    for item in node.attribute:
        for graph in (item.g, *item.graphs):
            made = {part.name for part in (*graph.initializer, *graph.input)}
            made.update(name for inner in graph.node for name in inner.output)
            read = [name for inner in graph.node for name in names_read(inner)]
            names += [name for name in (*read, *(value.name for value in graph.output)) if name not in made]
    return names


def standard_of(model: Any) -> Any:
    """The opset entry of the standard domain, or None."""
    return next((entry for entry in model.opset_import if entry.domain in ("", STANDARD)), None)


def version_of(model: Any) -> int:
    """Opset version of the standard domain; 1 if there is none."""
    entry = standard_of(model)
    return 1 if entry is None else int(entry.version)


def bytes_of(model: Any) -> int:
    """Approximate size of a model [bytes]; Protobuf's `ByteSize` copies all weights and takes ten times as long."""
    parts = (len(part.raw_data) or part.ByteSize() for part in model.graph.initializer)
    return int(sum(parts)) + sum(
        int(node.ByteSize()) for holder in (model.graph, *model.functions) for node in holder.node
    )


def fresh_names(graph: Any) -> Callable[[], str]:
    """A function that returns a new unused name at each call."""
    used = {value.name for value in (*graph.input, *graph.output, *graph.initializer, *graph.value_info)}
    used.update(name for node in graph.node for name in (*node.input, *node.output))
    names = (name for number in count(1) if (name := f"cyclecast:{number}") not in used)
    return lambda: next(names)


def inferred_shapes(model: Any) -> dict[str, tuple[int, ...]]:
    """Shapes of all tensors that ONNX's shape inference knows, by name."""
    return {name: shape for name, (_, shape) in inferred_types(model).items() if shape is not None}


def inferred_types(model: Any) -> dict[str, tuple[int, tuple[int, ...] | None]]:
    """ONNX type number (0 if unknown) and shape (None if unknown) of every tensor, by name."""
    outline = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import, functions=model.functions)
    graph = model.graph
    outline.graph.CopyFrom(onnx.GraphProto(name="outline", node=graph.node, input=graph.input, output=graph.output))
    outline.graph.value_info.extend(graph.value_info)
    for part in graph.initializer:  # without large weights, which would only take time
        if prod(part.dims) <= MOST_VALUES:
            outline.graph.initializer.append(part)
        else:
            outline.graph.input.append(helper.make_tensor_value_info(part.name, part.data_type, part.dims))
    graph = onnx.shape_inference.infer_shapes(outline, data_prop=True).graph
    found = {part.name: (int(part.data_type), _known(part.dims)) for part in graph.initializer}
    for value in (*graph.value_info, *graph.input, *graph.output):
        if value.type.HasField("tensor_type"):
            kind = value.type.tensor_type
            fixed = kind.HasField("shape") and all(extent.HasField("dim_value") for extent in kind.shape.dim)
            shape = _known(extent.dim_value for extent in kind.shape.dim) if fixed else None
            found[value.name] = int(kind.elem_type), shape
    return found


def _known(extents: Iterable[int]) -> tuple[int, ...] | None:
    """A shape; None if an extent is -1, which some exporters write for unknown."""
    shape = tuple(extents)
    return shape if min(shape, default=0) >= 0 else None
