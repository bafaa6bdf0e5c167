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
def progress_bar(workloads: int, shown: bool) -> Iterator[Callable[[tuning.Progress], None]]:
    """A bar over all workloads, with the mappings timed, their rate, and the best time of the workload at hand."""
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
        whole = bar.add_task("tuning", total=workloads, rate="", best="")
        timed: dict[int, int] = {}

        def show(progress: tuning.Progress) -> None:
            timed[progress.position] = 0 if progress.reused else progress.timed
            elapsed, everything = bar.tasks[whole].elapsed or 0.0, sum(timed.values())
            bar.update(
                whole,
                completed=progress.position + progress.done,
                rate=f"{everything:,} timed, {everything / elapsed:,.0f}/s" if elapsed > 0 else "",
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
