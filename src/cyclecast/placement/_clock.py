"""A clock for many small processes: generators that wait for a time, for something to happen, or for their turn.

What happens at the same time happens in the order of SimPy: first what was to happen at that time, in the order in
which that was said; then what follows from it, first things first. A process is a generator that says what it waits for
and yields; it is handed its own `resume` at the beginning. Nothing else is kept, so that a million steps take seconds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from functools import partial
from heapq import heappop, heappush
from typing import Any

Resume = Callable[[], Any]
"""Lets a process go on."""
Process = Generator[None, Resume, None]


class Clock:
    """Runs processes until nothing happens any more."""

    __slots__ = ("_later", "_times", "now", "soon")

    def __init__(self) -> None:
        self.now = 0
        """[fs]"""
        self.soon: deque[Resume] = deque()
        """Processes that go on at this time, in their order."""
        self._later: dict[int, list[Resume]] = {}
        self._times: list[int] = []

    def at(self, when: int, resume: Resume) -> None:
        """Go on at this time, which is later than now."""
        found = self._later.get(when)
        if found is None:
            self._later[when] = [resume]
            heappush(self._times, when)
        else:
            found.append(resume)

    def run(self, processes: list[Process]) -> None:
        """Begin with all of these in their order."""
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
    """Something that happens again and again: for the first time with number 0."""

    __slots__ = ("happen", "seen", "waiting")

    def __init__(self, clock: Clock) -> None:
        self.happen: Callable[[], None] = partial(clock.soon.append, self._tell)
        """Those who wait go on soon."""
        self.seen = 0
        """Count of its events so far: nobody waits for a smaller number."""
        self.waiting: dict[int, list[Resume]] = {}

    def wait(self, number: int, resume: Resume) -> None:
        """Go on as soon as it has happened with this number, which it has not."""
        self.waiting.setdefault(number, []).append(resume)

    def _tell(self) -> None:
        number, self.seen = self.seen, self.seen + 1
        for resume in self.waiting.pop(number, ()):
            resume()


class Turns:
    """A resource of one process at a time, granted in the order of requests."""

    __slots__ = ("_asking", "_soon", "_taken")

    def __init__(self, clock: Clock) -> None:
        self._soon, self._taken = clock.soon, False
        self._asking: deque[Resume] = deque()

    def ask(self, resume: Resume) -> None:
        """Go on when it is free."""
        self._asking.append(resume)
        self._grant()

    def leave(self) -> None:
        """The next one may have it."""
        self._taken = False
        self._soon.append(self._grant)

    def _grant(self) -> None:
        if self._asking and not self._taken:
            self._taken = True
            self._soon.append(self._asking.popleft())
