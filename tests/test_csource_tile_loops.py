"""The loops of a mapping as driver calls: the product of two matrices, in the time of the timing model."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings

import strategies
from cyclecast.csource._text import plain
from cyclecast.csource._tile_loops import describe, device_function, level_names, numbered
from cyclecast.device import Device
from cyclecast.mapping import TILE_AXES, Factors, LevelFactors, Mapping
from cyclecast.network import Axis, Kind, Workload
from cyclecast.simulator import REFERENCE, Driver, compile_library, driver_source, load_library, parameters
from cyclecast.timing import Analytical

pytestmark = pytest.mark.tvm

MOST = 200_000
"""Values of the largest matrix that is tried."""
HEAD = '#include "cyclecast_host.h"\n\n{places}\n{function}\n{wrapper}'
PLACE = """static inline cyclecast_place at_{name}({args})
{{
    const cyclecast_place place = {{{depth}, {{{values}}}}};
    return place;
}}
"""
WRAPPER = """cyclecast_status run(cyclecast_device *device, const int8_t *inputs, const int8_t *weights,
    int32_t *results, int32_t *tile, int64_t *sums)
{
    return made_on_device(device, inputs, weights, results, tile, sums);
}
"""


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A folder with the headers, and the reference driver that libraries loaded later find."""
    folder = tmp_path_factory.mktemp("reference")
    for name in (*REFERENCE, "cyclecast_host.h"):
        (folder / name).write_text(driver_source(name), encoding="utf-8")
    compile_library(sorted(folder.glob("*.c")), folder / "reference.so", folder)
    ctypes.CDLL(str(folder / "reference.so"), mode=ctypes.RTLD_GLOBAL)
    return folder, load_library(folder / "reference.so")


def kernel(folder: Path, mapping: Mapping, number: int) -> Any:
    """The device's part of a kernel as a library."""
    names = level_names([entry.level for entry in mapping.levels])
    places = [
        PLACE.format(
            name=name, args=", ".join(f"uint32_t i{n}" for n in range(depth)), depth=depth,
            values=", ".join(f"i{n}" for n in range(depth)),
        )
        for depth, name in enumerate(names, 1)
    ]  # fmt: skip
    function = device_function("made", mapping, ("int8", "int8", "int32"))
    source = folder / f"kernel_{number}.c"
    source.write_text(HEAD.format(places="\n".join(places), function=function, wrapper=WRAPPER), encoding="utf-8")
    compile_library([source], source.with_suffix(".so"), folder, ("-O0",))
    return ctypes.CDLL(str(source.with_suffix(".so")))


@given(strategies.mappings())
@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
def test_any_mapping_multiplies_its_matrices(reference: tuple[Path, Any], drawn: tuple[Mapping, Device]) -> None:
    mapping, device = drawn
    lines, filters = mapping.packed * mapping.word_lines, mapping.packed * mapping.filters
    covered = {axis: int(mapping.spatial(axis) * mapping.temporal.along(axis)) for axis in TILE_AXES}
    shapes = (
        (covered["group"], covered["pixel"], covered["row"] * lines),
        (covered["group"], covered["row"] * lines, covered["column"] * filters),
        (covered["group"], covered["pixel"], covered["column"] * filters),
    )
    assume(max(map(np.prod, shapes)) <= MOST)
    assume(mapping.arrays * mapping.passes * mapping.temporal.pixel <= 20_000)
    bits = device.bits.weight + device.bits.activation + device.array.cell_bits
    assume(bits <= 46 and device.array.cell_bits <= 16)
    random = np.random.default_rng(0)
    narrow = [min(7, limit - 1) for limit in (device.bits.activation, device.bits.weight)]
    x, w = (
        random.integers(-(2**width) + 1, 2**width, shape, endpoint=False).astype(np.int8)
        for width, shape in zip(narrow, shapes[:2], strict=True)
    )
    results, tile, sums = np.ones(shapes[2], np.int32), np.zeros(lines * filters, np.int32), np.zeros(filters, np.int64)
    with Driver.open(parameters(device, fast=True), reference[1]) as driver:
        library = kernel(reference[0], mapping, abs(hash((mapping, device.digest))))
        pointers = [ctypes.c_void_p(array.ctypes.data) for array in (x, w, results, tile, sums)]
        assert library.run(driver.handle, *pointers) == 0, driver.message
        counters = driver.counters
    if device.array.digital or device.array.adc_bits >= device.array.lossless_adc_bits:
        assert np.array_equal(results, x.astype(np.int32) @ w.astype(np.int32))
    phases = {phase.name: int(phase.time.femtoseconds) for phase in Analytical().time(mapping, device).phases}
    assert counters.compute_fs == phases["compute"]
    turns = int(mapping.turns * mapping.passes)
    assert counters.programs == mapping.arrays * turns
    assert counters.products == mapping.arrays * mapping.passes * mapping.temporal.pixel
    if mapping.passes > 1:
        assert counters.write_fs == phases["write"]


def test_levels_may_be_called_like_anything_else_in_the_function(reference: tuple[Path, Any]) -> None:
    """`cu` with several axes has loops called `cu_row` and `cu_pixel`; so are other levels here."""
    names = ("cu", "cu_row", "step", "for", "tile")
    workload = Workload("w", (Axis("k", 4, Kind.REDUCTION), Axis("p", 4, Kind.PIXEL), Axis("n", 2, Kind.FILTER)))
    factors = [Factors(row=2, pixel=2), Factors(row=2), Factors(), Factors(pixel=2), Factors(column=2)]
    levels = tuple(LevelFactors(name, factor) for name, factor in zip(names, factors, strict=True))
    mapping = Mapping(workload, 1, 1, levels, Factors())
    assert kernel(reference[0], mapping, 0) is not None


@pytest.mark.parametrize(
    ("digits", "scale", "text"),
    [
        ([], 1, "0"),
        ([("a", 1)], 1, "0"),
        ([("a", 2)], 1, "a"),
        ([("a", 2), ("b", 1), ("c", 3)], 1, "a * 3 + c"),
        ([("a", 2), ("c", 3)], 4, "a * 12 + c * 4"),
    ],
)
def test_numbers_are_sums_of_products(digits: list[tuple[str, int]], scale: int, text: str) -> None:
    assert numbered(digits, scale) == text


@given(strategies.mappings())
def test_descriptions_are_one_text(drawn: tuple[Mapping, Device]) -> None:
    text = describe(drawn[0])
    assert text.startswith(plain(drawn[0].workload.name))
    assert "\n" not in text
