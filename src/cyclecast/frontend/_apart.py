"""Work on an untrusted file in a forked child process with limits on time and memory.

The fork starts at once, and its changes to memory are lost when it ends. It returns bytes, an error of this package, or
nothing.
"""

from __future__ import annotations

import errno
import gc
import json
import os
import resource
import select
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from io import BytesIO
from math import ceil
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import numpy as np

from cyclecast.errors import CyclecastError, ModelError, OperatorsError, OptionError, Refused, UnsupportedError

MEMORY, MEMORY_PER_BYTE = 3 << 30, 10
"""Bytes of address space beyond the current use: for a small file, and per byte of a large file."""
SECONDS, SECONDS_PER_BYTE, WAITING = 20.0, 60 / (1 << 30), 5
"""Processor seconds for a small file and per byte; limit of the elapsed time, as a multiple of the processor time."""
STACK = 256 << 20
"""Bytes of stack; deep graphs need many."""
MOST_LETTERS = 1000
"""Longest part of an error, in characters."""
FULL, FOLDER = (errno.ENOSPC, errno.EDQUOT), "another folder in TMPDIR"
"""Error numbers of a full disk, and the lever of that error."""
SIZE, DATA = 0, 5
"""Columns of /proc/self/statm."""
Result = TypeVar("Result")
KINDS = {kind.__name__: kind for kind in (ModelError, UnsupportedError, OptionError)}


def apart(work: Callable[[], bytes], source: str, size: int, seconds: float = 0, doing: str = "reading it") -> bytes:
    """Run `work` on `source`, a file of `size` bytes, in a child process, and return its bytes.

    `seconds` is added to the processor time that reading the file may take. `doing` names the work in errors. Raises
    the error of this package that the work raises, and `UnsupportedError` if the work crashes, takes too long or needs
    too much memory.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    with tempfile.TemporaryDirectory(prefix="cyclecast-") as folder:
        answer, target, seconds = os.pipe(), Path(folder) / "answer", seconds + SECONDS + SECONDS_PER_BYTE * size
        child = os.fork()
        if not child:
            os.close(answer[0])
            _in_child(work, answer[1], target, MEMORY + MEMORY_PER_BYTE * size, ceil(seconds))
        os.close(answer[1])
        try:
            outcome = _read_outcome(answer[0], WAITING * seconds)
        finally:
            os.close(answer[0])
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU:
            outcome = "late"
        if outcome == "done":
            return target.read_bytes()
        if outcome == "refused":
            outcome = target.read_text(encoding="utf-8")
    raise _error(outcome, source, doing, seconds)


def arrays_apart(
    work: Callable[[], Mapping[str, Any]], source: str, size: int, seconds: float = 0, doing: str = "reading it"
) -> dict[str, Any]:
    """Like `apart`, for work that returns named arrays."""

    def packed() -> bytes:
        found, file = work(), BytesIO()
        np.savez(file, np.array(list(found)), *found.values())
        return file.getvalue()

    with np.load(BytesIO(apart(packed, source, size, seconds, doing)), allow_pickle=False) as answer:
        names, *arrays = answer.values()
        return dict(zip(names.tolist(), arrays, strict=True))


def deep(work: Callable[[], Result]) -> Result:
    """Run `work` on a stack as large as in the child process, so that it succeeds here if it succeeds there.

    Raises what the work raises.
    """
    answers: list[Result] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            answers.append(work())
        except BaseException as error:
            errors.append(error)

    before = threading.stack_size(STACK)
    try:
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
    finally:
        threading.stack_size(before)
    thread.join()
    if errors:
        raise errors[0]
    return answers[0]


@contextmanager
def limited_memory(source: str, size: int) -> Iterator[None]:
    """Context: limit the memory of this process to what a network of `size` bytes may need.

    Raises `UnsupportedError` if the work inside needs more; `source` names the network.
    """
    before, failed = resource.getrlimit(resource.RLIMIT_DATA), False
    limit(resource.RLIMIT_DATA, _pages(DATA) + MEMORY + MEMORY_PER_BYTE * size, before[1])
    try:
        yield
    except MemoryError:
        failed = True
    except Exception as error:
        if "bad_alloc" not in str(error):  # TVM's text for a lack of memory
            raise
        failed = True
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)
    if failed:  # raised here, because the original error keeps large objects alive
        raise _error("large", source)


def limit(kind: int, soft: int, hard: int) -> None:
    """Lower a resource limit of this process; a limit that is already lower stays."""
    before = resource.getrlimit(kind)
    lowered = [
        min((value for value in (new, *before[place:]) if value != resource.RLIM_INFINITY), default=new)
        for place, new in enumerate((soft, hard))
    ]
    resource.setrlimit(kind, (lowered[0], lowered[1]))


def _pages(column: int) -> int:
    """Memory of this process [bytes], from one column of /proc/self/statm."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[column]) * resource.getpagesize()


