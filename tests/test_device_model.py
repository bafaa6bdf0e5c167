from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from cyclecast.device import Array, Component, Device, Level, doubts, load_doubted
from cyclecast.errors import DeviceError, MistakesError
from cyclecast.units import Area, Power, Time
from strategies import arrays, devices

ISAAC = Device.load("isaac")
ISAAC16 = Device.load("isaac16")
TINY = Device.load("tiny")


@pytest.mark.parametrize(
    ("device", "slices", "input_steps", "filters_per_array", "count", "adc_bits"),
    [(ISAAC, 4, 8, 32, 16128, 8), (ISAAC16, 8, 16, 16, 16128, 8), (TINY, 4, 8, 2, 8, 4)],
)
def test_what_follows_from_the_numbers(
    device: Device, slices: int, input_steps: int, filters_per_array: int, count: int, adc_bits: int
) -> None:
    assert slices == device.slices
    assert input_steps == device.input_steps
    assert filters_per_array == device.filters_per_array
    assert count == device.arrays
    assert adc_bits == device.array.lossless_adc_bits


def test_isaac_takes_22_cycles_for_a_16_bit_input() -> None:
    assert ISAAC16.input_steps + ISAAC16.pipeline.fill == 22  # Shafiee et al., Fig. 4b


def test_isaac_holds_63_mebibytes() -> None:
    cells = ISAAC16.arrays * ISAAC16.array.rows * ISAAC16.array.cols
    assert cells * ISAAC16.array.cell_bits // 8 == 63 * 2**20


@pytest.mark.parametrize(("saves", "expected"), [(False, 9), (True, 8)])
def test_flipped_columns_save_one_adc_bit(saves: bool, expected: int) -> None:
    assert expected == ISAAC.vary("array.adc_saves_bit", saves).array.lossless_adc_bits  # Shafiee et al., section V


@given(arrays())
def test_lossless_adc_holds_the_largest_sum(array: Array) -> None:
    bits = array.lossless_adc_bits - array.signed_sums
    assert array.largest_sum < 2**bits
    assert array.largest_sum >= 2 ** (bits - 1) or array.lossless_adc_bits == 1


@given(arrays(), st.integers(1, 300))
def test_fewer_word_lines_need_no_more_bits_and_no_fewer_than_their_sum(array: Array, rows: int) -> None:
    bits, fewer = array.exact_adc_bits(rows), array.model_copy(update={"active_rows": min(rows, array.active_rows)})
    assert bits == fewer.lossless_adc_bits <= array.lossless_adc_bits
    assert array.is_exact == (array.digital or array.adc_bits >= array.exact_adc_bits(array.rows))


@pytest.mark.parametrize("rows", [2, 16, 128])
@pytest.mark.parametrize("dac_bits", [1, 2, 4])
@pytest.mark.parametrize("cell_bits", [1, 2, 4])
def test_lossless_adc_as_in_isaac(rows: int, dac_bits: int, cell_bits: int) -> None:
    # Shafiee et al., section V: log2(rows) + v + w, one less where v or w is 1.
    array = ISAAC.vary_all(
        {
            "array.active_rows": rows,
            "array.dac_bits": dac_bits,
            "array.cell_bits": cell_bits,
            "array.adc_saves_bit": False,
        }
    ).array
    formula = rows.bit_length() - 1 + dac_bits + cell_bits - (dac_bits == 1 or cell_bits == 1)
    assert array.lossless_adc_bits == formula


def test_all_rows_are_active_unless_said() -> None:
    said: dict[str, Any] = ISAAC.to_json()
    del said["array"]["active_rows"]
    device = Device.from_json(said)
    assert device.array.active_rows == 128
    assert device.vary("array.rows", 64).array.active_rows == 64
    assert device == ISAAC
    assert device.digest == ISAAC.digest


def test_vary_changes_one_field_and_leaves_the_device() -> None:
    one = ISAAC.vary("levels.pe.count", 1)
    assert (one.arrays, ISAAC.arrays) == (96, 16128)
    assert one.vary("levels.pe.count", 168) == ISAAC


def test_a_component_is_one_part_of_one_instance_unless_said() -> None:
    said = TINY.to_json() | {"components": [{"name": "link", "power": "1 mW", "area": "1 mm2"}]}
    device = Device.from_json(said)
    assert device.components == (Component(name="link", power=Power.parse("1 mW"), area=Area.parse("1 mm2")),)
    assert (device.components[0].count, device.components[0].per) == (1, 1)
    assert TINY.components == TINY.levels[0].components == ()


def test_vary_changes_a_component() -> None:
    varied = ISAAC.vary("levels.cu.components.adc.power", "8 mW")
    assert varied.levels[1].components[0].power == Power.parse("8 mW")
    assert varied.vary("levels.cu.components.adc.power", "16 mW") == ISAAC


