"""Golden vectors: inputs, intermediate values and outputs of single arrays of a workload.

They are recorded from the calls of a run, computed by the behaviour model `Crossbar`, and written for NumPy and for
Verilog's `$readmemh`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cyclecast.device import Device
from cyclecast.simulator._calls import Call, Operation, Values
from cyclecast.simulator._crossbar import Crossbar
from cyclecast.simulator._parameters import parameters
from cyclecast.storage.reading import Json

FORMAT, VERSION = "cyclecast-vectors", 1
SUM_BITS = 64

Integers = NDArray[np.int64]


@dataclass(slots=True)
class Caught:
    """An array of a workload: its weights, and the input vectors that it was multiplied by."""

    place: tuple[int, ...]
    weights: Integers
    inputs: list[Integers] = field(default_factory=list)
    open: bool = True
    """False once other weights are programmed."""


class Catcher:
    """Observes a run and records, for one kernel, the first arrays, the first products of each, and all sums."""

    def __init__(self, kernel: str, *, arrays: int, products: int) -> None:
        self._kernel, self._most_arrays, self._most_products = kernel, arrays, products
        self._active = False
        self._slots: dict[tuple[tuple[int, ...], int], Values] = {}
        self._streamed: dict[tuple[int, ...], Values] = {}
        self.arrays: dict[tuple[int, ...], Caught] = {}
        self.received: list[tuple[int, Integers]] = []
        """For the first call of the kernel: slot and sums of every tile that leaves the device."""
        self.calls = 0
        """Calls of the kernel; the first is recorded."""

    def __call__(self, call: Call) -> None:
        """Observe a successful call."""
        if call.operation is Operation.BEGIN:
            self.calls += call.name == self._kernel
            self._active = call.name == self._kernel and self.calls == 1
        elif self._active:
            self._taken(call)

    def _taken(self, call: Call) -> None:
        match call.operation:
            case Operation.PROGRAM:
                self._program(call)
            case Operation.SEND:
                self._slots[(), call.slot] = call.values
            case Operation.MOVE:
                for slot in range(call.count):
                    self._slots[call.place, slot] = self._slots[call.place[:-1], call.slot + slot]
            case Operation.STREAM:
                self._streamed[call.place] = self._slots[call.place[:-1], call.slot]
            case Operation.START if call.place in self.arrays:
                caught = self.arrays[call.place]
                if caught.open and len(caught.inputs) < self._most_products:
                    caught.inputs.append(self._streamed[call.place].astype(np.int64))
            case Operation.RECEIVE:
                self.received.append((call.slot, call.values.astype(np.int64)))

    def _program(self, call: Call) -> None:
        if call.place in self.arrays:
            self.arrays[call.place].open = False
        elif len(self.arrays) < self._most_arrays:
            weights = call.values.reshape(call.count, call.filters).astype(np.int64)
            self.arrays[call.place] = Caught(call.place, weights)


def array_vectors(device: Device, caught: Caught) -> dict[str, Integers]:
    """All values of one array, by name; `ORDERS` gives the axes."""
    array = Crossbar(device, f"array {caught.place}")
    array.write(caught.weights)
    array.to_read()
    cells, flipped = array.cells, array.flipped
    found: dict[str, list[Integers]] = {name: [] for name in ("pulses", "sums", "codes", "partial_sums", "outputs")}
    steps, phases = device.input_steps, len(flipped)
    for inputs in caught.inputs:
        readings = array.readings(inputs)
        found["pulses"].append(np.concatenate([reading.pulses for reading in readings]).reshape(steps, len(cells)))
        for name in ("sums", "codes"):
            each = np.stack([getattr(reading, name) for reading in readings])
            found[name].append(each.reshape(steps, phases, -1))
        added = np.stack([array.shifted(reading) for reading in readings]).reshape(steps, phases, -1).sum(axis=1)
        partial = np.cumsum(added, axis=0) + array.correction
        found["partial_sums"].append(partial)
        found["outputs"].append(partial[-1])
    made = {name: np.stack(values) for name, values in found.items()}
    given = {"weights": caught.weights, "cells": cells.reshape(len(cells), -1), "flipped": flipped.reshape(phases, -1)}
    return given | {"inputs": np.stack(caught.inputs)} | made


def widths(device: Device) -> dict[str, int]:
    """Bits per word of every file, in two's complement if values can be negative."""
    array = device.array
    sums = max(1, (array.rows * ((1 << array.cell_bits) - 1) * ((1 << array.dac_bits) - 1)).bit_length()) + 1
    return {
        "weights": device.bits.weight,
        "cells": array.cell_bits,
        "flipped": 1,
        "inputs": device.bits.activation,
        "pulses": array.dac_bits + array.signed_sums,
        "sums": sums,
        "codes": sums if array.digital else array.adc_bits,
        "partial_sums": SUM_BITS,
        "outputs": SUM_BITS,
    }


