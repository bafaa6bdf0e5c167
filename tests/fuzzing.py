"""Fuzzing of input files: mutants of good files, and limits on what a program may do with them.

A `Format` gives good files, their mutators, and the command that reads them. Every format is run in the same ways: in
this process, as a command with limits on time and memory, and under strace. To add a format, write its mutators
(`mutators.py`), and add it to `FORMATS` in `test_fuzz.py`.
"""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from tempfile import TemporaryFile
from typing import IO

from typer.testing import CliRunner

from cyclecast.cli import app
from mutators import CANARY, Mutator

MOST_SECONDS = 30
"""Most processor seconds for one file, in all processes together."""
MOST_MEMORY = 2 << 30
"""Most bytes of each process; at most two work at a time."""
MOST_LINES, LONGEST_LINE = 41, 1500
"""Most lines of an answer (mistakes, and the number of further ones), and characters of a line, which may have a
path."""
OPENED = re.compile(r'(?:openat\([^,]+, |open\(|execve\(|unlink\(|rename\(|mkdir\()"((?:[^"\\]|\\.)*)"([^\n]*)')
"""A system call in strace's output: the path, and the rest of the line."""


def write_file(path: Path, content: bytes) -> Path:
    """Write a mutant to the disk."""
    path.write_bytes(content)
    return path


@dataclass(frozen=True)
class Format:
    """A kind of file that users get from others."""

    name: str
    suffix: str
    originals: Callable[[], Sequence[bytes]]
    """Good files, from which mutants are made."""
    mutators: Sequence[Mutator]
    """Functions that change a file a little; a mutant is made by one to three of them."""
    command: Callable[[Path], Sequence[str]]
    """The arguments of `cyclecast` that read a file."""
    read: Callable[[Path], object]
    """The Python function for the same; it may raise `CyclecastError` only."""
    write: Callable[[Path, bytes], Path] = write_file

    def written(self, folder: Path, position: int, content: bytes) -> Path:
        """Write the mutant into its own folder."""
        inner = folder / str(position)
        inner.mkdir()
        return self.write(inner / f"{position}{self.suffix}", content)


@dataclass(frozen=True)
class Outcome:
    """The result of a command on a file."""

    code: int
    """Exit code; negative for a signal."""
    stdout: str
    stderr: str
    seconds: float
    """Processor seconds, child processes included."""
    memory: int = 0
    """Largest memory of a process [bytes]."""

    def complaints(self) -> Iterator[str]:
        """Breaches of the rules that hold for every file."""
        if self.code not in (0, 2):
            yield f"exit code {self.code}: {self.stderr[-2000:]}"
        if "Traceback" in self.stdout + self.stderr:
            yield f"a traceback: {self.stderr[-2000:]}"
        if self.seconds > MOST_SECONDS:
            yield f"{self.seconds:.1f} s"
        if self.memory > MOST_MEMORY:
            yield f"{self.memory:,} bytes"
        lines = self.stderr.splitlines()
        if (self.code == 2) != (bool(lines) and lines[-1].startswith("error: ")) or len(lines) > MOST_LINES:
            yield f"{len(lines)} lines of mistakes with exit code {self.code}: {self.stderr[:500]!r}"
        if any(len(line) > LONGEST_LINE for line in lines):
            yield f"a long line: {self.stderr[:500]!r}"
        if not self.stdout.replace("\n", "").isprintable() or not self.stderr.replace("\n", "").isprintable():
            yield f"signs that move the cursor: {(self.stdout + self.stderr)[:2000]!r}"


def mutants(form: Format, seed: int, count: int) -> Iterator[bytes]:
    """`count` mutants; each depends on the seed and its index only."""
    originals = form.originals()
    for position in range(count):
        random = Random(f"{form.name} {seed} {position}")
        content = random.choice(originals)
        for _ in range(random.randint(1, 3)):
            content = random.choice(form.mutators)(content, random)
        yield content


def ran(folder: Path) -> list[Path]:
    """Marks that code inside a mutant was executed."""
    return [place / CANARY for place in (folder, Path.cwd()) if (place / CANARY).exists()]


def _seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def run_here(arguments: Sequence[str]) -> Outcome:
    """Run the command in this process."""
    start = _seconds()
    result = CliRunner().invoke(app, arguments)
    seconds = _seconds() - start
    raised = result.exc_info if result.exception is not None and not isinstance(result.exception, SystemExit) else None
    trace = "".join(traceback.format_exception(*raised)) if raised else ""
    return Outcome(result.exit_code, result.stdout, result.stderr + trace, seconds)


def run_apart(arguments: Sequence[str], folder: Path, before: Sequence[str] = ()) -> Outcome:
    """Run the command as a user does, in its own process in this folder; `before` is a command that wraps it."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (MOST_SECONDS, MOST_SECONDS + 1))

    program = [*before, sys.executable, "-m", "cyclecast.cli", *arguments]
    with TemporaryFile() as stdout, TemporaryFile() as stderr:
        start = time.monotonic()
        process = subprocess.Popen(program, stdout=stdout, stderr=stderr, preexec_fn=limit, cwd=folder)
        while not (ended := os.wait4(process.pid, os.WNOHANG))[0]:
            if time.monotonic() - start > 20 * MOST_SECONDS:
                process.kill()
            time.sleep(0.01)
        process.returncode = code = os.waitstatus_to_exitcode(ended[1])
        texts = [_text(stream) for stream in (stdout, stderr)]
    used = ended[2]
    return Outcome(code, texts[0], texts[1], used.ru_utime + used.ru_stime, used.ru_maxrss * 1024)


def _text(stream: IO[bytes]) -> str:
    stream.seek(0)
    return stream.read().decode("utf-8", "backslashreplace")


def opened(arguments: Sequence[str], folder: Path, log: Path) -> tuple[Outcome, set[str]]:
    """Run the command under strace.

    Return the outcome, and the paths that were opened, created, deleted or executed.
    """
    outcome = run_apart(
        arguments, folder, ["strace", "-f", "--seccomp-bpf", "-qq", "-e", "trace=file", "-s", "4096", "-o", str(log)]
    )
    found = OPENED.findall(log.read_text(errors="replace"))
    return outcome, {os.path.normpath(folder / path) for path, rest in found if "ENOENT" not in rest}
