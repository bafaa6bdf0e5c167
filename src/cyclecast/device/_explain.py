"""What pydantic found wrong, in the project's words: field, demand, bound, lever."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from cyclecast.errors import CyclecastError, DeviceError

UNKNOWN = ("extra_forbidden", "invalid_key")
"""Pydantic's words for a field that there is not."""
SHOWN = 40
"""Characters of a refused value that a message repeats."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The first thing wrong with the values of a model."""

    path: tuple[str | int, ...]
    """Keys and positions from the root to the value."""
    demand: str
    bound: str
    lever: str

    @property
    def field(self) -> str:
        """The path as a person writes it: levels.0.count."""
        return ".".join(str(part)[:SHOWN] for part in self.path) or "device"


def explain(error: ValidationError, model: type[BaseModel]) -> Finding:
    """The finding that most likely is the cause; a misspelt field comes before the missing one."""
    first = min(error.errors(include_url=False), key=lambda found: found["type"] not in UNKNOWN)
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, CyclecastError):
        return _own(first, cause)
    path = first["loc"]
    if first["type"] in UNKNOWN:
        fields = tuple(_model(model, path[:-1]).model_fields)
        return Finding(path, "no such field", f"there are {', '.join(fields)}", suggest(str(path[-1]), fields))
    if first["type"] in ("missing", "default_factory_not_called"):
        return Finding(path, "missing", _meaning(model, path), f"adding '{path[-1]}:'")
    rule = re.sub(r"^\w+ should", "it must", first["msg"].removesuffix(", not 0").replace(" after validation", ""))
    return Finding(path, show(first["input"]), f"{rule} ({_meaning(model, path)})", _lever(first))


def suggest(name: str, known: Iterable[str]) -> str:
    """The lever for a misspelt name: the nearest known one, or one of them all."""
    names = sorted(known)
    near = get_close_matches(name[:SHOWN], names, n=1)
    return f"'{near[0]}'" if near else "one of these"


def show(value: object) -> str:
    """A refused value, short enough for a line."""
    try:
        text = repr(value)
    except ValueError:  # a number with more digits than Python agrees to write
        return "a number of thousands of digits"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _own(found: ErrorDetails, cause: CyclecastError) -> Finding:
    relative = cause.where.split(".") if isinstance(cause, DeviceError) else []
    path = (*found["loc"], *(int(part) if part.isdecimal() else part for part in relative))
    return Finding(path, cause.demand, cause.bound, cause.lever)


def _model(model: type[BaseModel], path: tuple[str | int, ...]) -> type[BaseModel]:
    for part in path:
        if isinstance(part, str) and part in model.model_fields:
            annotation: Any = model.model_fields[part].annotation
            choices = (annotation, *get_args(annotation))
            model = next((choice for choice in choices if _is_model(choice)), model)
    return model


def _is_model(choice: object) -> bool:
    return isinstance(choice, type) and issubclass(choice, BaseModel)


def _meaning(model: type[BaseModel], path: tuple[str | int, ...]) -> str:
    """The first sentence of the field's own description."""
    field = _model(model, path[:-1]).model_fields.get(str(path[-1])) if path else None
    description = field.description if field is not None else None
    return (description or "it describes the device").rstrip(".")


def _lever(found: ErrorDetails) -> str:
    limits = found.get("ctx", {})
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
