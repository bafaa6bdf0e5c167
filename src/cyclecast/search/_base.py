"""The protocols of a strategy and of its search: the search asks for timings of mappings, and is told them."""

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
    """The kernel and the design space of a strategy that works on schedules."""

    module: Any
    """The kernel before scheduling (a TVM `IRModule`)."""
    space: Any
    """The design space of the rules (a MetaSchedule `SpaceGenerator`), for one search."""
    read: Callable[[Any, Device], Mapping]
    """Function from a scheduled module and the device to the mapping."""
    rules: tuple[str, ...] = ()
    """Names of users' rules; their mappings cannot be listed."""


SECONDS = 20.0
"""Default limit of the search for one workload, in seconds of wall time."""


@dataclass(slots=True, kw_only=True)
class Watch:
    """The time limit of a search, its progress, and errors of the timing model."""

    seconds: float | None = None
    """Limit of the search, in seconds of wall time; None for no limit."""
    beat: Callable[[int], None] = lambda _: None
    """Called at most every `BEAT` seconds with the number of mappings and sets of mappings examined so far."""
    refused: int = 0
    """Number of mappings that the model could not time."""
    reason: str = ""
    """Reason of the first of them."""
    differs: str = ""
    """A mapping for which the model gave two times, with both times; "" if there is none."""
    begun: float = field(default_factory=monotonic)
    """Start of the search (`time.monotonic`)."""
    told: float = 0.0
    """Time of the last call of `beat`."""
    stopped: bool = False
    """Whether the time limit ended the search."""

    def over(self, looked: int = 0) -> bool:
        """Whether the time limit is reached; calls `beat` if it is due."""
        now = monotonic()
        if now - self.told >= BEAT:
            self.told = now
            self.beat(looked)
        self.stopped = self.stopped or (self.seconds is not None and now - self.begun >= self.seconds)
        return self.stopped

    def refuse(self, reason: str, count: int = 1) -> None:
        """Count mappings that the model could not time."""
        self.reason = self.reason if self.refused else reason
        self.refused += count


BEAT = 0.2
"""Least seconds between two calls of `Watch.beat`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A workload to map onto a device, and the timing model that measures the mappings."""

    workload: Workload
    device: Device
    model: TimingModel
    """Timing model of the results."""
    trials: int
    """Most mappings that a sampling strategy may have timed."""
    seed: int
    kernel: Kernel | None = None
    """Kernel and design space, for strategies that work on schedules."""
    guide: TimingModel | None = None
    """Fast timing model that ranks candidates before they are timed; None to rank by `model`."""
    watch: Watch = field(default_factory=Watch, compare=False, repr=False)
    """Time limit and progress of one search."""


class Search(Protocol):
    """A running search on one problem. It asks for no mapping twice, and is deterministic for a seed."""

    def ask(self, most: int) -> Sequence[Mapping] | Mappings:
        """At most `most` mappings to time next; none when the search has ended."""
        ...

    def tell(self, timings: Sequence[Timing | None] | Timings) -> None:
        """Take the timings of the last batch, in its order; None for a mapping that the timing model cannot time.

        They are `Timings` if the batch was `Mappings` and the model has `times`.
        """
        ...

    def outcome(self) -> SearchResult:
        """The result so far."""
        ...


@runtime_checkable
class AsksInBatches(Protocol):
    """A search with its own batch size."""

    @property
    def at_once(self) -> int:
        """Most mappings of a batch."""
        ...


@runtime_checkable
class CountsLooked(Protocol):
    """A search that counts the mappings it has examined; it does not time all of them."""

    @property
    def looked(self) -> int:
        """Number of mappings and sets of mappings examined so far."""
        ...


AT_ONCE = 64
"""Default batch size, in mappings."""


def batch_size(search: Search) -> int:
    """Most mappings in a batch of the search."""
    return search.at_once if isinstance(search, AsksInBatches) else AT_ONCE


def looked_at(search: Search, timed: int) -> int:
    """Number of mappings and sets of mappings that the search has examined; `timed` if it does not count them."""
    return search.looked if isinstance(search, CountsLooked) else timed


class Strategy(Protocol):
    """A search strategy. Equal strategies (by `repr`) on equal problems ask for the same mappings."""

    def start(self, problem: Problem) -> Search:
        """Begin a search."""
        ...


@runtime_checkable
class Declines(Protocol):
    """A strategy that cannot solve every problem."""

    def declines(self, problem: Problem) -> str:
        """The reason why the strategy cannot solve the problem; "" if it can."""
        ...


@runtime_checkable
class LeavesOut(Protocol):
    """A strategy that may exclude mappings by lower bounds, which assume the laws of `TimingModel`."""

    leaves_out: bool


@runtime_checkable
class StatesLowerBound(Protocol):
    """A strategy that gives a lower bound without a search."""

    def bound(self, problem: Problem) -> int:
        """Lower bound on the time of every mapping [fs]; 0 if none is known."""
        ...
