"""Work on a stranger's file in a process of its own, with limits of time and memory: a fork, which starts at once.

What it does to its copy of memory is gone with it. It answers with bytes, an error of this package, or not at all.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import select
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from io import BytesIO
from math import ceil
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from cyclecast.errors import CyclecastError, ModelError, OperatorsError, OptionError, Refused, UnsupportedError

MEMORY, MEMORY_PER_BYTE = 3 << 30, 10
"""Address space beside what the process has already, for a small file and for each byte of a large one."""
SECONDS, SECONDS_PER_BYTE, WAITING = 20.0, 60 / (1 << 30), 5
"""Processor time; how many times as long the clock may run."""
STACK = 256 << 20
"""Bytes, of which deep graphs take many."""
KINDS = {kind.__name__: kind for kind in (ModelError, UnsupportedError, OptionError)}


def apart(work: Callable[[], bytes], source: str, size: int) -> bytes:
    """What the work on `source`, a file of so many bytes, comes to.

    Raises the error of this package that it raises, and `UnsupportedError` where it ends otherwise, takes too long or
    too much memory.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    with tempfile.TemporaryDirectory(prefix="cyclecast-") as folder:
        answer, target = os.pipe(), Path(folder) / "answer"
        child = os.fork()
        if not child:
            os.close(answer[0])
            _in_child(work, answer[1], target, size)
        os.close(answer[1])
        try:
            said = _said(answer[0], WAITING * (SECONDS + SECONDS_PER_BYTE * size))
        finally:
            os.close(answer[0])
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU:
            said = "late"
        if said == "done":
            return target.read_bytes()
    raise _error(said, source)


def arrays_apart(work: Callable[[], Mapping[str, Any]], source: str, size: int) -> dict[str, Any]:
    """The same for work that comes to named arrays."""

    def packed() -> bytes:
        found, file = work(), BytesIO()
        np.savez(file, np.array(list(found)), *found.values())
        return file.getvalue()

    with np.load(BytesIO(apart(packed, source, size)), allow_pickle=False) as answer:
        names, *arrays = answer.values()
        return dict(zip(names.tolist(), arrays, strict=True))


def _said(answer: int, seconds: float) -> str:
    ready, _, _ = select.select([answer], [], [], seconds)
    return os.read(answer, 1 << 16).decode(errors="replace") if ready else "late"


def _error(said: str, source: str) -> CyclecastError:
    if said == "late":
        return UnsupportedError(source, "reading it takes too long", f"{SECONDS:g} s for a small file", "a smaller one")
    with suppress(ValueError, KeyError, TypeError):
        kind, fields = json.loads(said)
        if kind == "OperatorsError":
            rows = [Refused(name, count, tuple(nodes), advice) for name, count, nodes, advice in fields[1]]
            return OperatorsError(fields[0], rows)
        return KINDS[kind](*map(str, fields))
    bound = f"it has {MEMORY >> 30} GiB for a small file"
    return UnsupportedError(source, "reading it takes too much memory, or fails", bound, "a smaller one")


def _limit(kind: int, soft: int, hard: int) -> None:
    """Allow so much, or what the user's own limit leaves."""
    _, known = resource.getrlimit(kind)
    most = hard if known == resource.RLIM_INFINITY else min(hard, known)
    resource.setrlimit(kind, (min(soft, most), most))


def _in_child(work: Callable[[], bytes], answer: int, target: Path, size: int) -> NoReturn:
    """Never returns: the process is a copy of another, whose business is not its own."""
    said = "failed"
    try:
        gc.freeze()  # a collection would copy all pages
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in range(3):
            os.dup2(nowhere, stream)
        mapped = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
        memory, seconds = mapped + MEMORY + MEMORY_PER_BYTE * size, ceil(SECONDS + SECONDS_PER_BYTE * size)
        _limit(resource.RLIMIT_AS, memory, memory)
        _limit(resource.RLIMIT_CPU, seconds, seconds + 1)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        answers: list[str] = []
        threading.stack_size(STACK)
        thread = threading.Thread(target=lambda: answers.append(_answer(work, target)))
        thread.start()
        thread.join()
        said = answers[0]
    finally:
        with suppress(OSError):
            os.write(answer, said.encode(errors="replace")[: 1 << 16])
        os._exit(0)


def _answer(work: Callable[[], bytes], target: Path) -> str:
    try:
        target.write_bytes(work())
    except OperatorsError as error:
        rows = [[row.operator, row.count, row.nodes, row.advice] for row in error.refused]
        return json.dumps(["OperatorsError", [error.where, rows]])
    except CyclecastError as error:
        kind = type(error).__name__ if type(error).__name__ in KINDS else "ModelError"
        return json.dumps([kind, [error.where, error.demand, error.bound, error.lever]])
    except BaseException:
        return "failed"
    return "done"
