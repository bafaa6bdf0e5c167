"""Searches on devices that nobody would build: they end in time, and say how good the answer is at least."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from random import Random

import pytest

from cyclecast.device import Device
from cyclecast.errors import FitError
from cyclecast.network import Workload
from cyclecast.search import Exhaustive, Problem, Watch, begin, conclude, follow
from cyclecast.search._laws import Sample
from cyclecast.timing import Analytical
from placed import conv, dense

COUNTS = [1, 2, 3, 5, 7, 12, 13, 37, 64, 100, 168, 300]
LIMITS = ["1 kB/s", "10.24 MB/s", "37 MB/s", "1 GB/s", "1000 GB/s"]


LAYERS = [conv(16, 3, 16, 3), conv(14, 64, 64, 3), conv(4, 128, 128, 3), conv(5, 300, 77, 1), conv(1, 512, 1000, 1)]


def odd_device(seed: int) -> Device:
    """A device of the library with other counts, and ports that are far too narrow or shared."""
    random = Random(seed)
    base = Device.load(random.choice(["isaac", "isaac", "tiny", "yan2022", "isaac_ou"]))
    said: dict[str, object] = {}
    for level in base.levels:
        if random.random() < 0.6:
            said[f"levels.{level.name}.count"] = random.choice(COUNTS)
        for port in ("input_bandwidth", "output_bandwidth", "merge_bandwidth"):
            if random.random() < 0.35:
                said[f"levels.{level.name}.{port}"] = random.choice(LIMITS)
        said[f"levels.{level.name}.shared_port"] = random.random() < 0.2
        said[f"levels.{level.name}.merge_hop"] = random.choice(["0 ns", "0 ns", "20 ns", "300 ns"])
    for port in ("input_bandwidth", "output_bandwidth"):
        if random.random() < 0.3:
            said[port] = random.choice(LIMITS)
    said["array.write.pulse"] = random.choice(["0 ns", "1 ns", "1 ms"])
    said["array.write.during_inference"] = random.random() < 0.6
    said["array.write.arrays"] = random.choice([1, 3, 1000])
    said["pipeline.fill"] = random.choice([0, 6, 50])
    return base.vary_all(said)


def ends_in_time(device: Device, layer: Workload, seconds: float) -> None:
    workload = replace(layer, input_bits=device.bits.activation, weight_bits=device.bits.weight)
    begun = time.monotonic()
    problem = Problem(
        workload=workload, device=device, model=Analytical(), trials=64, seed=0, watch=Watch(seconds=seconds)
    )
    try:
        search = begin(Exhaustive(), problem)
    except FitError:  # which is an answer too
        return
    for _ in follow(search, problem):
        pass
    outcome = conclude(search, problem)
    assert time.monotonic() - begun < seconds + 10  # other processes take time as well
    assert outcome.certificate is not None
    assert outcome.certificate.lower <= outcome.certificate.best
    assert outcome.certificate.gap is not None
    if not problem.watch.stopped and outcome.strategy == "exhaustive":
        assert (outcome.note, outcome.certificate.gap) == ("", 0)


@pytest.mark.parametrize("seed", range(5))
def test_a_search_on_an_odd_device_ends_in_time_with_a_stated_gap(seed: int) -> None:
    for layer in LAYERS:
        ends_in_time(odd_device(seed), layer, 0.4)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(50))
def test_so_does_each_of_fifty(seed: int) -> None:
    for layer in LAYERS:
        ends_in_time(odd_device(seed), layer, 5)


def keeps_the_laws(workload: Workload, device: Device, seed: int) -> None:
    of = replace(workload, input_bits=device.bits.activation, weight_bits=device.bits.weight)
    with suppress(FitError):
        assert Sample(of, device, Analytical(), seed).breach() is None


def test_replicas_that_have_no_pixel_left_do_not_wait() -> None:
    """Stationary inputs, one vector in the last step: another row tile in a lane seemed to save its inputs."""
    ports = {"pe.input_bandwidth": "1782864425 B/s", "cu.output_bandwidth": "39047687749 B/s"}
    said = ports | {
        "array.input_bandwidth": "647967789 B/s",
        "pe.merge_hop": "300 ns",
        "pe.count": 10,
        "array.count": 11,
    }
    device = Device.load("isaac").vary_all({f"levels.{field}": value for field, value in said.items()})
    keeps_the_laws(conv(9, 3, 17, 3), device, 1)


@pytest.mark.parametrize("seed", range(5))
def test_the_closed_form_keeps_the_laws_of_a_search(seed: int) -> None:
    keeps_the_laws(LAYERS[seed], odd_device(seed), seed)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(5, 60))
def test_so_it_does_on_many_odd_devices(seed: int) -> None:
    for layer in (*LAYERS, conv(9, 3, 17, 3), dense(130, 50)):
        keeps_the_laws(layer, odd_device(seed), seed)


def test_weights_that_are_larger_than_the_chip_are_proven_soon() -> None:
    """1.3 times the arrays of the chip: the search gave up after 34 s with a gap of 56 %."""
    problem = Problem(
        workload=conv(56, 3072, 3072, 3), device=Device.load("isaac"), model=Analytical(), trials=1, seed=0
    )
    search = begin(Exhaustive(), problem)
    begun = time.process_time()
    for _ in follow(search, problem):
        pass
    assert time.process_time() - begun < 20
    certificate = search.outcome().certificate
    assert certificate is not None
    assert certificate.gap == 0
    assert certificate.best.femtoseconds <= 5_034_886_312_500
