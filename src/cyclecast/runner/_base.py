"""The interface of runners."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from cyclecast.errors import OptionError
from cyclecast.timing import Failure, Timing


def require_runner(runner: object) -> Runner:
    """The object as a runner. Raises `OptionError` if it has no method `run(candidates)`."""
    if isinstance(runner, type) or not isinstance(runner, Runner):
        raise OptionError("runner", f"{runner!r}", "a runner has run(candidates)", "an object of such a class")
    return runner


@runtime_checkable
class Runner(Protocol):
    """Times candidates. The answers keep the order; one candidate's failure does not affect the others."""

    def run(self, candidates: Sequence[Any]) -> list[Timing | Failure]:
        """One answer for each candidate; a candidate is an `IRModule` with one scheduled function."""
        ...
