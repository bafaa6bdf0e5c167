"""Run a scheduled network in C and record the driver calls: instruction traces and golden vectors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from cyclecast.csource import Library, Tensor
from cyclecast.errors import ModelError, OptionError
from cyclecast.frontend import random_values, read_arrays
from cyclecast.mapping import MappedNetwork
from cyclecast.simulator import (
    Call,
    Catcher,
    Counters,
    Driver,
    Header,
    Operation,
    TraceWriter,
    parameters,
    write_vectors,
)
from cyclecast.storage.folders import output, output_file
from cyclecast.workflow.building import generate

if TYPE_CHECKING:
    pass

VERSIONS = ("cyclecast", "apache-tvm", "numpy")
TRACE = r'"format": ?"cyclecast-trace"'
"""Mark at the beginning of a trace."""


@dataclass(frozen=True, slots=True)
class Traced:
    """A written trace."""

    path: Path
    calls: int
    counters: Counters
    outputs: tuple[Any, ...]
    """Outputs of the network."""


def write_trace(
    tuned: MappedNetwork,
    path: str | Path,
    *,
    workload: str = "",
    inputs: Path | None = None,
    seed: int = 0,
    fast: bool = True,
    force: bool = False,
) -> Traced:
    """Write the driver calls of one run of the network, or of one of its workloads, as a trace.

    `inputs` is an .npz file with an array per input; without it, inputs are random. `fast` skips the bit level of
    lossless arrays, which changes no value. An existing file must be a trace, unless `force` is set. Raises
    `OptionError` and `ModelError`.
    """
    kernel = _kernel(tuned, workload) if workload else ""
    with _library(tuned) as library, library.open(parameters(tuned.device, fast=fast)) as driver:
        given = _inputs(library, inputs, seed)
        known = None if inputs else seed
        header = Header(parameters(tuned.device), tuned.network.name, tuned.device.name, known, _versions())
        with output_file(path, TRACE, force=force) as place, TraceWriter(place, header) as writer:
            recorder = _Recorder(writer, driver, kernel)
            outputs = library.run(driver, given, recorder)
            counters = recorder.finish()
    return Traced(Path(path), recorder.calls, counters, tuple(outputs))


def device_outputs(tuned: MappedNetwork, samples: Sequence[Sequence[Any]]) -> list[Any]:
    """Outputs of the device's behaviour model, one array per output, samples along the first axis.

    A sample has one array per input, in order. With lossless converters, the outputs equal those of `module.so`.
    """
    with _library(tuned) as library, library.open(parameters(tuned.device, fast=True)) as driver:
        found = [library.run(driver, sample) for sample in samples]
    return [np.stack(outputs) for outputs in zip(*found, strict=True)]


def golden_vectors(
    tuned: MappedNetwork,
    workload: str,
    folder: str | Path,
    *,
    arrays: int = 4,
    products: int = 16,
    inputs: Path | None = None,
    seed: int = 0,
    force: bool = False,
) -> dict[str, Any]:
    """Write inputs, intermediate and output values of single arrays of a workload; return the manifest.

    The first `arrays` arrays that the workload programs are recorded, the first `products` products of each. Raises
    `OptionError` for an existing file that cyclecast did not write; `force` replaces it.
    """
    if arrays < 1 or products < 1:
        raise OptionError("vectors", f"{arrays} arrays with {products} products", "1 of each, at least")
    kernel = _kernel(tuned, workload)
    catcher = Catcher(kernel, arrays=arrays, products=products)
    with _library(tuned) as library, library.open(parameters(tuned.device, fast=True)) as driver:
        library.run(driver, _inputs(library, inputs, seed), catcher)
    mapping = tuned.mappings[kernel]
    about = {
        "network": tuned.network.name,
        "workload": mapping.workload.name,
        "kernel": kernel,
        "mapping": mapping.to_json(),
        "inputs": str(inputs) if inputs else "random",
        "seed": None if inputs else seed,
        "versions": _versions(),
    }
    with output(folder, "vectors", force=force) as place:
        return write_vectors(tuned.device, catcher, place, about)


class _Recorder:
    """Writes the calls of a run, or of one kernel in it, and counts the work of the device."""

    def __init__(self, writer: TraceWriter, driver: Driver, kernel: str) -> None:
        self._writer, self._driver, self._kernel = writer, driver, kernel
        self._before: Counters | None = None if kernel else driver.counters
        self._done: Counters | None = None
        self.calls = 0

    def __call__(self, call: Call) -> None:
        if self._kernel and call.operation is Operation.BEGIN:
            wanted = call.name == self._kernel
            if wanted and self._before is None:
                self._before = self._driver.counters
            elif self._before is not None and self._done is None:
                self._done = self._driver.counters
        if self._before is not None and self._done is None:
            self.calls += 1
            self._writer.write(call)

    def finish(self) -> Counters:
        """End the trace; return the counters of its calls."""
        counters = self._driver.counters if self._done is None else self._done
        counted = counters if self._before is None else counters.since(self._before)
        self._writer.finish(counted)
        return counted


@contextmanager
def _library(tuned: MappedNetwork) -> Iterator[Library]:
    with TemporaryDirectory(prefix="cyclecast-") as folder:
        yield Library(generate(tuned, folder))


def _kernel(tuned: MappedNetwork, workload: str) -> str:
    """The kernel with this name, or of the workload with this name. Raises `OptionError`."""
    named = {kernel: mapping.workload.name for kernel, mapping in tuned.mappings.items()}
    found = [kernel for kernel, name in named.items() if workload in (kernel, name)]
    if not found:
        known = ", ".join(named)
        raise OptionError("--workload", f"there is no '{workload}'", f"there are {known}", next(iter(named), ""))
    return found[0]


def _inputs(library: Library, path: Path | None, seed: int) -> list[Any]:
    """Inputs from a file by their C names, or in the file's order if it has no such name but as many arrays.

    Else random.
    """
    tensors = library.generated.inputs
    if path is None:
        generator = np.random.default_rng(seed)
        return [random_values(generator, tensor.shape, np.dtype(tensor.kind)) for tensor in tensors]
    arrays = read_arrays(path)
    names = [tensor.name for tensor in tensors]
    if not arrays.keys() & set(names) and len(arrays) == len(names):
        arrays = dict(zip(names, arrays.values(), strict=True))
    return [_input(arrays, tensor, path) for tensor in tensors]


def _input(arrays: Mapping[str, Any], tensor: Tensor, path: Path) -> Any:
    chosen = arrays.get(tensor.name)
    if chosen is None or chosen.shape != tensor.shape:
        have = f"shape {chosen.shape}" if chosen is not None else "no such array"
        raise ModelError(f"{path}: '{tensor.name}'", have, f"the network wants shape {tensor.shape}", "numpy.savez")
    return np.ascontiguousarray(chosen.astype(tensor.kind))


def _versions() -> str:
    return ", ".join(f"{name} {version(name)}" for name in VERSIONS)
