"""Transposed convolutions as convolutions (sub-pixel form, Shi et al., arXiv:1609.07009).

With stride s, output n = s q + r uses only the weights s j + r: y[s q + r] = sum over j of x[q - j] w[s j + r]. Each
residue r becomes a filter of a convolution with stride 1, and the outputs are interleaved. No inserted zero is
multiplied, except if the kernel size is no multiple of the stride.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from cyclecast.frontend.graphs._nodes import GraphWriter


def transposed(node: Any, writer: GraphWriter) -> list[str] | None:
    """The node as a convolution; None if its weights are computed or the input's shape is unknown."""
    data, weight, bias = (*node.input, "")[:3]
    values, shape, attributes = writer.value(weight), writer.shape(data), writer.attributes(node)
    if shape is None:
        return None
    if values is None:
        return _with_pads(node, shape, writer) if "output_shape" in attributes else None
    axes, groups = values.ndim - 2, int(attributes.get("group", 1))
    strides = attributes.get("strides", [1] * axes)
    values = _dilated(values, attributes.get("dilations", [1] * axes))
    begins, extents = _ends(attributes, shape[2:], values.shape[2:], strides)
    taps = [-(-kernel // stride) for kernel, stride in zip(values.shape[2:], strides, strict=True)]
    filters = writer.constant(residues(values, groups, strides, taps))
    around = [tap - 1 for tap in taps]
    result = writer.node("Conv", data, filters, group=groups, pads=around + around)
    steps = [size + tap - 1 for size, tap in zip(shape[2:], taps, strict=True)]
    result = _interleaved(result, (shape[0], values.shape[1] * groups), strides, steps, writer)
    have = [step * stride for step, stride in zip(steps, strides, strict=True)]
    result = _cut(result, begins, extents, have, writer)
    if not bias:
        return [result]
    return [writer.node("Add", result, writer.node("Reshape", bias, writer.constant(np.array([-1] + [1] * axes))))]


def _with_pads(node: Any, shape: tuple[int, ...], writer: GraphWriter) -> list[str] | None:
    """The same node with pads instead of `output_shape`, which the importer ignores."""
    attributes, weight = writer.attributes(node), writer.shape(node.input[1])
    if weight is None:
        return None
    strides = attributes.get("strides", [1] * (len(weight) - 2))
    dilations = attributes.get("dilations", [1] * len(strides))
    kernel = [(size - 1) * dilation + 1 for size, dilation in zip(weight[2:], dilations, strict=True)]
    begins, extents = _ends(attributes, shape[2:], kernel, strides)
    whole = [(n - 1) * s + k for n, s, k in zip(shape[2:], strides, kernel, strict=True)]
    ends = [size - begin - extent for size, begin, extent in zip(whole, begins, extents, strict=True)]
    given = ("strides", "dilations", "group")
    kept = {name: value for name, value in attributes.items() if name in given}
    more, pads = [max(0, -end) for end in ends], [*begins, *(max(0, end) for end in ends)]
    return [writer.node("ConvTranspose", *node.input, pads=pads, output_padding=more, **kept)]


def _dilated(values: Any, dilations: list[int]) -> Any:
    """The kernel with zeros between its taps."""
    kernel = [(size - 1) * dilation + 1 for size, dilation in zip(values.shape[2:], dilations, strict=True)]
    wide = np.zeros((*values.shape[:2], *kernel), values.dtype)
    wide[(slice(None), slice(None), *(slice(None, None, dilation) for dilation in dilations))] = values
    return wide


def _ends(attributes: dict[str, Any], inputs: Any, kernel: Any, strides: Any) -> tuple[list[int], list[int]]:
    """First index of the result inside the full transposed convolution, and its extents, as in the standard."""
    axes = len(kernel)
    more = attributes.get("output_padding", [0] * axes)
    pads = attributes.get("pads", [0] * 2 * axes)
    how = attributes.get("auto_pad", b"NOTSET").decode()
    whole = [(n - 1) * s + k + m for n, s, k, m in zip(inputs, strides, kernel, more, strict=True)]
    if "output_shape" in attributes or how.startswith("SAME"):
        default = [n * s for n, s in zip(inputs, strides, strict=True)]
        extents = list(attributes.get("output_shape", default))[-axes:]
        cut = [max(0, size - extent) for size, extent in zip(whole, extents, strict=True)]
        begins = [total // 2 if how == "SAME_UPPER" else total - total // 2 for total in cut]
        return begins, extents
    if how == "VALID":
        pads = [0] * 2 * axes
    ends = [size - begin - end for size, begin, end in zip(whole, pads[:axes], pads[axes:], strict=True)]
    return list(pads[:axes]), ends


def residues(values: Any, groups: int, strides: Any, taps: list[int]) -> Any:
    """Weights of the convolution, (groups x filters x residues, channels, taps), with taps reversed.

    `values` has shape (groups x channels, filters, kernel); it is padded to `taps` x `strides`.
    """
    channels, filters = values.shape[:2]
    room = [(0, tap * stride - size) for tap, stride, size in zip(taps, strides, values.shape[2:], strict=True)]
    values = np.pad(values, [(0, 0), (0, 0), *room])
    cut = values.reshape(
        groups, channels // groups, filters, *(n for pair in zip(taps, strides, strict=True) for n in pair)
    )
    axes = len(taps)
    taps_at, residues_at = [3 + 2 * axis for axis in range(axes)], [4 + 2 * axis for axis in range(axes)]
    turned = cut.transpose(0, 2, *residues_at, 1, *taps_at)
    turned = turned.reshape(groups * filters * prod(strides), channels // groups, *taps)
    return np.ascontiguousarray(np.flip(turned, tuple(range(2, 2 + axes))))


def _interleaved(result: str, outer: tuple[int, int], strides: Any, steps: list[int], writer: GraphWriter) -> str:
    """Interleave the residues (depth to space)."""
    if prod(strides) == 1:
        return result
    axes = len(steps)
    apart = writer.node("Reshape", result, writer.constant(np.array([*outer, *strides, *steps])))
    order = [0, 1, *(place for axis in range(axes) for place in (2 + axes + axis, 2 + axis))]
    beside = writer.node("Transpose", apart, perm=order)
    extents = [step * stride for step, stride in zip(steps, strides, strict=True)]
    return writer.node("Reshape", beside, writer.constant(np.array([*outer, *extents])))


def _cut(result: str, begins: list[int], extents: list[int], have: list[int], writer: GraphWriter) -> str:
    """Slice the result; pad with zeros where it reaches beyond the full transposed convolution."""
    ends = [begin + extent for begin, extent in zip(begins, extents, strict=True)]
    axes = np.arange(2, 2 + len(have))
    if any(begins) or any(end < size for end, size in zip(ends, have, strict=True)):
        inside = np.minimum(ends, have)
        result = writer.node("Slice", result, *map(writer.constant, (np.array(begins), inside, axes)))
    if any(end > size for end, size in zip(ends, have, strict=True)):
        beyond = [max(0, end - size) for end, size in zip(ends, have, strict=True)]
        pads = np.array([0] * (2 + len(have)) + [0, 0, *beyond])
        result = writer.node("Pad", result, writer.constant(pads))
    return result