@pytest.mark.parametrize("value", ["50 ns", Time.parse("50 ns")])
def test_vary_takes_texts_and_quantities(value: object) -> None:
    assert Time.parse("50 ns") == ISAAC.vary("array.read", value).array.read


def test_vary_all_checks_only_the_result() -> None:
    half = {"array.rows": 64, "array.active_rows": 64}
    assert ISAAC.vary_all(half).array.rows == 64
    with pytest.raises(DeviceError, match="active_rows: 128, the array has 64 rows"):
        ISAAC.vary("array.rows", 64)


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("array.adc_bit", 7, "array.adc_bit: no such field, there are .*; try 'adc_bits'"),
        ("arrya.adc_bits", 7, "arrya: no such field, .*; try 'array'"),
        ("array.foo", 7, "array.foo: no such field, .*; try one of these"),
        ("levels.p.count", 1, "levels.p.count: no level 'p', there are pe, cu, array; try 'pe'"),
        ("levels.pe", 1, "levels.pe: a whole level, one field at a time; try 'levels.pe.count'"),
        ("name.x", 1, "name.x: no such field, name is a single value; try 'name'"),
        ("array.active_rows", 129, "array.active_rows: 129, the array has 128 rows; try active_rows: 128"),
        ("array.adcs", 129, "array.adcs: 129, the array has 128 cols; try adcs: 128"),
        ("array.cols", 3, "array.cell_bits: a 8-bit weight needs 4 columns, the array has 3 cols; try more cell_bits"),
        ("array.read", "0 ns", "array.read: 0 fs, a read takes time; try '100 ns'"),
        ("array.read", 100, r"array.read: a value without a unit \(int\) cannot be read, .*; try '100 ns'"),
        ("array.read", "100 xs", "array.read: '100 xs' cannot be read, .* one of fs, ps, .*; try '100 ns'"),
        ("array.write.pulse", {"a": 1}, r"array.write.pulse: a value without a unit \(dict\) cannot be read, .*"),
        ("array.rows", 0, r"array.rows: 0, it must be greater than or equal to 1 \(Word lines; .*\); try 1"),
        ("array.rows", 10**7, "array.rows: 10000000, it must be less than or equal to 1000000 .*; try 1000000"),
        pytest.param("array.rows", 10**5000, "array.rows: a number of thousands of digits, .*; try 1000000", id="huge"),
        ("array.rows", True, "array.rows: True, it must be a valid integer .*; try a whole number without a point"),
        ("array.rows", 128.0, "array.rows: 128.0, it must be a valid integer .*"),
        ("array.rows", "128", "array.rows: '128', it must be a valid integer .*"),
        ("array.adc_overlap", 1, "array.adc_overlap: 1, it must be a valid boolean .*; try true or false"),
        ("levels.cu.name", "pe", "levels.1.name: 'pe' again, level names differ; try another name"),
        ("levels.cu.name", "P E", r"levels.1.name: 'P E', it must match pattern .*"),
        ("levels", [], r"levels: \[\], it must have at least 1 item .*"),
        ("levels", 3, "levels: 3, it must be a valid tuple .*; try a list, .*"),
        ("bits", 3, "bits: 3, it must be a valid dictionary .*; try fields, .*"),
        (
            "levels.cu.components.acd.power",
            "1 mW",
            "levels.cu.components.acd.power: no component 'acd', there are adc, .*; try 'dac'",
        ),
        (
            "levels.array.components.adc.power",
            "1 mW",
            "levels.array.components.adc.power: no component 'adc', .* none$",
        ),
        ("levels.cu.components.adc", 1, "levels.cu.components.adc: a whole component, one field at a time; try .*"),
        ("levels.cu.components.adc.name", "dac", "levels.1.components.1.name: 'dac' again, component names differ; .*"),
        (
            "levels.cu.components.adc.power",
            16,
            r"levels.1.components.0.power: a value without a unit \(int\) .*'16 mW'",
        ),
        ("levels.cu.components.adc.area", "1 mm", "levels.1.components.0.area: '1 mm' cannot be read, .* um2, mm2; .*"),
        ("levels.cu.components.adc.per", 0, "levels.1.components.0.per: 0, it must be greater than or equal to 1 .*"),
        ("components.hyper_transport.watts", 1, "components.0.watts: no such field, there are name, count, power, .*"),
        ("components", 3, "components: 3, it must be a valid tuple .*; try a list, .*"),
        ("format", 2, "format: 2, it must be .*"),
        ("format", True, "format: True, it must be .*"),
        ("cites", "", "cites: '', it must match pattern .*"),
        ("cites", "two\nlines", r"cites: 'two\\nlines', it must match pattern .*"),
    ],
)
def test_errors_name_field_demand_bound_and_lever(field: str, value: object, expected: str) -> None:
    with pytest.raises(DeviceError, match=f"^{expected}"):
        ISAAC.vary(field, value)


