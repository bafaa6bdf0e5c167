"""For users of TVM: our parts on MetaSchedule's own entry points.

    import tvm.s_tir.meta_schedule as ms
    from cyclecast import Device, tvm as cim

    device = Device.load("isaac")
    ms.tune_tir(mod, target, work_dir, 64, space=cim.space(device), builder=cim.builder(), runner=cim.runner(device),
                cost_model=cim.cost_model(device))

`space` opens decisions only (about 0.4 ms a candidate); `lower` turns the winner into tensorised loops. With
`lowered_space` every candidate is lowered before it is timed (about 15 ms), and needs nothing afterwards.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from tvm import tirx
from tvm.ir import IRModule

from cyclecast._tvm import _adapters
from cyclecast._tvm._behaviour import running_on
from cyclecast.device import Device
from cyclecast.errors import ScheduleError
from cyclecast.runner import TimingRunner
from cyclecast.search.mutators import Mutator, RebindTiles, Replicate, ResizeTile
from cyclecast.space import as_module, decided_contraction, lower_schedule, lowered, read, sampled_decisions
from cyclecast.space.rules import Im2col, Order, annotation_rules, sketch_rules
from cyclecast.timing import TimingModel, timing_model

__all__ = ["builder", "cost_model", "lower", "lowered_space", "read", "runner", "running_on", "space"]

MUTATORS: dict[Mutator, float] = {ResizeTile(): 0.2, RebindTiles(): 0.5, Replicate(): 0.3}
"""The mutation rules and how often each is tried."""


def builder() -> Any:
    """A MetaSchedule builder that hands each candidate to `runner` in this process."""
    return _adapters.builder()


def runner(device: Device, timing: str | TimingModel = "analytical") -> Any:
    """A MetaSchedule runner that reads each candidate as a mapping and answers with the timing model's time."""
    return _adapters.runner(TimingRunner(device, timing_model(timing), read))


def cost_model(device: Device, timing: str | TimingModel = "analytical") -> Any:
    """A MetaSchedule cost model that asks the same timing model, so that the search believes what the runner says."""
    return _adapters.cost_model(TimingRunner(device, timing_model(timing), read))


def space(device: Device) -> Any:
    """A MetaSchedule space of decisions: our sketch and annotation rules, and our mutation rules."""
    return _adapters.space([*sketch_rules(device), *annotation_rules(device)], MUTATORS, sampled_decisions)


def lowered_space(device: Device) -> Any:
    """The space with every candidate lowered to tensorised loops before it is timed; without windows and packed groups.

    Those two change the computation itself, which no instruction of a trace does: take `space` and `lower` for them.
    """
    rules = [Im2col(), Order(device), *annotation_rules(device)]
    return _adapters.space(rules, MUTATORS, sampled_decisions, [partial(_lower_if_any, device)])


def lower(module: IRModule, device: Device) -> IRModule:
    """Lower every decided function of a module; other functions stay as they are."""
    whole = module.clone()
    for variable, function in module.functions.items():
        if isinstance(function, tirx.PrimFunc) and _is_decided(function):
            result = lowered(as_module(function), device)["main"]
            whole.update_func(variable, tirx.PrimFunc(result.params, result.body, result.ret_type, function.attrs))
    return whole


def _lower_if_any(device: Device, schedule: Any) -> None:
    if any(_is_decided(function) for function in schedule.mod.functions.values()):
        lower_schedule(schedule, device)


def _is_decided(function: Any) -> bool:
    try:
        decided_contraction(function)
    except ScheduleError:
        return False
    return True
