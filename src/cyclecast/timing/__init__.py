"""Timing models: from a mapping and a device to the time that the device would take."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import is_dataclass
from hashlib import sha256
from typing import cast
from uuid import uuid4

from cyclecast import plugins
from cyclecast.device import Device
from cyclecast.errors import OptionError
from cyclecast.mapping import Mapping
from cyclecast.timing._analytical import Analytical
from cyclecast.timing._base import Bounds, Phase, Timing, TimingModel, Timings, timing_from_json
from cyclecast.timing._bound import bounds
from cyclecast.timing._event import EventDriven, Simulation, Span
from cyclecast.timing._fixed import Fixed
from cyclecast.timing._poster import Poster, number_of_batches, total_cycles

__all__ = [
    "Analytical",
    "Bounds",
    "EventDriven",
    "Fixed",
    "Phase",
    "Poster",
    "Simulation",
    "Span",
    "Timing",
    "TimingModel",
    "Timings",
    "bounds",
    "bounds_of",
    "identity",
    "number_of_batches",
    "timing_from_json",
    "timing_model",
    "total_cycles",
]

BUILT_IN: dict[str, Callable[[], type]] = {
    "analytical": lambda: Analytical,
    "event": lambda: EventDriven,
    "fixed": lambda: Fixed,
    "poster": lambda: Poster,
}


def timing_model(spec: str | TimingModel) -> TimingModel:
    """The timing model of a name such as `analytical` or `fixed:cycles=3`; an object with `time` is taken as it is."""
    if isinstance(spec, str):
        return cast(TimingModel, plugins.build("timing", spec, BUILT_IN))
    if not callable(getattr(spec, "time", None)):
        raise OptionError("timing", f"{spec!r}", "a timing model has time(mapping, device)", "a name or such an object")
    return spec


def bounds_of(model: TimingModel, mapping: Mapping, device: Device) -> Bounds:
    """Between what the model's answer has to lie: as the model says, or `bounds` for one that says nothing."""
    own = getattr(model, "bounds", bounds)
    return cast(Bounds, own(mapping, device))


def identity(model: TimingModel) -> str:
    """What makes two timing models answer alike, for records: class, fields, and the text of the class.

    A model that is no dataclass, or whose text cannot be read, is equal to no other: its records are never reused.
    What its base classes and helper functions say is not looked at.
    """
    kind = type(model)
    try:
        text = inspect.getsource(kind) if is_dataclass(model) else uuid4().hex
    except (OSError, TypeError):
        text = uuid4().hex
    options = repr(model) if is_dataclass(model) else kind.__qualname__
    return f"{kind.__module__}.{options}#{sha256(text.encode()).hexdigest()[:12]}"
