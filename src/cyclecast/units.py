"""Numbers with a unit: `Time`, `Frequency`, `Bandwidth`, `Size`, `Power`, `Energy` and `Area`.

A quantity is a whole number of its smallest unit, so sums and comparisons are exact; a text is parsed by `Fraction`,
never as a float. Quantities are frozen, ordered, hashable, and fields of pydantic models, which read and write texts.

    >>> Time.parse("100 ns") + 2 * Time.parse("1.5 ns")
    Time('103 ns')
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from operator import index
from typing import ClassVar, Self, SupportsIndex

from pydantic_core import core_schema

from cyclecast.errors import OptionError

LONGEST_TEXT = 100
"""Longest text, in characters; a longer one is refused before it is parsed."""


@dataclass(frozen=True, slots=True)
class _Scale:
    """The text form of one kind of quantity."""

    what: str
    units: Mapping[str, int]
    """Each unit as a multiple of the smallest one, ascending."""
    aliases: Mapping[str, int]
    """Units that are read but not written."""
    examples: tuple[str, ...]
    least: int = 0

    @property
    def pattern(self) -> str:
        units = "|".join(re.escape(unit) for unit in (*self.units, *self.aliases))
        return rf"^([0-9]+(?:\.[0-9]+)?) ?({units})$"

    def refuse(self, text: str, bound: str) -> OptionError:
        shown = text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}..."
        return OptionError(self.what, f"{shown} cannot be read", bound, f"'{self.examples[0]}'")

    def read(self, text: str) -> int:
        """The amount in the smallest unit."""
        match = re.fullmatch(self.pattern, text) if len(text) <= LONGEST_TEXT and "\n" not in text else None
        if match is None:
            written = ", ".join((*self.units, *self.aliases))
            raise self.refuse(repr(text), f"it must be a decimal number and one of {written}")
        amount = Fraction(match[1]) * {**self.units, **self.aliases}[match[2]]
        smallest = next(iter(self.units))
        if amount.denominator != 1:
            raise self.refuse(repr(text), f"it must be a whole multiple of 1 {smallest}")
        if amount < self.least:
            raise self.refuse(repr(text), f"it must be at least {self.least} {smallest}")
        return int(amount)

    def write(self, amount: int) -> str:
        """The exact amount as text, in the largest unit in which it is at least 1."""
        unit, worth = next(iter(self.units.items()))
        for unit_, worth_ in self.units.items():
            if worth_ <= amount:
                unit, worth = unit_, worth_
        whole, rest = divmod(amount, worth)
        decimals = str(rest).zfill(len(str(worth)) - 1).rstrip("0") if rest else ""
        return f"{whole}.{decimals} {unit}" if decimals else f"{whole} {unit}"


class _Quantity:
    """Base of all quantities: parsing, text, pydantic's hooks. A subclass is a dataclass with one integer."""

    __slots__ = ()
    _scale: ClassVar[_Scale]

    def __init__(self, amount: int) -> None:
        raise NotImplementedError  # dataclasses replace it

    @classmethod
    def parse(cls, text: str) -> Self:
        """The exact quantity of a text: a decimal number and a unit. Raises `OptionError`."""
        return cls(cls._scale.read(text))

    @classmethod
    def _check(cls, amount: object) -> None:
        if not isinstance(amount, int) or amount < cls._scale.least:
            smallest = next(iter(cls._scale.units))
            raise cls._scale.refuse(
                str(amount), f"it must be a whole number of {smallest}, at least {cls._scale.least}"
            )

    @classmethod
    def _validate(cls, value: object) -> Self:
        if isinstance(value, cls):
            return value
        if not isinstance(value, str):
            raise cls._scale.refuse(f"a value without a unit ({type(value).__name__})", "it must be a text with a unit")
        return cls.parse(value)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: object) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls._validate, serialization=core_schema.to_string_ser_schema(when_used="json")
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: object, handler: object) -> dict[str, object]:
        return {"type": "string", "pattern": cls._scale.pattern, "examples": list(cls._scale.examples)}

    def __repr__(self) -> str:
        return f"{type(self).__name__}('{self}')"


