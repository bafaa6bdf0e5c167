"""The commands of CONTRIBUTING.md run, save those that install or test everything."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from pages import blocks, commands

ROOT = Path(__file__).parents[1]
ELSEWHERE = ("make setup", "make check")
COMMANDS = [
    command
    for language, block in blocks((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    if language == "console"
    for command, _ in commands(block)
]


def test_there_are_some() -> None:
    assert len(COMMANDS) > len(ELSEWHERE)


@pytest.mark.tvm
@pytest.mark.slow
@pytest.mark.parametrize("command", [command for command in COMMANDS if command not in ELSEWHERE])
def test_a_command_runs(command: str) -> None:
    program, *words = shlex.split(command)
    module = ["-m", "cyclecast.cli"] if program.endswith("cyclecast") else []
    subprocess.run([sys.executable, *module, *words], cwd=ROOT, check=True, capture_output=True)
