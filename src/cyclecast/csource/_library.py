"""A generated network as a library of this process, run on an observable driver."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from cyclecast.csource._function import ALIGNMENT
from cyclecast.csource._project import Generated
from cyclecast.errors import BehaviourError, ModelError
from cyclecast.simulator import Call, Driver, Parameters, compile_library, load_library, reference_objects

BYTES = ctypes.POINTER(ctypes.c_ubyte)
SOURCES = ("network.c", "device.c", "host.c")


class Library:
    """A network in C, built for this process with the reference driver."""

    def __init__(self, generated: Generated) -> None:
        self.generated = generated
        folder = generated.folder
        kernels = sorted(path for path in folder.glob("kernel_*.c"))
        sources = [*(folder / name for name in SOURCES), *kernels]
        with TemporaryDirectory(prefix="cyclecast-") as place:
            path = Path(place) / "network.so"
            compile_library(sources, path, folder, objects=reference_objects())
            self._library = load_library(path)
        self._library.network_run_bytes.argtypes = (ctypes.c_void_p, *[ctypes.c_void_p] * 4)
        self._weights = _aligned(generated.weights)
        self._weights[:] = np.fromfile(folder / "weights.bin", dtype=np.uint8)

    def open(self, parameters: Parameters) -> Driver:
        """Open a device for this library."""
        return Driver.open(parameters, self._library)

    def run(self, driver: Driver, inputs: Sequence[Any], observer: Callable[[Call], None] | None = None) -> list[Any]:
        """Outputs of the network; `observer` gets every call of the driver.

        Raises `ModelError` for inputs of other shapes or types, `BehaviourError` if the driver reports an error.
        """
        given = self._joined(inputs)
        results = np.zeros(sum(tensor.bytes for tensor in self.generated.outputs), dtype=np.uint8)
        workspace = _aligned(self.generated.workspace)
        pointers = [value.ctypes.data for value in (self._weights, given, results, workspace)]
        if observer is None:
            status = self._library.network_run_bytes(driver.handle, *pointers)
        else:
            with driver.observed(observer):
                status = self._library.network_run_bytes(driver.handle, *pointers)
        if status:
            raise BehaviourError("generated network", f"status {status}", driver.message)
        return self._split(results)

    def _joined(self, inputs: Sequence[Any]) -> Any:
        wanted = [(tensor.shape, tensor.kind) for tensor in self.generated.inputs]
        arrays = [np.asarray(value) for value in inputs]
        if [(array.shape, str(array.dtype)) for array in arrays] != wanted:
            raise ModelError("generated network", "inputs of other shapes or types", f"it takes {wanted}")
        return np.frombuffer(b"".join(array.tobytes() for array in arrays), dtype=np.uint8)

    def _split(self, results: Any) -> list[Any]:
        found, start = [], 0
        for tensor in self.generated.outputs:
            values = results[start : start + tensor.bytes].view(tensor.kind)
            found.append(values.reshape(tensor.shape).copy())
            start += tensor.bytes
        return found


def _aligned(size: int) -> Any:
    """Zeros, aligned as a workspace must be."""
    whole = np.zeros(size + ALIGNMENT, dtype=np.uint8)
    skipped = -whole.ctypes.data % ALIGNMENT
    return whole[skipped : skipped + size]
