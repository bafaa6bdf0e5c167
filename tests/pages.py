"""Code blocks and commands of a documentation page."""

from __future__ import annotations

import re
import shlex
import subprocess
from contextlib import chdir
from pathlib import Path

from typer.testing import CliRunner

from cyclecast.cli import app

LEFT_OUT = "..."
"""Mark on a page for omitted lines of output."""


def blocks(text: str) -> list[tuple[str, str]]:
    """Language and lines of every fenced block, in order."""
    return re.findall(r"```(\w+)\n(.*?)```", text, flags=re.DOTALL)


def commands(console: str) -> list[tuple[str, list[str]]]:
    """Every command line, and the lines of output that the page shows."""
    found: list[tuple[str, list[str]]] = []
    for line in console.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif line.strip() and line != LEFT_OUT:
            found[-1][1].append(line.rstrip())
    return found


def check_output(command: str, shown: list[str], folder: Path) -> None:
    """Run a command: it must print every line that the page shows, and must succeed unless the page says otherwise.

    Commands of cyclecast run in this process, which has imported TVM already; `> FILE` writes their output into a file.
    """
    if command.startswith("cyclecast "):
        command, _, file = command.partition(" > ")
        with chdir(folder):
            result = CliRunner().invoke(app, shlex.split(command)[1:])
        if file:
            (folder / file).write_text(result.stdout, encoding="utf-8")
        code, text = result.exit_code, result.stdout + result.stderr
    else:
        done = subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, text=True)
        code, text = done.returncode, done.stdout + done.stderr
    printed = [line.rstrip() for line in text.splitlines()]
    missing = [line for line in shown if line not in printed]
    assert not missing, f"{missing} of {printed}"
    failed = {
        number for word, number in (("error:", 2), ("departs:", 3)) if any(line.startswith(word) for line in shown)
    }
    assert {code} == (failed or {0})
