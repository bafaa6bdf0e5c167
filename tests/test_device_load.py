from __future__ import annotations

import contextlib
import os
import pickle
import re
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cyclecast.device import Device, library
from cyclecast.device._file import parsed
from cyclecast.device._parts import Part
from cyclecast.device._words import ELSEWHERE, advise
from cyclecast.errors import DeviceError, MistakesError
from strategies import devices

TINY = Device.load("tiny").to_yaml()


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "mine.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_library_names() -> None:
    names = ("hermes64", "isaac", "isaac16", "isaac_ou", "jia2020", "neurram", "puma", "tiny", "yan2022")
    assert library() == Device.library() == names


@pytest.mark.parametrize("name", library())
def test_library_devices_load_and_cite(name: str) -> None:
    assert re.fullmatch(r".* et al\., .* \d{4}(, doi:\S+)?( .*)?", Device.load(name).cites)


def test_a_path_loads_as_a_text_or_a_path(tmp_path: Path) -> None:
    path = write(tmp_path, TINY)
    assert Device.load("tiny") == Device.load(path) == Device.load(str(path))


def test_a_byte_order_mark_is_skipped(tmp_path: Path) -> None:
    assert Device.load("tiny") == Device.load(write(tmp_path, b"\xef\xbb\xbf" + TINY.encode()))


@given(devices())
def test_yaml_round_trip(device: Device) -> None:
    assert device == parsed(Device, "random.yaml", device.to_yaml().encode())[0]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("adc_bits: 4", "adc_bit: 4", "22: array.adc_bit: no such field, there are .*; try 'adc_bits'"),
        ("adc_bits: 4", "adc_bits: four", "22: array.adc_bits: 'four', it must be a valid integer .*"),
        ("adc_bits: 4", "adc_bits: 4.0", "22: array.adc_bits: 4.0, it must be a valid integer .*"),
        ("adc_bits: 4", "adc_bits:", "22: array.adc_bits: None, it must be a valid integer .*"),
        ("adc_bits: 4", "adc_bits: 2020-01-01", "22: array.adc_bits: datetime.date.*, it must be .*"),
        ("adc_bits: 4", "adc_bits: 0x" + "f" * 9999, "22: array.adc_bits: a number of thousands of digits, .*; try 32"),
        ("adc_bits: 4", "4: adc_bits", "16: array.adc_bits: missing, .*\n.*:22: array.4: no such field, .*"),
        ("adc_bits: 4", "cols: 4", "22: not YAML, found duplicate key \"cols\" .*; try mending that line"),
        ("adc_bits: 4", "adc_bits: &four 4", "22: an anchor &four, .*; try writing the value out"),
        ("adc_bits: 4", "adc_bits: *four", r"22: an alias \*four, .*; try writing the value out"),
        ("adc_bits: 4", "adc_bits: !!python/name:os.system 4", "22: a tag tag:yaml.org,2002:python/name:os.*"),
        ("adc_bits: 4", "adc_bits: !env 4", "22: a tag !env, .*; try leaving it out"),
        ("adc_bits: 4", "<<: {adc_bits: 4}", "22: a merge key <<, .*; try writing the fields out"),
        ("adc_bits: 4", "\tadc_bits: 4", "22: not YAML, found character .*"),
        ("adc_bits: 4", "adc_bits: [4", "23: not YAML, expected ',' or ']'.*"),
        ("  adc_bits: 4\n", "", "16: array.adc_bits: missing, Resolution of the ADC; .* or digital: true"),
        ("active_rows: 8", "active_rows: 9", "19: array.active_rows: 9, the array has 8 rows; try active_rows: 8"),
        ("read: 10 ns", "read: 10", "27: array.read: a value without a unit .*; try '100 ns'"),
        ("name: cu", "name: pe", "12: levels.1.name: 'pe' again, level names differ; try another name"),
        ("format: 1", "format: 2", "1: format: 2, it must be .*"),
        ("bits:", "---\nbits:", "4: not YAML, but found another document; .*"),
    ],
)  # fmt: skip
def test_errors_name_the_line(old: str, new: str, expected: str, tmp_path: Path) -> None:
    path = write(tmp_path, TINY.replace(old, new, 1))
    with pytest.raises(DeviceError, match=f"^{path}:{expected}$"):
        Device.load(path)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", ":1: empty, a device is fields and values"),
        ("# only a comment\n", ":1: empty, a device is fields and values"),
        ("isaac", ":1: not a set of fields"),
        ("- isaac", ":1: not a set of fields"),
        ("a: 1\n" * 2, ":2: not YAML, found duplicate key"),
        ("a: \0", ":1: not YAML, unacceptable character"),
        ("name: \xe9".encode("latin-1"), ":1: not text, a device file is UTF-8; try saving it as UTF-8"),
        ("name: isaac".encode("utf-16"), ":1: not text, a device file is UTF-8"),
        ("x" * (2**16 + 1), ": too large, a device has at most 65536 bytes"),
        ("[" * 30_000, ":1: more than 8 collections inside one another"),
        ("- " * 30_000, ":1: more than 8 collections inside one another"),
        ("rows: " + "9" * 30_000, ":1: not YAML, Exceeds the limit"),
        ("x" * 30_000 + ": 1", ":1: not YAML"),
        ("a: &a [b]\nb: [*a, *a]", ":1: an anchor &a"),
        ('"' + "x" * 10**4 + '": 1', ":1: not YAML"),
        ("? " + "x" * 10**4 + "\n: 1", ":1: x{40}: no such field"),
        ("? [a]\n: 1", ":1: .*: no such field"),
    ],
    ids=lambda value: repr(value[:20]),
)  # fmt: skip
def test_hostile_files_give_one_short_line(content: str | bytes, expected: str, tmp_path: Path) -> None:
    path = write(tmp_path, content)
    with pytest.raises(DeviceError, match=re.compile(f"^{path}{expected}", re.MULTILINE)) as caught:
        Device.load(path)
    for line in str(caught.value).splitlines():
        assert re.match(f"^{path}:", line)
        assert len(line) < 500 + len(str(path))


