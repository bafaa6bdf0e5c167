"""Kernels of corner sizes compute NumPy's result on the default mapping, and what lowering keeps and refuses.

That kernels of any mapping do so is in test_schedule_form.py.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from cyclecast.device import Device
from cyclecast.errors import ScheduleError
from cyclecast.mapspace import default_mapping, grant
from cyclecast.schedule import as_module, decided_schedule, lower_schedule, lowered, lowered_function
from cyclecast.simulator import Chip
from cyclecast.tvm import lower, running_on
from kernels import Kernel, Window, batch_matmul, conv, dense, depthwise

pytestmark = pytest.mark.tvm

TINY = Device.load("tiny")


def for_bits(kernel: Kernel, device: Device) -> Device:
    """The device, or one with 16-bit weights for kernels that need them."""
    bits = kernel.workload.input_bits
    return device if bits == 8 else device.vary_all({"bits.activation": bits, "bits.weight": bits})


KERNELS = {
    "nothing divides": conv(size=(5, 5), channels=3, filters=7, kernel=(3, 3), window=Window(1, 1)),
    "everything divides": conv(size=(4, 4), channels=8, filters=8, kernel=(1, 1)),
    "one output": conv(size=(3, 3), channels=5, filters=1, kernel=(3, 3)),
    "one input": conv(size=(4, 4), channels=1, filters=3, kernel=(1, 1)),
    "one of everything": conv(size=(1, 1), channels=1, filters=1, kernel=(1, 1)),
    "one channel a group": depthwise(size=(4, 4), channels=5, multiplier=1, kernel=3),
    "one pixel": dense(batch=1, features=37, filters=13),
    "one batch": batch_matmul(batch=1, rows=3, features=9, filters=5),
    "16 bits": dense(batch=2, features=9, filters=5, kind="int16"),
}


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("implementation", ["native", "behaviour"])
def test_corner_sizes_on_the_default_mapping(name: str, implementation: Any) -> None:
    kernel = KERNELS[name]
    device = for_bits(kernel, TINY)
    if device is not TINY and implementation == "behaviour":
        device = device.vary("array.adc_bits", device.array.lossless_adc_bits)
    function = lowered_function(kernel.function, default_mapping(kernel.workload, device), implementation)
    operands = kernel.operands(0)
    with running_on(Chip(device)):
        np.testing.assert_array_equal(kernel.run(function, *operands), kernel.reference(*operands))


def test_a_coarse_converter_is_felt() -> None:
    kernel = KERNELS["nothing divides"]
    coarse = TINY.vary("array.adc_bits", 2)
    operands = kernel.operands(0)
    function = lowered_function(kernel.function, default_mapping(kernel.workload, coarse), "behaviour")
    with running_on(Chip(coarse)):
        assert (kernel.run(function, *operands) != kernel.reference(*operands)).any()


def test_a_behaviour_program_needs_a_chip() -> None:
    kernel = KERNELS["one input"]
    function = lowered_function(kernel.function, default_mapping(kernel.workload, TINY), "behaviour")
    with pytest.raises(Exception, match=re.escape("behaviour program: an array, no chip is connected")):
        kernel.run(function, *kernel.operands(0))


def test_a_lowered_module_keeps_no_decision() -> None:
    kernel = KERNELS["nothing divides"]
    schedule = decided_schedule(kernel.function, TINY, default_mapping(kernel.workload, TINY))
    assert marks(schedule.mod) > {"cim.sketch", "cim.word_lines", "cim.filters"}
    notes = {"cim.workload", "cim.device", "cim.kernel", "cim.implementation"}
    assert marks(lowered(schedule.mod, TINY)) == {"cim.loop"} | notes


def marks(module: Any) -> set[str]:
    return set(re.findall(r'"(cim\.[a-z_.]+)":', module.script()))


def test_lowering_leaves_its_input_alone() -> None:
    kernel = KERNELS["nothing divides"]
    before = kernel.function.script()
    mapping = default_mapping(kernel.workload, TINY)
    schedule = decided_schedule(kernel.function, TINY, mapping)
    decided_text = schedule.mod.script()
    lowered(schedule.mod, TINY)
    lowered_function(kernel.function, mapping)
    assert schedule.mod.script() == decided_text
    assert kernel.function.script() == before


def test_lowering_keeps_attributes() -> None:
    kernel = KERNELS["one input"]
    named = kernel.function.with_attr("global_symbol", "mine").with_attr("note", "kept")
    function = lowered_function(named, default_mapping(kernel.workload, TINY))
    assert (function.attrs["global_symbol"], function.attrs["note"]) == ("mine", "kept")


def test_equal_tiles_share_one_intrinsic_and_lower_alike() -> None:
    kernel = KERNELS["everything divides"]
    mapping = default_mapping(kernel.workload, TINY)
    texts = [as_module(lowered_function(kernel.function, mapping)).script() for _ in range(2)]
    assert texts[0] == texts[1]


def test_a_module_is_lowered_function_by_function() -> None:
    first, second = KERNELS["nothing divides"], KERNELS["one pixel"]
    mapping = default_mapping(first.workload, TINY)
    module = decided_schedule(first.function, TINY, mapping).mod
    module.update_func(module.get_global_var("main"), module["main"].with_attr("note", "kept"))
    module["host"] = second.function.with_attr("global_symbol", "host")
    result = lower(module, TINY)
    assert result["host"].script() == module["host"].script()
    assert result["main"].attrs["note"] == "kept"
    operands = first.operands(1)
    np.testing.assert_array_equal(first.run(result["main"], *operands), first.reference(*operands))


def test_what_is_not_decided_is_not_lowered() -> None:
    with pytest.raises(ScheduleError, match="no block is marked by a sketch rule"):
        lowered(as_module(KERNELS["one pixel"].function), TINY)


def test_an_index_that_cannot_be_simplified_is_an_error() -> None:
    """One channel, multiplied, strided as far as dilated: TVM leaves `channel // 2` in the data's index."""
    kernel = depthwise(size=(5, 5), channels=1, multiplier=2, kernel=2, window=Window(2, 0, 2))
    with pytest.raises(ScheduleError, match="DepthwiseConv2d: an index that varies with too many iterators"):
        lowered_function(kernel.function, default_mapping(kernel.workload, TINY))


@pytest.mark.parametrize("asked", [{"packed": 2}, {"window.i": 2}])
def test_a_schedule_cannot_write_out_a_matrix_in_place(asked: dict[str, int]) -> None:
    kernel = depthwise(size=(4, 4), channels=4, multiplier=1, kernel=2)
    mapping = grant(kernel.workload, TINY, {"word_lines": 4, "filters": 1} | asked)
    schedule = decided_schedule(kernel.function, TINY, mapping)
    with pytest.raises(ScheduleError, match="its matrix must be written out first"):
        lower_schedule(schedule, TINY)
