"""Annotation rule: tile sizes and the binding of tiles and replicas to the device's levels, by sampling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cyclecast._tvm._block import contraction_of
from cyclecast.decisions import choices
from cyclecast.device import Device
from cyclecast.space._marks import SKETCH, mark
from cyclecast.space._read import on_device


@dataclass(frozen=True, slots=True)
class Bind:
    """Samples every decision of `cyclecast.decisions` that has a choice, so that the trace replays and mutates."""

    device: Device

    def apply(self, schedule: Any, block: Any) -> list[Any]:
        """One schedule: with each decision an annotation of the marked block, or as it was."""
        found = schedule.get(block)
        contraction = contraction_of(found, "block") if SKETCH in found.annotations else None
        if contraction is not None:
            offers = choices(on_device(contraction.workload, self.device), self.device)
            for decision, values in offers.items():
                if len(values) > 1:
                    sampled = schedule.sample_categorical(values, [value / sum(values) for value in values])
                    schedule.annotate(block, mark(decision), sampled)
        return [schedule]
