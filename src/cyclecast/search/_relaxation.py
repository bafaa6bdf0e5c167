"""Lower bounds on the time of sets of mappings: the timing model, evaluated on a relaxed mapping of one array.

There are two bounds. The first holds for every timing model that keeps the laws of `TimingModel`: the time of one array
alone, with equal passes and steps. The second holds for a model with `counts_transfers`: the writing of the arrays,
then the bytes of the busiest port as `cyclecast.timing` counts them, and the fill of the pipeline.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import reduce
from math import prod
from typing import Any

import numpy as np

from cyclecast._integers import ceil_div, exact, exact_product, greatest, larger, reduced
from cyclecast.device import Device, Level
from cyclecast.mapping import TILE_AXES, Factors, LevelFactors, ManyFactors, Mapping, Mappings
from cyclecast.mapspace import Numbers, Tilings, mappings_of, unported
from cyclecast.network import Axis, Kind, Workload
from cyclecast.timing import (
    Pass,
    PassKind,
    TimingModel,
    Timings,
    abilities,
    array_write_time,
    asked_many,
    port_time,
    sum_bits,
)
from cyclecast.units import Bandwidth

GROUP, ROW, COLUMN, PIXEL = range(len(TILE_AXES))
AT_ONCE = 1 << 14
"""Mappings in a chunk; it limits memory and fits into a processor's cache."""
UNLIMITED = Bandwidth(10**30)
"""Bandwidth that replaces those of a device, for models that read the bandwidths of ports."""


