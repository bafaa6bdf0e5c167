"""Calls of timing models that users wrote: an exception or a wrong answer becomes a `Failure` of that mapping."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from cyclecast.device import Device
from cyclecast.errors import CyclecastError
from cyclecast.mapping import Mapping, Mappings
from cyclecast.timing._abilities import TimesMany, abilities
from cyclecast.timing._base import Failure, Timing, TimingModel, Timings

REFUSED = np.iinfo(np.int64).max
"""The time [fs] of a mapping that the model cannot time, in arrays of 64-bit integers."""
LONGEST_TEXT = 200
"""Most characters of a reason."""


def asked(model: TimingModel, mapping: Mapping, device: Device) -> Timing | Failure:
    """The model's timing of the mapping; a `Failure` if it raises or returns no `Timing`."""
    try:
        return _checked(model.time(mapping, device))
    except CyclecastError as error:
        return Failure(str(error))
    except Exception as error:  # a user's code may raise anything
        return Failure(_short(f"it raises {type(error).__name__}: {error}"))


def asked_each(model: TimingModel, mappings: Sequence[Mapping], device: Device) -> list[Timing | Failure]:
    """The model's answers for a batch of mappings, in order.

    A wrong answer becomes a `Failure` of its mapping; an exception, or a wrong number of answers, one of all mappings.
    """
    each = abilities(model).each
    if each is None:
        return [asked(model, mapping, device) for mapping in mappings]
    try:
        answers = list(each.time_each(mappings, device))
    except Exception as error:  # a user's code may raise anything
        return [Failure(_short(f"it raises {type(error).__name__}: {error}"))] * len(mappings)
    if len(answers) != len(mappings):
        return [Failure(f"it gives {len(answers)} answers for {len(mappings)} mappings")] * len(mappings)
    return [_checked(answer) for answer in answers]


def _checked(answer: object) -> Timing | Failure:
    if isinstance(answer, Failure) or (isinstance(answer, Timing) and isinstance(answer.total.femtoseconds, int)):
        return answer
    return Failure(_short(f"it answers {answer!r}; it must be a Timing of whole femtoseconds"))


def asked_many(model: TimesMany, mappings: Mappings, device: Device) -> Timings | Failure:
    """The model's timings of the mappings; a `Failure` of all if it raises or returns no `Timings`.

    Times are rounded up to whole femtoseconds. A time that is negative, no number or too large marks its mapping as
    refused.
    """
    try:
        timings = model.times(mappings, device)
        total = np.broadcast_to(np.asarray(timings.total), (len(mappings),))
        if not isinstance(timings, Timings) or total.dtype.kind not in "iufO":
            return Failure(_short(f"it answers {timings!r}; they must be Timings of whole femtoseconds"))
        if total.dtype.kind in "iu" and (not len(total) or total.min() >= 0):
            return timings if total is timings.total else replace(timings, total=total)
        wrong = ~np.array([_is_time(number) for number in total.tolist()], bool)
        never = 2**200 if total.dtype == object else REFUSED
        whole = np.where(wrong, 0, total) if total.dtype == object else np.ceil(np.where(wrong, 0, total))
        exact = whole if total.dtype == object else whole.astype(np.int64)
        return replace(timings, total=np.where(wrong, never, exact), refused=wrong if wrong.any() else None)
    except CyclecastError as error:
        return Failure(str(error))
    except Exception as error:  # a user's code may raise anything
        return Failure(_short(f"it raises {type(error).__name__}: {error}"))


def _is_time(number: object) -> bool:
    return isinstance(number, int | float) and 0 <= number < (REFUSED if isinstance(number, float) else 2**200)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_TEXT else f"{line[: LONGEST_TEXT - 3]}..."
