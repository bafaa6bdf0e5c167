"""Write a folder of C that builds anywhere: network, kernels, device, drivers, build files and a README."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Mapping as Mapped
from dataclasses import dataclass
from importlib.metadata import version
from math import prod
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from cyclecast.csource._function import ALIGNMENT, FunctionWriter, Written
from cyclecast.csource._kernel import kernel
from cyclecast.csource._lower import flat_functions
from cyclecast.csource._plan import Program, Tensor, plan
from cyclecast.csource._text import BYTES, Names, c_type, plain, wrapped
from cyclecast.csource._tile_loops import describe, level_names
from cyclecast.device import Device
from cyclecast.mapping import Mapping, loss_of
from cyclecast.simulator import DRIVER_FILES, driver_source, parameters

TEMPLATES = ("Makefile", "CMakeLists.txt", "README.md", "network.h", "network.c", "parts.h", "device.c", "main.c")
INCLUDE = '#include "parts.h"\n\n'


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated:
    """The files and sizes of a generated folder."""

    folder: Path
    files: tuple[str, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    workspace: int
    """Workspace of a run [bytes]."""
    weights: int
    """Size of `weights.bin` [bytes]."""


def write_project(name: str, program: Any, mappings: Mapped[str, Mapping], device: Device, folder: Path) -> Generated:
    """Write a lowered program as C into an empty folder; its kernels must have been lowered by `mappings`.

    Raises `UnsupportedError` for operators and types that C99 lacks.
    """
    name, what = plain(name), plan(program)
    texts = _parts(program, what, mappings)
    files = {file: driver_source(file) for file in DRIVER_FILES}
    for kernel_name, entry in texts.items():
        if entry.on_device:
            files[f"{entry.name}.c"] = f"/* The workload {plain(kernel_name)} of {name}. */\n{INCLUDE}{entry.text}"
    host = [entry.text for entry in texts.values() if not entry.on_device]
    files["host.c"] = f"/* What the host computes for {name}. */\n{INCLUDE}{chr(10).join(host)}"
    values = _values(name, what, texts, mappings, device)
    environment = Environment(
        loader=PackageLoader("cyclecast.csource"), undefined=StrictUndefined, keep_trailing_newline=True
    )
    for template in TEMPLATES:
        files[template] = environment.get_template(template).render(values)
    for file, text in files.items():
        (folder / file).write_text(text.rstrip("\n") + "\n", encoding="utf-8")
    (folder / "weights.bin").write_bytes(what.weights)
    written = tuple(sorted([*files, "weights.bin"]))
    return Generated(
        folder=folder,
        files=written,
        inputs=tuple(what.inputs),
        outputs=tuple(what.outputs),
        workspace=values["workspace"],
        weights=values["weight_bytes"],
    )


def _parts(program: Any, what: Program, mappings: Mapped[str, Mapping]) -> dict[str, Written]:
    """Every function that the plan calls, kernels and host functions, by its name in the program."""
    flat, names = flat_functions(program), Names()
    found: dict[str, Written] = {}
    for function in dict.fromkeys(step.function for step in what.steps if step.function):
        if function in mappings:
            found[function] = kernel(f"kernel_{names.new(function)}", function, flat[function], mappings[function])
        else:
            found[function] = FunctionWriter(f"host_{names.new(function)}", flat[function]).written(
                f"{plain(function)}."
            )
    return found


def _values(
    name: str, what: Program, parts: Mapped[str, Written], mappings: Mapped[str, Mapping], device: Device
) -> dict[str, Any]:
    """Variables of the templates."""
    scratch = max((part.workspace for part in parts.values()), default=0)
    places, end = _laid_out([*what.inputs, *what.outputs], what.workspace + scratch, ALIGNMENT)
    offsets, input_bytes = _laid_out(what.inputs, 0, 1)
    ends, output_bytes = _laid_out(what.outputs, 0, 1)
    calls = Counter(step.function for step in what.steps)
    return {
        "name": name,
        "title": f"{name} on {device.name}",
        "version": version("cyclecast"),
        "device": device.name,
        "levels": level_names([level.name for level in device.levels]),
        "alignment": ALIGNMENT,
        "c_type": c_type,
        "inputs": what.inputs,
        "outputs": what.outputs,
        "signature": _signature(what),
        "constants": what.constants,
        "places": what.places,
        "scratch": what.workspace,
        "workspace": end,
        "input_places": places[: len(what.inputs)],
        "output_places": places[len(what.inputs) :],
        "input_offsets": offsets,
        "output_offsets": ends,
        "reals": [*_reals("inputs", what.inputs, offsets), *_reals("outputs", what.outputs, ends)],
        "input_bytes": input_bytes,
        "output_bytes": output_bytes,
        "weight_bytes": len(what.weights),
        "weight_crc": zlib.crc32(what.weights),
        "parts": list(parts.values()),
        "calls": [_call(step, parts) for step in what.steps],
        "parameters": {field: _initialiser(value) for field, value in parameters(device).items()},
        "loss": loss_of(((mappings[kernel], calls[kernel]) for kernel in mappings if kernel in parts), device),
        "kernels": [
            {
                "workload": plain(mapping.workload.name),
                "file": f"{parts[kernel].name}.c",
                "calls": calls[kernel],
                "schedule": describe(mapping).partition(". ")[2],
            }
            for kernel, mapping in mappings.items()
            if kernel in parts
        ],
    }


def _reals(where: str, tensors: list[Tensor], offsets: list[int]) -> list[dict[str, Any]]:
    """Float tensors, which main.c checks for NaN, and their places."""
    return [
        {
            "name": tensor.name,
            "place": f"{where} + {offset}" if offset else where,
            "count": prod(tensor.shape),
            "size": BYTES[tensor.kind],
        }
        for tensor, offset in zip(tensors, offsets, strict=True)
        if tensor.kind.startswith("float")
    ]


def _signature(what: Program) -> str:
    """Declaration of `network_run`."""
    given = [f"const {c_type(tensor.kind)} *{tensor.name}" for tensor in what.inputs]
    taken = [f"{c_type(tensor.kind)} *{tensor.name}" for tensor in what.outputs]
    first = ("cyclecast_device *device", "const unsigned char *weights")
    line = f"cyclecast_status network_run({', '.join([*first, *given, *taken, 'unsigned char *workspace'])})"
    return "\n".join(wrapped(line, "    "))


def _laid_out(tensors: list[Tensor], start: int, alignment: int) -> tuple[list[int], int]:
    """Offsets of consecutive tensors, and the end of the last."""
    places = []
    for tensor in tensors:
        places.append(start)
        start += -(-tensor.bytes // alignment) * alignment
    return places, start


def _call(step: Any, parts: Mapped[str, Written]) -> str:
    if not step.function:
        target, source = step.arguments
        return f"memcpy({target}, {source}, {step.size})"
    part = parts[step.function]
    arguments = [*step.arguments, *(["scratch"] if part.workspace else [])]
    if part.on_device:
        return f"TRY({part.name}({', '.join(['device', *arguments])}))"
    return f"{part.name}({', '.join(arguments)})"


def _initialiser(value: int | tuple[int, ...]) -> str:
    if isinstance(value, tuple):
        return f"{{{', '.join(map(_initialiser, value))}}}"
    return str(value) if value < 2**32 else f"UINT64_C({value})"
