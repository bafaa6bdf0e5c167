"""Mutants of good files end in an answer or in mistakes that are named: no traceback, no signal, no long wait."""

from __future__ import annotations

from collections import Counter
from importlib.resources import files
from pathlib import Path

import pytest

import fuzzing
from cyclecast.device import Device, library
from cyclecast.errors import DeviceError
from cyclecast.report import device_info, device_text
from fuzzing import Format, Outcome


def devices() -> list[bytes]:
    """The library's files."""
    return [(files("cyclecast.device") / "library" / f"{name}.yaml").read_bytes() for name in library()]


DEVICES = Format(
    name="device",
    suffix=".yaml",
    originals=devices,
    mutators=[
        *(fuzzing.change_bytes, fuzzing.cut, fuzzing.repeat),
        *[fuzzing.yaml_value, fuzzing.yaml_key, fuzzing.yaml_lines] * 2,
    ],
    command=lambda path: ["device", "check", str(path)],
)
FORMATS = [DEVICES]


def written(folder: Path, form: Format, position: int, content: bytes) -> Path:
    path = folder / f"{position}{form.suffix}"
    path.write_bytes(content)
    return path


def complain(form: Format, position: int, outcome: Outcome) -> None:
    assert not list(outcome.complaints()), f"mutant {position} of {form.name}"


def read(path: Path) -> str:
    """What a program in Python makes of a device file."""
    try:
        device = Device.load(path)
    except DeviceError as error:
        return str(error)
    assert device == Device.from_json(device.to_json())
    return device_text(device_info(device))


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_good_files_are_read(form: Format, tmp_path: Path) -> None:
    for position, content in enumerate(form.originals()):
        outcome = fuzzing.run_here(form.command(written(tmp_path, form, position, content)))
        assert (outcome.code, list(outcome.complaints())) == (0, [])


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_mutants_end_well(form: Format, tmp_path: Path) -> None:
    for position, content in enumerate(fuzzing.mutants(form, 0, 20)):
        complain(form, position, fuzzing.run_here(form.command(written(tmp_path, form, position, content))))


@pytest.mark.long
@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_mutants_end_well_on_the_command_line(form: Format, tmp_path: Path) -> None:
    codes: Counter[int] = Counter()
    for position, content in enumerate(fuzzing.mutants(form, 1, 200)):
        outcome = fuzzing.run_apart(form.command(written(tmp_path, form, position, content)))
        complain(form, position, outcome)
        codes[outcome.code] += 1
    assert min(codes[0], codes[2]) > 10  # mutants that are all refused, or none, look for nothing


@pytest.mark.long
def test_mutants_of_devices_end_well_in_python(tmp_path: Path) -> None:
    for position, content in enumerate(fuzzing.mutants(DEVICES, 2, 5000)):
        said = read(written(tmp_path, DEVICES, position, content))
        assert said.replace("\n", "").isprintable(), f"mutant {position}"