def _read_outcome(answer: int, seconds: float) -> str:
    ready, _, _ = select.select([answer], [], [], seconds)
    return os.read(answer, 1 << 16).decode(errors="replace") if ready else "late"


def _error(outcome: str, source: str, doing: str = "reading it", seconds: float = SECONDS) -> CyclecastError:
    if outcome == "late":
        return UnsupportedError(source, f"{doing} takes too long", f"{seconds:.0f} s for its size", "a smaller one")
    if outcome == "full":
        where = tempfile.gettempdir()
        return OptionError(where, "it has no room for the converted network", "the disk is full", FOLDER)
    with suppress(ValueError, KeyError, TypeError):
        kind, fields = json.loads(outcome)
        if kind == "OperatorsError":
            rows = [Refused(name, count, tuple(nodes), advice) for name, count, nodes, advice in fields[1]]
            return OperatorsError(fields[0], rows)
        return KINDS[kind](*map(str, fields))
    bound = f"it has {MEMORY >> 30} GiB for a small file"
    return UnsupportedError(source, f"{doing} takes too much memory, or fails", bound, "a smaller one")


def _in_child(work: Callable[[], bytes], answer: int, target: Path, memory: int, seconds: int) -> NoReturn:
    """Run the work, write the outcome to the pipe and exit; never return, because this process is a fork."""
    outcome = "failed"
    try:
        gc.freeze()  # a garbage collection would copy all memory pages
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in range(3):
            os.dup2(nowhere, stream)
        tempfile.tempdir = str(target.parent)  # deleted by the parent, however this process ends
        memory += _pages(SIZE)
        limit(resource.RLIMIT_AS, memory, memory)
        limit(resource.RLIMIT_CPU, seconds, seconds + 1)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        outcome = deep(lambda: _answer(work, target))
    finally:
        with suppress(OSError):
            os.write(answer, outcome.encode(errors="replace")[: 1 << 16])
        os._exit(0)


def _answer(work: Callable[[], bytes], target: Path) -> str:
    """The outcome of the work: `done` or `refused` (bytes or error are in the file), `full` or `failed`."""
    try:
        target.write_bytes(work())
    except CyclecastError as error:
        target.write_text(json.dumps(_as_fields(error)), encoding="utf-8")
        return "refused"
    except BaseException as error:
        return "full" if isinstance(error, OSError) and error.errno in FULL else "failed"
    return "done"


def _as_fields(error: CyclecastError) -> list[Any]:
    """Class and parts of an error, as JSON; long names are cut."""
    if isinstance(error, OperatorsError):
        rows = [[row.operator, row.count, row.nodes, row.advice] for row in error.refused]
        return ["OperatorsError", [error.where, rows]]
    kind = type(error).__name__ if type(error).__name__ in KINDS else "ModelError"
    return [kind, [text[:MOST_LETTERS] for text in map(str, (error.where, error.demand, error.bound, error.lever))]]
