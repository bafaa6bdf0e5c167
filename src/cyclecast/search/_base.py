"""What a search strategy is: a plan that, started on a problem, asks for timings and is told them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Protocol, runtime_checkable

from cyclecast.device import Device
from cyclecast.mapping import Mapping, Mappings
from cyclecast.network import Workload
from cyclecast.search._result import Certificate, ParetoPoint, SearchResult
from cyclecast.timing import Timing, TimingModel, Timings

__all__ = ["Certificate", "Kernel", "ParetoPoint", "Problem", "Search", "SearchResult", "Strategy", "Watch"]


@dataclass(frozen=True, slots=True)
class Kernel:
    """What a strategy that works on schedules searches in."""

    module: Any
    """The kernel before scheduling (a TVM `IRModule`)."""
    space: Any
    """The space that the rules open (a MetaSchedule `SpaceGenerator`), for one search."""
    read: Callable[[Any, Device], Mapping]
    """From a module of the space to its mapping."""
    rules: tuple[str, ...] = ()
    """Names of rules of others, whose mappings nothing can list."""


SECONDS = 20.0
"""Of wall time that the search of one workload may take, if nothing else is said."""


@dataclass(slots=True, kw_only=True)
class Watch:
    """What is watched during a search: its time, and what is wrong with the answers of the timing model."""

    seconds: float | None = None
    """After so many of wall time the search ends; None: it ends by itself."""
    beat: Callable[[int], None] = lambda _: None
    """Is told every `BEAT` seconds or less often how many mappings and sets of mappings were looked at."""
    refused: int = 0
    """Mappings that the model has no time for."""
    reason: str = ""
    """Why it has none for the first of them."""
    differs: str = ""
    """A mapping that the model gave two times, and both; "" if there is none."""
    begun: float = field(default_factory=monotonic)
    told: float = 0.0
    stopped: bool = False
    """Whether the time ran out before the search had ended."""

    def over(self, looked: int = 0) -> bool:
        """Whether time is over; tells the beat now and then."""
        now = monotonic()
        if now - self.told >= BEAT:
            self.told = now
            self.beat(looked)
        self.stopped = self.stopped or (self.seconds is not None and now - self.begun >= self.seconds)
        return self.stopped

    def refuse(self, reason: str, count: int = 1) -> None:
        """Count mappings that the model has no time for."""
        self.reason = self.reason if self.refused else reason
        self.refused += count


BEAT = 0.2
"""Seconds from one beat to the next, at least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One workload to map onto a device, with a timing model as the clock."""

    workload: Workload
    device: Device
    model: TimingModel
    """The clock."""
    trials: int
    """The most mappings that a strategy which draws samples may have timed."""
    seed: int
    kernel: Kernel | None = None
    """For strategies that work on schedules."""
    guide: TimingModel | None = None
    """A fast timing model that ranks candidates which are not yet timed; None: the clock itself."""
    watch: Watch = field(default_factory=Watch, compare=False, repr=False)
    """Of one search."""


class Search(Protocol):
    """A strategy at work on one problem. Never asks for the same mapping twice, and the seed decides everything."""

    def ask(self, most: int) -> Sequence[Mapping] | Mappings:
        """So many mappings at most that are to be timed next; none when the search is over."""
        ...

    def tell(self, timings: Sequence[Timing | None] | Timings) -> None:
        """The timings of what was asked for last, in its order; None where the timing model refuses a mapping.

        `Timings` where `Mappings` were asked for and the model times many at once.
        """
        ...

    def outcome(self) -> SearchResult:
        """What is known so far."""
        ...


@runtime_checkable
class AsksInBatches(Protocol):
    """A search that says how many mappings it wants timed in a batch."""

    @property
    def at_once(self) -> int:
        """Mappings of a batch, at most."""
        ...


@runtime_checkable
class CountsLooked(Protocol):
    """A search that counts what it has looked at, which is more than what it has timed."""

    @property
    def looked(self) -> int:
        """Mappings, and sets of mappings, that were looked at so far."""
        ...


AT_ONCE = 64
"""Mappings of a batch, where a search says nothing."""


def batch_size(search: Search) -> int:
    """The number of mappings that are asked for at a time."""
    return search.at_once if isinstance(search, AsksInBatches) else AT_ONCE


def looked_at(search: Search, timed: int) -> int:
    """The number of mappings, and sets of them, that the search says it has looked at; else that of those timed."""
    return search.looked if isinstance(search, CountsLooked) else timed


class Strategy(Protocol):
    """A plan. Equal strategies (by `repr`) on equal problems ask for the same."""

    def start(self, problem: Problem) -> Search:
        """Begin a search."""
        ...


@runtime_checkable
class Declines(Protocol):
    """A strategy that does not take every problem."""

    def declines(self, problem: Problem) -> str:
        """The reason why another strategy is needed; "" if none is."""
        ...


@runtime_checkable
class LeavesOut(Protocol):
    """A strategy that leaves out mappings by bounds, which rest on the laws of the timing model."""

    leaves_out: bool


@runtime_checkable
class StatesLowerBound(Protocol):
    """A strategy that knows a lower bound without a search."""

    def bound(self, problem: Problem) -> int:
        """A lower bound on the time of every mapping [fs]; 0 if nothing is known."""
        ...
