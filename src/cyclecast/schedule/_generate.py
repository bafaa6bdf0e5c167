"""Rules outside a search: the schedule of given decisions, the lowered function of a given mapping."""

from __future__ import annotations

from typing import Any

from tvm import tirx
from tvm.ir import IRModule
from tvm.s_tir import Schedule

from cyclecast._tvm._block import contractions_in
from cyclecast.device import Device
from cyclecast.errors import ScheduleError
from cyclecast.mapping import Mapping
from cyclecast.mapspace import requests
from cyclecast.schedule._intrinsics import Implementation
from cyclecast.schedule._lower import as_module, lower, lower_form, lower_function, needs_form
from cyclecast.schedule._lowered import remember
from cyclecast.schedule._marks import PREFIX, SKETCH, mark, sketch_of
from cyclecast.schedule._notes import KERNEL, noted, notes
from cyclecast.schedule._read import decided_contraction, only_function, read


def decided_schedule(function: Any, device: Device, mapping: Mapping) -> Any:
    """The schedule, with a replayable trace, whose decisions give this mapping. Raises `ScheduleError` if none do."""
    schedule = Schedule(as_module(function))
    block = schedule.get_sblock(_only_contraction(function).block)
    schedule.annotate(block, SKETCH, sketch_of(mapping))
    for decision, value in requests(mapping).items():
        schedule.annotate(block, mark(decision), value)
    if read(schedule.mod, device) != mapping:
        raise ScheduleError(mapping.workload.name, f"mapping {mapping}", f"{device.name} grants another one instead")
    return schedule


def sampled_decisions(trace: Any) -> dict[str, int]:
    """Place in the trace of the instruction that samples each decision, by the decision's name."""
    sampled: dict[Any, int] = {}
    found: dict[str, int] = {}
    for place, instruction in enumerate(trace.insts):
        kind = str(instruction.kind.name)
        if kind == "SampleCategorical":
            sampled[instruction.outputs[0]] = place
        elif kind == "Annotate" and str(instruction.attrs[0]).startswith(PREFIX):
            source = sampled.get(instruction.inputs[1])
            if source is not None:
                found[str(instruction.attrs[0]).removeprefix(PREFIX)] = source
    return found


def lowered(module: IRModule, device: Device, implementation: Implementation = "native") -> IRModule:
    """Lower the decided function of a module. `read` gives the same mapping before and after."""
    contraction = decided_contraction(only_function(module))
    mapping = read(module, device)
    schedule = Schedule(module)
    _forget_decisions(schedule, contraction)
    annotations = notes(noted(schedule.mod["main"]), mapping, implementation, device)
    if needs_form(mapping):
        return lower_form(only_function(schedule.mod), contraction, mapping, implementation, annotations)
    lower(schedule, contraction, mapping, implementation, annotations)
    remember(schedule.mod["main"], annotations[KERNEL], mapping, implementation, device)
    return schedule.mod


def lower_schedule(schedule: Any, device: Device, implementation: Implementation = "native") -> None:
    """Lower a decided schedule in place and remove its decisions.

    Raises `ScheduleError` for windows and packed groups.
    """
    contraction = decided_contraction(only_function(schedule.mod))
    mapping = read(schedule.mod, device)
    _forget_decisions(schedule, contraction)
    annotations = notes(noted(schedule.mod["main"]), mapping, implementation, device)
    lower(schedule, contraction, mapping, implementation, annotations)
    remember(schedule.mod["main"], annotations[KERNEL], mapping, implementation, device)


def _forget_decisions(schedule: Any, contraction: Any) -> None:
    block = schedule.get_sblock(contraction.block)
    for annotation in schedule.get(block).annotations:
        if str(annotation).startswith(PREFIX):
            schedule.unannotate(block, str(annotation))


def lowered_function(function: Any, mapping: Mapping, implementation: Implementation = "native") -> Any:
    """The function with its contraction lowered by the mapping; it keeps its attributes."""
    annotations = notes(noted(function), mapping, implementation, None)
    result = lower_function(function, _only_contraction(function), mapping, implementation, annotations)
    return tirx.PrimFunc(result.params, result.body, result.ret_type, function.attrs)


def _only_contraction(function: Any) -> Any:
    found = contractions_in(function, "function")
    if len(found) != 1:
        raise ScheduleError("function", f"{len(found)} integer contractions", "there must be exactly one")
    return found[0]
