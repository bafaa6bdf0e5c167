"""Pydantic's errors as messages of cyclecast: field, demand, bound, lever."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from cyclecast.device._partial import broken_rules, part_of
from cyclecast.device._parts import Part
from cyclecast.device._words import SHOWN, advise, suggest
from cyclecast.errors import CyclecastError, DeviceError

UNKNOWN = ("extra_forbidden", "invalid_key")
"""Pydantic's error types for an unknown field."""
FOLLOWS = "default_factory_not_called"
"""Pydantic's error type for a default that depends on a wrong field."""
DEEPEST = 8
"""Most keys in the path of a field; levels.0.components.0.name has five."""
Path_ = tuple[str | int, ...]
"""Keys and positions from the root to a value."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One error in the values of a model."""

    path: Path_
    demand: str
    bound: str
    lever: str

    @property
    def field(self) -> str:
        """The path in dotted form: levels.0.count."""
        return ".".join(str(part)[:SHOWN] for part in self.path) or "device"


def explain(error: ValidationError, model: type[Part], values: object) -> tuple[Finding, ...]:
    """All errors, in the order of the values; a field that was misspelt is not reported as missing, too."""
    meant: set[Path_] = set()
    found: dict[tuple[Path_, str], Finding] = {}
    own = (one for one in error.errors(include_url=False) if one["type"] != FOLLOWS)
    for each in (*(_finding(one, model, meant) for one in own), *_broken(model, values)):
        found.setdefault((each.path, each.demand), each)
    order = {path: position for position, path in enumerate(_paths(values, ()))}
    kept = (each for each in found.values() if not (each.demand == "missing" and each.path in meant))
    return tuple(sorted(kept, key=lambda each: order[nearest_path(each.path, order)]))


def nearest_path(path: Path_, known: Container[Path_]) -> Path_:
    """The path, or the longest known path that contains it; the root must be known. A missing field has no path."""
    return next(path[:end] for end in range(len(path), -1, -1) if path[:end] in known)


def _paths(value: object, path: Path_) -> Iterator[Path_]:
    """Every path in the values, outer paths first, down to the depth of fields."""
    yield path
    if len(path) > DEEPEST:
        return
    items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list | tuple) else ()
    for key, inner in items:
        yield from _paths(inner, (*path, key))


def _broken(model: type[Part], values: object) -> Iterator[Finding]:
    """Errors of broken rules that do not depend on wrong fields."""
    for path, mistake in broken_rules(model, values):
        yield _own(path, mistake)


def _finding(found: ErrorDetails, model: type[Part], meant: set[Path_]) -> Finding:
    cause = found.get("ctx", {}).get("error")
    path = found["loc"]
    if isinstance(cause, CyclecastError):
        return _own(path, cause)
    if found["type"] in UNKNOWN:
        advice = advise(str(path[-1]), _model(model, path[:-1]).model_fields)
        meant.add((*path[:-1], *advice.meant.split(".")))
        return Finding(path, advice.demand, advice.bound, advice.lever)
    if found["type"] == "missing":
        return Finding(path, "missing", _meaning(model, path), f"adding '{path[-1]}:'")
    rule = re.sub(r"^\w+ should", "it must", found["msg"].removesuffix(", not 0").replace(" after validation", ""))
    return Finding(path, show(found["input"]), f"{rule} ({_meaning(model, path)})", _lever(found))


def show(value: object) -> str:
    """A refused value as text, short enough for a line."""
    try:
        text = repr(value)
    except ValueError:  # more digits than Python converts to text
        return "a number of thousands of digits"
    except RecursionError:
        return "values inside values, thousands deep"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _own(path: Path_, cause: CyclecastError) -> Finding:
    relative = cause.where.split(".") if isinstance(cause, DeviceError) and cause.where else []
    inner = (*path, *(int(part) if part.isdecimal() else part for part in relative))
    return Finding(inner, cause.demand, cause.bound, cause.lever)


def _model(model: type[Part], path: Path_) -> type[Part]:
    for part in path:
        if isinstance(part, str) and part in model.model_fields:
            model = part_of(model.model_fields[part].annotation) or model
    return model


def _meaning(model: type[Part], path: Path_) -> str:
    """The description of the field, without a final point."""
    field = _model(model, path[:-1]).model_fields.get(str(path[-1])) if path else None
    description = field.description if field is not None else None
    return (description or "it describes the device").rstrip(".")


def _lever(found: ErrorDetails) -> str:
    limits = found.get("ctx", {})
    if found["loc"][-1:] == ("adc_bits",) and found["input"] == 0:
        return "adc_bits: 32 for an ideal ADC, or digital: true and no line on ADCs"
    if found["type"] == "enum":
        return suggest(show(found["input"]).strip("'"), re.findall(r"'(\w+)'", limits["expected"]))
    for limit in ("ge", "le"):
        if limit in limits:
            return f"{limits[limit]}"
    return {
        "int_type": "a whole number without a point",
        "bool_type": "true or false",
        "string_type": "a text, in quotes if it looks like a number",
        "tuple_type": "a list, each item on a line after '-'",
        "model_type": "fields, each on a line of its own",
    }.get(found["type"], "a file of the library for a start")
