"""Lower bounds of the time of many mappings at once, asked of the timing model itself.

Two kinds of bounds. The first holds for every timing model that keeps the laws of `TimingModel`: the time of one array
alone, with as many passes and steps (`Relaxation.times`). The second holds for a model that says so
(`counts_transfers`): the arrays are written, then every port takes its bytes, as `cyclecast.timing` counts both, and
the pipeline fills.
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
"""Mappings in a chunk: what bounds memory, and what caches of a processor hold."""
UNLIMITED = Bandwidth(10**30)


class Relaxation:
    """Lower bounds of the mappings of one workload on one device.

    Times are in femtoseconds: arrays of int64, or of Python integers where 64 bits are too few.
    """

    def __init__(
        self, workload: Workload, device: Device, model: TimingModel, ask: Callable[[Mapping, Device], int]
    ) -> None:
        """`ask` gives the time of one mapping [fs], 0 where the model refuses it: for models without `times`."""
        self.workload, self.device, self.model, self.ask = workload, device, model, ask
        able = abilities(model)
        self.many, self.counts = able.many, able.counts_transfers
        self.free = unported(device, UNLIMITED if self.many is None else None)

    def times(self, cut: Tilings, passes: Any, stationary: Numbers, steps: Numbers, arrays: Numbers) -> Numbers:
        """For each tiling: no mapping with as many passes, steps along the pixels and arrays in use is shorter.

        `passes` are those over groups, row tiles and column tiles; `arrays` are those in use in a pass, at least.
        """
        found = self.alone(self.device, cut, passes, stationary, steps, arrays)
        if not self.counts:
            return found
        turns = 1 + stationary * (steps - 1)
        several = reduce(np.multiply, passes)
        written = self._written(cut, turns * several, arrays) * (several > 1)
        moved = self._moved(cut, passes, stationary, turns * several)
        return larger(found, written + larger(moved, (1 - stationary) * self._piped(cut, passes, steps, arrays)))

    def spread(self, cut: Tilings) -> Numbers:
        """For each tiling: no mapping is shorter, whatever its passes.

        The work is spread over all arrays evenly, in one pass. Nothing limits what moves: several passes of few steps
        may move less than one of many steps.
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
        turned = 2 * written + larger(found, self._moved(cut, cut.tiles[:PIXEL], ones, ones))
        return np.where(cut.tiles[PIXEL] > 1, np.minimum(least, turned), least)

    def rewritten(self, cut: Tilings) -> Numbers:
        """For each tiling: writing all its arrays in two passes or more takes at least this; 0 if nothing is known."""
        ones = np.ones(len(cut), np.int64)
        if not self.counts:
            return 0 * ones
        at_a_time = ceil_div(reduce(np.multiply, cut.tiles[:PIXEL]), self.device.array.write.arrays)
        return self._written(cut, np.maximum(at_a_time, 2), ones)

    def _written(self, cut: Tilings, turns: Numbers, arrays: Numbers) -> Numbers:
        """Time to write `arrays` arrays, `turns` times [fs]."""
        ones = np.ones(len(cut), np.int64)
        once = (ones,) * len(TILE_AXES)
        tile = mappings_of(self.workload, self.device, cut, self._single(ones), once, 0 * ones, ones)
        return exact_product(
            turns, ceil_div(arrays, self.device.array.write.arrays), array_write_time(tile, self.device)
        )

    def _moved(self, cut: Tilings, passes: Any, stationary: Numbers, fills: Numbers) -> Numbers:
        """The busiest port of any level, if all bytes were shared evenly among the instances of the level.

        Beside a port that serves one way only, the pipeline is filled so many times; at least a cycle of that is a
        product, which transfers do not hide. What a shared port does may hide the fill.
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
        """Inputs and outputs through one port of a level in all passes, shared evenly among its instances [fs].

        Every input vector goes to as many instances as its column tiles need, and every sum leaves as many instances as
        its row tiles need; in every pass anew, unless inputs are stationary (A5, A6, A34).
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
        """All products of an array, and what its first and last step cannot hide; weights are stationary.

        The first instance of the outermost level is the fullest: in one step it has at least as many tiles as all have
        on average. Before its last lane multiplies, all inputs of a step have come, and after its first lane has, all
        results of a step have to leave (`cyclecast.timing`). `steps` is the least number of steps; `arrays` give the
        most.
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
        """One array."""
        return [(ones,) * len(TILE_AXES)] * len(self.device.levels)

    def alone(
        self, device: Device, cut: Tilings, passes: Any, stationary: Numbers, steps: Numbers, arrays: Numbers
    ) -> Numbers:
        """The same for any timing model that keeps the laws: one array of so many in use, with so many turns."""
        if self.many is None:
            turns = np.stack([*passes, steps]).T.tolist()
            places = range(len(cut))
            found = [self._share(device, cut, place, turns[place], bool(stationary[place])) for place in places]
            return np.array(found, dtype=object)
        totals = []
        for first in range(0, len(cut), AT_ONCE):
            some = slice(first, first + AT_ONCE)
            ones = np.ones(len(steps[some]), np.int64)
            turns = [numbers[some] for numbers in (*passes, steps)]
            relaxed = mappings_of(self.workload, device, cut[some], self._single(ones), turns, stationary[some], ones)
            relaxed = relaxed.using(arrays[some])
            answer = asked_many(self.many, relaxed, device)
            total = answer.total if isinstance(answer, Timings) else 0 * ones  # what is refused bounds nothing
            refused = answer.refused if isinstance(answer, Timings) else None
            totals.append(total if refused is None else np.where(refused, 0, total))
        return np.concatenate(totals) if totals else np.zeros(0, np.int64)

    def _share(self, device: Device, cut: Tilings, place: int, turns: list[int], stationary: bool) -> int:
        """The time of a workload that is one array's share: full tiles, but the last of several along an axis."""
        whole = self.workload
        tile = [int(sizes[place]) for sizes in (cut.packed, cut.word_lines, cut.filters)]
        extents = [size if count == 1 else size * (count - 1) + 1 for size, count in zip(tile, turns, strict=False)]
        kinds = zip((Kind.GROUP, Kind.REDUCTION, Kind.FILTER, Kind.PIXEL), (*extents, turns[PIXEL]), strict=True)
        axes = tuple(Axis(kind.value, extent, kind) for kind, extent in kinds)
        workload = Workload(whole.name, axes, whole.input_bits, whole.weight_bits)
        levels = tuple(LevelFactors(level.name, Factors()) for level in device.levels)
        several = stationary and turns[PIXEL] > 1 and max(turns[:PIXEL]) > 1
        mapping = Mapping(workload, tile[1], tile[2], levels, Factors(*turns), packed=tile[0], input_stationary=several)
        return self.ask(mapping, device)


def extents(cut: Tilings, workload: Workload) -> Iterator[Numbers]:
    """Values and results of one input vector of a group, vectors and groups."""
    ones = np.ones(len(cut), np.int64)
    turns = ManyFactors(ones, ones, ones, ones)
    form = Mappings(workload, ones, ones, (), turns, packed=ones, window=cut.window, input_stationary=0 * ones)
    yield form.values * ones
    yield form.results * ones
    yield form.vectors * ones
    yield workload.groups * ones


def _port_time(port: Bandwidth | None, bits: Numbers, instances: int) -> Numbers:
    """To move so many bits, shared evenly, in whole bytes; no time where the port has no limit."""
    if port is None:
        return np.zeros(len(bits), np.int64)
    moved, ratio = ceil_div(bits, 8 * instances), reduced(10**15, port.bytes_per_second)
    return port_time(port, exact(moved, ratio[0] * ratio[1], 4 * greatest(moved) * ratio[0] / ratio[1]))
