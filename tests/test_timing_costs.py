from __future__ import annotations

from collections import Counter
from itertools import product
from math import ceil, prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cyclecast.device import Device, Encoding
from cyclecast.mapping import Factors, LevelFactors, Mapping, Mappings, TileAxis
from cyclecast.mapspace import grant
from cyclecast.network import Axis, Kind, Workload
from cyclecast.timing import (
    Analytical,
    events,
    input_bytes,
    output_bytes,
    partial_sum_bits,
    product_time,
    used_columns,
    used_rows,
)
from cyclecast.timing._converters import steps
from cyclecast.timing._costs import events_from_json, merge_latency, write_time
from cyclecast.units import Time
from strategies import decisions, devices, matrix_vector, sketched_mappings, workloads

TINY = Device.load("tiny")
ALONE = tuple(LevelFactors(level.name, Factors()) for level in TINY.levels)


def cut(extent: int, size: int) -> list[int]:
    """The sizes of the tiles of an axis."""
    return [min(size, extent - first) for first in range(0, extent, size)]


def phases(used: int, most: int, at_once: int, device: Device) -> int:
    return ceil((used if device.array.skips_unused else most) / at_once)


@given(devices(), st.data())
def test_events_are_those_of_every_tile_and_pixel(device: Device, data: st.DataObject) -> None:
    workload = data.draw(workloads(bits=device.bits, largest=4))
    mapping = grant(workload, device, data.draw(decisions(device, workload)))
    array = device.array
    counted: Counter[str] = Counter()
    tiles = product(
        cut(workload.groups, mapping.packed),
        cut(mapping.values, mapping.word_lines),
        cut(mapping.results, mapping.filters),
    )
    for groups, values, filters in tiles:
        rows = groups * values * array.rows_per_weight
        columns = groups * filters * device.columns_per_weight
        row_phases = phases(rows, array.rows, array.active_rows, device)
        column_phases = phases(columns, array.cols, array.active_cols, device)
        counted["products"] += 1
        counted["conversions"] += row_phases * (columns if array.skips_unused else array.cols) * device.input_steps
        counted["row_drives"] += rows * column_phases * device.input_steps
        counted["cell_reads"] += rows * columns * device.input_steps
    found = events(mapping, device)
    for name in ("products", "conversions", "row_drives", "cell_reads"):
        assert getattr(found, name) == counted[name] * mapping.vectors, name
    cells = workload.weights * array.rows_per_weight * device.columns_per_weight
    assert found.macs == workload.macs
    assert found.cells == cells * mapping.replicas * prod(mapping.window)
    assert found.cell_writes == (found.cells * mapping.turns if mapping.passes > 1 else 0)


@given(sketched_mappings())
def test_bytes_are_those_of_every_instance_and_pass(drawn: tuple[Mapping, Device]) -> None:
    """Tiles fill the instances of a level one after another, and then the next pass."""
    mapping, device = drawn
    workload = mapping.workload
    for level, moved in enumerate(events(mapping, device).moved, -1):
        axes: tuple[TileAxis, TileAxis] = ("row", "column")
        instances = {axis: ceil(mapping.tiles(axis) / mapping.inside(level, axis)) for axis in axes}  # over all passes
        at_once = {
            axis: min(instances[axis], prod(entry.factors.along(axis) for entry in mapping.levels[: level + 1]))
            for axis in axes
        }
        copies = at_once["column"] if mapping.input_stationary else instances["column"]
        read_back = 0 if mapping.input_stationary else instances["row"] - at_once["row"]
        inputs = mapping.vectors * workload.groups * copies * mapping.values * workload.input_bits
        sums = workload.groups * workload.pixels * workload.filters * partial_sum_bits(mapping)
        left = at_once["row"] if mapping.input_stationary else instances["row"]
        assert moved.inputs == ceil(inputs / 8)
        assert moved.outputs == ceil(sums * (left + read_back) / 8)
        if level >= 0:
            outside = ceil(mapping.tiles("row") / mapping.inside(level - 1, "row"))
            assert moved.merged == ceil(sums * (instances["row"] - outside) / 8)


@given(sketched_mappings())
def test_a_level_moves_at_most_as_much_as_its_busiest_instance_times_all(drawn: tuple[Mapping, Device]) -> None:
    mapping, device = drawn
    for level, moved in enumerate(events(mapping, device).moved, -1):
        instances = prod(entry.factors.product for entry in mapping.levels[: level + 1])
        assert moved.inputs <= instances * input_bytes(mapping, level)
        assert moved.outputs <= instances * output_bytes(mapping, level)


def test_a_resident_workload_holds_every_weight_once() -> None:
    mapping = grant(matrix_vector(16, 4), TINY, {"array.pixel": 1})
    found = events(mapping, TINY)
    assert mapping.replicas == 1
    assert found.cells == mapping.workload.weights * TINY.slices
    assert found.cell_writes == 0


@given(sketched_mappings())
def test_events_survive_json(drawn: tuple[Mapping, Device]) -> None:
    found = events(*drawn)
    assert events_from_json(found.to_json()) == found