@dataclass(frozen=True, slots=True, order=True, repr=False)
class Time(_Quantity):
    """A length of time, such as "100 ns" or "1.28 us"; never negative."""

    femtoseconds: int

    _scale: ClassVar = _Scale(
        "time",
        {"fs": 1, "ps": 10**3, "ns": 10**6, "us": 10**9, "ms": 10**12, "s": 10**15},
        {},
        ("100 ns", "1.28 us", "833333 fs"),
    )

    def __post_init__(self) -> None:
        self._check(self.femtoseconds)

    def __str__(self) -> str:
        return self._scale.write(self.femtoseconds)

    @property
    def seconds(self) -> float:
        """Seconds, for display and plots; compute with the `Time` itself."""
        return self.femtoseconds / 10**15

    def __add__(self, other: Time) -> Time:
        return Time(self.femtoseconds + other.femtoseconds) if isinstance(other, Time) else NotImplemented

    def __mul__(self, factor: SupportsIndex) -> Time:
        return Time(self.femtoseconds * index(factor))

    __rmul__ = __mul__

    def __floordiv__(self, other: Time) -> int:
        return self.femtoseconds // other.femtoseconds if isinstance(other, Time) else NotImplemented

    def __truediv__(self, other: Time) -> float:
        return self.femtoseconds / other.femtoseconds if isinstance(other, Time) else NotImplemented

    def ratio(self, other: Time) -> Fraction:
        """`self / other`, exact."""
        return Fraction(self.femtoseconds, other.femtoseconds)


