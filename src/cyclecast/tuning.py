"""Tune a network for a device: for every workload, search mappings with a timing model as the clock."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping as Mapped
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cyclecast.database import Answer, Database, Question, Record
from cyclecast.decisions import default_mapping
from cyclecast.device import Device
from cyclecast.errors import MappingError, OptionError
from cyclecast.mapping import Mapping, require_fit
from cyclecast.markup import html_table
from cyclecast.search import Kernel, Outcome, Problem, Strategy, Timed, begin, follow, search_strategy
from cyclecast.space import as_module, read
from cyclecast.timing import Timing, TimingModel, Timings, identity, timing_model
from cyclecast.tvm import space
from cyclecast.units import Time
from cyclecast.workload import Member, Network

MOST = 2**31 - 1
"""Trials, and seeds: what MetaSchedule counts with."""


@dataclass(frozen=True, slots=True)
class TunedWorkload:
    """The best mapping that was found for one workload of a network."""

    member: Member
    mapping: Mapping
    timing: Timing
    candidates: int
    """How many timed mappings it was chosen from."""
    reused: bool
    """Whether the answer came from the database."""
    outcome: Outcome
    """What the search says about it."""


@dataclass(frozen=True, slots=True)
class Tuned:
    """A network with a mapping for each of its workloads."""

    network: Network
    device: Device
    workloads: tuple[TunedWorkload, ...]
    model: TimingModel
    """The clock of the search."""

    @property
    def mappings(self) -> dict[str, Mapping]:
        """The mapping of every kernel."""
        return {entry.member.kernel: entry.mapping for entry in self.workloads}

    @property
    def total(self) -> Time:
        """One workload after another, counts included; operators on the host are not in it."""
        return sum((entry.member.count * entry.timing.total for entry in self.workloads), Time(0))

    def _repr_html_(self) -> str:
        rows = [
            (entry.member.workload.name, str(entry.member.count), f"{entry.mapping.arrays:,}", str(entry.timing.total))
            for entry in self.workloads
        ]
        caption = f"{self.network.name} on {self.device.name}: {self.total}, one workload after another"
        return html_table(caption, ("workload", "count", "arrays", "time"), rows)


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a tuning stands: told after every batch."""

    position: int
    """Of the workload at work, from 0."""
    member: Member
    timed: int
    """Mappings of this workload so far."""
    best: Timing
    reused: bool
    done: bool


def estimate(
    network: Network,
    device: Device,
    *,
    timing: str | TimingModel = "analytical",
    mappings: Mapped[str, Mapping] | None = None,
) -> Tuned:
    """The default mapping of every workload, or those given by kernel, without any search.

    Raises `MappingError` where a given one is for another workload, `FitError` where it does not fit the device, and
    `OptionError` where a kernel is unknown or has none.
    """
    model = timing_model(timing)
    given = _checked(network, device, mappings) if mappings is not None else {}
    workloads = []
    for member in network.members:
        record = _given(given[member.kernel], device, model) if given else _default(member, device, model)
        workloads.append(
            TunedWorkload(member, record.mapping, record.timing, 1, False, Outcome("given" if given else "default"))
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
    database: str | Path = "sqlite://",
    progress: Callable[[Progress], None] = lambda _: None,
) -> Tuned:
    """Search a mapping for every workload of the network; the same arguments give the same result.

    `trials` is the number of mappings that a strategy which draws samples may time for a workload; the exhaustive one
    looks at all. What was timed (of millions: what improved on the best) is recorded in the database (a path or a URL;
    by default it lives in memory), and a search that it has the answer of is not repeated. The default mapping always
    takes part, so no result is worse than `estimate`'s. Raises `FitError` where a workload does not fit.
    """
    if not 1 <= trials <= MOST or not 0 <= seed <= MOST:
        raise OptionError("tune", f"{trials} trials with seed {seed}", f"1 to {MOST} trials, and a seed up to that")
    model, chosen = timing_model(timing), search_strategy(strategy)
    defaults = [_default(member, device, model) for member in network.members]
    workloads = []
    with Database(database) as records:
        for position, (member, default) in enumerate(zip(network.members, defaults, strict=True)):
            job = _Job(position, member, device, model, chosen, trials, seed, records, progress)
            workloads.append(job.run(network.program[member.kernel], default))
    return Tuned(network, device, tuple(workloads), model)


