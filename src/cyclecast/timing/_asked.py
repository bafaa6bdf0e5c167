"""Ask a timing model that a user wrote: what it raises, or answers instead of a timing, loses that mapping only."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cyclecast.device import Device
from cyclecast.errors import CyclecastError
from cyclecast.mapping import Mapping, Mappings
from cyclecast.timing._base import Timing, TimingModel, Timings

REFUSED = np.iinfo(np.int64).max
"""Stands for the time [fs] of a mapping that the model refuses, where numbers are of 64 bits."""
LONGEST_TEXT = 200
"""Characters of a reason."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a timing model has no time for a mapping."""

    reason: str


def asked(model: TimingModel, mapping: Mapping, device: Device) -> Timing | Refusal:
    """The model's timing of the mapping, or why there is none."""
    try:
        timing: Any = model.time(mapping, device)
        if isinstance(timing, Timing) and isinstance(timing.total.femtoseconds, int):
            return timing
    except CyclecastError as error:
        return Refusal(str(error))
    except Exception as error:  # a user's code may raise anything
        return Refusal(_short(f"it raises {type(error).__name__}: {error}"))
    return Refusal(_short(f"it answers {timing!r}; it must be a Timing of whole femtoseconds"))


def asked_many(model: Any, mappings: Mappings, device: Device) -> Timings | Refusal:
    """The model's timings of the mappings, those without a time marked as refused; or why there are none at all."""
    try:
        timings = model.times(mappings, device)
        total = np.broadcast_to(np.asarray(timings.total), (len(mappings),))
        if not isinstance(timings, Timings) or total.dtype.kind not in "iufO":
            return Refusal(_short(f"it answers {timings!r}; they must be Timings of whole femtoseconds"))
        if total.dtype.kind in "iu" and (not len(total) or total.min() >= 0):
            return timings if total is timings.total else replace(timings, total=total)
        wrong = ~np.array([_is_time(number) for number in total.tolist()], bool)
        never = 2**200 if total.dtype == object else REFUSED
        whole = np.where(wrong, 0, total) if total.dtype == object else np.ceil(np.where(wrong, 0, total))
        exact = whole if total.dtype == object else whole.astype(np.int64)
        return replace(timings, total=np.where(wrong, never, exact), refused=wrong if wrong.any() else None)
    except CyclecastError as error:
        return Refusal(str(error))
    except Exception as error:  # a user's code may raise anything
        return Refusal(_short(f"it raises {type(error).__name__}: {error}"))


def _is_time(number: Any) -> bool:
    return isinstance(number, int | float) and 0 <= number < (REFUSED if isinstance(number, float) else 2**200)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_TEXT else f"{line[: LONGEST_TEXT - 3]}..."
