"""ONNX files."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError
from onnx import external_data_helper as external

from cyclecast.errors import ModelError, UnsupportedError
from cyclecast.frontend._base import LARGEST_FILE, Bound, Inputs, Quantization, Shapes, Values, size_of
from cyclecast.frontend._words import first_line
from cyclecast.frontend.graphs._bound import bind
from cyclecast.frontend.graphs._branches import take_branches
from cyclecast.frontend.graphs._nodes import bytes_of
from cyclecast.frontend.graphs._shapes import fix_shapes
from cyclecast.frontend.graphs._versions import make_readable
from cyclecast.frontend.readers._onnx_graph import inputs_of, program_of, run

SHARED, SHARES = 64 << 20, 4
"""Limit of external weights: these bytes, plus this multiple of the files' bytes, since tensors may share data."""


@dataclass(frozen=True, slots=True)
class Onnx:
    """The front end for `.onnx` files."""

    @property
    def runtime(self) -> str:
        """Name of the reference runtime."""
        return "onnxruntime"

    def accepts(self, source: Any) -> bool:
        """Whether the source is an `.onnx` file, with constants bound to inputs or not."""
        return isinstance(source, Bound) or (isinstance(source, Path) and source.suffix == ".onnx")

    def graph(self, source: Path | Bound, shapes: Shapes) -> Any:
        """The model of the file, without inputs that are bound to constants."""
        if isinstance(source, Path):
            return read(source)
        model = read(source.source)
        bind(model, str(source), source.constants)
        return model

    def inputs(self, source: Path | Bound, shapes: Shapes) -> Inputs:
        """Shape and type of the inputs of the file."""
        return inputs_of(self.graph(source, shapes), str(source), shapes)

    def load(self, source: Path | Bound, shapes: Shapes, quantization: Quantization) -> Any:
        """Import the file. Raises `ModelError`, which names the file."""
        return program_of(self.graph(source, shapes), str(source), shapes, quantization)

    def reference(self, source: Path | Bound, samples: Sequence[Values]) -> list[dict[str, Any]]:
        """Outputs of onnxruntime. Branches that are not taken are removed first: they may hold unknown operators."""
        model = self.graph(source, {})
        if any(node.op_type == "If" for node in model.graph.node):
            fix_shapes(model, str(source), {name: value.shape for name, value in samples[0].items()})
            take_branches(model)
        return run(model, str(source), samples)


def read(source: Path) -> Any:
    """The file as a `ModelProto`, with external weights from the same folder. Raises `ModelError`."""
    if not source.is_file():
        demand = "it is a folder" if source.is_dir() else "there is no such file"
        raise ModelError(str(source), demand, "a network is an ONNX file", "another path")
    model = _parsed(source)
    try:
        with warnings.catch_warnings(action="ignore"):  # warnings about unknown keys
            _read_weights(model, source)
    except ModelError:
        raise
    except (
        OSError,
        ValueError,
        RuntimeError,
        TypeError,
        onnx.checker.ValidationError,
    ) as error:  # also errors from C++
        raise ModelError(
            str(source), "its weights are in another file, which cannot be read", first_line(error),
            "putting that file beside it",
        ) from error  # fmt: skip
    make_readable(model, str(source))
    for what, some in (("operators", model.graph.node), ("outputs", model.graph.output)):
        if not some:
            raise ModelError(str(source), f"it holds no {what}", "a network has at least one", "exporting it again")
    if (size := bytes_of(model)) > LARGEST_FILE:
        raise UnsupportedError(str(source), f"{size} bytes", "networks are below 2 GiB", "a smaller network")
    return model


def _read_weights(model: Any, source: Path) -> None:
    """Read external weights into the model, unless they are much larger than their files.

    Tensors may share bytes, so a small file can ask for endless memory. Raises `UnsupportedError` before it reads
    anything if the weights are too large.
    """
    folder = source.parent
    tensors = [tensor for tensor in external._get_all_tensors(model) if external.uses_external_data(tensor)]
    entries = [external.ExternalDataInfo(tensor) for tensor in tensors]
    on_disk = sum(map(size_of, {folder / entry.location for entry in entries}))
    size, most = sum(_bytes_of(entry, folder) for entry in entries), min(LARGEST_FILE, SHARED + SHARES * on_disk)
    if size > most:
        demand = f"{size:,} bytes of weights in other files"
        raise UnsupportedError(str(source), demand, f"at most {most:,} from {on_disk:,} on the disk", "a smaller one")
    if any(external.uses_external_data(part) for part in _parts_of_sparse(model.graph, *model.functions)):
        raise ValueError("sparse weights are in it, which onnxruntime looks for in the current folder")
    for tensor in tensors:
        external.load_external_data_for_tensor(tensor, str(folder))


def _parts_of_sparse(*graphs: Any) -> Iterator[Any]:
    """Values and indices of all sparse tensors, in graphs and subgraphs."""
    for graph in graphs:
        attributes = [part for node in graph.node for part in node.attribute]
        sparse = [found for part in attributes for found in (part.sparse_tensor, *part.sparse_tensors)]
        for tensor in (*getattr(graph, "sparse_initializer", ()), *sparse):
            yield from (tensor.values, tensor.indices)
        yield from _parts_of_sparse(*(found for part in attributes for found in (part.g, *part.graphs)))


def _bytes_of(entry: Any, folder: Path) -> int:
    """Bytes of an external tensor: the stated length, or the rest of its file."""
    rest: int = (folder / entry.location).stat().st_size - (entry.offset or 0)
    return max(0, rest if entry.length is None else min(rest, int(entry.length)))


def _parsed(source: Path) -> Any:
    size_of(source)
    try:
        content = source.read_bytes()
    except OSError as error:
        raise ModelError(str(source), "it cannot be read", str(error.strerror), "another path") from error
    if not content:
        raise ModelError(str(source), "it holds no operators", "the file is empty", "exporting it again")
    try:
        return onnx.load_from_string(content)
    except (DecodeError, ValueError) as error:
        raise ModelError(
            str(source),
            "it cannot be read as ONNX",
            f"its {len(content)} bytes are damaged, cut off or of another format",
            "exporting it again",
        ) from error
