"""The time of one pass in closed form: the longest chain of a head, a busy resource, and a tail.

A pass is a pipeline: inputs arrive through ports, arrays multiply and convert, sums are merged and leave. A *token* is
one step along the pixels in one *lane*; a lane is an instance of the level inside the outermost. For every resource the
pass takes at least three times together: of the first token to reach the resource (head), of the resource for all
tokens, and of the last token from the resource to the end (tail). The longest of these chains is the time of the pass.
For stages in a row it is the makespan of a flow shop: all stages of one token + (tokens - 1) x longest stage (Johnson,
Naval Research Logistics Quarterly 1954). Buffers are assumed to be large enough. So the event simulation is never
shorter if the last step has as many pixels as the others.

The assumptions A7, A22, A23 and A47 are those of `docs/assumptions/`. Times are in femtoseconds. Every function takes
one `Mapping` or many (`Mappings`).
"""

from __future__ import annotations

from typing import NamedTuple

from cyclecast._integers import Whole, ceil_div, ceil_log2, is_zero, larger, largest, smaller, total
from cyclecast.device import Device, Level
from cyclecast.timing._converters import AnyMapping, conversion_time, product_time, steps, used_columns
from cyclecast.timing._costs import PassKind, partial_sum_bits, port_time
from cyclecast.timing._stages import first_port_out
from cyclecast.units import Bandwidth


class Use(NamedTuple):
    """Occupation of a resource in a pass [fs]."""

    busy: Whole = 0
    """Time of all tokens."""
    step: Whole = 0
    """Least time of one step along the pixels."""
    more: Whole = 0
    """Time of all steps but one: `busy` - `step`."""


NOTHING = Use()
"""The use of a port without a limit, or through which nothing moves."""


class StepShare(NamedTuple):
    """Share of an instance in one step: values and results of a group, number of groups, vectors of each group."""

    values: Whole
    results: Whole
    groups: Whole
    vectors: Whole


class Inside(NamedTuple):
    """Time of one step in the ports and merges between a lane's boundary and its arrays [fs]."""

    into: Whole
    out: Whole
    """Merging with other lanes included."""


