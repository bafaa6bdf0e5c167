"""The search for one workload: results in the database are reused; others are searched and recorded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from typing import Any

from cyclecast.device import Device
from cyclecast.errors import FitError, TimingError
from cyclecast.mapping import Mapping, require_fit
from cyclecast.network import Member
from cyclecast.runner import Runner
from cyclecast.schedule import Space, as_module, read
from cyclecast.search import (
    WITHIN,
    Kernel,
    Problem,
    Shortlist,
    Strategy,
    Timed,
    Watch,
    begin,
    conclude,
    follow,
    looked_at,
)
from cyclecast.timing import Failure, Timing, TimingModel, Timings, asked, identity, second_opinion
from cyclecast.units import Time
from cyclecast.workflow.database import Answer, Database, Question, Record
from cyclecast.workflow.progress import Progress
from cyclecast.workflow.tuned import TunedWorkload

MOST_OPINIONS = 8
"""Most mappings of a workload that the second model times."""


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
    return Problem(
        workload=member.workload,
        device=device,
        model=model,
        trials=trials,
        seed=number,
        kernel=kernel,
        guide=guide,
        watch=watch or Watch(),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchPlan:
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
class SearchJob:
    """The tuning of one workload."""

    plan: SearchPlan
    position: int
    member: Member
    function: Any
    """The kernel before scheduling."""
    clock: TimingModel
    """The timing model, or the runner in its place."""

    def run(self, default: Record | Failure) -> TunedWorkload:
        """The best mapping, from the database or by a search; `default` is the default mapping's timing."""
        question = self._question()
        known, why = self._known(question)
        answer = known if known is not None else self._search(question, default)
        timed = [(record.mapping, record.timing) for record in answer.records]
        mapping, timing, second = second_of(timed, self.clock, self.plan.device)
        reused = known is not None
        self._tell(answer.timed, timing, reused=reused, done=True)
        return TunedWorkload(
            member=self.member,
            mapping=mapping,
            timing=timing,
            candidates=answer.timed,
            reused=reused,
            outcome=answer.outcome,
            second_opinion=second,
            disbelieved=why,
        )

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

        watch = Watch(seconds=plan.seconds, beat=tell)
        if isinstance(default, Failure):
            watch.refuse(default.reason)
        asked_for = problem(
            self.member, self.function, plan.device, self.clock, trials=plan.trials, seed=plan.seed, watch=watch,
            hashed=question.kernel, space=plan.space, guide=plan.model if plan.runner else None,
        )  # fmt: skip
        search = begin(plan.strategy, asked_for)
        for found in follow(search, asked_for):
            if batch := self._worth_recording(found, records, watch):
                database.add(number, batch)
            records += batch
            near.add(found)
            timed += len(found.batch)
            tell(looked_at(search, timed))
        if not records:
            raise no_time(self.member, watch.reason)
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
        self.plan.progress(
            Progress(
                position=self.position,
                member=self.member,
                timed=timed,
                best=best,
                reused=reused,
                done=done,
                looked=looked,
            )
        )

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


def timed_alone(mapping: Mapping, device: Device, model: TimingModel) -> Record | Failure:
    """A record of one mapping, or the reason why it has no timing."""
    found = asked(model, mapping, device)
    return found if isinstance(found, Failure) else Record(mapping, found)


def no_time(member: Member, reason: str) -> TimingError:
    """The error for a workload none of whose mappings has a timing."""
    return TimingError(f"timing of {member.workload.name}", "the timing model has no time", reason, "mending the model")


def _rank(record: Record) -> tuple[int, int]:
    """Sort key: time, then arrays."""
    return record.timing.total.femtoseconds, record.mapping.arrays


def _seed(seed: int, kernel: str) -> int:
    """A seed for one kernel, independent of its place in the network, from 1 to 2^31 - 1 as MetaSchedule requires."""
    return int(sha256(f"{seed}:{kernel}".encode()).hexdigest(), 16) % (2**31 - 1) + 1
