"""Constant folding by onnxruntime in another process: a file that is not what it seems harms only that one.

The process is started once and kept, since starting it takes longer than folding most networks.
"""

from __future__ import annotations

import atexit
import os
import select
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

WORKER = Path(__file__).with_name("_worker.py")
MEMORY, MEMORY_PER_BYTE = 3 << 30, 10
"""Address space for a small network, and for each byte of a large one."""
SECONDS, SECONDS_PER_BYTE = 20.0, 30 / (1 << 30)


class _Folder:
    """The other process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.process: subprocess.Popen[bytes] | None = None
        self.owner = 0

    def fold(self, content: bytes) -> tuple[bytes, str]:
        """The folded model and nothing, or nothing and the reason."""
        with self.lock, tempfile.TemporaryDirectory(prefix="cyclecast-") as folder:
            source, target = Path(folder) / "given.onnx", Path(folder) / "folded.onnx"
            source.write_bytes(content)
            reason = self._ask(f"{MEMORY + MEMORY_PER_BYTE * len(content)}\t{source}\t{target}\n", len(content))
            return (target.read_bytes(), "") if reason == "done" else (b"", reason)

    def _ask(self, line: str, size: int) -> str:
        process = self._started()
        assert process.stdin is not None
        assert process.stdout is not None
        with suppress(BrokenPipeError):
            process.stdin.write(line.encode())
            process.stdin.flush()
        ready, _, _ = select.select([process.stdout], [], [], SECONDS + SECONDS_PER_BYTE * size)
        answer = process.stdout.readline() if ready else b""
        if answer.endswith(b"\n"):
            return answer.decode(errors="replace").strip()
        self.stop()
        return "its constants make onnxruntime fail" if ready else "folding its constants takes too long"

    def _started(self) -> subprocess.Popen[bytes]:
        if self.owner != os.getpid():  # a fork of who started it
            self.process, self.owner = None, os.getpid()
        if self.process is None or self.process.poll() is not None:
            self.stop()
            self.process = subprocess.Popen(
                [sys.executable, str(WORKER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
        return self.process

    def stop(self) -> None:
        """End the process, if there is one."""
        process, self.process = self.process, None
        if process is not None and self.owner == os.getpid():
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with suppress(OSError):
                        pipe.close()


_FOLDER = _Folder()
atexit.register(_FOLDER.stop)


def folded(content: bytes) -> tuple[bytes, str]:
    """A model with its constants folded, or the reason why there is none."""
    return _FOLDER.fold(content)
