"""Values of JSON files: exact types or a `ValueError`, however odd the file is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import strategies
from cyclecast.device import Device
from cyclecast.errors import CyclecastError, MappingError
from cyclecast.mapping import Mapping, mapping_from_json, mappings_from_json
from cyclecast.mapspace import default_mapping
from cyclecast.network import operators_from_json
from cyclecast.search import outcome_from_json
from cyclecast.storage.reading import LARGEST, json_value, whole
from cyclecast.timing import Analytical, timing_from_json

ODD: list[Any] = [None, True, 1.0, 1.5, -1, 2**64, 10**400, "1", "", "\x00", [], [[]], {}, {"a": 1}, [None] * 3]
"""What may stand in the place of any value."""


def mapping() -> Mapping:
    """One with several groups and pixels."""
    return default_mapping(strategies.matrix_vector(12, 5, 9, 2), Device.load("tiny"))


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all values within a value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, part in inner for found in places(part, (*path, key)))]


def replaced(value: Any, path: tuple[Any, ...], other: Any) -> Any:
    """The value with another one at this place."""
    if not path:
        return other
    changed = value.copy()
    changed[path[0]] = replaced(value[path[0]], path[1:], other)
    return changed


MAPPING = json.loads(json.dumps(mapping().to_json()))
TIMING = json.loads(json.dumps(Analytical().time(mapping(), Device.load("tiny")).to_json()))
SKETCH = {"rules": "im2col", "points": 3, "legal": 2}
CERTIFICATE = {"covered": 3, "timed": 2, "best": 5, "runner_up": None, "lower": 5}
OUTCOME = {"strategy": "pareto", "note": "", "sketches": [SKETCH], "certificate": CERTIFICATE} | {
    "front": [{"mapping": MAPPING, "fs": 1, "aj": 2, "arrays": 3}]
}
EDGE = {"source": 0, "reach": [None, {"axis": 0, "scale": 1, "offset": 0, "span": 2}]}
OPERATOR = {"kernel": "k", "workload": MAPPING["workload"], "raster": [2, 3], "sources": []}
OPERATORS = [OPERATOR, OPERATOR | {"sources": [EDGE]}]
READERS: dict[str, tuple[Any, Any]] = {
    "mapping": (mapping_from_json, MAPPING),
    "timing": (timing_from_json, TIMING),
    "outcome": (outcome_from_json, OUTCOME),
    "operators": (operators_from_json, OPERATORS),
}
CAUGHT = (ValueError, LookupError, TypeError, AttributeError, CyclecastError)
"""What the readers of files and of records turn into a message."""


@pytest.mark.parametrize("reader", READERS)
def test_what_was_written_is_read(reader: str) -> None:
    read, value = READERS[reader]
    read(value)


@pytest.mark.parametrize("reader", READERS)
@given(data=st.data())
def test_an_odd_value_anywhere_is_refused_or_is_of_that_type(reader: str, data: st.DataObject) -> None:
    read, value = READERS[reader]
    path, other = data.draw(st.sampled_from(places(value))), data.draw(st.sampled_from(ODD))
    try:
        made = read(replaced(value, path, other))
    except CAUGHT:
        return
    assert not floats(made)


def floats(made: Any) -> bool:
    """Whether a number in the text of a value is no integer, or a time is beyond a float."""
    return "1.0" in repr(made) or "1.5" in repr(made) or str(10**400) in repr(made)


@pytest.mark.parametrize("value", [True, 1.0, "1", None, [1], -1, LARGEST + 1])
def test_what_is_no_whole_number(value: Any) -> None:
    with pytest.raises(ValueError, match="is no whole number"):
        whole(value)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a":' * 100_000, "[" * 100_000 + "]" * 100_000, "1" * 5000, "NaN", "-Infinity", ""]
)
def test_what_is_no_json(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - of the reader of JSON, in many words
        json_value(text)


def test_a_value_nested_too_deeply_is_refused() -> None:
    value: Any = 1
    for _ in range(100_000):
        value = [value]
    with pytest.raises(MappingError, match="it is not in the form of"):
        mappings_from_json({"k": MAPPING | {"word_lines": value}})


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"word_lines": 1.0}, "word_lines: Input should be a valid integer"),
        ({"levels": "pe"}, "levels: Input should be a valid array"),
        ({"colour": 1}, "colour: Unexpected keyword argument"),
    ],
)
def test_the_field_is_named(changed: dict[str, Any], reason: str) -> None:
    with pytest.raises(MappingError) as raised:
        mappings_from_json({"k": MAPPING | changed})
    assert raised.value.bound == reason
