"""A device as a value: the fields of a device file, checked on construction, and properties that follow."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from math import prod
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from cyclecast._notebook import html_table
from cyclecast.device import _file, _rules
from cyclecast.device._explain import explain
from cyclecast.device._parts import (
    Array,
    Bits,
    Component,
    Dynamic,
    Encoding,
    Flow,
    Host,
    Inputs,
    Level,
    Mesh,
    Part,
    Pipeline,
)
from cyclecast.device._words import suggest
from cyclecast.errors import DeviceError, MistakesError
from cyclecast.storage.reading import Json


class Device(Part):
    """A compute-in-memory device, existing or planned. Wrong values raise `DeviceError`."""

    rules = (
        _rules.levels_have_names_of_their_own,
        _rules.no_level_is_called_time,
        _rules.weights_fit_into_an_array,
        _rules.components_have_names_of_their_own,
        _rules.components_of_levels_have_names_of_their_own,
        _rules.units_have_names_of_their_own,
        _rules.arrays_can_be_built,
    )
    format: Annotated[int, Field(strict=True, ge=1, le=1)]
    """The version of this format."""
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._+-]*$", max_length=64)]
    """Name of the device in reports."""
    cites: Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff]+$", max_length=2000)]
    """Source of its numbers, on one line."""
    bits: Bits = Bits()
    """Widths of activations and weights; default 8 bits each."""
    levels: Annotated[tuple[Level, ...], Field(min_length=1, max_length=8)]
    """Levels of the device, outermost first; an instance of the last one is an array."""
    array: Array
    """Array: an instance of the last level."""
    pipeline: Pipeline
    """Pipeline cycles of an input and its result outside the arrays."""
    input_bandwidth: Flow | None = None
    """Input bandwidth of the whole device in bytes per second; default unlimited."""
    output_bandwidth: Flow | None = None
    """Output bandwidth of the whole device in bytes per second; default unlimited."""
    network: Mesh | None = None
    """Network between the instances of the outermost level; without one, distances cost nothing."""
    link_bandwidth: Flow | None = None
    """Bandwidth of one device to others of its kind in bytes per second; default unlimited."""
    dynamic: Dynamic = Dynamic.HOST
    """Who computes products of two computed operands, by default."""
    host: Host = Host()
    """Host for the operators that arrays do not compute; default 8 operations per nanosecond and 12.8 GB/s."""
    components: tuple[Component, ...] = ()
    """Components of the device beside its levels, such as links; without any, no power and no area."""

    @property
    def slices(self) -> int:
        """Number of bit slices of one weight; a differential encoding slices the magnitude, one bit shorter."""
        bits = self.bits.weight if self.array.encoding is Encoding.OFFSET else max(1, self.bits.weight - 1)
        return -(-bits // self.array.cell_bits)

    @property
    def columns_per_weight(self) -> int:
        """Number of columns of one weight."""
        return self.slices * (2 if self.array.encoding is Encoding.DIFFERENTIAL_COLUMNS else 1)

    @property
    def step_bits(self) -> tuple[int, ...]:
        """Bits of each input step of one activation; the last step has the rest."""
        bits, width = self.bits.activation, self.array.dac_bits
        if self.array.inputs is Inputs.SIGN_MAGNITUDE:
            bits = max(1, bits - 1)
        return tuple(min(width, bits - applied) for applied in range(0, bits, width))

    @property
    def input_steps(self) -> int:
        """Number of input steps of one activation."""
        return len(self.step_bits)

    @property
    def word_lines_per_array(self) -> int:
        """Number of reduction values that fit into one array."""
        return self.array.rows // self.array.rows_per_weight

    @property
    def filters_per_array(self) -> int:
        """Number of filters that fit into one array."""
        return self.array.cols // self.columns_per_weight

    @property
    def arrays(self) -> int:
        """Number of arrays of the whole device."""
        return prod(level.count for level in self.levels)

    @property
    def digest(self) -> str:
        """Hash of all fields, 16 hexadecimal digits; equal devices have equal digests."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return sha256(text.encode()).hexdigest()[:16]

    @classmethod
    def load(cls, name_or_path: str | Path) -> Device:
        """Load a device of the library by name, or from a file. Raises `DeviceError` with file, line and field."""
        return _file.parsed(cls, *_file.found(name_or_path))[0]

    @classmethod
    def library(cls) -> tuple[str, ...]:
        """The names of the devices that come with cyclecast."""
        return _file.library()

    @classmethod
    def schema_text(cls) -> str:
        """The JSON Schema of a device file, for editors."""
        return json.dumps(cls.model_json_schema(), indent=2) + "\n"

    @classmethod
    def from_json(cls, value: Mapping[str, object]) -> Device:
        """Rebuild a device from `to_json`. Raises `DeviceError`."""
        return _device(value)

    def to_json(self) -> dict[str, Json]:
        """Plain values for JSON: the given fields, without defaults."""
        return self.model_dump(mode="json", exclude_unset=True)

    def to_yaml(self) -> str:
        """The text of a device file for this device."""
        return _file.text_of(self.to_json())

    def __repr__(self) -> str:
        levels = " x ".join(f"{level.count} {level.name}" for level in self.levels)
        return f"<device {self.name}: {levels} of {self.array.rows} x {self.array.cols} cells>"

    __str__ = __repr__

    def _repr_html_(self) -> str:
        rows = [(level.name, f"{level.count:,}") for level in self.levels]
        return html_table(repr(self)[1:-1], ("level", "instances in one of the level above"), rows)

    def vary(self, field: str, value: object) -> Device:
        """This device with another value of one field: `vary("array.adc_bits", 7)`, `vary("levels.pe.count", 1)`.

        Raises `DeviceError` for an unknown field or a wrong value.
        """
        return self.vary_all({field: value})

    def vary_all(self, changes: Mapping[str, object]) -> Device:
        """This device with other values of several fields at once, for values that depend on each other."""
        varied: dict[str, object] = dict(self.to_json())
        for field, value in changes.items():
            _replace(varied, field, value)
        return _device(varied)


