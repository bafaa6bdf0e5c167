"""Timing models: from a mapping and a device to the time that the device would take."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from dataclasses import is_dataclass
from functools import cache
from hashlib import sha256
from typing import cast
from uuid import uuid4

from cyclecast import plugins
from cyclecast.device import Device
from cyclecast.errors import OptionError
from cyclecast.mapping import Mapping
from cyclecast.timing._abilities import Abilities, TimesEach, TimesMany, abilities
from cyclecast.timing._analytical import Analytical
from cyclecast.timing._asked import asked, asked_each, asked_many
from cyclecast.timing._base import Bounds, Failure, Phase, Role, Timing, TimingModel, Timings, timing_from_json
from cyclecast.timing._bound import bounds
from cyclecast.timing._costs import (
    Events,
    Moved,
    PassKind,
    array_write_time,
    column_phases,
    each_step,
    events,
    input_bytes,
    output_bytes,
    partial_sum_bits,
    port_time,
    product_time,
    row_phases,
    sum_bits,
    used_columns,
    used_rows,
)
from cyclecast.timing._event import EventDriven, Simulation, Span
from cyclecast.timing._fixed import Fixed
from cyclecast.timing._passes import Pass
from cyclecast.timing._poster import Poster, number_of_batches, total_cycles
from cyclecast.timing._sensitivity import Gain, improvements, sensitivity
from cyclecast.timing._stages import slots

__all__ = [
    "Abilities",
    "Analytical",
    "Bounds",
    "EventDriven",
    "Events",
    "Failure",
    "Fixed",
    "Gain",
    "Moved",
    "Pass",
    "PassKind",
    "Phase",
    "Poster",
    "Role",
    "Simulation",
    "Span",
    "TimesEach",
    "TimesMany",
    "Timing",
    "TimingModel",
    "Timings",
    "abilities",
    "array_write_time",
    "asked",
    "asked_each",
    "asked_many",
    "bounds",
    "bounds_of",
    "column_phases",
    "each_step",
    "events",
    "identity",
    "improvements",
    "input_bytes",
    "number_of_batches",
    "output_bytes",
    "partial_sum_bits",
    "port_time",
    "product_time",
    "row_phases",
    "second_opinion",
    "sensitivity",
    "slots",
    "sum_bits",
    "timing_from_json",
    "timing_model",
    "total_cycles",
    "used_columns",
    "used_rows",
]

BUILT_IN: dict[str, Callable[[], type]] = {
    "analytical": lambda: Analytical,
    "event": lambda: EventDriven,
    "fixed": lambda: Fixed,
    "poster": lambda: Poster,
}


def timing_model(spec: str | TimingModel) -> TimingModel:
    """The timing model of a name such as `analytical` or `fixed:cycles=3`; an object with `time` is taken as it is."""
    model = plugins.build("timing", spec, BUILT_IN) if isinstance(spec, str) else spec
    if not callable(getattr(model, "time", None)):
        raise OptionError("timing", f"{spec!r}", "a timing model has time(mapping, device)", "a name or such an object")
    return cast(TimingModel, model)


def second_opinion(model: TimingModel, mapping: Mapping, device: Device) -> Timing | None:
    """The timing by the model that this one names as its second opinion; None where it names none."""
    other = abilities(model).second_opinion
    return timing_model(other).time(mapping, device) if other else None


def bounds_of(model: TimingModel, mapping: Mapping, device: Device) -> Bounds:
    """Between what the model's answer has to lie: as the model says, or `bounds` for one that says nothing."""
    own = abilities(model).bounded
    return own.bounds(mapping, device) if own else bounds(mapping, device)


def identity(model: object) -> str:
    """What makes two timing models, or two rules, answer alike: class, fields, and the text of all that the class uses.

    That is its module, and those of its package whose names stand in it, and so on. An object that is no dataclass, or
    whose text cannot be read, is equal to no other: its records are never reused.
    """
    kind: type = type(model)
    text = (_text(kind) if is_dataclass(model) else None) or uuid4().hex
    options = repr(model) if is_dataclass(model) else kind.__qualname__
    return f"{kind.__module__}.{options}#{sha256(text.encode()).hexdigest()[:12]}"


@cache
def _text(kind: type) -> str | None:
    package, waiting, found = kind.__module__.partition(".")[0], [kind.__module__], dict[str, str]()
    while waiting:
        name = waiting.pop()
        if name in found or name.partition(".")[0] != package or name not in sys.modules:
            continue
        try:
            found[name] = inspect.getsource(sys.modules[name])
        except (OSError, TypeError):
            return None
        for value in vars(sys.modules[name]).values():
            used = value.__name__ if inspect.ismodule(value) else getattr(value, "__module__", None)
            waiting += [used] if isinstance(used, str) else []
    return "".join(found[name] for name in sorted(found))
