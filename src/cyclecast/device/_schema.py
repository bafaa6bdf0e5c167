"""A device as a value: what a file in the library says, checked on construction, and what follows from it."""

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
    """A compute-in-memory device that need not exist."""

    rules = (
        _rules.levels_have_names_of_their_own,
        _rules.no_level_is_called_time,
        _rules.weights_fit_into_an_array,
        _rules.components_have_names_of_their_own,
        _rules.components_of_levels_have_names_of_their_own,
        _rules.arrays_can_be_built,
    )
    format: Annotated[int, Field(strict=True, ge=1, le=1)]
    """The version of this format."""
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._+-]*$", max_length=64)]
    """What reports call it."""
    cites: Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff]+$", max_length=2000)]
    """Where its numbers come from, on one line."""
    bits: Bits = Bits()
    """Widths of activations and weights, 8 bits each if not said."""
    levels: Annotated[tuple[Level, ...], Field(min_length=1, max_length=8)]
    """The tiers, outermost first; the last is the array level."""
    array: Array
    """What an instance of the last level is made of."""
    pipeline: Pipeline
    """What an input and its result pass outside the arrays."""
    input_bandwidth: Flow | None = None
    """Bytes of input that the whole device can take per second; none means that this never limits."""
    output_bandwidth: Flow | None = None
    """Bytes of output that the whole device can hand on per second; none means that this never limits."""
    network: Mesh | None = None
    """What connects the instances of the outermost level; none means that distances cost nothing."""
    link_bandwidth: Flow | None = None
    """Bytes that one device can exchange with others of its kind per second; none means that this never limits."""
    dynamic: Dynamic = Dynamic.HOST
    """Who multiplies two operands that are both computed, if not said otherwise."""
    host: Host = Host()
    """What computes the operators that arrays do not: 8 operations a nanosecond and 12.8 GB/s, if not said."""
    components: tuple[Component, ...] = ()
    """What the device has besides its levels, such as links; none means no power and no area."""

    @property
    def slices(self) -> int:
        """Bit slices of one weight; a differential encoding slices the magnitude, which is one bit shorter."""
        bits = self.bits.weight if self.array.encoding is Encoding.OFFSET else max(1, self.bits.weight - 1)
        return -(-bits // self.array.cell_bits)

    @property
    def columns_per_weight(self) -> int:
        """Columns of one weight."""
        return self.slices * (2 if self.array.encoding is Encoding.DIFFERENTIAL_COLUMNS else 1)

    @property
    def step_bits(self) -> tuple[int, ...]:
        """Bits that each input step of one activation applies; the last step takes what is left."""
        bits, width = self.bits.activation, self.array.dac_bits
        if self.array.inputs is Inputs.SIGN_MAGNITUDE:
            bits = max(1, bits - 1)
        return tuple(min(width, bits - applied) for applied in range(0, bits, width))

    @property
    def input_steps(self) -> int:
        """Input steps of one activation."""
        return len(self.step_bits)

    @property
    def word_lines_per_array(self) -> int:
        """Reduction values one above the other in one array."""
        return self.array.rows // self.array.rows_per_weight

    @property
    def filters_per_array(self) -> int:
        """Filters side by side in one array."""
        return self.array.cols // self.columns_per_weight

    @property
    def arrays(self) -> int:
        """Arrays of the whole device."""
        return prod(level.count for level in self.levels)

    @property
    def digest(self) -> str:
        """16 hexadecimal digits that equal devices share and different ones do not."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return sha256(text.encode()).hexdigest()[:16]

    @classmethod
    def load(cls, name_or_path: str | Path) -> Device:
        """The library's device of that name, or the one in that file; a `DeviceError` names file, line and field."""
        return _file.parsed(cls, *_file.found(name_or_path))[0]

    @classmethod
    def library(cls) -> tuple[str, ...]:
        """The names that `load` knows."""
        return _file.library()

    @classmethod
    def schema_text(cls) -> str:
        """The JSON Schema of a device file, for editors."""
        return json.dumps(cls.model_json_schema(), indent=2) + "\n"

    @classmethod
    def from_json(cls, value: Mapping[str, object]) -> Device:
        """The inverse of `to_json`."""
        return _device(value)

    def to_json(self) -> dict[str, Json]:
        """Plain values for JSON: what was said, without the defaults."""
        return self.model_dump(mode="json", exclude_unset=True)

    def to_yaml(self) -> str:
        """The text of a file that loads as this device."""
        return _file.text_of(self.to_json())

    def __repr__(self) -> str:
        levels = " x ".join(f"{level.count} {level.name}" for level in self.levels)
        return f"<device {self.name}: {levels} of {self.array.rows} x {self.array.cols} cells>"

    __str__ = __repr__

    def _repr_html_(self) -> str:
        rows = [(level.name, f"{level.count:,}") for level in self.levels]
        return html_table(repr(self)[1:-1], ("level", "instances in one of the level above"), rows)

    def vary(self, field: str, value: object) -> Device:
        """This device with another value of one field: `vary("array.adc_bits", 7)`, `vary("levels.pe.count", 1)`."""
        return self.vary_all({field: value})

    def vary_all(self, changes: Mapping[str, object]) -> Device:
        """Several fields at once, for values that only fit together."""
        varied: dict[str, object] = dict(self.to_json())
        for field, value in changes.items():
            _replace(varied, field, value)
        return _device(varied)


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
            inner = node.setdefault(part, [] if part == "components" else {})
        if not isinstance(inner, dict | list):
            raise DeviceError(
                field, "no such field", f"{part} is a single value", f"'{field.removesuffix('.' + last)}'"
            )
        node = inner
    if isinstance(node, list):
        what = "component" if "components" in parents else "level"
        raise DeviceError(field, f"a whole {what}", "one field at a time", f"'{field}.count'")
    node[last] = value


def _named(items: list[dict[str, object]], name: str, field: str) -> dict[str, object]:
    names = [str(item["name"]) for item in items]
    if name not in names:
        what = "component" if f"components.{name}" in field else "level"
        there = f"there are {', '.join(names)}" if names else "there are none"
        raise DeviceError(field, f"no {what} '{name}'", there, suggest(name, names) if names else "")
    return items[names.index(name)]
