"""Explanation of a workload's time: phases, bounds, energy, and the field of the device that would help most."""

from __future__ import annotations

from typing import Any

from cyclecast.device import Device
from cyclecast.energy import energy
from cyclecast.mapping import Mapping
from cyclecast.timing import Bounds, Gain, Timing, TimingModel, bounds_of, sensitivity
from cyclecast.units import Time


def why_info(mapping: Mapping, device: Device, model: TimingModel, timing: Timing) -> dict[str, Any]:
    """Values that explain one timing; documented in `docs/json.md`."""
    total, bounds = timing.total, bounds_of(model, mapping, device)
    return {
        "phases": [
            {"name": phase.name, "share": share(phase.time, total), "hidden": phase.hidden} for phase in timing.phases
        ],
        "lower_fs": bounds.lower.femtoseconds,
        "lower_by": bounds.lower_by,
        "upper_fs": bounds.upper.femtoseconds,
        "above_lower": total / bounds.lower if bounds.lower > Time(0) else None,
        "warning": warning(total, bounds),
        "energy": _energy(mapping, device, timing),
        "gains": [_gain(gain, total) for gain in sensitivity(mapping, device, model)],
    }


def _energy(mapping: Mapping, device: Device, timing: Timing) -> dict[str, Any] | None:
    """Energy by component; None if the device states no components or the timing counts no events (A17)."""
    if timing.events is None:
        return None
    found = energy(mapping, device, timing)
    if not found.shares:
        return None
    return {
        "aj": found.total.attojoules,
        "components": [
            {"level": part.level, "name": part.component, "aj": part.amount.attojoules}
            for part in sorted(found.shares, key=lambda part: -part.amount.attojoules)
        ],
    }


def warning(total: Time, bounds: Bounds) -> str | None:
    """A warning for a time outside its bounds, else None."""
    if total < bounds.lower:
        return f"the time is below its lower bound, {bounds.lower} ({bounds.lower_by})"
    if total > bounds.upper:
        return f"the time is above its upper bound, {bounds.upper} (all phases one after another)"
    return None


def share(part: Time, whole: Time) -> float:
    """The ratio of part to whole; 0 if the whole is 0."""
    return part / whole if whole > Time(0) else 0.0


def _gain(gain: Gain, total: Time) -> dict[str, Any]:
    return {
        "field": gain.field,
        "before": gain.before,
        "after": gain.after,
        "change": gain.change,
        "fs": gain.time.femtoseconds,
        "saved_fs": gain.saved.femtoseconds,
        "saved": share(gain.saved, total),
    }
