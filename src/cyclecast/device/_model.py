"""A device as a value: what a file in the library says, checked on construction, and what follows from it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from math import prod
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, StrictBool, ValidationError, model_validator

from cyclecast.device._explain import explain, suggest
from cyclecast.errors import DeviceError
from cyclecast.units import Area, Bandwidth, Frequency, Power, Time

MOST = 1_000_000
"""The largest count; a typo beyond it is refused instead of scheduled for."""

Count = Annotated[int, Field(strict=True, ge=1, le=MOST)]
Width = Annotated[int, Field(strict=True, ge=1, le=32)]
Identifier = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=64)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Bits(_Part):
    """The widths of the values that the device multiplies."""

    activation: Width = 8
    """Bits of an input value."""
    weight: Width = 8
    """Bits of a weight."""


class Component(_Part):
    """A group of equal parts that draw power and take area, such as the ADCs of a CU."""

    name: Identifier
    """What breakdowns call it."""
    count: Count = 1
    """Parts in the group; for the reader, as power and area are those of the whole group."""
    power: Power
    """Drawn by the whole group at full load."""
    area: Area
    """Taken by the whole group."""
    per: Count = 1
    """Instances that share the group, each counted with its share: 4 for a router of four PEs."""


class Level(_Part):
    """A tier of the device, such as its PEs."""

    name: Identifier
    """What mappings and reports call it."""
    count: Count
    """Instances inside one instance of the level above; of the outermost level, inside the device."""
    input_bandwidth: Bandwidth | None = None
    """Bytes of input that one instance can take per second; none means that this never limits."""
    output_bandwidth: Bandwidth | None = None
    """Bytes of output that one instance can hand on per second; none means that this never limits."""
    components: tuple[Component, ...] = ()
    """What one instance is made of besides the levels inside it; none means no power and no area."""


class Write(_Part):
    """How cells are programmed."""

    pulse: Time
    """The length of one programming pulse."""
    verify: Time
    """The read that checks a pulse; "0 fs" without one."""
    pulses: Count
    """Pulses, each with its check, that a cell takes."""
    rows: Count
    """Word lines of an array programmed at the same time; more than the array has means all."""
    cols: Count
    """Bit lines of an array programmed at the same time; more than the array has means all."""
    arrays: Count
    """Arrays programmed at the same time, on the whole device; more than it has means all."""
    during_inference: StrictBool = True
    """Whether arrays may be programmed while a network runs; if not, each workload's weights must fit the device."""


class Array(_Part):
    """A grid of cells with its converters: digital in, digital out."""

    rows: Count
    """Word lines; each takes one input."""
    cols: Count
    """Bit lines; each gives one sum."""
    active_rows: Count = Field(default_factory=lambda fields: fields["rows"])
    """Word lines read at once; all of them if not said."""
    cell_bits: Width
    """Bits of a weight that one cell holds: the width of a bit slice."""
    dac_bits: Width
    """Bits of an input that one input step applies."""
    adc_bits: Width
    """Resolution of the ADC."""
    adc_saves_bit: StrictBool = False
    """Whether weights are encoded so that the largest sum is halved (ISAAC's flipped columns)."""
    adc_rate: Frequency
    """Conversions per second of one ADC."""
    adcs: Count
    """ADCs that share the bit lines of one array."""
    adc_overlap: StrictBool
    """Whether the sums of one input step are converted during the read of the next."""
    read: Time
    """From an input step to its held sums: one cycle."""
    write: Write
    """How its cells are programmed."""

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        if self.active_rows > self.rows:
            raise DeviceError(
                "active_rows", f"{self.active_rows}", f"the array has {self.rows} rows", f"active_rows: {self.rows}"
            )
        if self.adcs > self.cols:
            raise DeviceError("adcs", f"{self.adcs}", f"the array has {self.cols} cols", f"adcs: {self.cols}")
        if self.read == Time(0):
            raise DeviceError("read", f"{self.read}", "a read takes time", "'100 ns'")
        return self

    @property
    def lossless_adc_bits(self) -> int:
        """The resolution that loses nothing of a sum (Shafiee et al., ISCA 2016, section V)."""
        summands = (self.active_rows - 1).bit_length()
        both = self.dac_bits > 1 and self.cell_bits > 1
        return max(1, summands + self.dac_bits + self.cell_bits - (not both) - self.adc_saves_bit)


