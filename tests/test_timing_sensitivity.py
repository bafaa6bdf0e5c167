"""Which better field would save time on the same mapping."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given

from cyclecast.device import Device
from cyclecast.mapping import Mapping
from cyclecast.mapspace import default_mapping, grant
from cyclecast.timing import Analytical, Fixed, Poster, improvements, sensitivity
from cyclecast.units import Time
from strategies import mappings, matrix_vector, unlimited

TINY = Device.load("tiny")
FREE = unlimited(TINY)
"""Without ports, so that nothing but arrays and the pipeline takes time."""
ALL_OF_TINY = default_mapping(matrix_vector(8, 2, pixels=80), TINY)
"""Ten steps of eight reads of 10 ns on every array, and 6 cycles: 860 ns; 320 bytes into a PE, 190 out."""


def saved(mapping: Mapping, device: Device) -> dict[str, tuple[str, str, str]]:
    return {
        gain.field: (gain.before, gain.after, str(gain.saved)) for gain in sensitivity(mapping, device, Analytical())
    }


def test_reads_and_input_steps_by_hand() -> None:
    assert saved(ALL_OF_TINY, FREE) == {
        "array.dac_bits": ("1", "2", "400 ns"),  # four input steps instead of eight, and the fill
        "array.read": ("10 ns", "9 ns", "86 ns"),
        "pipeline.fill": ("6", "5", "10 ns"),
    }


def test_the_one_that_saves_most_for_a_tenth_comes_first() -> None:
    gains = sensitivity(ALL_OF_TINY, FREE, Analytical())
    assert [(gain.field, int(gain.saved_by_a_tenth)) for gain in gains] == [
        ("array.read", 86 * 10**6),
        ("array.dac_bits", 40 * 10**6),  # a tenth of what twice the bits save
        ("pipeline.fill", 6 * 10**6),  # from 6 to 5 cycles is a sixth
    ]
    assert all(gain.time + gain.saved == Time.parse("860 ns") for gain in gains)


def test_converters_by_hand() -> None:
    slow = FREE.vary_all({"array.adc_rate": "400 MS/s", "array.adc_overlap": False})  # 8 columns in 20 ns, after 10 ns
    assert saved(ALL_OF_TINY, slow) == {
        "array.dac_bits": ("1", "2", "1.2 us"),
        "array.adcs": ("1", "2", "800 ns"),
        "array.adc_overlap": ("false", "true", "800 ns"),
        "array.adc_rate": ("400 MHz", "440 MHz", "145.45448 ns"),
        "array.read": ("10 ns", "9 ns", "86 ns"),
        "pipeline.fill": ("6", "5", "10 ns"),
    }


def test_ports_by_hand() -> None:
    narrow = TINY.vary_all(
        {
            "array.read": "1 ns",
            "array.adc_rate": "10 GS/s",
            "levels.pe.input_bandwidth": "100 MB/s",
            "levels.pe.output_bandwidth": "10 GB/s",
            "levels.pe.shared_port": True,
        }
    )
    # 320 bytes in, 3.2 us, and 190 of 19-bit sums out, 19 ns; apart, only the last product (8 ns), its five cycles and
    # its sums follow the inputs: 13 ns
    found = saved(ALL_OF_TINY, narrow)
    assert found["levels.pe.input_bandwidth"] == ("100 MB/s", "110 MB/s", "290.90909 ns")
    assert found["levels.pe.shared_port"] == ("true", "false", "6 ns")
    assert set(found) == {
        "levels.pe.input_bandwidth",
        "levels.pe.output_bandwidth",
        "levels.pe.shared_port",
    }


def test_writing_by_hand() -> None:
    found = saved(default_mapping(matrix_vector(64, 4), TINY), TINY)
    # two passes of eight arrays, two at a time, of eight word lines, two pulses of 20 ns
    assert found["array.write.arrays"] == ("2", "3", "640 ns")
    assert found["array.write.rows"] == ("1", "2", "1.28 us")
    assert found["array.write.pulses"] == ("2", "1", "1.28 us")
    assert found["array.write.pulse"] == ("10 ns", "9 ns", "128 ns")
    assert "array.write.cols" not in found  # all eight at once already


def test_what_a_device_does_not_state_is_left_out() -> None:
    fields = {field for field, _, _ in improvements(TINY)}
    assert {"levels.pe.input_bandwidth", "levels.pe.output_bandwidth"} <= fields
    assert not fields & {"input_bandwidth", "levels.cu.input_bandwidth", "levels.pe.merge_bandwidth"}
    assert not fields & {"array.input_pulse", "array.active_rows", "array.adc_overlap", "levels.pe.shared_port"}


def test_a_count_goes_no_further_than_the_array() -> None:
    nearly = TINY.vary_all({"array.active_rows": 7, "array.adcs": 7})
    assert {("array.active_rows", 7, 8), ("array.adcs", 7, 8)} <= set(improvements(nearly))


def test_a_digital_array_gains_from_no_converter() -> None:
    said: dict[str, Any] = FREE.to_json()
    said["array"] = {name: value for name, value in said["array"].items() if not name.startswith("adc")}
    digital = Device.from_json(said | {"array": said["array"] | {"digital": True}})
    assert set(saved(ALL_OF_TINY, digital)) == {"array.dac_bits", "array.read", "pipeline.fill"}


def test_other_models_are_asked_as_they_are() -> None:
    assert [gain.field for gain in sensitivity(ALL_OF_TINY, TINY, Fixed(3))] == ["array.read"]
    assert {gain.field for gain in sensitivity(ALL_OF_TINY, TINY, Poster())} == {
        "array.dac_bits",
        "array.read",
        "pipeline.fill",
    }


@given(mappings())
def test_no_better_device_is_slower(drawn: tuple[Mapping, Device]) -> None:
    """But for bits of a step, which may be pulses, and bit lines read at once, which may share ADCs less evenly."""
    mapping, device = drawn
    now = Analytical().time(mapping, device).total
    for field, _, after in improvements(device):
        if field in ("array.dac_bits", "array.active_cols") or (device.array.digital and field.startswith("array.adc")):
            continue
        if field == "pipeline.fill" and isinstance(after, int) and after < device.pipeline.before:
            continue
        assert Analytical().time(mapping, device.vary(field, after)).total <= now


@given(mappings())
def test_gains_are_gains(drawn: tuple[Mapping, Device]) -> None:
    mapping, device = drawn
    now = Analytical().time(mapping, device).total
    gains = sensitivity(mapping, device, Analytical())
    assert list(gains) == sorted(gains, key=lambda gain: (-gain.saved_by_a_tenth, gain.field))
    for gain in gains:
        assert gain.saved > Time(0)
        assert gain.time + gain.saved == now
        assert gain.before != gain.after


@pytest.mark.parametrize("name", Device.library())
def test_every_field_has_one_value_that_is_better(name: str) -> None:
    fields = [field for field, _, _ in improvements(Device.load(name))]
    assert {"array.read", "array.dac_bits"} <= set(fields)
    assert len(fields) == len(set(fields))


def test_isaac_is_explained_in_no_time() -> None:
    isaac = Device.load("isaac")
    mapping = grant(matrix_vector(1152, 256, pixels=784), isaac, {})
    start = time.process_time()
    for _ in range(10):
        sensitivity(mapping, isaac, Analytical())
    assert (time.process_time() - start) / 10 < 0.1  # 0.02 s where nothing else runs
