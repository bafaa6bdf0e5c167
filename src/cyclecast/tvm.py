"""For users of TVM: parts of cyclecast for the entry points of MetaSchedule.

    import tvm.s_tir.meta_schedule as ms
    from cyclecast import Device, tvm as cim

    device = Device.load("isaac")
    ms.tune_tir(mod, target, work_dir, 64, space=cim.space(device), builder=cim.builder(), runner=cim.runner(device),
                cost_model=cim.cost_model(device))

The candidates of `space` are decided modules (about 0.4 ms each); `lower` turns the best into tensorised loops. With
`lowered_space` every candidate is lowered before it is timed (about 15 ms each), so `lower` is not needed.
With `strategy=cim.search_strategy(device)` the exhaustive search finds the best mapping, and only that is measured.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from collections.abc import Mapping as Mapped
from dataclasses import replace
from functools import partial
from typing import Any

import cyclecast._tvm as _door  # noqa: F401 - first of all, TVM must be one that works

# isort: split
from tvm import tirx
from tvm.ir import IRModule

from cyclecast._tvm import _adapters, _strategy
from cyclecast._tvm._behaviour import running_on
from cyclecast._tvm._block import contractions_in
from cyclecast.device import Device
from cyclecast.errors import ScheduleError
from cyclecast.mapping import Mapping
from cyclecast.mapspace import default_mapping
from cyclecast.runner import Runner, TimingRunner, require_runner
from cyclecast.schedule import (
    MUTATORS,
    Rule,
    Space,
    as_module,
    decided_contraction,
    decided_schedule,
    lower_schedule,
    lowered,
    read,
    sampled_decisions,
)
from cyclecast.schedule.rules import Im2col, Order, annotation_rules
from cyclecast.search import SECONDS, Exhaustive, Kernel, Problem, Strategy, Watch, begin, follow
from cyclecast.search import search_strategy as search_strategy_of
from cyclecast.search.mutators import Mutator
from cyclecast.timing import Failure, TimingModel, asked, timing_model

__all__ = [
    "builder",
    "cost_model",
    "lower",
    "lowered_space",
    "read",
    "runner",
    "running_on",
    "search_strategy",
    "space",
]


def builder() -> Any:
    """A MetaSchedule builder that passes each candidate to `runner` in this process."""
    return _adapters.builder()


def runner(device: Device | Runner, timing: str | TimingModel = "analytical") -> Any:
    """A MetaSchedule runner that reads each candidate as a mapping and returns the time of the timing model.

    Instead of a device, an object with `run(candidates) -> list of Timing or Failure` may be given as the runner.
    """
    if isinstance(device, Device):
        return _adapters.runner(TimingRunner(device, timing_model(timing), read))
    return _adapters.runner(require_runner(device))


def cost_model(device: Device, timing: str | TimingModel = "analytical") -> Any:
    """A MetaSchedule cost model with the timing model of the runner, so search and runner agree."""
    return _adapters.cost_model(TimingRunner(device, timing_model(timing), read).look)


def space(device: Device, *, rules: Sequence[Rule] = (), mutators: Sequence[Mutator] | Mapped[Any, float] = ()) -> Any:
    """A MetaSchedule space of decisions, from the rules of cyclecast and those given (see `Space`)."""
    return Space(device, rules, mutators).for_metaschedule()


def lowered_space(device: Device) -> Any:
    """A MetaSchedule space in which every candidate is lowered to tensorised loops before it is timed.

    It has no windows and no packed groups: they change the computation, which no instruction of a trace can do. Use
    `space` and `lower` for them.
    """
    rules: list[Rule] = [Im2col(), Order(device), *annotation_rules(device)]
    return _adapters.space(rules, MUTATORS, sampled_decisions, [partial(_lower_if_any, device)])


def search_strategy(
    device: Device, strategy: str | Strategy = "exhaustive", timing: str | TimingModel = "analytical"
) -> Any:
    """A MetaSchedule search strategy that runs a strategy of cyclecast on mappings; only the best is measured.

    Functions that do not have exactly one integer contraction are skipped. For `lowered_space` it is the best mapping
    that can be lowered there; the exhaustive strategy then searches again without windows and packed groups.
    """
    return _strategy.strategy(partial(_schedules, device, timing_model(timing), search_strategy_of(strategy)))


def lower(module: IRModule, device: Device) -> IRModule:
    """Lower every decided function of a module; other functions stay as they are."""
    whole = module.clone()
    for variable, function in module.functions.items():
        if isinstance(function, tirx.PrimFunc) and _is_decided(function):
            result = lowered(as_module(function), device)["main"]
            whole.update_func(variable, tirx.PrimFunc(result.params, result.body, result.ret_type, function.attrs))
    return whole


def _schedules(
    device: Device, model: TimingModel, strategy: Strategy, module: IRModule, trials: int, seed: int
) -> Iterator[Any]:
    """The schedules that the strategy found, the best first."""
    found = [(function, contractions_in(function, "main")) for function in module.functions.values()]
    if [len(contractions) for _, contractions in found] != [1]:
        return
    function, (contraction,) = found[0]
    bits = device.bits
    workload = replace(contraction.workload, input_bits=bits.activation, weight_bits=bits.weight)
    kernel = Kernel(as_module(function), space(device), read)
    problem = Problem(
        workload=workload,
        device=device,
        model=model,
        trials=trials,
        seed=seed,
        kernel=kernel,
        watch=Watch(seconds=SECONDS),
    )
    best, *others = _improving(problem, strategy)
    yield decided_schedule(function, device, best[-1])
    if isinstance(strategy, Exhaustive):  # the best mapping may have a window or packed groups
        others += _improving(replace(problem, watch=Watch(seconds=SECONDS)), replace(strategy, im2col=True))
    for *_, mapping in sorted(others, key=lambda ranked: ranked[:2]):
        yield decided_schedule(function, device, mapping)


def _improving(problem: Problem, strategy: Strategy) -> list[tuple[int, int, Mapping]]:
    """(Time [fs], arrays, mapping) of every improvement of the search, the best first; the default mapping is last."""

    mapping = default_mapping(problem.workload, problem.device)
    timing = asked(problem.model, mapping, problem.device)
    time = sys.maxsize if isinstance(timing, Failure) else timing.total.femtoseconds
    best = [(time, int(mapping.arrays), mapping)]
    for timed in follow(begin(strategy, problem), problem):
        place = timed.least()
        if place is not None and timed.value(place) < best[0][:2]:
            best.insert(0, (*timed.value(place), timed.batch[place]))
    return best


def _lower_if_any(device: Device, schedule: Any) -> None:
    if any(_is_decided(function) for function in schedule.mod.functions.values()):
        lower_schedule(schedule, device)


def _is_decided(function: Any) -> bool:
    try:
        decided_contraction(function)
    except ScheduleError:
        return False
    return True