@given(st.binary(max_size=200) | st.text("{}[]:,-?&*!|>'\"%@`#ab1 \n\t", max_size=60).map(str.encode))
def test_no_file_raises_anything_else(content: bytes) -> None:
    with pytest.raises(DeviceError):
        parsed(Device, "hostile.yaml", content)[0]


@given(st.data())
def test_no_damaged_device_raises_anything_else(data: st.DataObject) -> None:
    start = data.draw(st.integers(min_value=0, max_value=len(TINY)))
    end = data.draw(st.integers(min_value=start, max_value=min(start + 20, len(TINY))))
    damage = data.draw(st.text("{}[]:,-?&*!|>'\"%@`#ab1 \n\t", max_size=8))
    try:
        device = parsed(Device, "damaged.yaml", f"{TINY[:start]}{damage}{TINY[end:]}".encode())[0]
    except DeviceError:
        return
    assert device == Device.from_json(device.to_json())  # the damage was harmless


def test_an_unknown_name_lists_the_library() -> None:
    listed = "hermes64, isaac, isaac16, isaac_ou, jia2020, neurram, puma, tiny, yan2022"
    expected = f"^device 'isac': no such device in the library, there are {listed}; try 'isaac', or './isac'"
    with pytest.raises(DeviceError, match=expected):
        Device.load("isac")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("missing.yaml", "no such file"),
        (".", "a folder"),
        ("", "no such device"),
        (os.devnull, "no such file"),
        ("\0.yaml", "no such file"),
        ("x" * 5000 + ".yaml", "cannot be read, File name too long"),
    ],
)
def test_what_is_no_file(path: str, expected: str) -> None:
    with pytest.raises(DeviceError, match=expected):
        Device.load(path)


def test_a_file_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, TINY)

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # the tests may run as root, who may read everything
    with pytest.raises(DeviceError, match="cannot be read, Permission denied"):
        Device.load(path)


SLIPS = [
    ("format: 1", "format: 1\ntechnology: 22 nm", "2: technology: not modelled"),
    ("activation: 8", "activation: 17", "6: bits.activation: 17, .* 2 to 16 for networks; .*; try 16"),
    ("input_bandwidth", "input_bandwith", "11: levels.0.input_bandwith: no such field, .*; try 'input_bandwidth'"),
    ("active_rows: 8", "active_rows: 9", "20: array.active_rows: 9, the array has 8 rows"),
    ("adc_bits: 4", "adc_bits: 0", "23: array.adc_bits: 0, .*; try adc_bits: 32 for an ideal ADC, or digital: true .*"),
    ("adc_rate: 1 GHz", "adc_rate: 1 mHz", "25: array.adc_rate: 1 mHz, at least 1 Hz is possible"),
    ("adcs: 1", "adcs: 9", "26: array.adcs: 9, the array has 8 cols"),
    ("read: 10 ns", f"read: 1{'0' * 80} s", f"28: array.read: 1{'0' * 80} s, at most 1000000000 s is possible"),
    ("arrays: 2", "arrays: 2\n    write_noise: 1", "36: array.write.write_noise: not modelled, the behaviour model .*"),
    ("fill: 6", "fill: 6\n  before: 7", "39: pipeline.before: 7, fill is 6 cycles"),
]


