"""Tune a network for a device: search a mapping for every workload, timed by a timing model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from collections.abc import Mapping as Mapped
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from cyclecast.device import Device
from cyclecast.errors import FitError, MappingError, OptionError, TimingError
from cyclecast.mapping import Mapping, require_fit
from cyclecast.mapspace import default_mapping
from cyclecast.network import Member, Network
from cyclecast.runner import Measured, Runner, require_runner
from cyclecast.schedule import Space, as_module, decided_schedule, read
from cyclecast.search import (
    SECONDS,
    WITHIN,
    Kernel,
    Problem,
    SearchResult,
    Shortlist,
    Strategy,
    Timed,
    Watch,
    begin,
    conclude,
    follow,
    looked_at,
    search_strategy,
)
from cyclecast.timing import Failure, Timing, TimingModel, Timings, asked, identity, second_opinion, timing_model
from cyclecast.units import Time
from cyclecast.workflow.database import Answer, Database, Question, Record
from cyclecast.workflow.progress import Progress as Progress
from cyclecast.workflow.progress import progress_bar
from cyclecast.workflow.tuned import Tuned as Tuned
from cyclecast.workflow.tuned import TunedWorkload as TunedWorkload

MOST_OPINIONS = 8
"""Most mappings of a workload that the second model times."""
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
        record = _timed(given[member.kernel], device, model) if given else _default(member, device, model)
        if isinstance(record, Failure):
            raise _no_time(member, record.reason)
        outcome = SearchResult("given" if given else "default")
        second = second_opinion(model, record.mapping, device)
        workloads.append(TunedWorkload(member, record.mapping, record.timing, 1, False, outcome, second))
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
        plan = _Plan(
            device=device, model=model, strategy=chosen, trials=trials, seed=seed, seconds=seconds, space=space,
            runner=runner, database=records, progress=progress or (lambda _: None),
        )  # fmt: skip
        workloads = [
            _Job(plan, position, *each).run(default)
            for position, (each, default) in enumerate(zip(found, defaults, strict=True))
        ]
    return Tuned(network, device, tuple(workloads), model)


def _measured(runner: Runner, function: Any) -> Measured:
    """The clock of one kernel: the runner, which is handed modules."""
    return Measured(require_runner(runner), lambda mapping, device: decided_schedule(function, device, mapping).mod)


def problem(
    member: Member,
    function: Any,
    device: Device,
    model: TimingModel,
    *,
    trials: int = 64,
    seed: int = 0,
    watch: Watch | None = None,
    hashed: str = "",
    space: Space | None = None,
    guide: TimingModel | None = None,
) -> Problem:
    """The search problem of one workload; `function` is its kernel, `hashed` the kernel's hash if it is known.

    The seed of the search depends on the kernel, not on its place in a network.
    """
    opened = space or Space(device)
    kernel = Kernel(as_module(function), opened.for_metaschedule(), read, opened.names)
    number = _seed(seed, hashed or kernel_hash(function))
    return Problem(member.workload, device, model, trials, number, kernel, guide, watch or Watch())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """The options that all workloads of a network share."""

    device: Device
    model: TimingModel
    strategy: Strategy
    trials: int
    seed: int
    seconds: float | None
    database: Database
    progress: Callable[[Progress], None]
    space: Space | None
    runner: Runner | None


@dataclass(frozen=True, slots=True)
class _Job:
    """The tuning of one workload."""

    plan: _Plan
    position: int
    member: Member
    function: Any
    """The kernel before scheduling."""
    clock: TimingModel
    """The timing model, or the runner in its place."""

    def run(self, default: Record | Failure) -> TunedWorkload:
        question = self._question()
        known, why = self._known(question)
        answer = known if known is not None else self._search(question, default)
        timed = [(record.mapping, record.timing) for record in answer.records]
        mapping, timing, second = second_of(timed, self.clock, self.plan.device)
        reused = known is not None
        self._tell(answer.timed, timing, reused=reused, done=True)
        return TunedWorkload(self.member, mapping, timing, answer.timed, reused, answer.outcome, second, why)

    def _known(self, question: Question) -> tuple[Answer | None, str]:
        """The first valid answer in the database; or None, and the reason why the last one was rejected."""
        why, place = "", 0
        while (answer := self.plan.database.answered(question, skip=place)) is not None:
            why, place = self._disbelief(answer), place + 1
            if not why:
                return answer, ""
        return None, why

    def _disbelief(self, answer: Answer) -> str:
        """Why an answer of the database is rejected; empty if it is valid.

        The file may have been edited: mappings must be of this workload and fit, and the best ones must have the
        recorded time.
        """
        if not answer.records:
            return "its records are gone"
        ranked = sorted(answer.records, key=_rank)
        for record in ranked:
            try:
                require_fit(record.mapping, self.plan.device)
            except FitError as error:
                return str(error)
            if record.mapping.workload != self.member.workload:
                return f"a mapping is of {record.mapping.workload.name}"
        for record in ranked[:MOST_OPINIONS] if self.plan.runner is None else ():  # a runner may need minutes
            timing = asked(self.clock, record.mapping, self.plan.device)
            if isinstance(timing, Failure):
                return f"{record.timing.total} is recorded, and the timing model has no time"
            if timing.to_json() != record.timing.to_json():
                return f"{record.timing.total} is recorded, and the timing model says {timing.total}"
        proof, least = answer.outcome.certificate, ranked[0].timing.total
        if proof is not None and proof.best != least:
            return f"its proof is of {proof.best}, and the best record is {least}"
        if proof is not None and proof.lower > proof.best:
            return f"its proof says that no mapping is shorter than {proof.lower}, and the best record is {least}"
        return "" if answer.whole else "its digest is that of other records or of another proof"

    def _search(self, question: Question, default: Record | Failure) -> Answer:
        plan, database = self.plan, self.plan.database
        number = database.start(question)
        records = [default] if isinstance(default, Record) else []
        database.add(number, records)
        timed, near = 1, Shortlist()

        def tell(looked: int) -> None:
            best = min(records, key=_rank).timing if records else None
            self._tell(timed, best, reused=False, done=False, looked=looked)

        watch = Watch(plan.seconds, tell)
        if isinstance(default, Failure):
            watch.refuse(default.reason)
        asked_for = problem(
            self.member, self.function, plan.device, self.clock, trials=plan.trials, seed=plan.seed, watch=watch,
            hashed=question.kernel, space=plan.space, guide=plan.model if plan.runner else None,
        )  # fmt: skip
        search = begin(plan.strategy, asked_for)
        for found in follow(search, asked_for):
            batch = self._worth_recording(found, records, watch)
            database.add(number, batch)
            records += batch
            near.add(found)
            timed += len(found.batch)
            tell(looked_at(search, timed))
        if not records:
            raise _no_time(self.member, watch.reason)
        known = {record.mapping for record in records}
        more = [self._record(mapping, watch) for *_, mapping in near.entries if mapping not in known]
        database.add(number, [record for record in more if record])
        records += [record for record in more if record]
        outcome = conclude(search, asked_for)
        database.finish(number, timed, outcome)
        return Answer(records, timed, outcome)

    def _worth_recording(self, found: Timed, records: list[Record], watch: Watch) -> list[Record]:
        """All of a few timings; of an array of timings the best, if it improves the best so far."""
        if not isinstance(found.timings, Timings):
            return [Record(found.batch[place], timing) for place, timing in enumerate(found.timings) if timing]
        least = found.least()
        if least is None:
            return []
        record = self._record(found.batch[least], watch, int(found.timings.total[least]))
        return [record] if record and (not records or _rank(record) < min(map(_rank, records))) else []

    def _record(self, mapping: Mapping, watch: Watch, total: int | None = None) -> Record | None:
        """The mapping, timed alone; None if the model refuses it. `total` is its time as one of many [fs]."""
        timing = asked(self.clock, mapping, self.plan.device)
        if isinstance(timing, Failure):
            watch.refuse(timing.reason)
            return None
        if total is not None and timing.total.femtoseconds != total:
            watch.differs = f"{Time(total)} among many and {timing.total} alone"
        return Record(mapping, timing)

    def _tell(self, timed: int, best: Timing | None, *, reused: bool, done: bool, looked: int = 0) -> None:
        self.plan.progress(Progress(self.position, self.member, timed, best, reused, done, looked))

    def _question(self) -> Question:
        plan = self.plan
        return Question(
            kernel=kernel_hash(self.function),
            device=plan.device.digest,
            timing=identity(plan.model) + (f" measured by {identity(plan.runner)}" if plan.runner else ""),
            strategy=repr(plan.strategy)
            + (f" for {plan.seconds:g} s" if plan.seconds else "")
            + (f" with {plan.space.identity}" if plan.space and plan.space.identity else ""),
            trials=plan.trials,
            seed=plan.seed,
            versions=f"cyclecast {version('cyclecast')}, tvm {version('apache-tvm')}",
        )


def second_of(
    timed: Sequence[tuple[Mapping, Timing]], model: TimingModel, device: Device
) -> tuple[Mapping, Timing, Timing | None]:
    """The best mapping, its timing and its second timing; near-ties are decided by the second timing.

    A second timing is never shorter than the first, so mappings above the best second timing are skipped.
    """
    ranked = sorted(timed, key=lambda each: (each[1].total, each[0].arrays))
    (mapping, timing), limit = ranked[0], WITHIN * ranked[0][1].total.femtoseconds
    least = second_opinion(model, mapping, device)
    for other, first in ranked[1:MOST_OPINIONS]:
        if least is None or first.total >= least.total or first.total.femtoseconds > limit:
            break
        second = second_opinion(model, other, device)
        if second is not None and second.total < least.total:
            mapping, timing, least = other, first, second
    return mapping, timing, least


def kernel_hash(function: Any) -> str:
    """Hash of a kernel before scheduling, equal in all processes."""
    return sha256(as_module(function).script().encode()).hexdigest()


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
    return _timed(default_mapping(member.workload, device), device, model)


def _timed(mapping: Mapping, device: Device, model: TimingModel) -> Record | Failure:
    found = asked(model, mapping, device)
    return found if isinstance(found, Failure) else Record(mapping, found)


def _no_time(member: Member, reason: str) -> TimingError:
    return TimingError(f"timing of {member.workload.name}", "the timing model has no time", reason, "mending the model")


def _rank(record: Record) -> tuple[int, int]:
    """Sort key: time, then arrays."""
    return record.timing.total.femtoseconds, record.mapping.arrays


def _seed(seed: int, kernel: str) -> int:
    """A seed for one kernel, independent of its place in the network, from 1 to 2^31 - 1 as MetaSchedule requires."""
    return int(sha256(f"{seed}:{kernel}".encode()).hexdigest(), 16) % (2**31 - 1) + 1
