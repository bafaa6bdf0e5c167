"""Output of `cyclecast device check` for wrong or doubtful files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import networks
from cyclecast.cli import app
from cyclecast.device import Device


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_check_says_what_is_hardly_meant(tmp_path: Path) -> None:
    path = tmp_path / "odd.yaml"
    path.write_text(Device.load("tiny").vary_all({"array.read": "1 fs", "bits.activation": 1}).to_yaml())
    lines = run("device", "check", path).stdout.splitlines()
    assert lines[0].startswith("tiny is possible, but doubtful: ")
    numbers = {line.strip(): number for number, line in enumerate(path.read_text().splitlines(), 1)}
    expected = [f"{path}:{numbers['activation: 1']}: bits.activation", f"{path}:{numbers['read: 1 fs']}: array.read"]
    assert [line.rpartition(": ")[0] for line in lines[2:]] == [f"doubt: {where}" for where in expected]
    doubted = json.loads(run("device", "check", path, "--json").stdout)["doubts"]
    assert [text.rpartition(": ")[0] for text in doubted] == expected
    refused = run("estimate", "any.onnx", "--device", path)
    assert "bits.activation: 1 bit, networks are quantised to 2 to 16 bits; try 2" in refused.stderr


DOUBTED = {"array.read": "1 fs", "levels.pe.buffer": "0 B", "levels.cu.components.adc.energy": "0 fJ"}
IN_THE_FILE = [
    ("levels.pe.buffer", "buffer: 0 B"),
    ("levels.cu.components.adc.energy", "energy: 0 aJ"),
    ("array.read", "read: 1 fs"),
]
"""Fields and their lines, in order."""


@pytest.mark.tvm
def test_every_verb_that_reads_a_device_tells_doubts_once(tmp_path: Path) -> None:
    path, out = tmp_path / "odd.yaml", tmp_path / "out"
    path.write_text(Device.load("isaac").vary_all(DOUBTED).to_yaml())
    model = networks.tiny_cnn(tmp_path / "tiny.onnx")
    commands: list[tuple[Path, list[object]]] = [
        (path, ["tune", model, "--device", path, "--out", out, "--trials", 2, "--strategy", "random"]),
        (path, ["estimate", model, "--device", path, "--json"]),
        (out / "device.yaml", ["place", out]),
        (out / "device.yaml", ["report", out, "--json"]),
        (out / "device.yaml", ["compile", out, "--out", tmp_path / "c"]),
        (out / "device.yaml", ["vectors", out, "--workload", "dense", "--out", tmp_path / "vectors", "--json"]),
        (out / "device.yaml", ["trace", out, "--out", tmp_path / "run.trace"]),
    ]
    for file, words in commands:
        done = run(*words)
        assert done.exit_code == 0, done.output
        told = [line for line in done.stderr.splitlines() if line.startswith("doubt: ")]
        if "--json" in words:
            assert told == []
            told = [f"doubt: {doubt}" for doubt in json.loads(done.stdout)["doubts"]]
        else:
            assert "doubt" not in done.stdout
        assert [written_line(file, line) for line in told] == IN_THE_FILE


def written_line(file: Path, told: str) -> tuple[str, str]:
    """The field that a line on a doubt names, and what the file has on the line that it names."""
    _, where, field, _ = told.split(": ", 3)
    name, _, number = where.rpartition(":")
    assert name == str(file)
    return field, file.read_text().splitlines()[int(number) - 1].strip()


def test_check_tells_all_mistakes(tmp_path: Path) -> None:
    path = tmp_path / "mistaken.yaml"
    text = Device.load("tiny").to_yaml()
    path.write_text(text.replace("cell_bits: 2", "cell_bits: 0").replace("read: 10 ns", "reed: 10 ns"))
    result = run("device", "check", path)
    assert result.exit_code == 2
    first, second = result.stderr.splitlines()
    assert first.startswith(f"error: {path}:20: array.cell_bits: 0, ")
    assert second.startswith(f"error: {path}:27: array.reed: no such field, ")
    said = json.loads(run("device", "check", path, "--json").stdout)["error"]
    assert said["kind"] == "MistakesError"
    assert [each["demand"] for each in said["mistakes"]] == ["0", "no such field"] == [said["demand"], "no such field"]