@given(devices(), st.data())
def test_many_at_once_are_each_as_alone(device: Device, data: st.DataObject) -> None:
    one, _ = data.draw(sketched_mappings(device))
    asked = data.draw(st.lists(decisions(device, one.workload), max_size=3))
    few = [one, *(grant(one.workload, device, each) for each in asked)]
    found = events(Mappings.of(few).unlimited(), device)
    for position, mapping in enumerate(few):
        alone = events(mapping, device)
        for name in ("macs", "products", "conversions", "row_drives", "cell_reads", "cells", "cell_writes"):
            assert np.broadcast_to(getattr(found, name), len(few))[position] == getattr(alone, name)
        for many, moved in zip(found.moved, alone.moved, strict=True):
            assert [np.broadcast_to(entry, len(few))[position] for entry in many[1:]] == list(moved[1:])


def test_packed_groups_share_a_product() -> None:
    """Depthwise: 6 groups of 2 values and 1 filter; two groups lie on the diagonal of an array of 8 x 8 cells."""
    workload = matrix_vector(2, 1, pixels=10, groups=6)
    apart = Mapping(workload, 2, 1, ALONE, Factors(group=6, pixel=10))
    packed = Mapping(workload, 2, 1, ALONE, Factors(group=3, pixel=10), packed=2)
    assert (used_rows(packed, TINY), used_columns(packed, TINY)) == (4, 8)
    assert product_time(packed, TINY) == product_time(apart, TINY)  # as many reads for twice the work
    assert events(packed, TINY).products == events(apart, TINY).products // 2
    assert events(packed, TINY).conversions == events(apart, TINY).conversions
    assert events(packed, TINY).macs == events(apart, TINY).macs
    assert events(packed, TINY).cell_reads == 2 * events(apart, TINY).cell_reads  # the empty blocks are read too


def test_operation_units_take_turns_along_rows_and_columns() -> None:
    device = TINY.vary_all({"array.active_rows": 3, "array.active_cols": 5})
    mapping = grant(matrix_vector(8, 2), device, {})
    assert Time(product_time(mapping, device)) == 8 * 3 * 2 * Time.parse("10 ns")


def test_lines_without_weights_are_read_where_they_cannot_be_skipped() -> None:
    device = TINY.vary_all({"array.active_rows": 2, "array.active_cols": 4, "array.skips_unused": False})
    mapping = grant(matrix_vector(1, 1), device, {})
    assert Time(product_time(mapping, device)) == 8 * 4 * 2 * Time.parse("10 ns")
    assert events(mapping, device).conversions == 8 * 4 * 8


def test_pulses_and_a_residue_converter() -> None:
    """5 magnitude bits as 3 and 2: 7 and 3 pulses; 8 bits converted, then 5."""
    device = TINY.vary_all(
        {
            "bits.activation": 6,
            "array.inputs": "sign_magnitude",
            "array.dac_bits": 3,
            "array.input_pulse": "20 ns",
            "array.adc_bits": 8,
            "array.adc_bit_serial": True,
            "array.adc_residue": True,
            "array.adc_rate": "1 GHz",
            "array.adcs": 8,
            "array.adc_overlap": False,
        }
    )
    assert [step.conversion_steps for step in steps(device)] == [8, 5]
    mapping = grant(matrix_vector(8, 2, bits=6), device.vary("bits.weight", 6), {})
    assert Time(product_time(mapping, device)) == Time.parse(f"{10 + 7 * 20 + 8 + 10 + 3 * 20 + 5} ns")


@pytest.mark.parametrize(
    ("encoding", "filters", "values"),
    [(Encoding.OFFSET, 2, 8), (Encoding.DIFFERENTIAL_COLUMNS, 1, 8), (Encoding.DIFFERENTIAL_ROWS, 2, 4)],
)
def test_what_an_encoding_leaves_of_an_array(encoding: Encoding, filters: int, values: int) -> None:
    device = TINY.vary("array.encoding", encoding)
    assert (device.filters_per_array, device.word_lines_per_array) == (filters, values)


def test_partial_sums_climb_a_tree() -> None:
    """5 row tiles in 5 PEs: 3 hops, and three vectors of sums into the root for each pixel."""
    device = TINY.vary_all({"levels.pe.count": 5, "levels.pe.merge_bandwidth": "1 GB/s", "levels.pe.merge_hop": "7 ns"})
    workload = Workload("tree", (Axis("k", 40, Kind.REDUCTION), Axis("f", 2, Kind.FILTER), Axis("p", 9, Kind.PIXEL)))
    levels = (LevelFactors("pe", Factors(row=5)), *ALONE[1:])
    mapping = Mapping(workload, 8, 2, levels, Factors(pixel=9))
    bits = 8 + 8 + 6
    assert Time(merge_latency(mapping, device)) == Time.parse("21 ns")
    merge = next(phase.time for phase in Analytical().time(mapping, device).phases if phase.name == "merge")
    assert merge == ceil(9 * 2 * 3 * bits / 8) * Time.parse("1 ns")
    assert [moved.merged for moved in events(mapping, device).moved] == [0, ceil(9 * 2 * 4 * bits / 8), 0, 0]


def test_writing_takes_turns_only_where_weights_follow_one_another() -> None:
    workload = matrix_vector(8, 2, groups=3)
    one = Mapping(workload, 8, 2, ALONE, Factors(group=3))
    two_at_once = (LevelFactors("pe", Factors(group=2)), *ALONE[1:])
    assert Time(write_time(one, TINY)) == 3 * Time.parse("320 ns")  # 3 passes x 8 word lines x 2 pulses x 20 ns
    assert 3 * write_time(Mapping(workload, 8, 2, two_at_once, Factors(group=2)), TINY) == 2 * write_time(one, TINY)
    assert write_time(Mapping(matrix_vector(8, 2), 8, 2, ALONE, Factors()), TINY) == 0
