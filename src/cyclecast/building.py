"""From tuned mappings to programs and files: lower every kernel, build for the host, write what others need."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Mapping as Mapped
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import cyclecast._tvm as _door  # noqa: F401 - first of all, TVM must be one that works

# isort: split
from tvm import tirx
from tvm.ir import IRModule
from tvm.s_tir import Schedule
from tvm.s_tir.schedule import Trace

from cyclecast import versions
from cyclecast._tvm._block import kernel_calls, workload_of
from cyclecast._tvm._json import from_text, to_text
from cyclecast.csource import Generated, write_project
from cyclecast.dataflow import operators_from_json, operators_to_json
from cyclecast.device import Device, Doubt, load_doubted
from cyclecast.errors import CyclecastError, ModelError, OptionError, ScheduleError
from cyclecast.executable import Executable, build_program
from cyclecast.folders import digest_of, holds, output, read_file, require_unchanged
from cyclecast.mapping import Mapping, mapping_from_json, require_fit
from cyclecast.placement import Placement
from cyclecast.reading import json_value, read_as, text, whole
from cyclecast.space import Implementation, as_module, decided_schedule, lowered_function
from cyclecast.tuning import Tuned
from cyclecast.workload import HostOperator, Member, Network

MOST = 2**53
"""Operators, operations and bytes: what JSON's numbers are exact up to."""
PROGRAM = "module.so"
FORMAT = 2
"""Of `network.json`."""
PARTS = {"network.json": 1 << 28, "program.json": 1 << 32, "mappings.json": 1 << 28, "device.yaml": 1 << 20}
"""Files that `load` reads, and how long they are at most [bytes]."""
KERNEL = re.compile(r"[A-Za-z_]\w*", re.ASCII)
"""How kernels are called: their names are names of files, too."""
NEEDED = {"ir.TensorLoad": "source", "ir.GenericConst": "value", "relax.expr.VarBinding": "var"}
"""Fields of a program's nodes that TVM takes as given."""
CHECKED = ("tune", "place", "compile llvm")
"""Verbs whose files must be as they were written."""


@dataclass(frozen=True, slots=True)
class Scheduled:
    """A network with a mapping for each of its kernels: what a folder written by `save` holds."""

    network: Network
    device: Device
    mappings: Mapped[str, Mapping]
    """By kernel."""
    doubts: tuple[Doubt, ...] = ()
    """About the device, with the lines of its file."""


def build(tuned: Tuned | Scheduled | Placement) -> Executable:
    """Lower every workload as its mapping says, and build the whole network for this machine."""
    return build_program(lowered_program(tuned))


def generate(tuned: Tuned | Scheduled | Placement, folder: str | Path, *, force: bool = False) -> Generated:
    """Write the whole network as C, with drivers and what it takes to build it, into a folder that is made.

    `OptionError` names a file that is in the way and not ours; `force` replaces it.
    """
    with output(folder, "compile c", force=force) as place:
        program = lowered_program(tuned, "driver")
        made = write_project(tuned.network.name, program, tuned.mappings, tuned.device, place)
    return replace(made, folder=Path(folder))


def lowered_program(tuned: Tuned | Scheduled | Placement, implementation: Implementation = "native") -> IRModule:
    """The network's program with every kernel lowered; host operators as they were."""
    program = tuned.network.program.clone()
    for kernel, mapping in tuned.mappings.items():
        variable = program.get_global_var(kernel)
        program.update_func(variable, lowered_function(program[kernel], mapping, implementation))
    return program


def save(tuned: Tuned | Scheduled | Placement, folder: str | Path, *, force: bool = False) -> None:
    """Write what `load` reads into a folder that is made: `PARTS`, all traces, and a manifest of them.

    `OptionError` names a file that is in the way and not ours; `force` replaces it.
    """
    with output(folder, "tune", force=force) as place:
        write(tuned, place)


def write_built(tuned: Tuned | Scheduled | Placement, folder: Path, before: Path) -> bool:
    """`write`, and the program: that of the folder `before` if `tune` built it from equal files; whether it is new.

    `network.json`, which is compared, says by which versions.
    """
    write(tuned, folder)
    files = {name: digest_of(folder / name) for name in PARTS}
    is_new = not holds(before, "tune", files, [PROGRAM])
    if is_new:
        build(tuned).save(folder / PROGRAM)
    else:
        shutil.copyfile(before / PROGRAM, folder / PROGRAM)
    return is_new


def names_of(network: Network) -> list[str]:
    """The files that `write` makes of a network."""
    return [*PARTS, *(f"traces/{member.kernel}.json" for member in network.members)]


