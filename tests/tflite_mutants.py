"""Mutants of TFLite files: one field of the object tree is replaced."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

import tflite_files
from mutators import PAYLOADS

NUMBERS = (-(1 << 31), -1, 0, 1, 2, 3, 7, 64, 127, 128, 255, 1 << 16, 10**9, (1 << 31) - 1)
TEXTS = [*(text.encode() for text in PAYLOADS), b"", b"\xff\xfe", b"\x1b[31m", "\N{RIGHT-TO-LEFT OVERRIDE}".encode()]


def originals() -> list[bytes]:
    """Quantised, real and transposed layers."""
    with TemporaryDirectory() as folder:
        makers = (tflite_files.quantised, tflite_files.real, tflite_files.pooled, tflite_files.transposed)
        return [make(Path(folder) / "network.tflite").read_bytes() for make in makers]


def field(content: bytes, random: Random) -> bytes:
    """Replace one number, text or list, move one object to another's place, or remove it."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    try:
        model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
        places = list(_fields(model))
        # the buffers are most of a file, and the least of it
        owner, name = random.choice([place for place in places if place[1] != "data"] or places)
        setattr(owner, name, _other(getattr(owner, name), random, places))
        builder = flatbuffers.Builder()
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())
    except (AttributeError, IndexError, OverflowError, RecursionError, TypeError, ValueError, struct.error):
        return content  # no file can say so, or it was no file any more
    except Exception as error:  # flatbuffers has errors of its own
        if type(error).__module__.startswith("flatbuffers"):
            return content
        raise


def _fields(part: Any) -> Iterator[tuple[Any, str]]:
    """Every field of every object."""
    for name, value in vars(part).items():
        yield part, name
        for inner in value if isinstance(value, list) else [value]:
            if hasattr(inner, "__dict__"):
                yield from _fields(inner)


def _other(value: Any, random: Random, places: list[tuple[Any, str]]) -> Any:
    match value:
        case bool():
            return not value
        case int():
            return random.choice(NUMBERS)
        case float():
            return random.choice([0.0, -1.0, 1e38, float("nan"), float("inf"), 1e-42])
        case bytes() | str():
            return random.choice(TEXTS)
        case np.ndarray():
            changed = value.copy()
            if len(changed) and changed.dtype.kind in "iu":
                info = np.iinfo(changed.dtype)
                changed[random.randrange(len(changed))] = min(max(random.choice(NUMBERS), info.min), info.max)
            return changed if random.random() < 0.7 else changed[: random.randrange(len(changed) + 1)]
        case list() if value and random.random() < 0.7:
            spot, others = random.randrange(len(value)), NUMBERS if isinstance(value[0], int) else value
            return [*value[:spot], random.choice(others), *value[spot + 1 :]]
        case list():
            return value[:-1] if random.random() < 0.5 else value * random.choice([2, 100])
        case _:
            return None if random.random() < 0.5 else getattr(*random.choice(places))
