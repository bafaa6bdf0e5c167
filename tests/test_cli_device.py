"""What `cyclecast device check` says of files that are mistaken or doubtful."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner, Result

from cyclecast.cli import app
from cyclecast.device import Device


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_check_says_what_is_hardly_meant(tmp_path: Path) -> None:
    path = tmp_path / "odd.yaml"
    path.write_text(Device.load("tiny").vary_all({"array.read": "1 fs", "bits.activation": 1}).to_yaml())
    lines = run("device", "check", path).stdout.splitlines()
    assert lines[0].startswith("tiny is possible, but doubtful: ")
    assert [line.split(": ")[:2] for line in lines[2:]] == [["doubt", "bits.activation"], ["doubt", "array.read"]]
    assert [text.partition(":")[0] for text in json.loads(run("device", "check", path, "--json").stdout)["doubts"]] == [
        "bits.activation",
        "array.read",
    ]
    refused = run("estimate", "any.onnx", "--device", path)
    assert "bits.activation: 1 bit, networks are quantised to 2 to 16 bits; try 2" in refused.stderr


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
