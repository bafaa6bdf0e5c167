"""ONNX files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError
from onnx.external_data_helper import load_external_data_for_model

from cyclecast.errors import ModelError, UnsupportedError
from cyclecast.frontend._base import Inputs, Quantization, Shapes, Values
from cyclecast.frontend._graph import inputs_of, program_of, run
from cyclecast.frontend._words import first_line

LARGEST_FILE = (1 << 31) - 1
"""Bytes that protobuf, and so onnxruntime, takes in one piece."""


@dataclass(frozen=True, slots=True)
class Onnx:
    """The front end for `.onnx` files."""

    @property
    def runtime(self) -> str:
        """Its reference."""
        return "onnxruntime"

    def accepts(self, source: Any) -> bool:
        """Files by their suffix."""
        return isinstance(source, Path) and source.suffix == ".onnx"

    def graph(self, source: Path, shapes: Shapes) -> Any:
        """The file itself."""
        return read(source)

    def inputs(self, source: Path, shapes: Shapes) -> Inputs:
        """The inputs of the file."""
        return inputs_of(read(source), str(source), shapes)

    def load(self, source: Path, shapes: Shapes, quantization: Quantization) -> Any:
        """Import the file; every failure is a `ModelError` that names the file."""
        return program_of(read(source), str(source), shapes, quantization)

    def reference(self, source: Path, values: Values) -> dict[str, Any]:
        """What onnxruntime computes."""
        return run(read(source), str(source), values)


def read(source: Path) -> Any:
    """The file as a `ModelProto`, weights in other files of its folder included."""
    if not source.is_file():
        demand = "it is a folder" if source.is_dir() else "there is no such file"
        raise ModelError(str(source), demand, "a network is an ONNX file", "another path")
    model = _parsed(source)
    try:
        load_external_data_for_model(model, str(source.parent))
    except (OSError, ValueError, RuntimeError, TypeError, onnx.checker.ValidationError) as error:  # also of C++
        raise ModelError(
            str(source), "its weights are in another file, which cannot be read", first_line(error),
            "putting that file beside it",
        ) from error  # fmt: skip
    for what, some in (("operators", model.graph.node), ("outputs", model.graph.output)):
        if not some:
            raise ModelError(str(source), f"it holds no {what}", "a network has at least one", "exporting it again")
    if model.ByteSize() > LARGEST_FILE:
        raise UnsupportedError(
            str(source), f"{model.ByteSize()} bytes", "networks are below 2 GiB", "a smaller network"
        )
    return model


def _parsed(source: Path) -> Any:
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