class Pass:
    """One kind of pass of a mapping: the occupation of its resources, and its time."""

    def __init__(self, m: AnyMapping, device: Device, kind: PassKind) -> None:
        self.m, self.device, self.kind = m, device, kind
        self.ports: tuple[Device | Level, ...] = (device, *device.levels)
        self.lane = min(1, len(device.levels) - 1)
        """Position of the level of a lane: 1, or 0 on a device of one level."""
        read, pipeline = device.array.read.femtoseconds, device.pipeline
        self.before, self.after = pipeline.before * read, (pipeline.fill - pipeline.before) * read
        self.first_out = first_port_out(device) if kind.sums else None
        self.early = 0 if self.first_out is None else pipeline.write_back * read
        """Time of a transfer through the first port out that the pipeline's last cycles hide [fs]."""
        self.product = product_time(m, device)
        self.shares: dict[int, StepShare] = {}
        self.vectors: dict[int, Whole] = {}
        self.at_once: Whole = None
        self.into_lane: Whole = None
        self.hops = {
            level: ceil_log2(m.levels[level].factors.row)
            for level in range(len(device.levels))
            if merges(device, level)
        }
        levels = range(-1, len(device.levels))
        self.inputs = {level: self._input(level) for level in levels}
        self.outputs = {level: self._output(level) for level in levels}
        self.merges = {level: self._merge(level) for level in levels[1:]}

    def busy(self) -> dict[str, Whole]:
        """Occupation of the busiest resource of each kind [fs]; `port` is a shared port."""
        shared = (level for level, port in enumerate(self.device.levels) if port.shared_port)
        return {
            "compute": self.kind.steps * self.product,
            "input": largest(*(use.busy for use in self.inputs.values())),
            "output": largest(*(use.busy for use in self.outputs.values())),
            "port": largest(*(total(self.inputs[level].busy, self.outputs[level].busy) for level in shared)),
            "merge": largest(*(use.busy for use in self.merges.values())),
        }

    def time(self) -> Whole:
        """The longest chain [fs].

        Lanes get their first inputs one after another through the port of the outermost level, and their last results
        leave one after another. So there are three kinds of chains. One goes through a full lane; one through the lane
        that is fed last, which waits for the inputs of all lanes; one through the lanes that are fed first, after which
        the results of all lanes still have to leave. The last lane may have less work than a full one. If there are
        several lanes, a chain through it has no time inside the lane; so the time never falls when tiles grow.
        """
        if not self._moves():
            return (
                self.before
                + self.kind.steps * self.product
                + total(self.conversion(), *map(self._hops_time, self.hops))
            )
        others = (self.kind.steps - 1) * self.product
        inside, least = self._inside()
        outermost = total(self.merges[0].step, self._hops_time(0), self._leaving(self.outputs[-1].step, -1))
        middle = total(self.product, self.conversion(), outermost)
        coming = largest(self.inputs[-1].more, self.inputs[0].more)
        ends = (self.merges[0].more, self.outputs[-1].more)
        last = total(
            self._fed_last(least.into),
            largest(others, coming),
            total(middle, least.out, self._leaving(self._last_results(), 0)),
        )
        first = total(
            self._fed_first(least.into),
            largest(others, coming, self.outputs[0].more, *ends),
            total(middle, least.out, self._leaving(self.outputs[0].step, 0)),
        )
        chains = [last, first]
        if not (is_zero(inside.into) and is_zero(inside.out)):
            lane = self._share(self.lane)
            fed = largest(self.before, total(self.inputs[-1].step, self._into_lane(), inside.into))
            within = largest(others, coming, self._more_inside(), self._results_of(lane).more, *ends)
            chains.append(total(fed, within, middle, inside.out, self._leaving(self._out_of(lane), 0)))
        chains += [
            total(self.inputs[-1].step, self.inputs[level].busy, self.outputs[level].busy, outermost)
            for level, port in enumerate(self.device.levels)
            if port.shared_port
        ]
        return largest(*chains)

    def filling(self) -> Whole:
        """Time of the pipeline's fill cycles and of the merging hops [fs]."""
        return self.before + self.after + total(*map(self._hops_time, self.hops))

    def _moves(self) -> bool:
        """Whether a port or a merge takes time."""
        uses = (*self.inputs.values(), *self.outputs.values(), *self.merges.values())
        return any(use is not NOTHING for use in uses)

    def _share(self, level: int) -> StepShare:
        """Share of the first instance of a level in a step in which all replicas have pixels (A22); cached."""
        if level not in self.shares:
            m, groups = self.m, self.m.workload.groups
            self.shares[level] = StepShare(
                smaller(m.inside(level, "row") * m.word_lines, m.values),
                smaller(m.inside(level, "column") * m.filters, m.results),
                1 if groups == 1 else smaller(m.inside(level, "group") * m.packed, groups),
                smaller(m.inside(level, "pixel"), self._at_once()),
            )
        return self.shares[level]

    def _at_once(self) -> Whole:
        """Vectors of a group in one step of all replicas, rounded down; cached."""
        if self.at_once is None:
            self.at_once = self.kind.vectors // self.kind.steps
        return self.at_once

    def _vectors(self, level: int) -> Whole:
        """Vectors of a group in an instance of the level, over all steps; cached."""
        if level not in self.vectors:
            self.vectors[level] = smaller(self.kind.steps * self.m.inside(level, "pixel"), self.kind.vectors)
        return self.vectors[level]

    def _input_bits(self, share: StepShare) -> Whole:
        """Bits of one input vector, all groups of the share included (A5)."""
        return share.values * (share.groups * self.m.workload.input_bits)

    def _sum_bits(self, share: StepShare) -> Whole:
        """Bits of all partial sums of one vector, each once (A6)."""
        return share.results * (share.groups * partial_sum_bits(self.m))

    def _input(self, level: int) -> Use:
        width = self.ports[level + 1].input_bandwidth
        if not width or not self.kind.inputs:
            return NOTHING
        return self._use(width, self._input_bits(self._share(level)), level)

    def _output(self, level: int) -> Use:
        width = self.ports[level + 1].output_bandwidth
        if not width or not self.kind.sums:
            return NOTHING
        return self._use(width, self.kind.sums * self._sum_bits(self._share(level)), level)

    def _merge(self, level: int) -> Use:
        width = self.device.levels[level].merge_bandwidth
        return self._use(width, self.hops[level] * self._sum_bits(self._share(level)), level) if width else NOTHING

    def _use(self, width: Bandwidth, bits: Whole, level: int) -> Use:
        """Use of a port in an instance of the level that moves `bits` for every vector."""
        busy = _through(width, self._vectors(level) * bits)
        step = _through(width, self._share(level).vectors * bits)
        return Use(busy, step, busy - step)

    def _hops_time(self, level: int) -> Whole:
        hop = self.device.levels[level].merge_hop.femtoseconds
        return self.hops[level] * hop if hop else 0

    def _inside(self) -> tuple[Inside, Inside]:
        """Time inside a full lane, and the least time inside any lane: 0 if there are several lanes."""
        into, out = [], []
        for level in range(1, len(self.device.levels)):
            into.append(self.inputs[level].step)
            out += [self._leaving(self.outputs[level].step, level), self.merges[level].step, self._hops_time(level)]
        full = Inside(total(*into), total(*out))
        if is_zero(full.into) and is_zero(full.out):
            return full, full
        whole, lane = self._share(0), self._share(1)
        alone = (whole.values == lane.values) & (whole.results == lane.results) & (whole.groups == lane.groups)
        alone = alone & (self._vectors(0) == self._vectors(1))
        return full, Inside(full.into * alone, full.out * alone)

    def _more_inside(self) -> Whole:
        """Time of the busiest port or merge of a full lane for all steps but one [fs]."""
        levels = range(1, len(self.device.levels))
        return largest(
            *(use.more for level in levels for use in (self.inputs[level], self.outputs[level])),
            *(self.merges[level].more for level in levels),
        )

    def _through_port(self, share: StepShare) -> Whole:
        """Time of a share's inputs through the input port of the outermost level [fs]."""
        width = self.device.levels[0].input_bandwidth
        return _through(width, share.vectors * self._input_bits(share)) if width and self.kind.inputs else 0

    def _out_of(self, share: StepShare) -> Whole:
        """Time of a share's results through the output port of the outermost level [fs]."""
        width = self.device.levels[0].output_bandwidth
        return (
            _through(width, share.vectors * self.kind.sums * self._sum_bits(share)) if width and self.kind.sums else 0
        )

    def _results_of(self, lane: StepShare) -> Use:
        """Use of the output port of the outermost level by the results of a full lane."""
        width = self.device.levels[0].output_bandwidth
        if not width or not self.kind.sums:
            return NOTHING
        return self._use(width, self.kind.sums * self._sum_bits(lane), self.lane)

    def _into_lane(self) -> Whole:
        """Time of a full lane's inputs through the input port of the outermost level [fs]; cached."""
        if self.into_lane is None:
            self.into_lane = self._through_port(self._share(self.lane))
        return self.into_lane

    def _fed_last(self, inside: Whole) -> Whole:
        """Time from the start of the pass to the first product of the lane that is fed last [fs].

        The lane has at most the average inputs of the lanes.
        """
        into = self.inputs[0].step
        arrived = total(self.inputs[-1].step, into, inside)
        if is_zero(into) or not is_zero(self.inputs[-1].step) or not self.lane:
            return largest(self.before, arrived)
        factors = self.m.levels[1].factors
        return larger(self.before + into - ceil_div(into, factors.group * factors.row * self._replicas()), arrived)

    def _replicas(self) -> Whole:
        """Lanes along the pixels that have work; with stationary inputs the last step may have fewer."""
        return smaller(self.m.levels[1].factors.pixel, self._at_once())

    def _fed_first(self, inside: Whole) -> Whole:
        """Time from the start of the pass to the first products of the lanes that add up the first sums [fs].

        Before it, the inputs of all row tiles of these lanes arrive.
        """
        into = self._into_lane()
        if not self.lane or is_zero(into):
            return largest(self.before, total(self.inputs[-1].step, into, inside))
        rows = self._through_port(self._share(1)._replace(values=self._share(0).values))
        factors = self.m.levels[1].factors
        others = (self._replicas() - 1) * smaller(
            (factors.row - 1) * into, rows
        )  # replicas come before the next row tile
        whole, others = self.inputs[0].step, rows + others
        into = smaller(whole, others)
        if is_zero(self.inputs[-1].step):
            return larger(self.before + smaller(whole, others - ceil_div(rows, factors.row)), total(into, inside))
        return largest(self.before, total(self.inputs[-1].step, into, inside))

    def _last_results(self) -> Whole:
        """Time of the results of the last lanes out of the outermost level [fs]; these lanes share their inputs.

        The last lane along groups may have one group only, and the last one along pixels one vector only.
        """
        if not self.lane:
            return self.outputs[0].step
        whole, lane = self._share(0), self._share(1)
        groups = 1 if self.m.workload.groups == 1 else larger(lane.groups * (lane.groups == whole.groups), 1)
        vectors = larger(lane.vectors * (lane.vectors == whole.vectors), smaller(whole.vectors, 1))
        return self._out_of(StepShare(whole.values, whole.results, groups, vectors))

    def conversion(self) -> Whole:
        """Time from the last read of the last product to its result, less `early`, when the result may leave [fs]."""
        array, after, cycle = self.device.array, self.after - self.early, self.device.array.read.femtoseconds
        if array.digital or not array.adc_overlap:
            return after
        first, last = steps(self.device)[0], steps(self.device)[-1]
        if conversion_time(array.cols, self.device, last) <= min(first.read, cycle, after):
            return after  # the pipeline's last cycles hide every conversion
        converting = conversion_time(used_columns(self.m, self.device), self.device, last)
        return larger(converting, larger(converting - cycle, 0) + after) + smaller(first.read - converting, 0)

    def _leaving(self, transfer: Whole, level: int) -> Whole:
        """Time of a transfer out of a level; at least `early` at the first port out."""
        return larger(transfer, self.early) if self.early and level == self.first_out else transfer


def merges(device: Device, level: int) -> bool:
    """Whether adding up the partial sums of instances of the level takes time."""
    return bool(device.levels[level].merge_bandwidth or device.levels[level].merge_hop.femtoseconds)


def _through(width: Bandwidth, bits: Whole) -> Whole:
    return port_time(width, ceil_div(bits, 8))