class Pipeline(_Part):
    """What happens around the arrays."""

    fill: Annotated[int, Field(strict=True, ge=0, le=MOST)]
    """Cycles outside the arrays from the first input to the first result; a cycle is one read of an array."""


class Device(_Part):
    """A compute-in-memory device that need not exist."""

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
    components: tuple[Component, ...] = ()
    """What the device has besides its levels, such as links; none means no power and no area."""

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        names = [level.name for level in self.levels]
        for position, name in enumerate(names):
            if name in names[:position]:
                raise DeviceError(f"levels.{position}.name", f"'{name}' again", "level names differ", "another name")
            if name == "time":
                raise DeviceError(f"levels.{position}.name", "'time'", "schedules call their steps so", "another name")
        if self.slices > self.array.cols:
            raise DeviceError(
                "array.cell_bits",
                f"a {self.bits.weight}-bit weight needs {self.slices} columns",
                f"the array has {self.array.cols} cols",
                "more cell_bits or more cols",
            )
        _require_different_names("components", self.components)
        for position, level in enumerate(self.levels):
            _require_different_names(f"levels.{position}.components", level.components)
        return self

    @property
    def slices(self) -> int:
        """Bit slices, and so columns, of one weight."""
        return -(-self.bits.weight // self.array.cell_bits)

    @property
    def input_steps(self) -> int:
        """Input steps of one activation."""
        return -(-self.bits.activation // self.array.dac_bits)

    @property
    def filters_per_array(self) -> int:
        """Filters side by side in one array."""
        return self.array.cols // self.slices

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
        from cyclecast.device._load import load

        return load(name_or_path)

    @classmethod
    def library(cls) -> tuple[str, ...]:
        """The names that `load` knows."""
        from cyclecast.device._load import library

        return library()

    @classmethod
    def schema_text(cls) -> str:
        """The JSON Schema of a device file, for editors."""
        return json.dumps(cls.model_json_schema(), indent=2) + "\n"

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Device:
        """The inverse of `to_json`."""
        return _device(value)

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON: what was said, without the defaults."""
        return self.model_dump(mode="json", exclude_unset=True)

    def to_yaml(self) -> str:
        """The text of a file that loads as this device."""
        from cyclecast.device._load import dump

        return dump(self)

    def vary(self, field: str, value: object) -> Device:
        """This device with another value of one field: `vary("array.adc_bits", 7)`, `vary("levels.pe.count", 1)`."""
        return self.vary_all({field: value})

    def vary_all(self, changes: Mapping[str, object]) -> Device:
        """Several fields at once, for values that only fit together."""
        varied = self.to_json()
        for field, value in changes.items():
            _replace(varied, field, value)
        return _device(varied)


def _require_different_names(field: str, components: tuple[Component, ...]) -> None:
    names = [component.name for component in components]
    for position, name in enumerate(names):
        if name in names[:position]:
            raise DeviceError(f"{field}.{position}.name", f"'{name}' again", "component names differ", "another name")


def _device(value: Mapping[str, Any]) -> Device:
    try:
        return Device.model_validate(value)
    except ValidationError as error:
        found = explain(error, Device)
        raise DeviceError(found.field, found.demand, found.bound, found.lever) from None


def _replace(values: dict[str, Any], field: str, value: object) -> None:
    *parents, last = field.split(".")
    node: Any = values
    for part in parents:
        if isinstance(node, list):
            node = _named(node, part, field)
        else:
            node = node.setdefault(part, [] if part == "components" else {})
        if not isinstance(node, dict | list):
            raise DeviceError(
                field, "no such field", f"{part} is a single value", f"'{field.removesuffix('.' + last)}'"
            )
    if isinstance(node, list):
        what = "component" if "components" in parents else "level"
        raise DeviceError(field, f"a whole {what}", "one field at a time", f"'{field}.count'")
    node[last] = value


def _named(items: list[dict[str, Any]], name: str, field: str) -> dict[str, Any]:
    names = [item["name"] for item in items]
    if name not in names:
        what = "component" if f"components.{name}" in field else "level"
        there = f"there are {', '.join(names)}" if names else "there are none"
        raise DeviceError(field, f"no {what} '{name}'", there, suggest(name, names) if names else "")
    return items[names.index(name)]
