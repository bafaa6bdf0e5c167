"""One search of one kernel in MetaSchedule's own loop."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tvm.s_tir import meta_schedule as ms
from tvm.target import Target

from cyclecast._tvm import _adapters

CANDIDATES_AT_ONCE = 64
"""How many candidates MetaSchedule builds and times in one batch."""
_LOG = logging.getLogger("cyclecast.search")
_TVM_LOG = logging.getLogger("tvm.s_tir.meta_schedule")


def search(
    module: Any, space: Any, strategy: Any, runner: Any, trials: int, seed: int, tell: Callable[[list[Any]], None]
) -> None:
    """Time up to so many candidates; `tell` gets the modules of each batch. The seed decides everything.

    MetaSchedule counts trials by the batch, so `tell` may get a few more. What `tell` or the runner raises, and a
    KeyboardInterrupt, come out as they are; on its way through native code an error would become a RuntimeError.
    """
    raised: list[BaseException] = []
    watched = _Watched(runner.run, raised)
    context = ms.TuneContext(
        module,
        target=Target({"kind": "llvm", "num-cores": 1}),
        space_generator=space,
        search_strategy=strategy,
        task_name="kernel",
        rand_state=seed,
        num_threads=1,
        logger=_LOG,
    )
    callbacks = [
        ms.measure_callback.AddToDatabase(),
        _adapters.callback(_Watched(tell, raised)),
        ms.measure_callback.RemoveBuildArtifact(),
    ]
    with _quiet(), _interrupts(raised):
        try:
            ms.tune.tune_tasks(
                tasks=[context],
                task_weights=[1.0],
                work_dir="",
                max_trials_global=trials,
                num_trials_per_iter=min(CANDIDATES_AT_ONCE, trials),
                builder=_adapters.builder(),
                runner=_adapters.runner(watched),
                database="memory",
                cost_model=_adapters.cost_model(watched),
                measure_callbacks=callbacks,
                task_scheduler="round-robin",
            )
        except BaseException as error:
            raise (raised[0] if raised else error) from None
    if raised:  # Ctrl-C after the last call from native code
        raise raised[0]


@dataclass(frozen=True, slots=True)
class _Watched:
    """A function that native code calls, as a runner or by itself: remembers what it raised, and ends the search."""

    function: Callable[[Any], Any]
    raised: list[BaseException]

    def __call__(self, value: Any) -> Any:
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
    """Inside, Ctrl-C ends the search at the next watched call; pressed again, it is raised on the spot.

    Raised just anywhere between native frames it crashes the process. Somebody else's handler is left alone.
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
    """MetaSchedule logs every step; only its errors are of interest here."""
    levels = [(log, log.level) for log in (_LOG, _TVM_LOG)]
    for log, _ in levels:
        log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for log, level in levels:
            log.setLevel(level)