ORDERS: Mapping[str, str] = {
    "weights": "word line, filter",
    "cells": "word line, filter x column of the weight (least significant slice first)",
    "flipped": "row phase, filter x column of the weight",
    "inputs": "product, word line",
    "pulses": "product, input step, word line",
    "sums": "product, input step, row phase, filter x column of the weight",
    "codes": "product, input step, row phase, filter x column of the weight",
    "partial_sums": "product, input step, filter",
    "outputs": "product, filter",
}
"""Axes of each file's words, the slowest first."""


def write_vectors(device: Device, catcher: Catcher, folder: Path, about: Mapping[str, Json]) -> dict[str, Json]:
    """Write all recorded arrays and the manifest into an existing folder; return the manifest."""
    everything: dict[str, Integers] = {}
    arrays = []
    for number, caught in enumerate(catcher.arrays.values()):
        values, name = array_vectors(device, caught), f"array_{number}"
        (folder / name).mkdir(exist_ok=True)
        files = {key: _hex(folder / name / f"{key}.hex", value, widths(device)[key]) for key, value in values.items()}
        for key, entry in files.items():
            entry["order"] = ORDERS[key]
        (folder / name / "parameters.vh").write_text(_verilog(device, values), encoding="utf-8")
        arrays.append({"folder": name, "place": list(caught.place), "files": files})
        everything |= {f"{name}/{key}": value for key, value in values.items()}
    sums = np.stack([values for _, values in catcher.received])
    everything["received"] = sums
    received = _hex(folder / "received.hex", sums, SUM_BITS) | {
        "order": "tile, filter",
        "slots": [slot for slot, _ in catcher.received],
    }
    stored = BytesIO()
    np.savez_compressed(stored, **everything)  # type: ignore[arg-type] # no array is called allow_pickle
    (folder / "vectors.npz").write_bytes(stored.getvalue())
    manifest = {
        "format": FORMAT,
        "version": VERSION,
        **about,
        "device": {"name": device.name, "digest": device.digest, "parameters": dict(parameters(device))},
        "arrays": arrays,
        "received": received,
        "npz": {"file": "vectors.npz", "sha256": sha256(stored.getvalue()).hexdigest()},
    }
    text = json.dumps(manifest, indent=2) + "\n"
    (folder / "manifest.json").write_text(text, encoding="utf-8")
    return dict(json.loads(text))


def _hex(path: Path, values: Integers, bits: int) -> dict[str, Json]:
    """Write words of `bits` bits for `$readmemh`, one per line; return the file's entry in the manifest."""
    digits, mask = -(-bits // 4), (1 << bits) - 1
    text = "".join(f"{int(value) & mask:0{digits}x}\n" for value in values.ravel()).encode()
    path.write_bytes(text)
    return {"file": path.name, "shape": list(values.shape), "bits": bits, "sha256": sha256(text).hexdigest()}


def _verilog(device: Device, values: Mapping[str, Integers]) -> str:
    """Parameters that a test bench needs to read the files of an array."""
    products, lines = values["inputs"].shape
    numbers = {
        "LINES": lines,
        "FILTERS": values["weights"].shape[1],
        "WORD_LINES": values["cells"].shape[0],
        "COLUMNS": values["cells"].shape[1],
        "PRODUCTS": products,
        "STEPS": device.input_steps,
        "PHASES": values["flipped"].shape[0],
        "INPUT_BITS": device.bits.activation,
        "WEIGHT_BITS": device.bits.weight,
        "CELL_BITS": device.array.cell_bits,
        "DAC_BITS": device.array.dac_bits,
        "ADC_BITS": widths(device)["codes"],
        "SLICES": device.slices,
    }
    return "".join(f"localparam {name} = {value};\n" for name, value in numbers.items())
