"""Many mappings in one call (`Analytical.times`), against one after another."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cyclecast.device import Device
from cyclecast.errors import MappingError
from cyclecast.mapping import Mapping, Mappings
from cyclecast.mapspace import grant
from cyclecast.timing import Analytical
from strategies import decisions, matrix_vector, sketched_mappings

TINY = Device.load("tiny")


@given(sketched_mappings(), st.data())
def test_many_mappings_are_each_timed_as_alone(drawn: tuple[Mapping, Device], data: st.DataObject) -> None:
    one, device = drawn
    asked = data.draw(st.lists(decisions(device, one.workload), max_size=4))
    few = [one, *(grant(one.workload, device, each) for each in asked)]
    many = Mappings.of(few)
    assert [many[position] for position in range(len(many))] == few
    found = Analytical().times(many, device)
    alone = [Analytical().time(mapping, device) for mapping in few]
    assert [int(time) for time in found.total] == [timing.total.femtoseconds for timing in alone]
    assert [int(cycles) for cycles in found.cycles] == [timing.cycles for timing in alone]
    phases = [{phase.name: phase.time.femtoseconds for phase in timing.phases} for timing in alone]
    for name, times in found.phases.items():
        assert [int(time) for time in times] == [time_of[name] for time_of in phases]


def test_times_beyond_64_bits_are_exact() -> None:
    """A third of a year for each pulse: 9 s in femtoseconds is about the most that 64 bits hold."""
    device = TINY.vary_all({"array.write.pulse": "10000000 s", "levels.pe.input_bandwidth": "1000003 B/s"})
    mapping = grant(matrix_vector(1000, 50, pixels=7), device, {})
    found = Analytical().times(Mappings.of([mapping, mapping]), device)
    assert found.total.dtype == object
    assert list(found.total) == 2 * [Analytical().time(mapping, device).total.femtoseconds]
    assert Analytical().times(Mappings.of([mapping]), TINY).total.dtype == np.int64


def test_one_order_of_passes_does_not_hide_how_long_another_takes() -> None:
    """Stationary inputs come in once; the same inputs for every column pass take more than 64 bits of femtoseconds."""
    device = TINY.vary_all({"levels.pe.input_bandwidth": "1 kB/s", "levels.pe.output_bandwidth": None})
    device = device.vary_all({"array.write.pulse": "0 fs", "array.write.verify": "0 fs"})
    workload = matrix_vector(8, 10**6, pixels=1000)
    asked = {f"{level.name}.{axis}": 1 for level in device.levels for axis in ("column", "pixel")}
    few = [grant(workload, device, asked | {"input_stationary": order}) for order in (0, 1)]
    assert [mapping.input_stationary for mapping in few] == [False, True]
    expected = [Analytical().time(mapping, device).total.femtoseconds for mapping in few]
    assert list(Analytical().times(Mappings.of(few), device).total) == expected


def test_mappings_of_one_workload_only() -> None:
    with pytest.raises(MappingError, match="several workloads"):
        Mappings.of([grant(matrix_vector(8, 2), TINY, {}), grant(matrix_vector(8, 1), TINY, {})])
