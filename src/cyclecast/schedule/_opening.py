"""Operations of rules on a schedule: test whether it is opened, extend its sketch, sample a decision."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from cyclecast._tvm._block import contraction_of
from cyclecast.device import Device
from cyclecast.mapspace import Decision, choices, odds
from cyclecast.network import Workload
from cyclecast.schedule._marks import SKETCH, mark
from cyclecast.schedule._read import on_device


def opened_workload(schedule: Any, block: Any, device: Device) -> Workload | None:
    """The workload of a marked block, with the bits of the device; None for other blocks."""
    found = schedule.get(block)
    contraction = contraction_of(found, "block") if SKETCH in found.annotations else None
    return None if contraction is None else on_device(contraction.workload, device)


def sketches_of(schedule: Any, block: Any) -> list[str]:
    """The parts of the block's sketch, such as `im2col` and `windows`."""
    return str(schedule.get(block).annotations[SKETCH]).split("+")


def extended(schedule: Any, block: Any, sketch: str) -> Any:
    """A copy of the schedule with one more part in its sketch."""
    copy = schedule.copy()
    parts = sketches_of(copy, block)
    copy.unannotate(block, SKETCH)
    copy.annotate(block, SKETCH, "+".join((*parts, sketch)))
    return copy


def sample(schedule: Any, block: Any, device: Device, decision: str, values: Sequence[int]) -> None:
    """Sample a decision and annotate the block with it; this replaces an earlier annotation of the decision."""
    if mark(decision) in schedule.get(block).annotations:
        schedule.unannotate(block, mark(decision))
    value: Any = values[0]
    if len(values) > 1:
        weights = odds(decision, values, device)
        value = schedule.sample_categorical(list(values), [weight / sum(weights) for weight in weights])
    schedule.annotate(block, mark(decision), value)


def sample_those(schedule: Any, block: Any, device: Device, which: Collection[str]) -> None:
    """Sample every decision of a marked block with a name, or an axis at any level, in `which`.

    In the plain im2col sketch, decisions with a single choice are left out: that choice is what the device grants
    anyway.
    """
    workload = opened_workload(schedule, block, device)
    if workload is None:
        return
    sketches = sketches_of(schedule, block)
    for decision, values in choices(workload, device, sketches).items():
        about = Decision.of(decision)
        wanted = decision in which or (about is not None and about.axis in which)
        if wanted and (len(values) > 1 or len(sketches) > 1):
            sample(schedule, block, device, decision, values)
