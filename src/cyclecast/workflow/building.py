"""From tuned mappings to programs and files: lower kernels, build for the host, write and load folders."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cyclecast._tvm as _door  # noqa: F401 - first of all, TVM must be one that works

# isort: split
from tvm import tirx
from tvm.ir import IRModule
from tvm.s_tir import Schedule
from tvm.s_tir.schedule import Trace

from cyclecast._tvm._block import kernel_calls, workload_of
from cyclecast._tvm._json import from_text, to_text
from cyclecast.csource import Generated, write_project
from cyclecast.errors import ModelError, OptionError, ScheduleError
from cyclecast.executable import Executable, build_program
from cyclecast.mapping import MappedNetwork
from cyclecast.network import operators_to_json
from cyclecast.schedule import Implementation, as_module, decided_schedule, lowered_function
from cyclecast.storage import versions
from cyclecast.storage.folders import digest_of, holds, output
from cyclecast.workflow.stored import (
    FORMAT,
    KERNEL,
    PARTS,
    PROGRAM,
    Scheduled,
    described,
    explained,
    parsing,
    require_counts,
)

if TYPE_CHECKING:
    pass

NEEDED = {"ir.TensorLoad": "source", "ir.GenericConst": "value", "relax.expr.VarBinding": "var"}
"""Fields of a program's nodes that TVM reads without a check."""


def compile(tuned: MappedNetwork) -> Executable:
    """Lower every workload by its mapping, and compile the network for this machine."""
    return build_program(lowered_program(tuned))


def generate(tuned: MappedNetwork, folder: str | Path, *, force: bool = False) -> Generated:
    """Write the network as C, with drivers and build files, into a folder, which is created.

    Raises `OptionError` for an existing file that cyclecast did not write; `force` replaces it.
    """
    with output(folder, "compile c", force=force) as place:
        program = lowered_program(tuned, "driver")
        made = write_project(tuned.network.name, program, tuned.mappings, tuned.device, place)
    return replace(made, folder=Path(folder))


def lowered_program(tuned: MappedNetwork, implementation: Implementation = "native") -> IRModule:
    """The network's program with every kernel lowered by its mapping; host operators are unchanged."""
    program = tuned.network.program.clone()
    for kernel, mapping in tuned.mappings.items():
        variable = program.get_global_var(kernel)
        program.update_func(variable, lowered_function(program[kernel], mapping, implementation))
    return program


def save(tuned: MappedNetwork, folder: str | Path, *, force: bool = False) -> None:
    """Write the files that `load` reads into a folder, which is created: `PARTS`, all traces, and a manifest.

    Raises `OptionError` for an existing file that cyclecast did not write; `force` replaces it.
    """
    with output(folder, "tune", force=force) as place:
        write(tuned, place)


def write_built(tuned: MappedNetwork, folder: Path, before: Path) -> None:
    """`write`, and build the program.

    The program in the folder `before` is copied if `tune` built it from equal files. `network.json`, one of them, names
    the versions.
    """
    write(tuned, folder)
    files = {name: digest_of(folder / name) for name in PARTS}
    if holds(before, "tune", files, [PROGRAM]):
        shutil.copyfile(before / PROGRAM, folder / PROGRAM)
    else:
        compile(tuned).save(folder / PROGRAM)


