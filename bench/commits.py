"""Another commit beside this one, and processor time of processes: what measurements of ratios share."""

from __future__ import annotations

import os
import resource
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent


class Spent(NamedTuple):
    """Processor time and memory of a process and of all processes that it waited for."""

    seconds: float
    """Of processor time, user and system."""
    mebibytes: int
    """At the peak, of the largest process."""


@contextmanager
def roots(before: str | None) -> Iterator[dict[str, Path]]:
    """The folders of this working tree, and of another commit where one is named, under `now` and `before`."""
    if before is None:
        yield {"now": ROOT}
        return
    with tempfile.TemporaryDirectory(prefix="cyclecast-") as name:
        folder, git = Path(name) / "before", ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", str(folder), before], check=True)
        try:
            yield {"before": folder, "now": ROOT}
        finally:
            subprocess.run([*git, "remove", "--force", str(folder)], check=True)


def importing(root: Path) -> Mapping[str, str]:
    """The environment in which Python imports the package of that folder."""
    return {**os.environ, "PYTHONPATH": str(root / "src")}


def spent(command: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None) -> Spent:
    """Run a command; `CalledProcessError` where it fails."""
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            errors.seek(0)
            raise subprocess.CalledProcessError(process.returncode, command, stderr=errors.read())
    return Spent(usage.ru_utime + usage.ru_stime, usage.ru_maxrss >> 10)


def of_this_process() -> float:
    """Seconds of processor time of this process and of those that it waited for."""
    parts = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(part.ru_utime + part.ru_stime for part in parts)
