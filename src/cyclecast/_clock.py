"""A small event simulator: processes that wait for a time, a signal, or a resource.

Events of equal time have the order of SimPy: first the events scheduled for that time, in the order of scheduling; then
the events that these cause, first in, first out. A process is a generator: it registers its wait and yields. At the
begin it is sent its own `resume` function. Nothing else is stored, so a million steps take seconds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from functools import partial
from heapq import heappop, heappush
from typing import Any

Resume = Callable[[], Any]
"""Function that resumes a process."""
Process = Generator[None, Resume, None]


class Clock:
    """Runs processes until no event is left."""

    __slots__ = ("_later", "_times", "now", "soon")

    def __init__(self) -> None:
        self.now = 0
        """The current time [fs]."""
        self.soon: deque[Resume] = deque()
        """Processes to resume at the current time, in order."""
        self._later: dict[int, list[Resume]] = {}
        self._times: list[int] = []

    def at(self, when: int, resume: Resume) -> None:
        """Resume a process at this time [fs]; it must be later than now."""
        found = self._later.get(when)
        if found is None:
            self._later[when] = [resume]
            heappush(self._times, when)
        else:
            found.append(resume)

    def run(self, processes: list[Process]) -> None:
        """Start the processes in order, and run until no event is left."""
        for process in processes:
            next(process)
        for process in processes:
            process.send(process.__next__)
        soon, later, times = self.soon, self._later, self._times
        while True:
            while soon:
                soon.popleft()()
            if not times:
                return
            self.now = heappop(times)
            for resume in later.pop(self.now):
                resume()


class Signal:
    """A repeated event; its occurrences are numbered from 0."""

    __slots__ = ("happen", "seen", "waiting")

    def __init__(self, clock: Clock) -> None:
        self.happen: Callable[[], None] = partial(clock.soon.append, self._tell)
        """Trigger the event; waiting processes resume at the current time."""
        self.seen = 0
        """Number of occurrences so far."""
        self.waiting: dict[int, list[Resume]] = {}
        """Waiting processes by number of the occurrence."""

    def wait(self, number: int, resume: Resume) -> None:
        """Resume a process at occurrence `number`, which must be in the future (at least `seen`)."""
        self.waiting.setdefault(number, []).append(resume)

    def _tell(self) -> None:
        number, self.seen = self.seen, self.seen + 1
        for resume in self.waiting.pop(number, ()):
            resume()


class Turns:
    """A resource for one process at a time, granted in the order of requests."""

    __slots__ = ("_asking", "_soon", "_taken")

    def __init__(self, clock: Clock) -> None:
        self._soon, self._taken = clock.soon, False
        self._asking: deque[Resume] = deque()

    def ask(self, resume: Resume) -> None:
        """Resume a process when the resource is free for it; the process must `leave` it."""
        self._asking.append(resume)
        self._grant()

    def leave(self) -> None:
        """Free the resource for the next process."""
        self._taken = False
        self._soon.append(self._grant)

    def _grant(self) -> None:
        if self._asking and not self._taken:
            self._taken = True
            self._soon.append(self._asking.popleft())
