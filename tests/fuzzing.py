"""Strangers' files: mutants of good ones, and what a program may make of them.

A `Format` says which files are good, how one is changed, and which command reads it. Every format is run in the same
ways: in this process, as a command of its own with limits of time and memory, and under strace. To add a format, write
its mutators (`mutators.py`), and add it to `FORMATS` in `test_fuzz.py`.
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
"""Of processor time for one file, all processes together."""
MOST_MEMORY = 2 << 30
"""Bytes of each process; no more than two work at a time."""
MOST_LINES, LONGEST_LINE = 41, 1500
"""Of an answer: the mistakes that are shown and how many more there are; paths are part of a line."""
OPENED = re.compile(r'(?:openat\([^,]+, |open\(|execve\(|unlink\(|rename\(|mkdir\()"((?:[^"\\]|\\.)*)"([^\n]*)')
"""A call that strace has seen: the path, and the rest of the line."""


def write_file(path: Path, content: bytes) -> Path:
    """A mutant as it lies on the disk."""
    path.write_bytes(content)
    return path


@dataclass(frozen=True)
class Format:
    """A kind of file that users get from others."""

    name: str
    suffix: str
    originals: Callable[[], Sequence[bytes]]
    """Good files, of which mutants are made."""
    mutators: Sequence[Mutator]
    """Ways to change a file a little; a mutant takes one to three of them, one after another."""
    command: Callable[[Path], Sequence[str]]
    """The arguments of `cyclecast` that read a file."""
    read: Callable[[Path], object]
    """The same in Python: what it raises is a `CyclecastError`."""
    write: Callable[[Path, bytes], Path] = write_file

    def written(self, folder: Path, position: int, content: bytes) -> Path:
        """The mutant in a folder of its own."""
        inner = folder / str(position)
        inner.mkdir()
        return self.write(inner / f"{position}{self.suffix}", content)


@dataclass(frozen=True)
class Outcome:
    """What a command said of a file."""

    code: int
    """Of the exit; negative for a signal."""
    stdout: str
    stderr: str
    seconds: float
    """Of processor time, with the processes that it started."""
    memory: int = 0
    """Bytes of the largest process."""

    def complaints(self) -> Iterator[str]:
        """What a command must not do, whatever the file."""
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
    """So many mutants; each depends on the seed and its position alone."""
    originals = form.originals()
    for position in range(count):
        random = Random(f"{form.name} {seed} {position}")
        content = random.choice(originals)
        for _ in range(random.randint(1, 3)):
            content = random.choice(form.mutators)(content, random)
        yield content


def ran(folder: Path) -> list[Path]:
    """Traces of what a mutant has executed."""
    return [place / CANARY for place in (folder, Path.cwd()) if (place / CANARY).exists()]


def _seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def run_here(arguments: Sequence[str]) -> Outcome:
    """The command in this process."""
    start = _seconds()
    result = CliRunner().invoke(app, arguments)
    seconds = _seconds() - start
    raised = result.exc_info if result.exception is not None and not isinstance(result.exception, SystemExit) else None
    trace = "".join(traceback.format_exception(*raised)) if raised else ""
    return Outcome(result.exit_code, result.stdout, result.stderr + trace, seconds)


def run_apart(arguments: Sequence[str], folder: Path, before: Sequence[str] = ()) -> Outcome:
    """The command as users run it, in a process of its own and in this folder; `before` is another to run it."""

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
    """The command under strace: what came of it, and the paths that it has opened, made, removed or executed."""
    outcome = run_apart(
        arguments, folder, ["strace", "-f", "--seccomp-bpf", "-qq", "-e", "trace=file", "-s", "4096", "-o", str(log)]
    )
    found = OPENED.findall(log.read_text(errors="replace"))
    return outcome, {os.path.normpath(folder / path) for path, rest in found if "ENOENT" not in rest}
