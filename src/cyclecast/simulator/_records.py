"""Checks on the records of a trace: header, types and names of fields. Errors are `ValueError`s."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import NoReturn

from cyclecast.simulator._parameters import FIELDS, Parameters, is_whole, wrong_parameter
from cyclecast.storage.reading import Json

FORMAT, VERSION = "cyclecast-trace", 1
HEADER_FIELDS = ("format", "version", "parameters", "network", "device", "seed", "versions")
SUM_BYTES = 8


@dataclass(frozen=True, slots=True)
class Header:
    """The header of a trace."""

    parameters: Parameters
    network: str = ""
    device: str = ""
    seed: int | None = None
    """Seed of the network's random inputs, or None."""
    versions: str = ""

    @property
    def value_bytes(self) -> int:
        """Bytes of a weight or an input in a payload: 1, 2 or 4."""
        bits = max(int(str(self.parameters[name])) for name in ("weight_bits", "input_bits"))
        return next((size for size in (1, 2) if 8 * size >= bits), 4)

    def to_json(self) -> dict[str, Json]:
        """The header as plain values."""
        return {"format": FORMAT, "version": VERSION, **asdict(self), "parameters": dict(self.parameters)}


def header_of(record: Mapping[str, object]) -> Header:
    version = record.get("version")
    if record.get("format") != FORMAT or type(version) is not int or version != VERSION:
        raise ValueError(f"no {FORMAT} of version {VERSION}")
    require_known(record, HEADER_FIELDS)
    given, seed = record["parameters"], record.get("seed")
    if not isinstance(given, dict):
        raise ValueError("parameters are an object")
    wrong = wrong_parameter(given)
    if wrong:
        raise ValueError(wrong)
    if seed is not None and type(seed) is not int:
        raise ValueError(f"seed is {str(seed)[:40]}; it must be an integer or null")
    parameters = {name: tuple(given[name]) if length > 1 else given[name] for name, _, length in FIELDS}
    texts = {name: text_of(record, name, "") for name in ("network", "device", "versions")}
    return Header(parameters, seed=seed, **texts)


def unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """A JSON object. Raises `ValueError` for a repeated key."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice")
    return found


def no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


def require_known(record: Mapping[str, object], known: tuple[str, ...]) -> None:
    unknown = next((name for name in record if name not in known), None)
    if unknown is not None:
        raise ValueError(f"the key {unknown[:40]!r} is unknown; it must be one of {', '.join(known)}")


def text_of(record: Mapping[str, object], name: str, default: str | None = None) -> str:
    value = record[name] if default is None else record.get(name, default)
    if not isinstance(value, str):
        raise ValueError(f"{name} is {str(value)[:40]}; it must be a text")
    return value


def word(value: object) -> int:
    if not is_whole(value, 32):
        raise ValueError(f"{str(value)[:20]} is no number of 32 bits")
    return int(value)


def count_of(value: object) -> int:
    if not is_whole(value, 64):
        raise ValueError(f"{str(value)[:20]} is no number of 64 bits")
    return int(value)