class Relaxation:
    """Lower bounds on the times of the mappings of one workload on one device.

    Times are arrays in femtoseconds: of int64, or of Python integers if 64 bits are too few. Arguments are arrays with
    one element per tiling of `cut`.
    """

    def __init__(
        self, workload: Workload, device: Device, model: TimingModel, ask: Callable[[Mapping, Device], int]
    ) -> None:
        """`ask` gives the time of one mapping [fs], 0 if it has none; it is used for models without `times`."""
        self.workload, self.device, self.model, self.ask = workload, device, model, ask
        able = abilities(model)
        self.many, self.counts = able.many, able.counts_transfers
        self.free = unported(device, UNLIMITED if self.many is None else None)

    def times(self, cut: Tilings, passes: Any, stationary: Numbers, steps: Numbers, arrays: Numbers) -> Numbers:
        """Lower bound [fs] for each tiling with these passes, steps along the pixels and arrays in use.

        `passes` are the passes over groups, row tiles and column tiles; `arrays` is the least number of arrays in use
        in a pass.
        """
        found = self.alone(self.device, cut, passes, stationary, steps, arrays)
        if not self.counts:
            return found
        repeats = 1 + stationary * (steps - 1)
        several = reduce(np.multiply, passes)
        written = self._written(cut, repeats * several, arrays) * (several > 1)
        moved = self._moved(cut, passes, stationary, repeats * several)
        return larger(found, written + larger(moved, (1 - stationary) * self._piped(cut, passes, steps, arrays)))

    def spread(self, cut: Tilings) -> Numbers:
        """Lower bound [fs] for each tiling with any passes: all work spread evenly over all arrays, in one pass.

        Ports are unlimited in it, as several passes of few steps may move less than one pass of many steps.
        """
        ones = np.ones(len(cut), np.int64)
        steps = ceil_div(reduce(np.multiply, cut.tiles), self.device.arrays)
        found = self.alone(self.free, cut, (ones, ones, ones), 0 * ones, steps, ones)
        if not self.counts:
            return found
        weights = reduce(np.multiply, cut.tiles[:PIXEL])
        written = self._written(cut, ones, weights)
        least = larger(found, self._moved(cut, (ones, ones, ones), 0 * ones, ones))
        least = least + written * (weights > self.device.arrays)
        if not self.device.array.write.during_inference:
            return least
        staying = 2 * written + larger(found, self._moved(cut, cut.tiles[:PIXEL], ones, ones))  # stationary inputs
        return np.where(cut.tiles[PIXEL] > 1, np.minimum(least, staying), least)

    def rewritten(self, cut: Tilings) -> Numbers:
        """Lower bound [fs] for each tiling on writing all its tiles in two or more passes; 0 if none is known."""
        ones = np.ones(len(cut), np.int64)
        if not self.counts:
            return 0 * ones
        at_a_time = ceil_div(reduce(np.multiply, cut.tiles[:PIXEL]), self.device.array.write.arrays)
        return self._written(cut, np.maximum(at_a_time, 2), ones)

    def _written(self, cut: Tilings, repeats: Numbers, arrays: Numbers) -> Numbers:
        """Time to write `arrays` arrays, `repeats` times [fs]."""
        ones = np.ones(len(cut), np.int64)
        once = (ones,) * len(TILE_AXES)
        tile = mappings_of(self.workload, self.device, cut, self._single(ones), once, 0 * ones, ones)
        return exact_product(
            repeats, ceil_div(arrays, self.device.array.write.arrays), array_write_time(tile, self.device)
        )

    def _moved(self, cut: Tilings, passes: Any, stationary: Numbers, fills: Numbers) -> Numbers:
        """Time of the busiest port of all levels, with the bytes shared evenly among the instances of a level [fs].

        For a port of one direction the pipeline's fill is added `fills` times, without the cycles that transfers hide:
        those before the first read, or those of the write-back. One cycle of a product is never hidden. A shared port
        may hide the whole fill.
        """
        busiest, pipeline = 0 * stationary, self.device.pipeline
        cycles = pipeline.fill + 1 - max(1, pipeline.before, pipeline.write_back)
        fill = exact_product(fills, 0 * fills + cycles * self.device.array.read.femtoseconds)
        for level in range(-1, len(self.device.levels)):
            into, out = self._transfers(level, cut, passes, stationary)
            busiest = larger(busiest, larger(into, out) + fill)
            if level >= 0 and self.device.levels[level].shared_port:
                busiest = larger(busiest, into + out)
        return busiest

    def _transfers(self, level: int, cut: Tilings, passes: Any, stationary: Numbers) -> tuple[Numbers, Numbers]:
        """Time of inputs, and of outputs, through a port of a level in all passes, shared evenly by its instances [fs].

        An input vector goes to as many instances as its column tiles need, and a sum leaves as many instances as its
        row tiles need; in every pass again, unless inputs are stationary (A5, A6, A34).
        """
        port: Device | Level = self.device.levels[level] if level >= 0 else self.device
        instances = prod(each.count for each in self.device.levels[: level + 1])
        inside = self.device.arrays // instances
        values, results, vectors, groups = extents(cut, self.workload)
        again = 1 + (1 - stationary) * (passes[COLUMN] - 1)
        back = 1 + (1 - stationary) * 2 * (passes[ROW] - 1)
        columns, rows = (ceil_div(ceil_div(cut.tiles[axis], passes[axis]), inside) for axis in (COLUMN, ROW))
        inputs = vectors, columns, again, values, groups * self.workload.input_bits
        outputs = vectors, rows, back, results, groups * sum_bits(self.workload)
        return (
            _port_time(port.input_bandwidth, exact_product(*inputs), instances),
            _port_time(port.output_bandwidth, exact_product(*outputs), instances),
        )

    def _piped(self, cut: Tilings, passes: Any, steps: Numbers, arrays: Numbers) -> Numbers:
        """Lower bound [fs] with stationary weights: all products of an array, and the ends of the first and last step.

        The first instance of the outermost level is the fullest: in one step it has at least the average number of
        tiles. All inputs of a step arrive before its last lane multiplies, and all results of a step leave after its
        first lane has multiplied (`cyclecast.timing`). `steps` is the least number of steps; the most follows from
        `arrays`.
        """
        ones, level = np.ones(len(cut), np.int64), self.device.levels[0]
        several = reduce(np.multiply, passes)
        group, row, column = (ceil_div(cut.tiles[axis], passes[axis]) for axis in range(PIXEL))
        most = ceil_div(cut.tiles[PIXEL], np.maximum(arrays // (group * row * column), 1))
        vectors = group * (cut.tiles[PIXEL] // most)
        values, results, _, groups = extents(cut, self.workload)
        inputs = exact_product(ceil_div(vectors * row, level.count), values, groups * self.workload.input_bits)
        outputs = exact_product(ceil_div(vectors * column, level.count), results, groups * sum_bits(self.workload))
        into = several * _port_time(level.input_bandwidth, inputs // (cut.tiles[ROW] * cut.tiles[GROUP]), 1)
        out = several * _port_time(level.output_bandwidth, outputs // (cut.tiles[COLUMN] * cut.tiles[GROUP]), 1)
        tile = mappings_of(
            self.workload, self.device, cut, self._single(ones), (*(ones,) * PIXEL, steps), 0 * ones, ones
        )
        one = Pass(tile, self.device, PassKind(1, 1, steps, steps, 1))
        tail = several * (one.early if one.first_out is not None and one.first_out <= 0 else 0)
        before = several * one.before
        computing = exact_product(several, steps, one.product * ones) + several * one.conversion()
        return computing + larger(larger(before, into) + tail, before + larger(out, tail))

    def _single(self, ones: Numbers) -> list[tuple[Numbers, ...]]:
        """Factors of 1 at every level: one array."""
        return [(ones,) * len(TILE_AXES)] * len(self.device.levels)

    def alone(
        self, device: Device, cut: Tilings, passes: Any, stationary: Numbers, steps: Numbers, arrays: Numbers
    ) -> Numbers:
        """Lower bound [fs] for any timing model that keeps the laws: one array alone, with these passes and steps.

        `arrays` is the number of arrays in use, which a model may count, for example in the writing.
        """
        if self.many is None:
            temporal = np.stack([*passes, steps]).T.tolist()
            places = range(len(cut))
            found = [self._share(device, cut, place, temporal[place], bool(stationary[place])) for place in places]
            return np.array(found, dtype=object)
        totals = []
        for first in range(0, len(cut), AT_ONCE):
            some = slice(first, first + AT_ONCE)
            ones = np.ones(len(steps[some]), np.int64)
            factors = [numbers[some] for numbers in (*passes, steps)]
            relaxed = mappings_of(self.workload, device, cut[some], self._single(ones), factors, stationary[some], ones)
            relaxed = relaxed.using(arrays[some])
            answer = asked_many(self.many, relaxed, device)
            total = answer.total if isinstance(answer, Timings) else 0 * ones  # no time, no bound
            refused = answer.refused if isinstance(answer, Timings) else None
            totals.append(total if refused is None else np.where(refused, 0, total))
        return np.concatenate(totals) if totals else np.zeros(0, np.int64)

    def _share(self, device: Device, cut: Tilings, place: int, temporal: list[int], stationary: bool) -> int:
        """Time of one array's share of the work [fs]: full tiles, but size 1 for the last of several along an axis."""
        whole = self.workload
        tile = [int(sizes[place]) for sizes in (cut.packed, cut.word_lines, cut.filters)]
        extents = [size if count == 1 else size * (count - 1) + 1 for size, count in zip(tile, temporal, strict=False)]
        kinds = zip((Kind.GROUP, Kind.REDUCTION, Kind.FILTER, Kind.PIXEL), (*extents, temporal[PIXEL]), strict=True)
        axes = tuple(Axis(kind.value, extent, kind) for kind, extent in kinds)
        workload = Workload(whole.name, axes, whole.input_bits, whole.weight_bits)
        levels = tuple(LevelFactors(level.name, Factors()) for level in device.levels)
        several = stationary and temporal[PIXEL] > 1 and max(temporal[:PIXEL]) > 1
        factors = Factors(*temporal)
        mapping = Mapping(workload, tile[1], tile[2], levels, factors, packed=tile[0], input_stationary=several)
        return self.ask(mapping, device)


def extents(cut: Tilings, workload: Workload) -> Iterator[Numbers]:
    """The extents of the workload with the windows of `cut`: values, results and vectors of a group, groups."""
    ones = np.ones(len(cut), np.int64)
    once = ManyFactors(ones, ones, ones, ones)
    form = Mappings(workload, ones, ones, (), once, packed=ones, window=cut.window, input_stationary=0 * ones)
    yield form.values * ones
    yield form.results * ones
    yield form.vectors * ones
    yield workload.groups * ones


def _port_time(port: Bandwidth | None, bits: Numbers, instances: int) -> Numbers:
    """Time of `bits` through the ports of all instances, shared evenly in whole bytes [fs]; 0 without a limit."""
    if port is None:
        return np.zeros(len(bits), np.int64)
    moved, ratio = ceil_div(bits, 8 * instances), reduced(10**15, port.bytes_per_second)
    return port_time(port, exact(moved, ratio[0] * ratio[1], 4 * greatest(moved) * ratio[0] / ratio[1]))
