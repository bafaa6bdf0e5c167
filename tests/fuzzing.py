"""Strangers' files: mutants of good ones, and what a program may make of them.

A `Format` says which files are good, how one is changed, and which command reads it. Every format is run in the same
two ways: in this process, and as a command of its own with limits of time and memory. To add a format, write its
mutator, and add it to `FORMATS` in `test_fuzz.py`.
"""

from __future__ import annotations

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

from typer.testing import CliRunner

from cyclecast.cli import app

MOST_SECONDS = 30
"""Of processor time for one file."""
MOST_MEMORY = 4 << 30
"""Bytes of address space for one file."""
MOST_LINES, LONGEST_LINE = 41, 1500
"""Of an answer: the mistakes that are shown and how many more there are; paths are part of a line."""

Mutator = Callable[[bytes, Random], bytes]


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


@dataclass(frozen=True)
class Outcome:
    """What a command said of a file."""

    code: int
    """Of the exit; negative for a signal."""
    stdout: str
    stderr: str
    seconds: float
    """Of processor time."""

    def complaints(self) -> Iterator[str]:
        """What a command must not do, whatever the file."""
        if self.code not in (0, 2):
            yield f"exit code {self.code}: {self.stderr[-2000:]}"
        if "Traceback" in self.stdout + self.stderr:
            yield f"a traceback: {self.stderr[-2000:]}"
        if self.seconds > MOST_SECONDS:
            yield f"{self.seconds:.1f} s"
        lines = self.stderr.splitlines()
        if bool(lines) != (self.code == 2) or len(lines) > MOST_LINES:
            yield f"{len(lines)} lines of mistakes with exit code {self.code}"
        for line in lines:
            if not line.startswith("error: ") or len(line) > LONGEST_LINE:
                yield f"no line of a mistake: {line[:200]!r}"
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


def run_here(arguments: Sequence[str]) -> Outcome:
    """The command in this process."""
    start = time.process_time()
    result = CliRunner().invoke(app, arguments)
    seconds = time.process_time() - start
    raised = result.exc_info if result.exception is not None and not isinstance(result.exception, SystemExit) else None
    trace = "".join(traceback.format_exception(*raised)) if raised else ""
    return Outcome(result.exit_code, result.stdout, result.stderr + trace, seconds)


def run_apart(arguments: Sequence[str]) -> Outcome:
    """The command as users run it, in a process of its own with limits."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (MOST_SECONDS, MOST_SECONDS + 1))
        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    program = [sys.executable, "-m", "cyclecast.cli", *arguments]
    done = subprocess.run(program, capture_output=True, preexec_fn=limit, timeout=20 * MOST_SECONDS, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    stdout, stderr = (stream.decode("utf-8", "backslashreplace") for stream in (done.stdout, done.stderr))
    return Outcome(done.returncode, stdout, stderr, seconds)


def change_bytes(content: bytes, random: Random) -> bytes:
    """A few bytes are others."""
    changed = bytearray(content)
    for _ in range(random.randint(1, 8)):
        if changed:
            changed[random.randrange(len(changed))] = random.randrange(256)
    return bytes(changed)


def cut(content: bytes, random: Random) -> bytes:
    """A part is missing: some bytes, or all up to the end."""
    start = random.randint(0, len(content))
    end = len(content) if random.random() < 0.2 else start + random.randint(0, 40)
    return content[:start] + content[end:]


def repeat(content: bytes, random: Random) -> bytes:
    """A part comes again, sometimes very often."""
    start = random.randint(0, len(content))
    part = content[start : start + random.randint(1, 60)]
    return content[:start] + part * random.choice([2, 2, 3, 50, 2000]) + content[start:]


ODD_VALUES = (
    *("0", "-1", "1", "2", "17", "32", "1000000", "1000001", "9" * 30, "9" * 5000, "1e400", ".inf", ".nan", "0x1F"),
    *("true", "yes", "null", "~", "", "''", "'\\x1b[31m'", '"\\e[31m\\u202e"', "[]", "{}", "[[[[[[[[[[1]]]]]]]]]]"),
    *("1 fs", "0 ns", f"1{'0' * 80} s", "1 mHz", "0 Hz", "1e9 GHz", "0 fJ", f"1{'0' * 60} J", "1 TB/s", "0 B", "1 pc"),
    *("&a 1", "*a", "!!python/object/apply:os.system [id]", "!x 1", "<<: 1", "|", ">-", "? 1", "- 1", "@", "%", "\t1"),
    *("2020-01-01", "1_0", "conversions", "time", "array", "\N{RIGHT-TO-LEFT OVERRIDE}x", "\0", "x" * 3000),
)  # fmt: skip
ODD_KEYS = (
    "noise",
    "adc_bit",
    "rows",
    "levels",
    "name",
    "<<",
    "1",
    "",
    "[a]",
    "{a: 1}",
    "\x1b[2J",
    "__class__",
    "x" * 3000,
)


def yaml_value(content: bytes, random: Random) -> bytes:
    """The value of one key is odd."""
    return _replace_one(rb"(?<=: )[^,}\n#]+", content, random.choice(ODD_VALUES), random)


def yaml_key(content: bytes, random: Random) -> bytes:
    """One key is odd."""
    return _replace_one(rb"\w+(?=:)", content, random.choice(ODD_KEYS), random)


def yaml_lines(content: bytes, random: Random) -> bytes:
    """One line is missing, comes twice, lies elsewhere or further in."""
    lines = content.split(b"\n")
    line = lines.pop(random.randrange(len(lines)))
    found = random.choice(([], [line, line], [b"  " + line], [line.lstrip()], [line]))
    place = random.randint(0, len(lines))
    return b"\n".join(lines[:place] + found + lines[place:])


def _replace_one(pattern: bytes, content: bytes, text: str, random: Random) -> bytes:
    found = list(re.finditer(pattern, content))
    if not found:
        return content
    chosen = random.choice(found)
    return content[: chosen.start()] + text.encode() + content[chosen.end() :]
