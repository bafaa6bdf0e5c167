"""One search of one kernel in MetaSchedule's own loop."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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

    MetaSchedule counts trials by the batch, so `tell` may get a few more. What `tell` raises comes out as it went in.
    """
    raised: list[BaseException] = []

    def tell_safely(modules: list[Any]) -> None:
        try:
            tell(modules)
        except BaseException as error:
            raised.append(error)
            raise

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
        _adapters.callback(tell_safely),
        ms.measure_callback.RemoveBuildArtifact(),
    ]
    with _quiet():
        try:
            ms.tune.tune_tasks(
                tasks=[context],
                task_weights=[1.0],
                work_dir="",
                max_trials_global=trials,
                num_trials_per_iter=min(CANDIDATES_AT_ONCE, trials),
                builder=_adapters.builder(),
                runner=_adapters.runner(runner),
                database="memory",
                cost_model=_adapters.cost_model(runner),
                measure_callbacks=callbacks,
                task_scheduler="round-robin",
            )
        except BaseException as error:
            raise (raised[0] if raised else error) from None


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
