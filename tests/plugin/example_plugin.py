"""A package with one of each kind, by public names only."""

from __future__ import annotations

from collections.abc import Mapping as Decisions
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from cyclecast.device import Device
from cyclecast.mapping import Mapping
from cyclecast.mapspace import default_mapping
from cyclecast.search import Problem, SearchResult
from cyclecast.search.mutators import Choices, change_one
from cyclecast.timing import Phase, Timing, Timings


@dataclass(frozen=True)
class Steps:
    """A timing model: nothing but the steps of all passes."""

    cycles: int = 1

    def time(self, mapping: Mapping, device: Device) -> Timing:
        """Reads of one array, one after another."""
        read = device.array.read
        steps = mapping.passes * mapping.temporal.pixel * device.input_steps * self.cycles
        return Timing((Phase("steps", steps * read),), read)


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
class HalfRows:
    """A rule: half of the word lines."""

    device: Device

    def apply(self, schedule: Any, block: Any) -> list[Any]:
        """The schedule, and one with that decision."""
        from cyclecast.schedule import opened_workload, sample

        if opened_workload(schedule, block, self.device) is None:
            return [schedule]
        half = schedule.copy()
        sample(half, block, self.device, "word_lines", [max(1, self.device.word_lines_per_array // 2)])
        return [schedule, half]


@dataclass(frozen=True)
class AnyDecision:
    """A mutation rule: any decision becomes any other."""

    def apply(self, decisions: Decisions[str, int], offers: Choices, rng: Random) -> dict[str, int] | None:
        """One of them."""
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


VARIANTS = {
    "timing": {"steps": Steps},
    "search": {"only_default": OnlyDefault},
    "rule": {"half_rows": HalfRows},
    "mutator": {"any_decision": AnyDecision},
    "frontend": {"matrix": Matrix},
}
