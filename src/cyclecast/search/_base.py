"""What a search strategy is: a plan that, started on a problem, asks for timings and is told them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from cyclecast.device import Device
from cyclecast.mapping import Mapping
from cyclecast.mappings import Mappings
from cyclecast.timing import Timing, TimingModel, Timings
from cyclecast.units import Energy, Time
from cyclecast.workload import Workload


@dataclass(frozen=True, slots=True)
class Problem:
    """One workload to map onto a device, with a timing model as the clock."""

    workload: Workload
    device: Device
    model: TimingModel
    trials: int
    """The most mappings that a strategy which draws samples may have timed."""
    seed: int
    function: Any = None
    """The kernel before scheduling (a TVM `PrimFunc`), for strategies that work on schedules."""


@dataclass(frozen=True, slots=True)
class Sketch:
    """A part of the space, as one set of rules opens it."""

    rules: str
    """Such as `im2col`, `im2col+windows`."""
    points: int
    """Combinations of decisions, legal or not."""
    legal: int
    """Those that the device can hold."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """That no legal mapping of the space is better, if `lower` is the best time itself."""

    covered: int
    """Legal points that were timed, or are no better than one that was."""
    timed: int
    best: Time
    runner_up: Time | None
    """The next longer time that was met."""
    lower: Time
    """No legal mapping is shorter."""

    @property
    def gap(self) -> float | None:
        """By which share the best time is above the lower bound: 0 where it is proven to be the least.

        None where nothing but a lower bound of 0 is known.
        """
        if self.best == self.lower:
            return 0.0
        return self.best / self.lower - 1 if self.lower.femtoseconds else None


@dataclass(frozen=True, slots=True)
class Choice:
    """A mapping that none looked at is as good as in time, energy and arrays together, and better in one of them."""

    mapping: Mapping
    time: Time
    energy: Energy
    arrays: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a search can say about its answer."""

    strategy: str
    """The strategy that was followed, which may be another than the one asked for."""
    note: str = ""
    """Why it was another; empty otherwise."""
    sketches: tuple[Sketch, ...] = ()
    certificate: Certificate | None = None
    front: tuple[Choice, ...] = ()
    """Of a search for several goals: what there is to choose from, shortest first, equal values once."""


class Search(Protocol):
    """A strategy at work on one problem. Never asks for the same mapping twice, and the seed decides everything."""

    def ask(self, most: int) -> Sequence[Mapping] | Mappings:
        """So many mappings at most that are to be timed next; none when the search is over."""
        ...

    def tell(self, timings: Sequence[Timing] | Timings) -> None:
        """The timings of what was asked for last, in its order; `Timings` where `Mappings` were asked for."""
        ...

    def outcome(self) -> Outcome:
        """What is known so far."""
        ...


class Strategy(Protocol):
    """A plan. Equal strategies (by `repr`) on equal problems ask for the same."""

    def start(self, problem: Problem) -> Search:
        """Begin a search."""
        ...