def write(tuned: Tuned | Scheduled | Placement, folder: Path) -> None:
    """Write the files of `save` into an empty folder, without a manifest."""
    network = tuned.network
    described = {
        "format": FORMAT,
        "built_by": versions.built_by(),
        "name": network.name,
        "members": [{"kernel": member.kernel, "count": member.count} for member in network.members],
        "host": [asdict(operator) for operator in network.host],
        "operators": operators_to_json(network.operators),
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
    """What `save` wrote into a folder; `ModelError` where that is not all there, or no longer what it was."""
    place = Path(folder)
    try:
        read = {name: read_file(place, name, PARTS[name]) for name in PARTS}
        require_unchanged(place, read, CHECKED)
        described, mappings, program = (_parsed(place, name, read) for name in ("network", "mappings", "program"))
        if described["format"] != FORMAT:
            raise ModelError(f"{place}/network.json", f"format {described['format']}", f"this is format {FORMAT}")
        by_kernel = {str(kernel): mapping_from_json(mapping) for kernel, mapping in mappings.items()}
        if not isinstance(program, IRModule):
            raise ModelError(f"{place}/program.json", "it holds no program", lever="tuning again")
        network = _described(described, by_kernel, program)
        device, doubts = load_doubted(place / "device.yaml")
        scheduled = Scheduled(network, device, by_kernel, doubts)
        _require_consistent(scheduled, place)
    except OSError as error:
        lever = "cyclecast tune MODEL --out FOLDER"
        raise ModelError(str(error.filename), "it cannot be read", str(error.strerror), lever) from error
    except CyclecastError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        raise ModelError(str(place), "its files are not what tune wrote", reason, "tuning again") from error
    return scheduled


def _parsed(folder: Path, name: str, read: Mapped[str, bytes]) -> Any:
    """The value in a JSON file, or the program."""
    try:
        text = read[f"{name}.json"].decode()
        if name != "program":
            return json_value(text)
        _require_parts(json.loads(text)["nodes"])  # in which TVM writes infinities as they are
        return from_text(text)
    except (ValueError, RuntimeError, LookupError, TypeError, AttributeError) as error:
        where, reason = f"{folder}/{name}.json", f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
        raise ModelError(where, "it is not what tune wrote", reason, "tuning again") from error


def _require_parts(nodes: Any) -> None:
    """Raise `ValueError` where a part of a program is missing that TVM reads, without a look, when it compiles."""
    nothing = {place for place, node in enumerate(nodes) if node["type"] == "None"}
    for place, node in enumerate(nodes):
        kind, data = node["type"], node.get("data", [])
        parts = data if kind in ("ffi.Array", "ffi.Map") else [data[NEEDED[kind]]] if kind in NEEDED else []
        if not nothing.isdisjoint(parts):
            raise ValueError(f"a part of node {place}, of type {kind}, is missing")


def _described(value: dict[str, Any], mappings: Mapped[str, Mapping], program: IRModule) -> Network:
    """The network that `network.json` describes."""
    members = tuple(
        Member(mappings[text(member["kernel"])].workload, whole(member["count"], least=1), member["kernel"])
        for member in value["members"]
    )
    host = read_as(tuple[HostOperator, ...], value["host"])
    for operator in host:
        for number in (operator.count - 1, operator.operations, operator.bytes, operator.macs):
            if not 0 <= number <= MOST:
                raise ModelError(
                    f"host operator {operator.name}",
                    "a count or size beyond all bounds",
                    f"0 to {MOST:,}",
                    "tuning again",
                )
    return Network(text(value["name"]), members, host, program, operators_from_json(value["operators"]))


def _require_consistent(scheduled: Scheduled, folder: Path) -> None:
    """Raise `ModelError` where the files speak of different networks, `FitError` where of different devices."""
    network, mappings = scheduled.network, scheduled.mappings
    functions = {str(variable.name_hint): variable for variable in network.program.get_global_vars()}
    for kernel, mapping in mappings.items():
        if kernel not in functions or not KERNEL.fullmatch(kernel):
            raise ModelError(f"{folder}/program.json", f"no kernel '{kernel}'", "mappings.json has it", "tuning again")
        workload = workload_of(network.program[functions[kernel]], kernel)
        if (workload.axes, workload.slides) != (mapping.workload.axes, mapping.workload.slides):
            what = f"the mapping of {kernel} is for {mapping.workload.name}"
            raise ModelError(f"{folder}/mappings.json", what, f"program.json has {workload.name}", "tuning again")
        require_fit(mapping, scheduled.device)
    for operator in network.operators:
        workload, pixels = operator.workload, operator.workload.groups * operator.workload.pixels
        known = mappings.get(operator.kernel)
        if (operator.kernel and (known is None or workload != known.workload)) or operator.pixels > pixels:
            what = f"an operator {workload.name} with {operator.pixels} pixels"
            raise ModelError(f"{folder}/network.json", what, "its kernel is another", "tuning again")
    said = Counter({member.kernel: member.count for member in network.members})
    for where, found in (
        ("program.json", kernel_calls(network.program["main"])),
        ("network.json: operators", Counter(operator.kernel for operator in network.operators)),
    ):
        for kernel in {*mappings, *filter(None, said)}:
            if found[kernel] != said[kernel] and (found or where == "program.json"):
                what = f"{kernel} occurs {said[kernel]} times, and {found[kernel]} times in {where}"
                raise ModelError(f"{folder}/network.json", what, lever="tuning again")


def trace_to_text(trace: Any) -> str:
    """A trace as JSON text; `replay` reads it."""
    return json.dumps(_plain(trace.as_json())) + "\n"


def replay(text: str, function: Any) -> Any:
    """Replay a trace written by `save` on the kernel's function before scheduling: the decided module."""
    schedule = Schedule(as_module(function))
    try:
        Trace.apply_json_to_schedule(json.loads(text), schedule)
    except ValueError as error:
        raise ScheduleError("trace", "it cannot be read", str(error)) from error
    return schedule.mod


def _plain(value: Any) -> Any:
    """TVM's containers and numbers as Python's."""
    match value:
        case tirx.IntImm() | tirx.FloatImm():
            return value.value
        case str() | int() | float() | None:
            return value
        case _ if hasattr(value, "items"):
            return {str(key): _plain(item) for key, item in value.items()}
        case _:
            return [_plain(item) for item in value]
