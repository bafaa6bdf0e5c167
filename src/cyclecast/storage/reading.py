"""Values from untrusted JSON files: exact types, or a `ValueError` that names the field."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import NoReturn, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config

T = TypeVar("T")

Json = None | bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"]
"""A JSON value. Functions that write JSON take this type; functions that read it take any object and check it."""

LARGEST = 10**100
"""Largest integer: times in femtoseconds and counts are far below it, and a float can hold it."""

loadable = with_config(ConfigDict(strict=True, extra="forbid"))
"""Decorates dataclasses for `read_as`: no field is converted (1.0 is no integer), unknown fields are errors."""


def json_value(text: str | bytes) -> Json:
    """The value of a JSON text. Raises `ValueError` for anything else, such as NaN or deep nesting."""
    try:
        value: Json = json.loads(text, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return value


def read_as(kind: type[T], value: object) -> T:
    """A `loadable` dataclass, or a tuple of them, from plain JSON values.

    Raises `ValueError` with the field and its required type; checks of the dataclass raise their own errors.
    """
    _require_bounded(value)
    try:
        made: T = _adapter(kind).validate_json(json.dumps(value))  # type: ignore[arg-type] # a class is hashable
    except ValidationError as error:
        found = error.errors(include_url=False)[0]
        law = found.get("ctx", {}).get("error")
        if isinstance(law, Exception):
            raise law from None
        field = ".".join(map(str, found["loc"])) or "value"
        raise ValueError(f"{field}: {found['msg']}") from None
    except (RecursionError, TypeError) as error:
        raise ValueError(f"it is no JSON value: {error}") from None
    return made


def _require_bounded(value: object) -> None:
    """Raise `ValueError` for integers beyond `LARGEST`, whose arithmetic could take endless time."""
    left = [value]
    while left:
        part = left.pop()
        if isinstance(part, dict | list | tuple):
            left += part.values() if isinstance(part, dict) else part
        elif isinstance(part, int) and abs(part) > LARGEST:
            raise ValueError("a number in it is beyond 10^100")


def whole(value: object, least: int = 0) -> int:
    """The value, an integer from `least` to `LARGEST`. Raises `ValueError`."""
    if type(value) is not int or not least <= value <= LARGEST:
        short = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST
        shown = value if short else f"a {type(value).__name__}"
        raise ValueError(f"{shown} is no whole number from {least} to 10^100")
    return value


def text(value: object) -> str:
    """The value, a string. Raises `ValueError`."""
    if not isinstance(value, str):
        raise ValueError(f"a {type(value).__name__} is no text")
    return value


def members(value: object) -> Mapping[str, Json]:
    """The value, a JSON object. Raises `ValueError`."""
    if not isinstance(value, Mapping):
        raise ValueError(f"a {type(value).__name__} is no object")
    return value


def elements(value: object) -> Sequence[Json]:
    """The value, a list. Raises `ValueError`."""
    if not isinstance(value, list | tuple):
        raise ValueError(f"a {type(value).__name__} is no list")
    return value


def truth(value: object) -> bool:
    """The value, a boolean. Raises `ValueError`."""
    if not isinstance(value, bool):
        raise ValueError(f"a {type(value).__name__} is neither true nor false")
    return value


@cache
def _adapter(kind: type[T]) -> TypeAdapter[T]:
    return TypeAdapter(kind)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number of JSON")
