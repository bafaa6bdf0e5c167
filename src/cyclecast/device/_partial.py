"""Broken rules of a device with wrong values: those that do not depend on the wrong values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import get_args, get_origin

from pydantic import TypeAdapter, ValidationError

from cyclecast.device._parts import Part
from cyclecast.errors import DeviceError

Path_ = tuple[str | int, ...]


class _MistakenError(Exception):
    """A value is missing or wrong for its field."""


def broken_rules(model: type[Part], values: object) -> Iterator[tuple[Path_, DeviceError]]:
    """Every broken rule as (path of the part, error); a rule that reads a wrong value is skipped."""
    yield from _broken(_partial(model, values), ())


def _broken(value: object, path: Path_) -> Iterator[tuple[Path_, DeviceError]]:
    if isinstance(value, tuple):
        for position, inner in enumerate(value):
            yield from _broken(inner, (*path, position))
    if isinstance(value, Part):
        for rule in value.rules:
            try:
                for mistake in rule(value):
                    yield path, mistake
            except AttributeError:
                continue  # the rule reads a wrong value
        for name, inner in vars(value).items():
            yield from _broken(inner, (*path, name))


def _partial(model: type[Part], values: object) -> Part:
    """The part without its wrong fields: reading one of them raises `AttributeError`."""
    said: Mapping[str, object] = values if isinstance(values, Mapping) else {}
    found: dict[str, object] = {}
    for name in model.model_fields:
        try:
            found[name] = _value(model, name, said, found)
        except _MistakenError:
            continue
    mistaken = dict.fromkeys(model.model_fields.keys() - found.keys())
    part = model.model_construct({name for name in model.model_fields if name in said}, **found, **mistaken)
    for name in mistaken:
        del vars(part)[name]
    return part


def _value(model: type[Part], name: str, said: Mapping[str, object], others: dict[str, object]) -> object:
    field = model.model_fields[name]
    if name not in said:
        try:
            if field.is_required():
                raise _MistakenError
            return field.get_default(call_default_factory=True, validated_data=others)
        except KeyError:  # a default that depends on a wrong field
            raise _MistakenError from None
    value = said[name]
    inner = part_of(field.annotation)
    several = get_origin(field.annotation) is tuple
    if inner is not None and not several and isinstance(value, Mapping):
        return _partial(inner, value)
    if inner is not None and several and isinstance(value, list | tuple):
        return tuple(_partial(inner, each) for each in value)
    try:
        return _adapter(model, name).validate_python(value)
    except ValidationError:
        raise _MistakenError from None


def part_of(annotation: object) -> type[Part] | None:
    """The class of a `Part` in a field's annotation, alone or inside another type; None if there is none."""
    for choice in (annotation, *get_args(annotation)):
        if isinstance(choice, type) and issubclass(choice, Part):
            return choice
    return None


@cache
def _adapter(model: type[Part], name: str) -> TypeAdapter[object]:
    return TypeAdapter(model.model_fields[name].rebuild_annotation())