def write(tuned: MappedNetwork, folder: Path) -> None:
    """Write the files of `save` into an empty folder, without a manifest."""
    network = tuned.network
    described = {
        "format": FORMAT,
        "built_by": versions.built_by(),
        "name": network.name,
        "members": [{"kernel": member.kernel, "count": member.count} for member in network.members],
        "host": [asdict(operator) for operator in network.host],
        "operators": operators_to_json(network.operators),
        "digital": [asdict(operator) for operator in network.digital],
    }
    mappings = {kernel: mapping.to_json() for kernel, mapping in tuned.mappings.items()}
    for name, value in (("network", described), ("mappings", mappings)):
        (folder / f"{name}.json").write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
    (folder / "program.json").write_text(to_text(network.program), encoding="utf-8")
    (folder / "device.yaml").write_text(tuned.device.to_yaml(), encoding="utf-8")
    traces = folder / "traces"
    traces.mkdir()
    for kernel, mapping in tuned.mappings.items():
        if not KERNEL.fullmatch(kernel):
            raise OptionError(
                f"kernel '{kernel}'", "its name cannot be that of a file", "letters, digits and _", "another"
            )
        trace = decided_schedule(network.program[kernel], tuned.device, mapping).trace
        (traces / f"{kernel}.json").write_text(trace_to_text(trace), encoding="utf-8")


def load(folder: str | Path) -> Scheduled:
    """Load a folder that `save` wrote. Raises `ModelError` if a file is missing or has changed."""
    place = Path(folder)
    with explained(place):
        return described(
            place, lambda content: _program(place, content), lambda scheduled: _require_equal(scheduled, place)
        )


def _program(folder: Path, content: bytes) -> IRModule:
    """The program in `program.json`. Raises `ModelError`."""
    with parsing(folder, "program"):
        text = content.decode()
        _require_parts(json.loads(text)["nodes"])  # not json_value: TVM writes infinities
        program = from_text(text)
    if not isinstance(program, IRModule):
        raise ModelError(f"{folder}/program.json", "it holds no program", lever="tuning again")
    return program


def _require_parts(nodes: Any) -> None:
    """Raise `ValueError` if a part of a program is missing that TVM reads without a check."""
    nothing = {place for place, node in enumerate(nodes) if node["type"] == "None"}
    for place, node in enumerate(nodes):
        kind, data = node["type"], node.get("data", [])
        parts = data if kind in ("ffi.Array", "ffi.Map") else [data[NEEDED[kind]]] if kind in NEEDED else []
        if not nothing.isdisjoint(parts):
            raise ValueError(f"a part of node {place}, of type {kind}, is missing")


def _require_equal(scheduled: Scheduled, folder: Path) -> None:
    """Raise `ModelError` if the program belongs to another network."""
    network, mappings = scheduled.network, scheduled.mappings
    functions = {str(variable.name_hint): variable for variable in network.program.get_global_vars()}
    for kernel, mapping in mappings.items():
        if kernel not in functions:
            raise ModelError(f"{folder}/program.json", f"no kernel '{kernel}'", "mappings.json has it", "tuning again")
        workload = workload_of(network.program[functions[kernel]], kernel)
        if (workload.axes, workload.slides) != (mapping.workload.axes, mapping.workload.slides):
            what = f"the mapping of {kernel} is for {mapping.workload.name}"
            raise ModelError(f"{folder}/mappings.json", what, f"program.json has {workload.name}", "tuning again")
    require_counts(scheduled, kernel_calls(network.program["main"]), folder, "program.json")


def trace_to_text(trace: Any) -> str:
    """A trace as JSON text, for `replay`."""
    return json.dumps(_plain(trace.as_json())) + "\n"


def replay(text: str, function: Any) -> Any:
    """Replay a trace of `save` on the kernel's function before scheduling; return the decided module.

    Raises `ScheduleError` if the trace cannot be read.
    """
    schedule = Schedule(as_module(function))
    try:
        Trace.apply_json_to_schedule(json.loads(text), schedule)
    except ValueError as error:
        raise ScheduleError("trace", "it cannot be read", str(error)) from error
    return schedule.mod


def _plain(value: Any) -> Any:
    """TVM's containers and numbers as Python values."""
    match value:
        case tirx.IntImm() | tirx.FloatImm():
            return value.value
        case str() | int() | float() | None:
            return value
        case _ if hasattr(value, "items"):
            return {str(key): _plain(item) for key, item in value.items()}
        case _:
            return [_plain(item) for item in value]
