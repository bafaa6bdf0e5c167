"""Exhaustive search: the optimal mapping, and a certificate that proves it.

Branch and bound, least bounds first, on arrays. A *node* is a set of mappings (`_nodes.py`): a tiling with all its
passes, then passes with a range of replicas, then one number of replicas. The lower bound of a node is the time of its
busiest array alone, with the fewest steps and the fewest arrays in use; for a model that counts transfers also the time
of its ports (`_relaxation.py`). Nodes are split until no bound is below the best time found. The timing model must keep
the laws of `TimingModel`.
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
"""A value longer than any time [fs]."""
SLOW = 0.001
"""Seconds per mapping above which a timing model is too slow for an exhaustive search."""
FIRST, MOST_NODES = 16, 4096
"""Nodes examined together: first and largest number."""
PROBED, PROBED_OF_EACH = 32, 4
"""Forms, and tilings of each form, that are tried before all others."""
LARGE = 50_000
"""Mappings and nodes after which hill climbing is tried once (`_promising`)."""
LEAST_CHUNK = 1024
"""Mappings in the first chunk."""
BLOCK = 64
"""Nodes in an entry of the pool."""
FEW = 8
"""Most nodes, and most mappings in a chunk, for a model that times one mapping at a time."""


@dataclass(frozen=True, slots=True)
class Exhaustive:
    """Every mapping of every sketch is timed, or excluded by a lower bound."""

    leaves_out: ClassVar[bool] = True

    most: int = 20_000_000
    """Most mappings and nodes examined; a search that reaches it has a certificate with a lower bound."""
    im2col: bool = False
    """Only mappings without windows, packed groups and stationary inputs."""
    perfect: bool = False
    """Only sizes and factors that divide the extents, as in mappers with perfect factors; sketches are not counted."""
    calls: int = 200_000
    """Most calls of a model that times one mapping at a time, those for bounds included."""

    def __post_init__(self) -> None:
        for name in ("most", "calls"):
            if getattr(self, name) < 1:
                value = f"{name}={getattr(self, name)}"
                raise OptionError("exhaustive", value, "at least 1 mapping is timed", f"exhaustive:{name}=1000000")

    def declines(self, problem: Problem) -> str:
        """The reason for another strategy: too many combinations of inner factors, or an unsuitable timing model."""
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
        """Lower bound on the time of every mapping, without a search [fs].

        The timing model must keep the laws; 0 for a model without `times`.
        """
        if abilities(problem.model).many is None:
            return 0
        return ExhaustiveSearch(problem, self).bound

    def start(self, problem: Problem) -> ExhaustiveSearch:
        """Begin a search; its first mapping is the default mapping."""
        return ExhaustiveSearch(problem, self)


def _is_least(problem: Problem, mapping: Mapping) -> bool:
    """Whether the time of the mapping equals the lower bound of the model itself."""
    stated = abilities(problem.model).bounded
    total = problem.model.time(mapping, problem.device).total
    return stated is not None and total == stated.bounds(mapping, problem.device).lower


def _seconds(step: Callable[[], object]) -> float:
    """Wall time of one call [s]."""
    begin = perf_counter()
    step()
    return perf_counter() - begin


class ExhaustiveSearch:
    """A running exhaustive search."""

    at_once: ClassVar[int] = AT_ONCE

    def __init__(self, problem: Problem, plan: Exhaustive) -> None:
        self.problem, self.plan = problem, plan
        self.first = default_mapping(problem.workload, problem.device)
        self.apart = [self.first]
        """Mappings that are asked for outside the chunks: the default mapping, and one found by hill climbing."""
        self.timed = self.looked = self.calls = 0
        self.complete = False
        self.times: list[int] = []
        """The two shortest different times so far [fs]."""
        self.lower = 0
        """Lower bound on the times of all mappings not yet timed or excluded [fs]."""
        self.floor = Relaxation(problem.workload, problem.device, problem.model, self._ask)
        self.waiting: Mappings | None = None
        """The part of a chunk that is not asked for yet."""
        self.splitter = Splitter(problem.device, self.floor, self._over, im2col=plan.im2col, perfect=plan.perfect)
        self.batches = self._batches()

    def ask(self, most: int) -> Mappings | Sequence[Mapping]:
        """The next mappings, at most `most`."""
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
        """Lower bound on the time of every mapping [fs]: the least bound of all forms, or the model's own if larger."""
        return max(self._stated(), int(self._known[1][0]))

    def _stated(self) -> int:
        """The lower bound that the model itself gives [fs]; 0 if it gives none."""
        own = abilities(self.problem.model).bounded
        return own.bounds(self.first, self.problem.device).lower.femtoseconds if own else 0

    @property
    def best(self) -> int:
        """The shortest time so far [fs]; `NEVER` before the first one."""
        return self.times[0] if self.times else NEVER

    def _ask(self, mapping: Mapping, device: Device) -> int:
        """The time of a mapping, for a bound [fs]; 0 if it has none, or if all calls are used up."""
        if self.timed + self.calls >= self.plan.calls:
            return 0
        self.calls += 1
        found = asked(self.problem.model, mapping, device)
        return 0 if isinstance(found, Failure) else found.total.femtoseconds  # no time, no bound

    def _over(self) -> bool:
        return self.problem.watch.over(self.looked)

    def _spent(self) -> bool:
        """Whether the time limit, or the limit of examined mappings or calls, is reached."""
        if self._over():
            return True
        if self.floor.many is not None:
            return self.looked >= self.plan.most
        return self.timed + self.calls >= self.plan.calls

    def tell(self, timings: Sequence[Timing | None] | Timings) -> None:
        """Count the mappings and keep the two shortest times."""
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
        """The result with a certificate; its gap is 0 once all mappings are timed or excluded."""
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
        """Branch and bound: batches of mappings of exact nodes, least bounds first; times told meanwhile prune it."""
        if not self.plan.perfect:
            yield [self.first]
        self.lower = self._stated() if self.times else 0
        pool = _Pool(self._forms())
        self.lower = max(self.lower, int(self._known[1][0]))  # holds even if the time limit ends the probes
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
        """Every form and its lower bound, the least bounds first."""
        known = forms(self.problem.workload, self.problem.device)
        if self.plan.im2col:
            plain = np.logical_and.reduce([known.packed == 1, *(sizes == 1 for sizes in known.window)])
            known = known[np.flatnonzero(plain)]
        lower = self.floor.spread(known)
        order = np.argsort(lower, kind="stable")
        return known[order], lower[order]

    def _promising(self) -> Iterator[Sequence[Mapping]]:
        """A mapping found by hill climbing (`Sample.promising`), if it is shorter than the best one."""
        of, fits = self.problem, self.floor.many is not None and not (self.plan.im2col or self.plan.perfect)
        found = Sample(of.workload, of.device, of.model, of.seed).promising() if fits else None
        self.apart.append(found or self.first)
        timing = asked(of.model, found, of.device) if found else None
        if found and isinstance(timing, Timing) and timing.total.femtoseconds < self.best:
            yield [found]
        else:
            self.apart[-1] = self.first

    def _forms(self) -> Iterator[tuple[int, Callable[[], Nodes]]]:
        """Groups of forms that are opened together: the least bound of a group, and a function that makes its nodes."""
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
        """Nodes of the tilings of these forms whose bound is below the best time; of each form the `most` largest."""
        workload, device = self.problem.workload, self.problem.device
        each = [tilings(workload, device, known[place : place + 1], self.plan.perfect) for place in range(len(known))]
        found = Tilings.joined([cut[:most] for cut in each])
        self.looked += len(found)
        nodes = self.splitter.whole(found)
        return nodes[np.flatnonzero(nodes.lower < self.best)]

    def _probes(self) -> Nodes:
        """A few exact nodes that probably have short mappings; short times at the begin make the search shorter."""
        forms, each = (PROBED, PROBED_OF_EACH) if self.floor.many is not None else (1, 1)
        nodes = self.splitter.full(self._opened(self._known[0][:forms], each))
        self.probed = set(nodes.keys)
        return nodes

    def _fresh(self, nodes: Nodes) -> Nodes:
        """The nodes that were not probed."""
        return nodes[np.flatnonzero([key not in self.probed for key in nodes.keys])]

    def _mappings(self, nodes: Nodes) -> Iterator[Mappings]:
        """The mappings of exact nodes in growing chunks; nodes that a told time excludes meanwhile are left out."""
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
    """Priority queue of nodes by lower bound; a form is opened only when its bound is the least."""

    def __init__(self, forms: Iterator[tuple[int, Callable[[], Nodes]]]) -> None:
        self.forms = forms
        self.next = next(forms, None)
        self.heap: list[tuple[int, int, Nodes]] = []
        self.count = 0

    def least(self) -> int:
        """The least bound of all nodes and forms [fs]; `NEVER` if there are none."""
        return min(self.next[0] if self.next else NEVER, self.heap[0][0] if self.heap else NEVER)

    def put(self, nodes: Nodes) -> None:
        """Add nodes."""
        order = np.lexsort((nodes.held * nodes.few, nodes.lower))
        for first in range(0, len(order), BLOCK):
            some = nodes[order[first : first + BLOCK]]
            self.count += 1
            heappush(self.heap, (int(some.lower[0]), self.count, some))

    def take(self, most: int, best: int) -> list[Nodes]:
        """Remove and return the nodes with the least bounds below the best time: about `most` of them."""
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
