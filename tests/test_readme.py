"""Every command and every block of Python of README.md runs, and prints what it says there."""

from __future__ import annotations

import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pages import blocks, check_output, commands
from text_direction import INPUT, line_of_text, model_file

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
pytestmark = [pytest.mark.tvm, pytest.mark.slow]


COMMANDS = commands("\n".join(block for language, block in blocks(README) if language == "console"))


def without_last_digits(line: str) -> str:
    """A line of output without what float arithmetic may change from one processor to another."""
    line = re.sub(r"(cosine \d\.\d{2})\d*", r"\1", line.rstrip())
    return re.sub(r"maximum error \S+ of \S+,", "maximum error", line)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the page's commands find where `make demo` has run."""
    path = tmp_path_factory.mktemp("readme")
    (path / "demo-out").mkdir()
    for place in (path, path / "demo-out"):
        shutil.copy(model_file(), place / "text_direction.onnx")
    np.savez(path / "demo-out" / "line.npz", **{INPUT: line_of_text()})
    lines = [line_of_text(text, flipped) for text in ("cyclecast", "line 42") for flipped in (False, True)]
    np.savez(path / "lines.npz", **{INPUT: np.stack(lines)})  # type: ignore[arg-type] # as above
    return path


def test_the_two_commands_exist() -> None:
    make = [command for command, _ in COMMANDS if command.startswith("make ")]
    assert make == ["make demo", "make test"]
    for command in make:
        assert subprocess.run([*shlex.split(command), "--dry-run"], cwd=ROOT, capture_output=True).returncode == 0


def test_the_demo_runs_the_commands_of_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], logging_left_as_it_was: None
) -> None:
    shown = [command for command, _ in COMMANDS if "demo-out" in command]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["demo.py"])
    runpy.run_path(str(ROOT / "examples" / "demo.py"), run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    assert [line[2:] for line in lines if line.startswith("$ ")] == shown
    printed = [without_last_digits(line) for line in lines]
    for line in [line for command, lines in COMMANDS if "demo-out" in command for line in lines]:
        assert without_last_digits(line) in printed


@pytest.mark.parametrize(
    ("command", "shown"),
    [pair for pair in COMMANDS if pair[0].startswith("cyclecast ") and "demo-out" not in pair[0]],
)
def test_a_command_prints_what_the_page_says(command: str, shown: list[str], folder: Path) -> None:
    check_output(command, shown, folder)


def test_the_python_block_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    (block,) = [block for language, block in blocks(README) if language == "python"]
    values = {"image": line_of_text(upside_down=True)}
    exec(block, values)
    assert values["scores"].argmax() == 1
    assert (folder / "module.so").is_file()
    assert len([line for line in block.splitlines() if line.strip()]) == 10
