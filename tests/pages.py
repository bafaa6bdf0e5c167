"""The blocks and commands of a page of documentation."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

LEFT_OUT = "..."
"""What a page shows in place of lines of output."""


def blocks(text: str) -> list[tuple[str, str]]:
    """The language and the lines of every fenced block, in order."""
    return re.findall(r"```(\w+)\n(.*?)```", text, flags=re.DOTALL)


def commands(console: str) -> list[tuple[str, list[str]]]:
    """Every command line, and the lines of output that the page shows for it."""
    found: list[tuple[str, list[str]]] = []
    for line in console.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif line.strip() and line != LEFT_OUT:
            found[-1][1].append(line.rstrip())
    return found


def check_output(command: str, shown: list[str], folder: Path) -> None:
    """Run a command: it prints every line that the page shows, and fails only where one says so."""
    ours = [sys.executable, "-m", "cyclecast.cli", *shlex.split(command)[1:]]
    arguments = ours if command.startswith("cyclecast ") else ["bash", "-c", command]
    done = subprocess.run(arguments, cwd=folder, capture_output=True, text=True)
    printed = [line.rstrip() for line in (done.stdout + done.stderr).splitlines()]
    missing = [line for line in shown if line not in printed]
    assert not missing, f"{missing} of {printed}"
    failed = {code for word, code in (("error:", 2), ("departs:", 3)) if any(line.startswith(word) for line in shown)}
    assert {done.returncode} == (failed or {0})
