"""What rules do to a schedule: look whether it is opened, extend its sketch, sample a decision."""

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
    """The workload of a block that a sketch rule has marked, with the bits of the device; None of any other."""
    found = schedule.get(block)
    contraction = contraction_of(found, "block") if SKETCH in found.annotations else None
    return None if contraction is None else on_device(contraction.workload, device)


def sketches_of(schedule: Any, block: Any) -> list[str]:
    """The parts of the block's sketch, such as `im2col` and `windows`."""
    return str(schedule.get(block).annotations[SKETCH]).split("+")


def extended(schedule: Any, block: Any, sketch: str) -> Any:
    """A copy of the schedule whose sketch has another part."""
    copy = schedule.copy()
    parts = sketches_of(copy, block)
    copy.unannotate(block, SKETCH)
    copy.annotate(block, SKETCH, "+".join((*parts, sketch)))
    return copy


def sample(schedule: Any, block: Any, device: Device, decision: str, values: Sequence[int]) -> None:
    """Annotate the block with a decision that is sampled, or with its only value, in the place of an earlier one."""
    if mark(decision) in schedule.get(block).annotations:
        schedule.unannotate(block, mark(decision))
    value: Any = values[0]
    if len(values) > 1:
        weights = odds(decision, values, device)
        value = schedule.sample_categorical(list(values), [weight / sum(weights) for weight in weights])
    schedule.annotate(block, mark(decision), value)


def sample_those(schedule: Any, block: Any, device: Device, which: Collection[str]) -> None:
    """Sample every decision of a marked block that has one of these names, or is about one of these axes at any level.

    Of im2col, those without a choice are left out: what is not asked for is granted in full, which is their value.
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
