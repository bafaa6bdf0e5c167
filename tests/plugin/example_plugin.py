"""A package with one of each kind, by public names only."""

from __future__ import annotations

from collections.abc import Mapping as Decisions
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, ClassVar

import numpy as np

from cyclecast.device import Device
from cyclecast.errors import CyclecastError
from cyclecast.mapping import Mapping
from cyclecast.mapspace import default_mapping
from cyclecast.runner import Failure
from cyclecast.schedule import opened_workload, read, sample
from cyclecast.search import Problem, SearchResult
from cyclecast.search.mutators import Choices, change_one
from cyclecast.timing import Phase, Timing, Timings


@dataclass(frozen=True)
class Steps:
    """A timing model: the steps of all passes, one read each if three quarters of the word lines are driven."""

    cycles: int = 1
    lawful = False  # more word lines may take less time

    def time(self, mapping: Mapping, device: Device) -> Timing:
        """Reads of one array, one after another."""
        reads = 1 if mapping.word_lines == device.word_lines_per_array * 3 // 4 else 2
        steps = mapping.passes * mapping.temporal.pixel * device.input_steps * self.cycles * reads
        return Timing((Phase("steps", steps * device.array.read),), device.array.read)


@dataclass(frozen=True)
class OnlyDefault:
    """A strategy that times the default mapping and no other."""

    def start(self, problem: Problem) -> DefaultSearch:
        """Begin."""
        return DefaultSearch([default_mapping(problem.workload, problem.device)])


class DefaultSearch:
    """The strategy at work."""

    def __init__(self, waiting: list[Mapping]) -> None:
        self.waiting = waiting

    def ask(self, most: int) -> list[Mapping]:
        """The mapping, once."""
        asked, self.waiting = self.waiting, []
        return asked

    def tell(self, timings: Sequence[Timing | None] | Timings) -> None:
        """Nothing follows from it."""

    def outcome(self) -> SearchResult:
        """Nothing is known."""
        return SearchResult("only the default")


@dataclass(frozen=True)
class ThreeQuarters:
    """A rule: three quarters of the word lines."""

    device: Device

    def apply(self, schedule: Any, block: Any) -> list[Any]:
        """The schedule, and one with that decision."""
        if opened_workload(schedule, block, self.device) is None:
            return [schedule]
        other = schedule.copy()
        sample(other, block, self.device, "word_lines", [self.device.word_lines_per_array * 3 // 4])
        return [schedule, other]


@dataclass(frozen=True)
class AnyDecision:
    """A mutation rule: any decision becomes any other."""

    calls: ClassVar[list[str]] = []
    """What it has changed, for tests."""

    def apply(self, decisions: Decisions[str, int], offers: Choices, rng: Random) -> dict[str, int] | None:
        """One of them."""
        self.calls.extend(offers)
        return change_one(decisions, offers, list(offers), rng)


@dataclass(frozen=True)
class Matrix:
    """A front end: a `.npy` file is a matrix, and the network multiplies one row of integers by it."""

    runtime = "NumPy"

    def accepts(self, source: Any) -> bool:
        """By the suffix."""
        return isinstance(source, Path) and source.suffix == ".npy"

    def inputs(self, source: Path, shapes: Any) -> dict[str, Any]:
        """One row."""
        return {"x": ((1, len(np.load(source))), np.dtype("int8"))}

    def load(self, source: Path, shapes: Any, quantization: Any) -> Any:
        """A Relax program of one product."""
        from tvm import relax

        weights = np.load(source).astype("int8")
        builder, x = relax.BlockBuilder(), relax.Var("x", relax.TensorType((1, len(weights)), "int8"))
        with builder.function("main", [x]):
            with builder.dataflow():
                result = builder.emit_output(relax.op.matmul(x, relax.const(weights), out_dtype="int32"))
            builder.emit_func_output(result)
        return builder.get()

    def reference(self, source: Path, samples: Sequence[Any]) -> list[dict[str, Any]]:
        """The product."""
        weights = np.load(source).astype("int32")
        return [{"output0": values["x"].astype("int32") @ weights} for values in samples]


@dataclass(frozen=True)
class Patient:
    """A runner: reads each candidate as a mapping, and counts one read of an array for each step."""

    device: Device

    def run(self, candidates: Sequence[Any]) -> list[Timing | Failure]:
        """One answer for each candidate."""
        return [self.answer(candidate) for candidate in candidates]

    def answer(self, candidate: Any) -> Timing | Failure:
        """The time, or why there is none."""
        try:
            return Steps().time(read(candidate, self.device), self.device)
        except CyclecastError as error:
            return Failure(str(error))


@dataclass(frozen=True)
class Table:
    """A report: operators and the time [fs] that each is busy for an image, as comma-separated values."""

    suffix = ".csv"

    def text(self, info: Decisions[str, Any]) -> str:
        """A line for each operator."""
        return "".join(f"{each['name']},{each['busy_fs']}\n" for each in info["operators"])


VARIANTS = {
    "timing": {"steps": Steps},
    "search": {"only_default": OnlyDefault},
    "rule": {"three_quarters": ThreeQuarters},
    "mutator": {"any_decision": AnyDecision},
    "frontend": {"matrix": Matrix},
    "runner": {"patient": Patient},
    "report": {"table": Table},
}