def problem(
    member: Member, function: Any, device: Device, model: TimingModel, *, trials: int = 64, seed: int = 0
) -> Problem:
    """The search problem of one workload, `function` its kernel; the seed does not depend on its place in a network."""
    kernel = Kernel(as_module(function), space(device), read)
    return Problem(member.workload, device, model, trials, _seed(seed, kernel_hash(function)), kernel)


@dataclass(frozen=True, slots=True)
class _Job:
    """The tuning of one workload."""

    position: int
    member: Member
    device: Device
    model: TimingModel
    strategy: Strategy
    trials: int
    seed: int
    database: Database
    progress: Callable[[Progress], None]

    def run(self, function: Any, default: Record) -> TunedWorkload:
        question = self._question(function)
        known = self.database.answered(question)
        answer = known if known is not None else self._search(function, question, default)
        best = min(answer.records, key=_rank)
        self._tell(answer.timed, best.timing, reused=known is not None, done=True)
        return TunedWorkload(self.member, best.mapping, best.timing, answer.timed, known is not None, answer.outcome)

    def _search(self, function: Any, question: Question, default: Record) -> Answer:
        number = self.database.start(question)
        self.database.add(number, [default])
        records, timed = [default], 1
        asked = problem(self.member, function, self.device, self.model, trials=self.trials, seed=self.seed)
        search = begin(self.strategy, asked)
        for found in follow(search, asked):
            batch = self._worth_recording(found, records)
            self.database.add(number, batch)
            records += batch
            timed += len(found.batch)
            self._tell(timed, min(records, key=_rank).timing, reused=False, done=False)
        outcome = search.outcome()
        self.database.finish(number, timed, outcome)
        return Answer(records, timed, outcome)

    def _worth_recording(self, found: Timed, records: list[Record]) -> list[Record]:
        """All of a few; of arrays of mappings the best, if it improves on the best so far."""
        if not isinstance(found.timings, Timings):
            return [Record(found.batch[place], timing) for place, timing in enumerate(found.timings) if timing]
        least = found.least()
        assert least is not None
        mapping = found.batch[least]
        record = Record(mapping, self.model.time(mapping, self.device))
        return [record] if _rank(record) < min(map(_rank, records)) else []

    def _tell(self, timed: int, best: Timing, reused: bool, done: bool) -> None:
        self.progress(Progress(self.position, self.member, timed, best, reused, done))

    def _question(self, function: Any) -> Question:
        return Question(
            kernel=kernel_hash(function),
            device=self.device.digest,
            timing=identity(self.model),
            strategy=repr(self.strategy),
            trials=self.trials,
            seed=self.seed,
            versions=f"cyclecast {version('cyclecast')}, tvm {version('apache-tvm')}",
        )


def kernel_hash(function: Any) -> str:
    """A hash of a kernel before scheduling, the same in every process."""
    return sha256(as_module(function).script().encode()).hexdigest()


def _checked(network: Network, device: Device, mappings: Mapped[str, Mapping]) -> Mapped[str, Mapping]:
    """Mappings of all kernels of the network, each of its own workload, that fit the device."""
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


def _given(mapping: Mapping, device: Device, model: TimingModel) -> Record:
    return Record(mapping, model.time(mapping, device))


def _default(member: Member, device: Device, model: TimingModel) -> Record:
    mapping = default_mapping(member.workload, device)
    return Record(mapping, model.time(mapping, device))


def _rank(record: Record) -> tuple[int, int]:
    """Shortest first; of equally short ones, the one with the fewest arrays."""
    return record.timing.total.femtoseconds, record.mapping.arrays


def _seed(seed: int, kernel: str) -> int:
    """A seed for one kernel that does not depend on its place in the network; 1 to 2^31 - 1, as MetaSchedule wants."""
    return int(sha256(f"{seed}:{kernel}".encode()).hexdigest(), 16) % (2**31 - 1) + 1
