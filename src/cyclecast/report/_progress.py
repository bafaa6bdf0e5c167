"""Progress of a tuning, on standard error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from cyclecast.report._text import short_time

if TYPE_CHECKING:
    from cyclecast import tuning


@contextmanager
def progress_bar(workloads: int, trials: int, shown: bool) -> Iterator[Callable[[tuning.Progress], None]]:
    """A bar over all candidates, with the rate and the best time of the workload at hand."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[best]}", markup=False),
        console=Console(stderr=True),
        disable=not shown,
    )
    with bar:
        whole = bar.add_task("tuning", total=workloads * trials, rate="", best="")

        def show(progress: tuning.Progress) -> None:
            timed = progress.position * trials + (trials if progress.done else min(progress.timed, trials))
            elapsed = bar.tasks[whole].elapsed or 0.0
            bar.update(
                whole,
                completed=timed,
                rate=f"{timed / elapsed:.0f} trials/s" if elapsed > 0 else "",
                best=f"{progress.member.workload.name}: best {short_time(progress.best.total)}",
            )

        yield show


@contextmanager
def status(text: str, shown: bool) -> Iterator[None]:
    """A spinner for a step of unknown length."""
    if not shown:
        yield
        return
    with Console(stderr=True).status(text):
        yield