LISTS = {"components": "component", "units": "unit"}
"""Fields that are lists of parts with names, and the noun of a part."""


def _device(value: Mapping[str, object]) -> Device:
    try:
        return Device.model_validate(value)
    except ValidationError as error:
        found = explain(error, Device, value)
        raise MistakesError.of(DeviceError(each.field, each.demand, each.bound, each.lever) for each in found) from None
    except RecursionError:
        bound = "a device has a few inside one another"
        raise DeviceError("device", "values inside values, thousands deep", bound, "a file of the library") from None


def _replace(values: dict[str, object], field: str, value: object) -> None:
    *parents, last = field.split(".")
    node: dict[str, object] | list[dict[str, object]] = values
    for part in parents:
        if isinstance(node, list):
            inner: object = _named(node, part, field)
        else:
            inner = node.setdefault(part, [] if part in LISTS else {})
        if not isinstance(inner, dict | list):
            raise DeviceError(
                field, "no such field", f"{part} is a single value", f"'{field.removesuffix('.' + last)}'"
            )
        node = inner
    if isinstance(node, list):
        what = next((LISTS[part] for part in parents if part in LISTS), "level")
        raise DeviceError(field, f"a whole {what}", "one field at a time", f"'{field}.count'")
    node[last] = value


def _named(items: list[dict[str, object]], name: str, field: str) -> dict[str, object]:
    names = [str(item["name"]) for item in items]
    if name not in names:
        what = next((LISTS[part] for part in LISTS if f"{part}.{name}" in field), "level")
        there = f"there are {', '.join(names)}" if names else "there are none"
        raise DeviceError(field, f"no {what} '{name}'", there, suggest(name, names) if names else "")
    return items[names.index(name)]
