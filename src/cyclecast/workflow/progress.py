"""Progress of tuning and placement, shown on standard error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from cyclecast.network import Member
from cyclecast.placement import Told
from cyclecast.terminal import Console, printable
from cyclecast.timing import Timing
from cyclecast.units import short_time


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """State of a tuning; reported after every batch, and about once a second if a search times nothing."""

    position: int
    """Index of the current workload, from 0."""
    member: Member
    timed: int
    """Mappings of this workload timed so far."""
    best: Timing | None
    """Best timing so far; None before the first."""
    reused: bool
    done: bool
    looked: int = 0
    """Mappings and sets of mappings visited so far."""

    @property
    def text(self) -> str:
        """The workload and its best time so far."""
        best = short_time(self.best.total) if self.best else "none yet"
        return f"{self.member.workload.name}: best {best}"


@contextmanager
def progress_bar(workloads: int, shown: bool) -> Iterator[Callable[[Progress], None]]:
    """Context: a bar over all workloads with mappings timed, their rate, and the best time of the current workload.

    Without a terminal, it prints a line at the start and one per finished workload.
    """
    console = Console(stderr=True)
    if shown and not console.is_terminal:
        console.print(f"tuning {workloads:,} workload{'s' * (workloads != 1)}")
    bar = Bar(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[best]}", markup=False),
        console=console,
        disable=not (shown and console.is_terminal),
    )
    with bar:
        whole = bar.add_task("tuning", total=workloads, rate="", best="")
        timed: dict[int, int] = {}

        def show(progress: Progress) -> None:
            timed[progress.position] = 0 if progress.reused else progress.timed
            elapsed, everything = bar.tasks[whole].elapsed or 0.0, sum(timed.values())
            looked = f", {progress.looked:,} looked at" if progress.looked > progress.timed else ""
            bar.update(
                whole,
                completed=progress.position + progress.done,
                rate=f"{everything:,} timed, {everything / elapsed:,.0f}/s{looked}" if elapsed > 0 else "",
                best=printable(progress.text),
            )
            if shown and progress.done and not console.is_terminal:
                text = f"{progress.position + 1}/{workloads} {progress.text}, {progress.timed:,} timed"
                console.print(printable(text), soft_wrap=True)

        yield show


@contextmanager
def placing_bar(shown: bool) -> Iterator[Callable[[Told], None]]:
    """Context: a bar over each part of a placement.

    Without a terminal, it prints a line per finished part.
    """
    console = Console(stderr=True)
    columns = TextColumn("placing: {task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    bar = Bar(*columns, console=console, disable=not (shown and console.is_terminal), transient=True)
    last: list[Told] = []

    def say() -> None:
        if last and shown and not console.is_terminal:
            console.print(f"placing: {last[-1].part} {last[-1].done}/{last[-1].whole}", soft_wrap=True)

    with bar:
        task = bar.add_task("", total=None)

        def show(told: Told) -> None:
            if last and last[-1].part != told.part:
                say()
            last[:] = [told]
            bar.update(task, description=told.part, completed=told.done, total=told.whole)

        yield show
        say()


@contextmanager
def status(text: str, shown: bool) -> Iterator[None]:
    """Context: a spinner for a step of unknown length."""
    if not shown:
        yield
        return
    with Console(stderr=True).status(text):
        yield