def test_a_missing_field_is_explained() -> None:
    said: dict[str, Any] = ISAAC.to_json()
    del said["array"]["adc_bits"]
    with pytest.raises(
        DeviceError, match=r"^array.adc_bits: missing, Resolution of the ADC; try adding 'adc_bits:', or digital: true$"
    ):
        Device.from_json(said)


@given(devices())
def test_json_round_trip(device: Device) -> None:
    again = Device.from_json(json.loads(json.dumps(device.to_json())))
    assert device == again
    assert hash(device) == hash(again)
    assert device.digest == again.digest


@given(devices(), devices())
def test_equal_devices_have_equal_digests_and_no_others(one: Device, other: Device) -> None:
    assert (one == other) == (one.digest == other.digest)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "b"),
        ("array.adc_saves_bit", False),
        ("pipeline.fill", 7),
        ("levels.cu.input_bandwidth", "1 B/s"),
        ("levels.cu.components.adc.power", "1 mW"),
        ("components.hyper_transport.area", "1 mm2"),
    ],
)
def test_every_field_counts_in_the_digest(field: str, value: Any) -> None:
    assert ISAAC.digest != ISAAC.vary(field, value).digest


def test_equal_numbers_in_other_units_have_equal_digests() -> None:
    assert ISAAC.digest == ISAAC.vary("array.read", "0.1 us").digest


def test_devices_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        ISAAC.name = "other"


def test_schema_describes_every_field() -> None:
    schema = json.loads(Device.schema_text())
    models = [schema, *schema["$defs"].values()]
    described = [field.get("description") for model in models for field in model.get("properties", {}).values()]
    assert len(described) > 30
    assert None not in described


@pytest.mark.parametrize("name", Device.library())
def test_schema_accepts_the_library(name: str) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.validate(Device.load(name).to_json(), json.loads(Device.schema_text()))


def test_positional_typos_in_python_are_refused() -> None:
    with pytest.raises(ValidationError, match="Extra inputs"):
        Level(name="pe", count=1, bandwith="1 B/s")  # type: ignore[call-arg]


def test_no_level_is_called_time() -> None:
    """Lowered loops are named LEVEL.AXIS and time.AXIS."""
    with pytest.raises(DeviceError, match="'time', schedules use this name for steps"):
        TINY.vary("levels.pe.name", "time")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"levels.pe.count": 10**6, "levels.cu.count": 10**6}, "levels.1.count: 1,000,000,000,000 instances .*"),
        ({"levels.array.count": 10**6}, "levels.2.count: 2,016,000,000 instances .* at most 1,000,000,000 arrays"),
        ({"array.rows": 10**6, "array.cols": 10**6}, "array.rows: 16,128,000,000,000,000 cells on the device, .*"),
        ({"array.read": f"1{'0' * 80} s"}, "array.read: 10+ s, at most 1000000000 s is possible"),
        ({"array.write.pulse": "1000000001 s"}, "array.write.pulse: 1000000001 s, at most 1000000000 s .*"),
        ({"array.adc_rate": "1 mHz"}, "array.adc_rate: 1 mHz, at least 1 Hz is possible; try '1 Hz'"),
        ({"levels.cu.components.adc.energy": f"1{'0' * 60} J"}, "levels.1.components.0.energy: 10+ J, at most 1 J .*"),
        ({"levels.cu.components.adc.power": "2000000 kW"}, "levels.1.components.0.power: 2000000 kW, at most .*"),
        ({"levels.pe.input_bandwidth": f"1{'0' * 60} TB/s"}, "levels.0.input_bandwidth: .*, at most 1000000 TB/s .*"),
        ({"levels.pe.buffer": f"1{'0' * 60} TiB"}, "levels.0.buffer: .*, at most 1024 TiB .*"),
        ({"host.operations": "1 mHz"}, "host.operations: 1 mHz, at least 1 Hz .*"),
        ({"levels": {"name": "pe", "count": 1}}, "levels: .*, it must be a valid tuple"),
        ({"array": [1], "components": {"a": 1}}, "array: .*, it must be a valid dictionary"),
        ({"bits.weight": 17}, "bits.weight: 17, it must be less than or equal to 16 .*; try 16"),
    ],
)  # fmt: skip
def test_devices_that_cannot_be(changes: dict[str, object], expected: str) -> None:
    with pytest.raises(DeviceError, match=f"^{expected}"):
        ISAAC.vary_all(changes)


