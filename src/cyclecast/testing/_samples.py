"""Sample workloads, mappings and kernels for the suites."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

import cyclecast._tvm as _door  # noqa: F401 - first of all, TVM must be one that works

# isort: split
import numpy as np
from tvm import relax

from cyclecast.device import Device
from cyclecast.errors import CyclecastError
from cyclecast.frontend import load
from cyclecast.mapping import Mapping, require_fit
from cyclecast.mapspace import choices, default_mapping, grant
from cyclecast.network import Axis, Kind, Slide, Workload
from cyclecast.schedule import Space, as_module, read
from cyclecast.search import Kernel, Problem
from cyclecast.timing import Analytical

DEVICES = ("tiny", "isaac", "hermes64")
DRAWN = 20
"""Random mappings per workload and device."""


def workloads(device: Device) -> list[Workload]:
    """A dense layer, a convolution and a depthwise convolution, with the bits of the device."""
    bits = device.bits.activation, device.bits.weight
    kernel = [Axis("ky", 3, Kind.REDUCTION), Axis("kx", 3, Kind.REDUCTION)]
    pixels = [Axis("y", 6, Kind.PIXEL), Axis("x", 6, Kind.PIXEL)]
    slides = Slide("y", "ky", 6, 3), Slide("x", "kx", 6, 3)
    conv = (*pixels, Axis("f", 9, Kind.FILTER), Axis("c", 5, Kind.REDUCTION), *kernel)
    return [
        Workload("dense 70 -> 40", (Axis("c", 70, Kind.REDUCTION), Axis("f", 40, Kind.FILTER)), *bits),
        Workload("conv 5 k3 -> 9", conv, *bits, slides),
        Workload("depthwise 6 k3", (Axis("g", 6, Kind.GROUP), *pixels, *kernel), *bits, slides),
    ]


def mappings(devices: Sequence[Device] = ()) -> Iterator[tuple[Device, list[Mapping]]]:
    """Random mappings that fit, for every workload, on these devices or on `DEVICES`."""
    random = Random(0)
    for device in devices or list(map(Device.load, DEVICES)):
        for workload in workloads(device):
            try:
                found = {default_mapping(workload, device): None}
            except CyclecastError:  # the workload does not fit the device
                continue
            for _ in range(DRAWN):
                asked = {name: random.choice(values) for name, values in choices(workload, device).items()}
                mapping = grant(workload, device, asked)
                try:
                    require_fit(mapping, device)
                except CyclecastError:
                    continue
                found[mapping] = None
            yield device, list(found)


def dense_program() -> Any:
    """A Relax program: eight vectors of 70 values times a matrix of 70 x 40."""
    x, builder = relax.Var("x", relax.TensorType((8, 70), "int8")), relax.BlockBuilder()
    with builder.function("main", [x]):
        with builder.dataflow():
            weights = relax.const(np.ones((70, 40), "int8"))
            result = builder.emit_output(relax.op.matmul(x, weights, out_dtype="int32"))
        builder.emit_func_output(result)
    return builder.get()


def problem(device: Device, trials: int) -> Problem:
    """The problem of mapping a dense layer of eight input vectors, with its kernel and the built-in space."""
    network = load(dense_program(), device)
    (member,) = network.members
    kernel = Kernel(as_module(network.program[member.kernel]), Space(device).for_metaschedule(), read)
    return Problem(workload=member.workload, device=device, model=Analytical(), trials=trials, seed=7, kernel=kernel)


def kernel_module(device: Device) -> Any:
    """The module of one kernel before scheduling."""
    kernel = problem(device, 1).kernel
    assert kernel is not None
    return kernel.module
