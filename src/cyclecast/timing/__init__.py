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
from cyclecast.timing._converters import column_phases, each_step, product_time, row_phases, used_columns, used_rows
from cyclecast.timing._costs import (
    Events,
    Moved,
    PassKind,
    array_write_time,
    events,
    input_bytes,
    output_bytes,
    partial_sum_bits,
    port_time,
    sum_bits,
)
from cyclecast.timing._digital import Home, UnitOf, UnitShare, homes, host_chains, unit_times, units_of, work_of
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
    "Home",
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
    "UnitOf",
    "UnitShare",
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
    "homes",
    "host_chains",
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
    "unit_times",
    "units_of",
    "used_columns",
    "used_rows",
    "work_of",
]

BUILT_IN: dict[str, Callable[[], type]] = {
    "analytical": lambda: Analytical,
    "event": lambda: EventDriven,
    "fixed": lambda: Fixed,
    "poster": lambda: Poster,
}


def timing_model(spec: str | TimingModel) -> TimingModel:
    """Build a timing model from a name such as `analytical` or `fixed:cycles=3`; return an object with `time` as it is.

    Raises `OptionError` for an unknown name or option, and for an object without `time`.
    """
    model = plugins.build("timing", spec, BUILT_IN) if isinstance(spec, str) else spec
    if not callable(getattr(model, "time", None)):
        raise OptionError("timing", f"{spec!r}", "a timing model has time(mapping, device)", "a name or such an object")
    return cast(TimingModel, model)


def second_opinion(model: TimingModel, mapping: Mapping, device: Device) -> Timing | None:
    """The timing by the model's `second_opinion`, a slower model; None if the model has no second opinion."""
    other = abilities(model).second_opinion
    if not other:
        return None
    second = BUILT_IN[other]()() if other in BUILT_IN else timing_model(other)
    return second.time(mapping, device)


def bounds_of(model: TimingModel, mapping: Mapping, device: Device) -> Bounds:
    """Lower and upper bound of the model's time: those of the model itself if it has any, else `bounds`."""
    own = abilities(model).bounded
    return own.bounds(mapping, device) if own else bounds(mapping, device)


def identity(model: object) -> str:
    """The identity of a timing model or a rule: its class, its fields, and a hash of its source code.

    Objects with equal identities give equal answers. The hash covers the module of the class and all modules of the
    same package that it uses, directly or not. An object that is no dataclass, or whose source cannot be read, gets a
    random hash: its records are never reused.
    """
    kind: type = type(model)
    text = (_text(kind) if is_dataclass(model) else None) or uuid4().hex
    options = repr(model) if is_dataclass(model) else kind.__qualname__
    return f"{kind.__module__}.{options}#{sha256(text.encode()).hexdigest()[:12]}"


@cache
def _text(kind: type) -> str | None:
    """Source code of the class's module and of the modules of its package that it uses; None if unreadable."""
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