def test_vary_tells_all_mistakes() -> None:
    with pytest.raises(MistakesError) as caught:
        ISAAC.vary_all({"array.adcs": 129, "bits.weight": 0, "array.active_rows": 1000})
    assert [error.where for error in caught.value.mistakes] == ["bits.weight", "array.active_rows", "array.adcs"]


@pytest.mark.parametrize("name", Device.library())
def test_nobody_doubts_the_library(name: str) -> None:
    assert not list(doubts(Device.load(name)))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"array.read": "1 fs"}, ["array.read"]),
        ({"array.read": "2 s"}, ["array.read"]),
        ({"array.adc_rate": "1 Hz"}, ["array.adc_rate"]),
        ({"array.cell_bits": 9}, ["array.cell_bits"]),
        ({"array.cell_bits": 8, "array.encoding": "differential_columns"}, ["array.cell_bits"]),
        ({"array.dac_bits": 9}, ["array.dac_bits"]),
        ({"array.dac_bits": 8, "array.inputs": "sign_magnitude"}, ["array.dac_bits"]),
        ({"array.write.pulse": "2 s"}, ["array.write.pulse"]),
        ({"levels.cu.components.adc.energy": "0 fJ"}, ["levels.cu.components.adc.energy"]),
        ({"levels.cu.components.adc.energy": "1 J"}, ["levels.cu.components.adc.energy"]),
        ({"levels.cu.components.adc.power": "0 W"}, ["levels.cu.components.adc.power"]),
        ({"levels.pe.buffer": "0 B"}, ["levels.pe.buffer"]),
        ({"levels.pe.merge_hop": "2 s"}, ["levels.pe.merge_hop"]),
        ({"network.hop": "2 s", "network.bandwidth": "1 B/s"}, ["network.bandwidth", "network.hop"]),
        ({"host.operations": "1 Hz", "host.bandwidth": "1 B/s"}, ["host.operations", "host.bandwidth"]),
        ({"levels.pe.count": 10**6}, ["levels"]),
        ({"input_bandwidth": "1 B/s", "bits.activation": 1}, ["bits.activation", "input_bandwidth"]),
    ],
)
def test_doubts(changes: dict[str, object], expected: list[str]) -> None:
    device = ISAAC.vary_all(changes)
    assert [doubt.field for doubt in doubts(device)] == expected


def test_doubts_name_the_line_or_that_of_the_innermost_part_that_has_one(tmp_path: Path) -> None:
    path = tmp_path / "odd.yaml"
    changes = {"array.write.pulse": "2 s", "levels.pe.count": 10**6, "bits.activation": 1, "array.read": "2 s"}
    text = ISAAC.vary_all(changes).to_yaml()
    path.write_text(text)
    device, found = load_doubted(path)
    lines = text.splitlines()
    said = {doubt.field: lines[int(doubt.where.rpartition(":")[2]) - 1].strip() for doubt in found}
    assert [doubt.field for doubt in found] == ["bits.activation", "levels", "array.read", "array.write.pulse"]
    assert said["levels"] == "levels:"
    assert (said["array.read"], said["array.write.pulse"]) == ("read: 2 s", "pulse: 2 s")
    assert sorted(map(str, doubts(device))) == sorted(f"{doubt.field}: {doubt.why}" for doubt in found)


@given(devices(), st.data())
def test_one_mistake_hides_no_other(device: Device, data: st.DataObject) -> None:
    """Any two fields replaced by nonsense are both named, whatever rules they would break."""
    said = json.loads(json.dumps(device.to_json()))
    places = [
        ("bits",),
        ("array", "rows"),
        ("array", "read"),
        ("array", "write", "pulses"),
        ("pipeline", "fill"),
        ("name",),
    ]
    chosen = data.draw(st.lists(st.sampled_from(places), min_size=2, max_size=2, unique=True))
    for *parents, last in chosen:
        part = said
        for parent in parents:
            part = part[parent]
        part[last] = data.draw(st.sampled_from([-1, None, [], 1.5]))
    with pytest.raises(MistakesError) as caught:
        Device.from_json(said)
    assert {".".join(place) for place in chosen} == {error.where for error in caught.value.mistakes}


@pytest.mark.parametrize(
    "field", ["format", "array.encoding", "levels.cu.components.adc.event", "array", "levels", "host"]
)
def test_deep_values_are_refused(field: str) -> None:
    deep: dict[str, Any] = {}
    for _ in range(3000):
        deep = {"a": deep}
    for value in (deep, 10**5000, b"x", float("nan"), object(), [deep]):
        with pytest.raises(DeviceError):
            ISAAC.vary(field, value)
    with pytest.raises(DeviceError, match="device: "):
        Device.from_json([])  # type: ignore[arg-type]