def test_all_mistakes_of_a_file_in_its_order(tmp_path: Path) -> None:
    text = TINY
    for old, new, _ in SLIPS:
        assert old in text
        text = text.replace(old, new, 1)
    path = write(tmp_path, text)
    with pytest.raises(MistakesError) as caught:
        Device.load(path)
    lines = str(caught.value).splitlines()
    assert len(lines) == len(caught.value.mistakes) == len(SLIPS)
    for line, (_, _, expected) in zip(lines, SLIPS, strict=True):
        assert re.match(f"{path}:{expected}", line)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


@pytest.mark.parametrize(("old", "new", "expected"), SLIPS, ids=[slip[1][:20] for slip in SLIPS])
def test_each_mistake_alone_is_one(old: str, new: str, expected: str, tmp_path: Path) -> None:
    path = write(tmp_path, TINY.replace(old, new, 1))
    with pytest.raises(DeviceError, match=f"^{path}:[0-9]+:{expected.partition(':')[2]}") as caught:
        Device.load(path)
    assert not isinstance(caught.value, MistakesError)


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("adc_resolution", "no such field, another field has this meaning; try adc_bits"),
        ("columns_per_adc", "no such field, another field has this meaning; try adcs, the converters of one array"),
        ("ADC-bits", "no such field, there are .*; try 'adc_bits'"),
        ("v_read", "not modelled, times, energies and areas are .*"),
        ("r_on", "not modelled, .*"),
        ("ron", "not modelled, .*"),
        ("read_noise", "not modelled, .* ideal .*"),
        ("conductance_drift", "not modelled, .*"),
        ("temperature", "not modelled, .*"),
        ("tech_node", "not modelled, .*"),
        ("leakage_power", "not modelled, .* while its instance is in use, .*"),
        ("stuck_at_faults", "not modelled, .*"),
        ("frobnicate", "no such field, .*; try one of these"),
    ],
)
def test_words_of_the_field_are_answered(key: str, expected: str, tmp_path: Path) -> None:
    path = write(tmp_path, TINY.replace("cell_bits: 2", f"cell_bits: 2\n  {key}: 1"))
    with pytest.raises(DeviceError, match=f"^{path}:21: array.{key}: {expected}$"):
        Device.load(path)


def test_no_advice_is_about_a_field() -> None:
    fields = {name for part in Part.__subclasses__() for name in part.model_fields}
    for meant in ELSEWHERE.values():
        first = meant.partition(",")[0].split(" and ")[0].rpartition(".")[2]
        assert first in fields, meant
    for part in Part.__subclasses__():
        for field in part.model_fields:
            assert advise(f"{field}x", part.model_fields).meant == field  # no word of the field hides a misspelling


def test_a_misspelt_field_is_not_missing_as_well() -> None:
    text = TINY.replace("adc_bits: 4", "adc_bit: 4").replace("cols: 8", "columns: 8", 1).replace("levels:", "level:", 1)
    with pytest.raises(MistakesError) as caught:
        parsed(Device, "mine.yaml", text.encode())[0]
    assert [error.where.partition(": ")[2] for error in caught.value.mistakes] == [
        "level",
        "array.columns",
        "array.adc_bit",
    ]


def test_a_name_of_an_event_is_completed() -> None:
    component = "components: [{name: adc, power: 1 mW, area: 1 mm2, event: conversions}]\n"
    with pytest.raises(DeviceError, match=r"^mine.yaml:1: components.0.event: 'conversions', .*; try 'conversion'$"):
        parsed(Device, "mine.yaml", (component + TINY).encode())[0]


def test_very_many_mistakes_are_counted() -> None:
    text = "".join(f"key{number}: 1\n" for number in range(1000)) + TINY
    with pytest.raises(MistakesError) as caught:
        parsed(Device, "mine.yaml", text.encode())[0]
    assert len(caught.value.mistakes) == 1000
    assert str(caught.value).splitlines()[40:] == ["and 960 mistakes more"]


@pytest.mark.parametrize(
    "text",
    [
        "".join(f"k{number}: 1\n" for number in range(5000)),
        f"a: [{'1,' * 30_000}]\n",
        "- 1\n" * 16_000,
        "# x\n" * 16_000 + TINY,
        TINY + "components:\n" + "- {name: a, power: 1, area: 2}\n" * 500,
        "a\n" * 32_000,
        "? " * 30_000,
        f"a: '{'x ' * 32_000}'",
    ],
    ids=lambda text: repr(text[:12]),
)
def test_the_longest_files_take_little_time(text: str) -> None:
    start = time.process_time()
    with contextlib.suppress(DeviceError):
        parsed(Device, "long.yaml", text.encode())[0]
    assert time.process_time() - start < 5  # a tenth of it on most machines; 1 MiB once took 25 s
