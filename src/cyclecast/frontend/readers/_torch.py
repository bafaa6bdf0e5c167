"""PyTorch modules and `torch.export` programs, in memory or in `.pt2` files.

PyTorch's exporter converts them to ONNX graphs: onnxruntime then folds shape arithmetic and batch normalisation, and
calibration reaches every tensor. Quantised programs keep their quantise and dequantise operators.
"""

from __future__ import annotations

import inspect
import logging
import sys
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import onnx

from cyclecast.errors import ModelError, OptionError, UnsupportedError
from cyclecast.frontend._apart import apart
from cyclecast.frontend._base import Inputs, Quantization, Shapes, Values, size_of
from cyclecast.frontend._words import first_line
from cyclecast.frontend.readers._onnx_graph import inputs_of, program_of
from cyclecast.frontend.readers._pt2 import LEVER, opened

WITHOUT_GRAPH = (".pt", ".pth")
"""Suffixes of files with pickled weights and no graph."""
INSTALL = "pip install torch==2.13.0 onnxscript==0.7.2"


@dataclass(frozen=True, slots=True)
class Torch:
    """The front end for `torch.nn.Module`, `torch.export.ExportedProgram` and `.pt2` files."""

    @property
    def runtime(self) -> str:
        """Name of the reference runtime."""
        return "PyTorch"

    def accepts(self, source: Any) -> bool:
        """Whether the source is a PyTorch file (by suffix), module or program; does not import PyTorch."""
        if isinstance(source, Path):
            return source.suffix in (".pt2", *WITHOUT_GRAPH)
        torch = sys.modules.get("torch")
        return torch is not None and isinstance(source, torch.nn.Module | torch.export.ExportedProgram)

    def graph(self, source: Any, shapes: Shapes) -> Any:
        """The source as an ONNX graph, by PyTorch's exporter; for a file, in a child process."""
        if not isinstance(source, Path) or not source.is_file():
            return _onnx_of(source, shapes)
        _torch()
        size = size_of(source)
        content = apart(lambda: _onnx_of(source, shapes).SerializeToString(), str(source), size)
        return onnx.load_from_string(content)

    def inputs(self, source: Any, shapes: Shapes) -> Inputs:
        """Shape and type of the program's inputs."""
        return inputs_of(self.graph(source, shapes), _name(source), shapes)

    def load(self, source: Any, shapes: Shapes, quantization: Quantization) -> Any:
        """Export and import the source. Raises `ModelError`, which names it."""
        return program_of(self.graph(source, shapes), _name(source), shapes, quantization)

    def reference(self, source: Any, samples: Sequence[Values]) -> list[dict[str, Any]]:
        """Outputs of PyTorch, by their names in the exported program."""
        program, name = _exported(source, {given: value.shape for given, value in samples[0].items()}), _name(source)
        with _errors(name, "PyTorch does not run it", "--inputs with values that fit"), _quiet():
            return [_outputs_of(program, values) for values in samples]


def _onnx_of(source: Any, shapes: Shapes) -> Any:
    program, name = _exported(source, shapes), _name(source)
    with _errors(name, "PyTorch cannot write it as ONNX", LEVER), _quiet():
        import torch

        exported: Any = torch.onnx.export(program, dynamo=True, verbose=False)
        return exported.model_proto


def _outputs_of(program: Any, values: Values) -> dict[str, Any]:
    import torch

    signature = program.graph_signature
    arguments = [torch.from_numpy(values[given].copy()) for given in signature.user_inputs]
    keywords = program.call_spec.in_spec.children()[1].context
    positional = arguments[: len(arguments) - len(keywords)]
    named = dict(zip(keywords, arguments[len(positional) :], strict=True))
    with torch.inference_mode():
        results = torch.utils._pytree.tree_leaves(program.module(check_guards=False)(*positional, **named))
    return {given: part.numpy() for given, part in zip(signature.user_outputs, results, strict=True)}


def _name(source: Any) -> str:
    return str(source) if isinstance(source, Path) else type(source).__name__


def _torch() -> Any:
    try:
        import onnxscript  # noqa: F401 - the exporter asks for it when it runs
        import torch
    except ImportError as error:
        raise OptionError("PyTorch networks", str(error), "PyTorch and onnxscript read them", INSTALL) from error
    return torch


def _exported(source: Any, shapes: Shapes) -> Any:
    """The source as an `ExportedProgram`."""
    torch = _torch()
    if isinstance(source, torch.export.ExportedProgram):
        return source
    return _from_file(source, torch) if isinstance(source, Path) else _from_module(source, shapes, torch)


def _from_file(source: Path, torch: Any) -> Any:
    if not source.is_file():
        raise ModelError(str(source), "there is no such file", "a network is a file of torch.export", "another path")
    if source.suffix in WITHOUT_GRAPH:
        raise ModelError(str(source), "a pickle of weights or modules", "it has no graph, and may run code", LEVER)
    if not zipfile.is_zipfile(source):
        raise ModelError(str(source), "it cannot be read as a .pt2 file", "it is no archive, or cut off", LEVER)
    with _errors(str(source), "it cannot be read as a program of torch.export", LEVER), _quiet():
        torch.set_num_threads(1)  # a fork has no other threads
        return torch.export.load(opened(source))


def _from_module(module: Any, shapes: Shapes, torch: Any) -> Any:
    """Export a module on zeros of the given shapes: floats, or integers if tracing with floats fails."""
    name = type(module).__name__
    parameters = inspect.signature(module.forward).parameters
    required = [given for given, parameter in parameters.items() if parameter.default is inspect.Parameter.empty]
    missing = [given for given in required if given not in shapes and given not in ("args", "kwargs")]
    if missing or not shapes or not shapes.keys() <= parameters.keys():
        wanted = [*missing, *required, *parameters][0]
        raise ModelError(
            f"{name}: input '{wanted}'", f"shapes are given for {', '.join(shapes) or 'no input'}",
            f"forward takes {', '.join(parameters)}", f"shapes={{'{wanted}': (1, 3, 224, 224)}}",
        )  # fmt: skip
    training = module.training
    try:
        with _errors(name, "torch.export cannot trace it", "passing an ExportedProgram"), _quiet():
            module.eval()
            try:
                return torch.export.export(module, (), _zeros(shapes, parameters, torch.float32, torch))
            except Exception:  # an embedding refuses floats, with an error of any class
                return torch.export.export(module, (), _zeros(shapes, parameters, torch.int64, torch))
    finally:
        module.train(training)


def _zeros(shapes: Shapes, parameters: Mapping[str, Any], kind: Any, torch: Any) -> dict[str, Any]:
    return {given: torch.zeros(*map(int, shapes[given]), dtype=kind) for given in parameters if given in shapes}


@contextmanager
def _errors(name: str, demand: str, lever: str) -> Iterator[None]:
    """Context: turn any error of PyTorch into a one-line `UnsupportedError`."""
    reason = ""
    try:
        yield
    except ModelError:
        raise
    except Exception as error:  # of any class
        reason = first_line(error)
    if reason:  # raised here, because the original traceback keeps tensors alive
        raise UnsupportedError(name, demand, reason, lever)


@contextmanager
def _quiet() -> Iterator[None]:
    """Context: suppress PyTorch's progress, warnings and logs."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(action="ignore"), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            yield
    finally:
        logging.disable(level)
