"""What a runner is: candidates in, one timing or one failure for each out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from cyclecast.timing import Timing


@dataclass(frozen=True, slots=True)
class Failure:
    """Why one candidate has no timing."""

    reason: str


class Runner(Protocol):
    """Measures candidates. The answers keep the order; a candidate that fails, fails alone."""

    def run(self, candidates: Sequence[Any]) -> list[Timing | Failure]:
        """One answer for each candidate, an `IRModule` with one scheduled function."""
        ...
