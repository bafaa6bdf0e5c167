"""Exhaustive search: the best mapping of all, and the proof of it.

Branch and bound, best bounds first, over arrays of numbers. What is split are *nodes*, sets of mappings
(`cyclecast.search`): a tiling with all its passes, passes with a range of replicas, one number of replicas. The lower
bound of a node is the time of its busiest array alone: tiles of that size, one after another, in the fewest steps, with
the fewest arrays in use; for a model that counts transfers also what its ports need (`cyclecast.search`). Nodes are
split until the least bound of all is no longer below the best time found. This asks of the timing model that it is
never shorter for larger tiles, for more instances at work or for more turns, and never shorter than one array's share
of the work alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, partial
from heapq import heappop, heappush
from time import perf_counter
from typing import ClassVar

import numpy as np

from cyclecast.device import Device
from cyclecast.errors import OptionError
from cyclecast.mapping import Mapping, Mappings
from cyclecast.mapspace import (
    MOST_WAYS,
    Numbers,
    Tilings,
    default_mapping,
    forms,
    inner_ways,
    sketches,
    tile_sizes,
    tilings,
)
from cyclecast.search._base import Certificate, Problem, SearchResult
from cyclecast.search._laws import Sample
from cyclecast.search._nodes import Nodes, OverTime, Splitter, columns_of
from cyclecast.search._relaxation import AT_ONCE, Relaxation
from cyclecast.timing import Failure, Timing, Timings, abilities, asked
from cyclecast.units import Time

NEVER = 2**200
"""Longer than any time [fs]."""
SLOW = 0.001
"""Seconds a mapping from which on a timing model is too slow for this."""
FIRST, MOST_NODES = 16, 4096
"""Nodes that are looked at together: at first, and at most."""
PROBED, PROBED_OF_EACH = 32, 4
"""Forms, and tilings of each, that are tried before all others."""
LARGE = 50_000
"""Mappings and nodes from which on a search is a large one."""
LEAST_CHUNK = 1024
"""Mappings in the first chunk."""
BLOCK = 64
"""Nodes that are kept together."""
FEW = 8
"""The same for a model that times one mapping at a time."""


@dataclass(frozen=True, slots=True)
class Exhaustive:
    """Every mapping of every sketch, timed or excluded by a bound."""

    leaves_out: ClassVar[bool] = True
    """Mappings, by bounds that rest on the laws of the timing model."""

    most: int = 20_000_000
    """Mappings to time and nodes to look at, at most; the certificate then says how good the best one is at least."""
    im2col: bool = False
    """Only mappings without windows, packed groups and stationary inputs."""
    perfect: bool = False
    """Only sizes and factors that divide what they cut, as in mappers that know no others; nothing is then counted."""
    calls: int = 200_000
    """The same for a model that times one mapping at a time, its bounds included."""

    def __post_init__(self) -> None:
        for name in ("most", "calls"):
            if getattr(self, name) < 1:
                value = f"{name}={getattr(self, name)}"
                raise OptionError("exhaustive", value, "at least 1 mapping is timed", f"exhaustive:{name}=1000000")

    def declines(self, problem: Problem) -> str:
        """Why another strategy is needed: the device is too wide or the timing model too slow; empty if neither."""
        ways = inner_ways(problem.device)
        if ways > MOST_WAYS:
            return f"the inner levels can be used in {ways:.2g} ways, too many to look at all"
        able = abilities(problem.model)
        if able.many is not None:
            return ""
        if able.each is not None:
            return "mappings are measured in batches, from which no bound on the others follows"
        mapping = default_mapping(problem.workload, problem.device)
        if isinstance(asked(problem.model, mapping, problem.device), Failure):
            return ""
        seconds = min(_seconds(partial(problem.model.time, mapping, problem.device)) for _ in range(3))
        if not able.lawful and not _is_least(problem, mapping):
            return "the timing model may be faster with more work, which no bound can follow"
        if seconds < SLOW:
            return ""
        return f"the timing model takes {1000 * seconds:.2g} ms a mapping, too long to look at all"

    def bound(self, problem: Problem) -> int:
        """What no mapping is shorter than, without a search [fs]; for a model of many at once that keeps the laws."""
        if abilities(problem.model).many is None:
            return 0
        return ExhaustiveSearch(problem, self).bound

    def start(self, problem: Problem) -> ExhaustiveSearch:
        """Begin with the default mapping."""
        return ExhaustiveSearch(problem, self)


def _is_least(problem: Problem, mapping: Mapping) -> bool:
    """Whether the mapping is as short as the model itself says that any can be."""
    stated = abilities(problem.model).bounded
    total = problem.model.time(mapping, problem.device).total
    return stated is not None and total == stated.bounds(mapping, problem.device).lower


def _seconds(step: Callable[[], object]) -> float:
    begin = perf_counter()
    step()
    return perf_counter() - begin


class ExhaustiveSearch:
    """The search at work."""

    at_once: ClassVar[int] = AT_ONCE

    def __init__(self, problem: Problem, plan: Exhaustive) -> None:
        self.problem, self.plan = problem, plan
        self.first = default_mapping(problem.workload, problem.device)
        self.apart = [self.first]
        """Mappings that are asked for on their own."""
        self.timed = self.looked = self.calls = 0
        self.complete = False
        self.times: list[int] = []
        """The two shortest different times so far [fs]."""
        self.lower = 0
        """Of all that is not yet looked at [fs]."""
        self.floor = Relaxation(problem.workload, problem.device, problem.model, self._ask)
        self.waiting: Mappings | None = None
        """The rest of a chunk, of which a part was asked for."""
        self.splitter = Splitter(problem.device, self.floor, self._over, im2col=plan.im2col, perfect=plan.perfect)
        self.batches = self._batches()

    def ask(self, most: int) -> Mappings | Sequence[Mapping]:
        """The next mappings, of which a chunk has at most `at_once`."""
        while not self._spent():
            batch, self.waiting = self.waiting or next(self.batches, []), None
            if not isinstance(batch, Mappings):
                return batch
            for mapping in () if self.plan.perfect else self.apart:
                batch = batch.without(mapping)
            if len(batch) > most:
                batch, self.waiting = batch.part(0, most), batch.part(most)
            if len(batch):
                return batch
        return []

    @property
    def bound(self) -> int:
        """The least bound of all forms, or the one that the model states [fs]."""
        return max(self._stated(), int(self._known[1][0]))

    def _stated(self) -> int:
        """The lower bound that the model itself states [fs]; 0 where it states none."""
        own = abilities(self.problem.model).bounded
        return own.bounds(self.first, self.problem.device).lower.femtoseconds if own else 0

    @property
    def best(self) -> int:
        """The shortest time so far [fs]."""
        return self.times[0] if self.times else NEVER

    def _ask(self, mapping: Mapping, device: Device) -> int:
        """The time of a mapping for a bound; nothing where the model refuses it, or was asked often enough."""
        if self.timed + self.calls >= self.plan.calls:
            return 0
        self.calls += 1
        found = asked(self.problem.model, mapping, device)
        return 0 if isinstance(found, Failure) else found.total.femtoseconds  # what is refused bounds nothing

    def _over(self) -> bool:
        return self.problem.watch.over(self.looked)

    def _spent(self) -> bool:
        if self._over():
            return True
        if self.floor.many is not None:
            return self.looked >= self.plan.most
        return self.timed + self.calls >= self.plan.calls

    def tell(self, timings: Sequence[Timing | None] | Timings) -> None:
        """Times that prune what follows."""
        if isinstance(timings, Timings):
            known = timings.total if timings.refused is None else timings.total[~timings.refused]
            totals = [int(time) for time in np.unique(known)[:2]]
            count = len(timings.total)
        else:
            totals = [timing.total.femtoseconds for timing in timings if timing]
            count = len(timings)
        self.timed += count
        self.looked += count
        self.times = sorted({*self.times, *totals})[:2]

    def outcome(self) -> SearchResult:
        """The certificate: complete once there is nothing left to ask for."""
        found = sketches(self.problem.workload, self.problem.device)
        found = tuple(of for of in found if of.rules == "im2col" or not self.plan.im2col) * (not self.plan.perfect)
        legal = sum(sketch.legal for sketch in found)
        if not self.times:
            return SearchResult("exhaustive", "no mapping was timed", found)
        asked = f" and {self.calls:,} bounds" if self.calls else ""
        note = "" if self.complete else f"stopped after {self.timed:,} mappings{asked}"
        proven = Certificate(
            covered=legal if self.complete else min(self.timed, legal),
            timed=self.timed,
            best=Time(self.best),
            runner_up=Time(self.times[1]) if len(self.times) > 1 else None,
            lower=Time(self.best if self.complete else min(self.best, self.lower)),
        )
        return SearchResult("exhaustive", note, found, proven)

    def _batches(self) -> Iterator[Mappings | Sequence[Mapping]]:
        with suppress(OverTime):
            yield from self._chunks()

    def _chunks(self) -> Iterator[Mappings | Sequence[Mapping]]:
        """Best nodes first; told times in between make the rest shorter."""
        if not self.plan.perfect:
            yield [self.first]
        self.lower = self._stated() if self.times else 0
        pool = _Pool(self._forms())
        self.lower = max(self.lower, int(self._known[1][0]))  # of all forms, should the clock end the probes
        yield from self._mappings(self._probes())
        size = FIRST
        while (lower := pool.least()) < self.best and self.lower < self.best:
            if self._spent():
                return
            self.lower = max(self.lower, lower)
            if self.looked > LARGE and len(self.apart) == 1:
                yield from self._promising()
            if not (taken := pool.take(size, self.best)):
                continue
            nodes = Nodes.joined(taken)
            size = min(2 * size, MOST_NODES if self.floor.many is not None else FEW)
            self.looked += len(nodes)
            exact = nodes.exact
            yield from self._mappings(self._fresh(nodes[np.flatnonzero(exact)]))
            nodes = nodes[np.flatnonzero(~exact & (nodes.lower < self.best))]
            if len(nodes) and len(parts := self.splitter.split(nodes, self.best)):
                self.looked += len(parts)
                pool.put(parts)
        self.complete = not self._spent()

    @cached_property
    def _known(self) -> tuple[Tilings, Numbers]:
        """Every form and its bound, the least bounds first."""
        known = forms(self.problem.workload, self.problem.device)
        if self.plan.im2col:
            plain = np.logical_and.reduce([known.packed == 1, *(sizes == 1 for sizes in known.window)])
            known = known[np.flatnonzero(plain)]
        lower = self.floor.spread(known)
        order = np.argsort(lower, kind="stable")
        return known[order], lower[order]

    def _promising(self) -> Iterator[Sequence[Mapping]]:
        """Where the search is a large one: a mapping that was found by other means."""
        of, fits = self.problem, self.floor.many is not None and not (self.plan.im2col or self.plan.perfect)
        found = Sample(of.workload, of.device, of.model, of.seed).promising() if fits else None
        self.apart.append(found or self.first)
        timing = asked(of.model, found, of.device) if found else None
        if found and isinstance(timing, Timing) and timing.total.femtoseconds < self.best:
            yield [found]
        else:
            self.apart[-1] = self.first

    def _forms(self) -> Iterator[tuple[int, Callable[[], Nodes]]]:
        """The least bound of some forms that are opened together, and how their tilings become nodes."""
        known, lower = self._known
        first = 0
        while first < len(known) and lower[first] < self.best:
            last, room = first + 1, MOST_NODES
            while last < min(len(known), 2 * first + 1) and room > 0:
                lines, filters = tile_sizes(self.problem.workload, self.problem.device, known[last : last + 1])
                last, room = last + 1, room - len(lines) * len(filters)
            yield int(lower[first]), partial(self._opened, known[first:last])
            first = last

    def _opened(self, known: Tilings, most: int | None = None) -> Nodes:
        """The tilings of these forms that may be better than the best so far; of each form so many, the largest."""
        workload, device = self.problem.workload, self.problem.device
        each = [tilings(workload, device, known[place : place + 1], self.plan.perfect) for place in range(len(known))]
        found = Tilings.joined([cut[:most] for cut in each])
        self.looked += len(found)
        nodes = self.splitter.whole(found)
        return nodes[np.flatnonzero(nodes.lower < self.best)]

    def _probes(self) -> Nodes:
        """A few exact nodes that are likely to be short: whatever is found in them shortens the search."""
        forms, each = (PROBED, PROBED_OF_EACH) if self.floor.many is not None else (1, 1)
        nodes = self.splitter.full(self._opened(self._known[0][:forms], each))
        self.probed = set(nodes.keys)
        return nodes

    def _fresh(self, nodes: Nodes) -> Nodes:
        """Those that were not probed."""
        return nodes[np.flatnonzero([key not in self.probed for key in nodes.keys])]

    def _mappings(self, nodes: Nodes) -> Iterator[Mappings]:
        """The mappings of exact nodes, in chunks that grow; those that were told make the rest of them shorter."""
        held: list[tuple[Numbers, Numbers]] = []
        at_once = AT_ONCE if self.floor.many is not None else FEW
        count, size = 0, min(LEAST_CHUNK, at_once)
        for places, factors in self.splitter.mappings(nodes):
            fresh = np.flatnonzero(nodes.lower[places] < self.best)
            for first in range(0, len(fresh), at_once):
                some = fresh[first : first + at_once]
                held.append((places[some], factors[:, some]))
                count += len(some)
                if count >= size:
                    yield self._columns(nodes, held)
                    held, count, size = [], 0, min(4 * size, at_once)
            if self._spent():
                return
        if count:
            yield self._columns(nodes, held)

    def _columns(self, nodes: Nodes, held: list[tuple[Numbers, Numbers]]) -> Mappings:
        places = np.concatenate([places for places, _ in held])
        factors = np.hstack([factors for _, factors in held])
        return columns_of(self.problem.workload, self.problem.device, nodes[places], factors)


class _Pool:
    """Nodes in the order of their bounds, and forms that are not opened before their bounds are the least."""

    def __init__(self, forms: Iterator[tuple[int, Callable[[], Nodes]]]) -> None:
        self.forms = forms
        self.next = next(forms, None)
        self.heap: list[tuple[int, int, Nodes]] = []
        self.count = 0

    def least(self) -> int:
        """The least bound of all [fs]."""
        return min(self.next[0] if self.next else NEVER, self.heap[0][0] if self.heap else NEVER)

    def put(self, nodes: Nodes) -> None:
        """Take in these."""
        order = np.lexsort((nodes.held * nodes.few, nodes.lower))
        for first in range(0, len(order), BLOCK):
            some = nodes[order[first : first + BLOCK]]
            self.count += 1
            heappush(self.heap, (int(some.lower[0]), self.count, some))

    def take(self, most: int, best: int) -> list[Nodes]:
        """The nodes with the least bounds that are below the best time, so many and a few more."""
        found: list[Nodes] = []
        while sum(map(len, found)) < most and (not found or self.least() < best):
            if self.next and (not self.heap or self.next[0] <= self.heap[0][0]):
                tilings, self.next = self.next[1](), next(self.forms, None)
                self.put(tilings)
                continue
            if not self.heap:
                break
            nodes = heappop(self.heap)[-1]
            found.append(nodes[np.flatnonzero(nodes.lower < best)])
        return found
