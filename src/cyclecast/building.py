"""From tuned mappings to programs and files: lower every kernel, build for the host, write what others need."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tvm import tirx
from tvm.ir import IRModule
from tvm.s_tir import Schedule
from tvm.s_tir.schedule import Trace

from cyclecast.errors import ScheduleError
from cyclecast.executable import Executable, build_program
from cyclecast.space import Implementation, as_module, decided_schedule, lowered_function
from cyclecast.tuning import Tuned


def build(tuned: Tuned) -> Executable:
    """Lower every workload as its mapping says, and build the whole network for this machine."""
    return build_program(lowered_program(tuned))


def lowered_program(tuned: Tuned, implementation: Implementation = "native") -> IRModule:
    """The network's program with every kernel lowered; host operators as they were."""
    program = tuned.network.program.clone()
    for entry in tuned.workloads:
        kernel = entry.member.kernel
        program.update_func(program.get_global_var(kernel), lowered_function(program[kernel], entry.mapping, implementation))
    return program


def save(tuned: Tuned, folder: Path) -> None:
    """Write `mappings.json`, `traces/KERNEL.json` and `device.yaml` into the folder."""
    mappings = {entry.member.kernel: entry.mapping.to_json() for entry in tuned.workloads}
    (folder / "mappings.json").write_text(json.dumps(mappings, indent=2) + "\n", encoding="utf-8")
    (folder / "device.yaml").write_text(tuned.device.to_yaml(), encoding="utf-8")
    traces = folder / "traces"
    traces.mkdir(exist_ok=True)
    for stale in traces.glob("*.json"):
        stale.unlink()
    for entry in tuned.workloads:
        function = tuned.network.program[entry.member.kernel]
        trace = decided_schedule(function, tuned.device, entry.mapping).trace
        (traces / f"{entry.member.kernel}.json").write_text(trace_to_text(trace), encoding="utf-8")


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
