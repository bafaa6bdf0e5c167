"""Every block of the how-to pages does what the page says: files are written, commands run, Python runs, in order."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import c_projects
from cyclecast.device import Device
from pages import blocks, check_output, commands
from text_direction import INPUT, line_of_text, model_file

DOCS = Path(__file__).parent.parent / "docs"

pytestmark = [pytest.mark.tvm, pytest.mark.slow]


def test_networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(model_file(), tmp_path / "text_direction.onnx")
    lines = [line_of_text(text, flipped) for text in ("cyclecast", "line 42") for flipped in (False, True)]
    np.savez(tmp_path / "lines.npz", **{INPUT: np.stack(lines)})  # type: ignore[arg-type] # NumPy's stub has none
    for language, block in blocks((DOCS / "networks.md").read_text(encoding="utf-8")):
        if language == "python":
            exec(block, {})
        for command, shown in commands(block) if language == "console" else ():
            check_output(command, shown, tmp_path)


def test_the_tutorial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it, save that the environment is there already."""
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    for language, block in blocks((DOCS / "tutorial.md").read_text(encoding="utf-8")):
        if language == "python":
            exec(block, {})
        for command, shown in commands(block) if language == "console" else ():
            if command not in ("make setup", "source .venv/bin/activate"):
                check_output(command, shown, tmp_path)
    assert (tmp_path / "faster" / "report.html").stat().st_size > 10**6


def test_placement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    c_projects.mlperf_tiny("image_classification", tmp_path).rename(tmp_path / "resnet8.tflite")
    for language, block in blocks((DOCS / "placement.md").read_text(encoding="utf-8")):
        for command, shown in commands(block) if language == "console" else ():
            check_output(command, shown, tmp_path)
        if language == "python":
            exec(block, {})
    assert (tmp_path / "report.html").stat().st_size > 10**6


def test_c_for_the_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page's commands run, and the lines of C that it shows are in what they write."""
    c_projects.needs("iverilog", "vvp")
    monkeypatch.chdir(tmp_path)
    c_projects.mlperf_tiny("image_classification", tmp_path).rename(tmp_path / "resnet8.tflite")
    shutil.copytree(DOCS.parent / "examples" / "verilog", tmp_path / "examples" / "verilog")
    shown_in_c: list[str] = []
    for language, block in blocks((DOCS / "c.md").read_text(encoding="utf-8")):
        shown_in_c += block.split("\n") if language == "c" else []
        for command, shown in commands(block) if language == "console" else ():
            check_output(command, shown, tmp_path)
    written = {
        line.strip() for file in (tmp_path / "code").glob("kernel_*.c") for line in file.read_text().splitlines()
    }
    assert shown_in_c
    assert [line for line in shown_in_c if line.strip() and line.strip() not in written] == []


def test_a_device_from_a_paper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page's blocks of YAML, one after another, are the file that its commands read."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(model_file(), tmp_path / "text_direction.onnx")
    written, values, used = "", dict[str, Any](), set[str]()
    for language, block in blocks((DOCS / "howto-device.md").read_text(encoding="utf-8")):
        used.add(language)
        match language:
            case "yaml":
                written += block
                (tmp_path / "chip.yaml").write_text(written, encoding="utf-8")
            case "console":
                for command, shown in commands(block):
                    check_output(command, shown, tmp_path)
            case "python":
                exec(block, values)
    assert used == {"yaml", "console", "python"}
    assert Device.load("chip.yaml") == Device.load("neurram")


def test_for_users_of_byoc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    values: dict[str, Any] = {}
    for language, block in blocks((DOCS / "howto-byoc.md").read_text(encoding="utf-8")):
        assert language == "python"
        exec(block, values)


def test_a_systolic_array(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    values: dict[str, Any] = {}
    for language, block in blocks((DOCS / "howto-systolic.md").read_text(encoding="utf-8")):
        match language:
            case "yaml":
                (tmp_path / "systolic.yaml").write_text(block, encoding="utf-8")
            case "console":
                for command, shown in commands(block):
                    check_output(command, shown, tmp_path)
            case "python":
                exec(block, values)
