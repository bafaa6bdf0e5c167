"""Counted cycles of generated networks: those of the timing models, on every workload of four real networks."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from math import ceil
from pathlib import Path

import numpy as np
import pytest

import c_projects
import networks
from cyclecast.csource import Library
from cyclecast.device import Device
from cyclecast.frontend import load, random_values
from cyclecast.mapping import Mapping
from cyclecast.simulator import Call, Counters, Operation, parameters
from cyclecast.timing import Analytical, Poster, Timing
from cyclecast.workflow.building import generate
from cyclecast.workflow.tuning import Tuned, tune

pytestmark = [pytest.mark.tvm, pytest.mark.slow]

ONE_PE = Device.load("isaac").vary("levels.pe.count", 1)
"""What the poster's formula speaks of."""


def counted(tuned: Tuned, folder: Path) -> dict[str, Counters]:
    """What the driver counts for the first call of every kernel in one run of the network."""
    library = Library(generate(tuned, folder))
    starts: list[tuple[str, Counters]] = []
    with library.open(parameters(tuned.device, fast=True)) as driver:

        def observer(call: Call) -> None:
            if call.operation is Operation.BEGIN:
                starts.append((call.name, driver.counters))

        generator = np.random.default_rng(0)
        tensors = library.generated.inputs
        library.run(driver, [random_values(generator, t.shape, np.dtype(t.kind)) for t in tensors], observer)
        starts.append(("", driver.counters))
    found: dict[str, Counters] = {}
    for (kernel, before), (_, after) in pairwise(starts):
        found.setdefault(kernel, after.since(before))
    return found


def phase(timing: Timing, name: str) -> int:
    return next(int(entry.time.femtoseconds) for entry in timing.phases if entry.name == name)


def poster_applies(mapping: Mapping) -> bool:
    """Whether its one rounding up hides no tile that is partly empty, and one PE's arrays all take their turn."""
    tile = mapping.packed * mapping.word_lines * mapping.filters
    shared = Fraction(mapping.vectors * mapping.workload.groups * mapping.values * mapping.results, tile)
    steps = int(mapping.passes * mapping.temporal.pixel)
    return ceil(shared / 96) == ceil(Fraction(int(mapping.weight_tiles * mapping.vectors), 96)) == steps


def test_cycles_of_the_driver_are_those_of_the_timing_models(tmp_path: Path) -> None:
    seen, by_poster = set(), 0
    for name in c_projects.MLPERF_TINY:
        tuned = tune(load(c_projects.mlperf_tiny(name, tmp_path)), ONE_PE)
        counters = counted(tuned, tmp_path / name)
        for kernel, mapping in tuned.mappings.items():
            compute = counters[kernel].compute_fs
            assert compute == phase(Analytical().time(mapping, ONE_PE), "compute"), mapping.workload.name
            assert counters[kernel].products == mapping.arrays * mapping.passes * mapping.temporal.pixel
            if poster_applies(mapping):
                assert compute == phase(Poster().time(mapping, ONE_PE), "compute"), mapping.workload.name
                by_poster += mapping.workload not in seen
            seen.add(mapping.workload)
    assert len(seen) >= 20
    assert by_poster >= 20


def test_writing_takes_what_the_timing_model_says_where_it_is_part_of_the_run(tmp_path: Path) -> None:
    network = load(networks.tiny_cnn(tmp_path / "tiny.onnx"))
    tuned = tune(network, Device.load("tiny"), trials=8, strategy="random")
    counters = counted(tuned, tmp_path / "c")
    several = {kernel: mapping for kernel, mapping in tuned.mappings.items() if mapping.passes > 1}
    assert several
    for kernel, mapping in several.items():
        assert counters[kernel].write_fs == phase(Analytical().time(mapping, tuned.device), "write")
