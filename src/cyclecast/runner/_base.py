"""What a runner is: candidates in, one timing or one failure for each out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from cyclecast.errors import OptionError
from cyclecast.timing import Failure, Timing


def require_runner(runner: object) -> Runner:
    """The object as a runner; `OptionError` where it has no `run(candidates)`."""
    if isinstance(runner, type) or not isinstance(runner, Runner):
        raise OptionError("runner", f"{runner!r}", "a runner has run(candidates)", "an object of such a class")
    return runner


@runtime_checkable
class Runner(Protocol):
    """Measures candidates. The answers keep the order; a candidate that fails, fails alone."""

    def run(self, candidates: Sequence[Any]) -> list[Timing | Failure]:
        """One answer for each candidate, an `IRModule` with one scheduled function."""
        ...
