"""Apply rules outside any search: the schedule of given decisions, and the lowered function of a given mapping."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping as Mapped
from typing import Any

from tvm import tirx
from tvm.ir import IRModule, load_json, save_json
from tvm.s_tir import Schedule

from cyclecast._tvm._block import contractions_in
from cyclecast.decisions import choices, requests
from cyclecast.device import Device
from cyclecast.errors import ScheduleError
from cyclecast.mapping import Mapping
from cyclecast.space._intrinsics import Implementation
from cyclecast.space._lower import lower
from cyclecast.space._marks import PREFIX
from cyclecast.space._read import decided_contraction, only_function, read
from cyclecast.space.rules import Bind, Im2col


def as_module(function: Any) -> IRModule:
    """A copy of the function as the `main` of a module of its own, as MetaSchedule has it.

    A deep copy: a schedule edits in place what no other module holds, and functions may share their bodies.
    """
    module = IRModule({"main": function.with_attr("global_symbol", "main")})
    return load_json(save_json(module))


def decided_schedule(function: Any, device: Device, mapping: Mapping) -> Any:
    """The schedule, with a replayable trace, whose decisions are granted as this mapping."""
    schedule = Schedule(as_module(function))
    block = schedule.get_sblock(_only_contraction(function).block)
    for rule in (Im2col(), Bind(device)):
        (schedule,) = rule.apply(schedule, block)
    decided = with_decisions(as_module(function), schedule.trace, _on_offer(mapping, device))
    if read(decided.mod, device) != mapping:
        raise ScheduleError(mapping.workload.name, f"mapping {mapping}", "its factors are not on offer in this space")
    return decided


def with_decisions(original: IRModule, trace: Any, decisions: Mapped[str, int]) -> Any:
    """The trace replayed on the original module with these decisions; `ScheduleError` for a value not on offer."""
    for name, place in sampled_decisions(trace).items():
        instruction = trace.insts[place]
        offers = [int(value) for value in instruction.attrs[0]]
        if decisions[name] not in offers:
            raise ScheduleError(name, f"the value {decisions[name]}", f"on offer are {offers}")
        trace = trace.with_decision(instruction, offers.index(decisions[name]), remove_postproc=True)
    replayed = Schedule(original)
    trace.apply_to_schedule(replayed, remove_postproc=True)
    return replayed


def sampled_decisions(trace: Any) -> dict[str, int]:
    """Where in the trace each decision is sampled: the place of its instruction, by the decision's name."""
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
    """Lower the decided function of a module; what is read from the result is what was read before."""
    schedule = Schedule(module)
    lower_schedule(schedule, device, implementation)
    return schedule.mod


def lower_schedule(schedule: Any, device: Device, implementation: Implementation = "native") -> None:
    """Lower a decided schedule in place, its decisions' annotations gone."""
    function = only_function(schedule.mod)
    contraction = decided_contraction(function)
    mapping = read(schedule.mod, device)
    block = schedule.get_sblock(contraction.block)
    for annotation in schedule.get(block).annotations:
        if str(annotation).startswith(PREFIX):
            schedule.unannotate(block, str(annotation))
    lower(schedule, contraction, mapping, implementation)


def lowered_function(function: Any, mapping: Mapping, implementation: Implementation = "native") -> Any:
    """The function with its contraction lowered as the mapping says; attributes kept."""
    schedule = Schedule(as_module(function))
    lower(schedule, _only_contraction(function), mapping, implementation)
    result = schedule.mod["main"]
    return tirx.PrimFunc(result.params, result.body, result.ret_type, function.attrs)


def _only_contraction(function: Any) -> Any:
    found = contractions_in(function, "function")
    if len(found) != 1:
        raise ScheduleError("function", f"{len(found)} integer contractions", "there must be exactly one")
    return found[0]


def _on_offer(mapping: Mapping, device: Device) -> dict[str, int]:
    """The smallest values on offer that are granted as the mapping."""
    offers = choices(mapping.workload, device)
    wanted = requests(mapping)
    return {name: values[min(bisect_left(values, wanted[name]), len(values) - 1)] for name, values in offers.items()}