@dataclass(frozen=True, slots=True, order=True, repr=False)
class Frequency(_Quantity):
    """Events per second, such as "1.28 GHz" or, for converters, "1.28 GS/s"; never zero."""

    millihertz: int

    _scale: ClassVar = _Scale(
        "frequency",
        {"mHz": 1, "Hz": 10**3, "kHz": 10**6, "MHz": 10**9, "GHz": 10**12, "THz": 10**15},
        {"S/s": 10**3, "kS/s": 10**6, "MS/s": 10**9, "GS/s": 10**12},
        ("1.28 GHz", "1.28 GS/s", "700 MHz"),
        least=1,
    )

    def __post_init__(self) -> None:
        self._check(self.millihertz)

    def __str__(self) -> str:
        return self._scale.write(self.millihertz)

    @property
    def period(self) -> Time:
        """Period of one event, rounded up to a whole femtosecond."""
        return self.time(1)

    def time(self, events: int) -> Time:
        """Time of `events` events one after another, rounded up once to a whole femtosecond."""
        return Time(-(-index(events) * 10**18 // self.millihertz))


@dataclass(frozen=True, slots=True, order=True, repr=False)
class Bandwidth(_Quantity):
    """Bytes per second, such as "10.24 GB/s" (decimal) or "1 GiB/s" (binary); never zero."""

    bytes_per_second: int

    _scale: ClassVar = _Scale(
        "bandwidth",
        {"B/s": 1, "kB/s": 10**3, "MB/s": 10**6, "GB/s": 10**9, "TB/s": 10**12},
        {"KiB/s": 2**10, "MiB/s": 2**20, "GiB/s": 2**30, "TiB/s": 2**40},
        ("10.24 GB/s", "512 MiB/s"),
        least=1,
    )

    def __post_init__(self) -> None:
        self._check(self.bytes_per_second)

    def __str__(self) -> str:
        return self._scale.write(self.bytes_per_second)

    def time(self, count: int) -> Time:
        """Time to move `count` bytes, rounded up to a whole femtosecond."""
        return Time(-(-index(count) * 10**15 // self.bytes_per_second))


@dataclass(frozen=True, slots=True, order=True, repr=False)
class Size(_Quantity):
    """A number of bytes, such as "64 KiB" (binary) or "64 kB" (decimal)."""

    bytes: int

    _scale: ClassVar = _Scale(
        "size",
        {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40},
        {"kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12},
        ("64 KiB", "2 MiB", "256 B"),
    )

    def __post_init__(self) -> None:
        self._check(self.bytes)

    def __str__(self) -> str:
        whole = {unit: worth for unit, worth in self._scale.units.items() if self.bytes % worth == 0}
        unit = max(whole, key=whole.__getitem__) if self.bytes else "B"
        return f"{self.bytes // self._scale.units[unit]} {unit}"


class Additive(_Quantity):
    """A quantity of components that adds up over a device: power, energy, area."""

    __slots__ = ()
    _field: ClassVar[str]
    """Name of the field with the integer."""

    @property
    def _amount(self) -> int:
        return int(getattr(self, self._field))

    def __str__(self) -> str:
        return self._scale.write(self._amount)

    def __add__(self, other: Self) -> Self:
        return type(self)(self._amount + other._amount) if isinstance(other, type(self)) else NotImplemented

    def __mul__(self, factor: SupportsIndex) -> Self:
        return type(self)(self._amount * index(factor))

    __rmul__ = __mul__

    def __truediv__(self, other: Self) -> float:
        return self._amount / other._amount if isinstance(other, type(self)) else NotImplemented

    def ratio(self, other: Self) -> Fraction:
        """`self / other`, exact."""
        return Fraction(self._amount, other._amount)

    def scaled(self, factor: Fraction) -> Self:
        """The quantity times a factor, rounded up once to the smallest unit."""
        return type(self)(-(-self._amount * factor.numerator // factor.denominator))


@dataclass(frozen=True, slots=True, order=True, repr=False)
class Energy(Additive):
    """An amount of energy, such as "1.5625 pJ"; never negative."""

    attojoules: int

    _field: ClassVar = "attojoules"
    _scale: ClassVar = _Scale(
        "energy",
        {"aJ": 1, "fJ": 10**3, "pJ": 10**6, "nJ": 10**9, "uJ": 10**12, "mJ": 10**15, "J": 10**18},
        {},
        ("1.5625 pJ", "20 nJ"),
    )

    def __post_init__(self) -> None:
        self._check(self.attojoules)

    @property
    def joules(self) -> float:
        """Joules, for display and plots; compute with the `Energy` itself."""
        return self.attojoules / 10**18


@dataclass(frozen=True, slots=True, order=True, repr=False)
class Power(Additive):
    """Energy per time, such as "16 mW"; never negative."""

    picowatts: int

    _field: ClassVar = "picowatts"
    _scale: ClassVar = _Scale(
        "power",
        {"pW": 1, "nW": 10**3, "uW": 10**6, "mW": 10**9, "W": 10**12, "kW": 10**15},
        {},
        ("16 mW", "10 uW", "10.4 W"),
    )

    def __post_init__(self) -> None:
        self._check(self.picowatts)

    @property
    def watts(self) -> float:
        """Watts, for display and plots; compute with the `Power` itself."""
        return self.picowatts / 10**12

    def energy(self, time: Time) -> Energy:
        """Power x time, rounded up once to a whole attojoule."""
        return Energy(-(-self.picowatts * time.femtoseconds // 10**9))


@dataclass(frozen=True, slots=True, order=True, repr=False)
class Area(Additive):
    """An area of silicon, such as "0.0096 mm2"; never negative."""

    square_nanometres: int

    _field: ClassVar = "square_nanometres"
    _scale: ClassVar = _Scale("area", {"nm2": 1, "um2": 10**6, "mm2": 10**12}, {}, ("0.0096 mm2", "40 um2"))

    def __post_init__(self) -> None:
        self._check(self.square_nanometres)

    @property
    def square_millimetres(self) -> float:
        """Square millimetres, for display and plots; compute with the `Area` itself."""
        return self.square_nanometres / 10**12


def short_energy(energy: Energy) -> str:
    """Energy with four digits and a unit."""
    return _short(
        energy.attojoules, (("J", 10**18), ("mJ", 10**15), ("uJ", 10**12), ("nJ", 10**9), ("pJ", 10**6)), energy
    )


def short_time(time: Time) -> str:
    """Time with four digits and a unit."""
    return _short(time.femtoseconds, (("s", 10**15), ("ms", 10**12), ("us", 10**9), ("ns", 10**6)), time)


def _short(amount: int, units: tuple[tuple[str, int], ...], exact: Time | Energy) -> str:
    for unit, size in units:
        if amount >= size * 0.99995:  # it rounds to 1 of the unit
            return f"{float(f'{amount / size:.4g}'):,g} {unit}"
    return str(exact)
