"""MetaSchedule's search for one kernel, as an object with `ask` and `tell`."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from tvm.ir import IRModule
from tvm.s_tir import meta_schedule as ms
from tvm.target import Target

from cyclecast._tvm import _adapters

CANDIDATES_AT_ONCE = 128
"""Most candidates that MetaSchedule proposes at once."""
_LOG = logging.getLogger("cyclecast.search")
_TVM_LOG = logging.getLogger("tvm.s_tir.meta_schedule")


Given = TypeVar("Given")
Answer = TypeVar("Answer")


class RanksModules(_adapters.PlainRunner, Protocol):
    """A plain runner that also gives mapping and timing of modules, to rank them."""

    def look(self, candidates: Sequence[IRModule], /) -> _adapters.Seen:
        """Mapping and timing of each module; None for a module without."""
        ...


class Loop:
    """The loop of `ms.tune.tune_tasks` for one task, driven from outside; deterministic for a seed.

    The runner ranks the candidates of a generation (`look`), and times the proposed ones (`run`). Its exceptions, and a
    KeyboardInterrupt, are raised unchanged; native code would turn them into a RuntimeError.
    """

    def __init__(
        self,
        module: IRModule,
        space: ms.SpaceGenerator,
        strategy: ms.SearchStrategy,
        runner: RanksModules,
        trials: int,
        seed: int,
    ) -> None:
        self.raised: list[BaseException] = []
        self.runner = _Watched(runner.run, self.raised)
        self.proposed: list[ms.MeasureCandidate] = []
        self.over = False
        self.database = ms.database.MemoryDatabase()
        self.context = ms.TuneContext(
            module,
            target=Target({"kind": "llvm", "num-cores": 1}),
            space_generator=space,
            search_strategy=strategy,
            task_name="kernel",
            rand_state=seed,
            num_threads=1,
            logger=_LOG,
        )
        self.workload = self.database.commit_workload(self.context.mod)
        with self._native():
            designs = self.context.generate_design_space()
            at_once = min(CANDIDATES_AT_ONCE, trials)
            model = _adapters.cost_model(_Watched(runner.look, self.raised))
            self.context.pre_tuning(trials, at_once, designs, self.database, model)

    def ask(self) -> list[IRModule]:
        """The modules of the next candidates; [] when the search has ended."""
        found = None
        if not self.over:
            with self._native():
                found = self.context.generate_measure_candidates()
                if found is None:
                    self.context.post_tuning()
        self.over = found is None
        self.proposed = [] if found is None else list(found)
        return [candidate.sch.mod for candidate in self.proposed]

    def tell(self) -> None:
        """Time the candidates of the last `ask` by the runner, and report the times to MetaSchedule."""
        answers = self.runner.run([candidate.sch.mod for candidate in self.proposed])
        results = [_adapters.result(answer) for answer in answers]
        with self._native():
            for candidate, result in zip(self.proposed, results, strict=True):
                if result.error_msg is None:
                    trace, seconds = candidate.sch.trace, result.run_secs
                    target, arguments = self.context.target, candidate.args_info
                    record = ms.database.TuningRecord(trace, self.workload, seconds, target, arguments)
                    self.database.commit_tuning_record(record)
            self.context.notify_runner_results(self.proposed, results)

    @contextmanager
    def _native(self) -> Iterator[None]:
        """A context for calls of native code: it raises what a watched function has raised."""
        with _quiet(), _interrupts(self.raised):
            try:
                yield
            except BaseException as error:
                raise (self.raised[0] if self.raised else error) from None
        if self.raised:  # Ctrl-C after the last call from native code
            raise self.raised[0]


@dataclass(frozen=True, slots=True)
class _Watched(Generic[Given, Answer]):
    """A function that native code calls: its exception is kept, and every later call raises it again."""

    function: Callable[[Given], Answer]
    raised: list[BaseException]

    def __call__(self, value: Given) -> Answer:
        if self.raised:
            raise self.raised[0]
        try:
            return self.function(value)
        except BaseException as error:
            self.raised.append(error)
            raise

    run = __call__


@contextmanager
def _interrupts(raised: list[BaseException]) -> Iterator[None]:
    """A context in which Ctrl-C ends the search at the next watched call; a second Ctrl-C is raised at once.

    An exception between native frames can crash the process. Another handler than Python's default is not replaced.
    """
    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return

    def interrupt(number: int, frame: object) -> None:
        if raised:
            raise KeyboardInterrupt
        raised.append(KeyboardInterrupt())

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def _quiet() -> Iterator[None]:
    """A context in which only errors of MetaSchedule are logged, not every step."""
    levels = [(log, log.level) for log in (_LOG, _TVM_LOG)]
    for log, _ in levels:
        log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for log, level in levels:
            log.setLevel(level)
