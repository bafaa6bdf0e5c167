"""Tune a network for a device: search a mapping for every workload, timed by a timing model."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping as Mapped
from pathlib import Path
from typing import Any, Literal

from cyclecast.device import Device
from cyclecast.errors import MappingError, OptionError
from cyclecast.mapping import Mapping, require_fit
from cyclecast.mapspace import default_mapping
from cyclecast.network import Member, Network
from cyclecast.runner import Measured, Runner, require_runner
from cyclecast.schedule import Space, decided_schedule
from cyclecast.search import (
    SECONDS,
    SearchResult,
    Strategy,
    search_strategy,
)
from cyclecast.timing import Failure, TimingModel, second_opinion, timing_model
from cyclecast.workflow.database import Database, Record
from cyclecast.workflow.job import SearchJob, SearchPlan, no_time, timed_alone
from cyclecast.workflow.progress import Progress as Progress
from cyclecast.workflow.progress import progress_bar
from cyclecast.workflow.tuned import Tuned as Tuned
from cyclecast.workflow.tuned import TunedWorkload as TunedWorkload

MOST = 2**31 - 1
"""Largest number of trials, and largest seed, that MetaSchedule accepts."""


def estimate(
    network: Network,
    device: Device,
    *,
    timing: str | TimingModel = "analytical",
    mappings: Mapped[str, Mapping] | None = None,
) -> Tuned:
    """Time the default mapping of every workload, or the given mappings by kernel, without a search.

    Raises `MappingError` for a mapping of another workload, `FitError` for one that does not fit the device,
    `OptionError` for an unknown kernel or one without a mapping, and `TimingError` if the timing model has no time for
    a mapping.
    """
    model = timing_model(timing)
    given = _checked(network, device, mappings) if mappings is not None else {}
    workloads = []
    for member in network.members:
        record = timed_alone(given[member.kernel], device, model) if given else _default(member, device, model)
        if isinstance(record, Failure):
            raise no_time(member, record.reason)
        outcome = SearchResult("given" if given else "default")
        second = second_opinion(model, record.mapping, device)
        workloads.append(
            TunedWorkload(
                member=member,
                mapping=record.mapping,
                timing=record.timing,
                candidates=1,
                reused=False,
                outcome=outcome,
                second_opinion=second,
            )
        )
    return Tuned(network, device, tuple(workloads), model)


def tune(
    network: Network,
    device: Device,
    *,
    trials: int = 64,
    timing: str | TimingModel = "analytical",
    strategy: str | Strategy = "exhaustive",
    seed: int = 0,
    seconds: float | None = SECONDS,
    database: str | Path = "sqlite://",
    progress: Callable[[Progress], None] | Literal["rich"] | None = None,
    space: Space | None = None,
    runner: Runner | None = None,
) -> Tuned:
    """Search a mapping for every workload of the network; the same arguments give the same result.

    The search of a workload ends after `seconds` of wall time (None: no limit). If the limit ends it, its certificate
    bounds the error of the result, and another run may end with another one.

    `trials` limits the mappings per workload that a sampling strategy times; the exhaustive one covers all. Timed
    mappings (of millions: those that improved the best) are recorded in `database` (a path or a URL; the default is in
    memory), and a search with a recorded answer is not repeated. The default mapping always takes part, so no result is
    worse than `estimate`'s. `progress` is called with the state of tuning at least every second; "rich" shows it on
    standard error. `space` adds the user's rules. Raises `FitError` if a workload does not fit, `TimingError` if the
    timing model has no time for any mapping, and `OptionError`.
    """
    if space and space.device != device:
        raise OptionError("space", f"it is of {space.device.name}", f"tune is for {device.name}", "Space(device, ...)")
    if isinstance(progress, str):
        with progress_bar(len(network.members), shown=True) as shown:
            options = {"trials": trials, "timing": timing, "strategy": strategy, "seed": seed, "seconds": seconds}
            more: dict[str, Any] = {"database": database, "progress": shown, "space": space, "runner": runner}
            return tune(network, device, **options, **more)  # type: ignore[arg-type]
    if seconds is not None and not seconds > 0:
        raise OptionError("tune", f"{seconds} seconds", "it must be more than 0", "seconds=20")
    if not 1 <= trials <= MOST or not 0 <= seed <= MOST:
        raise OptionError("tune", f"{trials} trials with seed {seed}", f"1 to {MOST} trials, and a seed up to that")
    model, chosen = timing_model(timing), search_strategy(strategy)
    functions = [network.program[member.kernel] for member in network.members]
    clocks = [_measured(runner, function) if runner is not None else model for function in functions]
    found = list(zip(network.members, functions, clocks, strict=True))
    defaults = [_default(member, device, clock) for member, _, clock in found]
    with Database(database) as records:
        plan = SearchPlan(
            device=device, model=model, strategy=chosen, trials=trials, seed=seed, seconds=seconds, space=space,
            runner=runner, database=records, progress=progress or (lambda _: None),
        )  # fmt: skip
        workloads = [
            SearchJob(plan, position, *each).run(default)
            for position, (each, default) in enumerate(zip(found, defaults, strict=True))
        ]
    return Tuned(network, device, tuple(workloads), model)


def _measured(runner: Runner, function: Any) -> Measured:
    """The clock of one kernel: the runner, which is handed modules."""
    return Measured(require_runner(runner), lambda mapping, device: decided_schedule(function, device, mapping).mod)


def _checked(network: Network, device: Device, mappings: Mapped[str, Mapping]) -> Mapped[str, Mapping]:
    """The given mappings, checked: one per kernel, of its workload, and fitting the device."""
    known = {member.kernel: member.workload for member in network.members}
    for kernel in [*(kernel for kernel in mappings if kernel not in known), *(set(known) - set(mappings))]:
        what = "no such kernel" if kernel not in known else "no mapping"
        raise OptionError(f"mapping of '{kernel}'", what, f"{network.name} has {', '.join(known)}", "one for each")
    for kernel, mapping in mappings.items():
        if mapping.workload.axes != known[kernel].axes or mapping.workload.slides != known[kernel].slides:
            where, what = f"mapping of '{kernel}'", f"it is for {mapping.workload.name}"
            raise MappingError(where, what, f"the kernel is {known[kernel].name}", "a mapping of that")
        require_fit(mapping, device)
    return mappings


def _default(member: Member, device: Device, model: TimingModel) -> Record | Failure:
    return timed_alone(default_mapping(member.workload, device), device, model)
