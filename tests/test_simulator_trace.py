"""Instruction traces: written ones are read, recorded ones are reproduced, wrong ones give one clear error."""

from __future__ import annotations

import json
import random
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cyclecast.errors import OptionError, TraceError
from cyclecast.simulator import (
    Call,
    Counters,
    Header,
    Operation,
    Trace,
    TraceWriter,
    driver_source,
    replay,
)
from cyclecast.simulator._parameters import LEVELS
from cyclecast.units import Size
from trace_files import CALLS, HEADER, TINY, fields, recorded

NOTHING = Counters(
    compute_fs=0, write_fs=0, programs=0, products=0, waits=0, inputs=(0,) * (LEVELS + 1), sums=(0,) * (LEVELS + 1)
)
BOTH = pytest.mark.parametrize("suffix", ["jsonl", "trace"])


def same(left: Call, right: Call) -> bool:
    plain = [{**fields(call), "values": call.values.tolist()} for call in (left, right)]
    return plain[0] == plain[1]


@BOTH
def test_what_is_written_is_read(tmp_path: Path, suffix: str) -> None:
    path = recorded(tmp_path / f"a.{suffix}")
    trace = Trace(path)
    calls = list(trace)
    assert trace.header == HEADER
    assert len(calls) == len(CALLS)
    assert all(same(call, wanted) for call, wanted in zip(calls[:-1], CALLS[:-1], strict=True))
    assert calls[-1].values.tolist() == [-128 + 3 * 127 + 5 * 127, 2 * 128 - 128 * 127]
    assert trace.counters is not None
    assert trace.counters.products == 1


@BOTH
@pytest.mark.parametrize("fast", [False, True])
def test_a_replay_reproduces_sums_and_cycles(tmp_path: Path, suffix: str, fast: bool) -> None:
    done = replay(recorded(tmp_path / f"a.{suffix}"), fast=fast)
    assert (done.calls, done.products, done.received) == (len(CALLS), 1, 2)
    assert done.counters.compute_fs == 8 * TINY.array.read.femtoseconds
    assert (done.header.network, done.header.device, done.header.seed) == ("a network", "tiny", 3)


@given(
    st.lists(
        st.builds(
            Call,
            operation=st.sampled_from([Operation.MOVE, Operation.START, Operation.ACCUMULATE, Operation.WAIT]),
            place=st.lists(st.integers(0, 2**32 - 1), max_size=8).map(tuple),
            slot=st.integers(0, 2**32 - 1),
            count=st.integers(0, 2**32 - 1),
            filters=st.integers(0, 2**32 - 1),
        ),
        max_size=8,
    ),
    st.sampled_from(["jsonl", "trace"]),
)
def test_any_numbers_survive(tmp_path_factory: pytest.TempPathFactory, calls: list[Call], suffix: str) -> None:
    path = tmp_path_factory.mktemp("numbers") / f"a.{suffix}"
    with TraceWriter(path, HEADER) as writer:
        for call in calls:
            writer.write(call)
        writer.finish(NOTHING)
    read = Trace(path)
    assert all(same(*pair) for pair in zip(read, calls, strict=True))
    assert read.counters == NOTHING


def test_lines_of_json_hold_what_the_documentation_says(tmp_path: Path) -> None:
    lines = [json.loads(line) for line in recorded(tmp_path / "a.jsonl").read_text(encoding="utf-8").splitlines()]
    assert lines[0].keys() == {"format", "version", "parameters", "network", "device", "seed", "versions"}
    assert lines[1] == {"call": "begin", "name": "kernel_ä"}
    assert lines[3] == {
        "call": "program", "at": [1, 0, 1], "count": 3, "filters": 2, "values": "Af4DgH8A",
        "crc32": zlib.crc32(bytes([1, 254, 3, 128, 127, 0])),
    }  # fmt: skip
    assert lines[-1].keys() == {"end", "counters"}
    assert lines[-1]["end"] == len(CALLS)


def changed(path: Path, number: int, **values: Any) -> Path:
    """The trace with some fields of a line changed; what is None goes."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    lines[number] = {name: value for name, value in (lines[number] | values).items() if value is not None}
    path.write_text("\n".join(map(json.dumps, lines)) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("number", "values", "complaint"),
    [
        (0, {"version": 2}, "its beginning: it is no record of a trace, no cyclecast-trace of version 1"),
        (0, {"version": True}, "its beginning: it is no record of a trace, no cyclecast-trace of version 1"),
        (0, {"parameters": {}}, "its beginning: it is no record of a trace"),
        (0, {"parameters": None}, "its beginning: it is no record of a trace"),
        (1, {"call": "dance"}, "record 1: it is no record of a trace, 'DANCE'"),
        (1, {"name": "x" * 5000}, "record 1: it is no record of a trace, a name of 5000 bytes"),
        (2, {"at": [1, 0]}, "record 2: the device refuses to_write"),
        (2, {"at": [1, 0, 9]}, "record 2: the device refuses to_write"),
        (2, {"at": [0] * 9}, "record 2: it is no record of a trace, a place of depth 9"),
        (2, {"at": "abc"}, "record 2: it is no record of a trace, a place is a list"),
        (2, {"at": [-1, 0, 0]}, "record 2: it is no record of a trace, -1 is no number of 32 bits"),
        (2, {"at": [1.5, 0, 0]}, "record 2: it is no record of a trace"),
        (3, {"count": 2}, "record 3: it is no record of a trace, a payload of 6 bytes, 4 are wanted"),
        (3, {"count": 2**31, "filters": 2**31}, "record 3: it is no record of a trace, a payload of 6 bytes"),
        (3, {"crc32": 1}, "record 3: it is no record of a trace, the payload does not have its checksum"),
        (3, {"values": "%%"}, "record 3: it is no record of a trace"),
        (3, {"values": 5}, "record 3: it is no record of a trace"),
        (5, {"slot": 2**40}, "record 5: it is no record of a trace"),
        (10, {"call": "start"}, "record 10: the device refuses start"),
        (
            14,
            {"values": "AAAAAAAAAAAAAAAAAAAAAA==", "crc32": 3971697493},
            "record 14: its sums differ from the recorded ones",
        ),
        (15, {"end": 3}, "record 15: 14 calls, the end says 3"),
        (15, {"counters": {}}, "record 15: it is no record of a trace"),
        (0, {"version": 1.0}, "its beginning: it is no record of a trace, no cyclecast-trace of version 1"),
        (0, {"seed": 1.5}, "its beginning: it is no record of a trace, seed is 1.5; it must be an integer"),
        (0, {"seed": True}, "its beginning: it is no record of a trace, seed is True; it must be an integer"),
        (0, {"network": 5}, "its beginning: it is no record of a trace, network is 5; it must be a text"),
        (0, {"colour": 5}, "its beginning: it is no record of a trace, the key 'colour' is unknown"),
        (1, {"values": ""}, "record 1: it is no record of a trace, the key 'values' is unknown"),
        (2, {"at": [True, 0, 1]}, "record 2: it is no record of a trace, True is no number of 32 bits"),
        (2, {"slots": 1}, "record 2: it is no record of a trace, the key 'slots' is unknown"),
        (2, {"name": "x"}, "record 2: it is no record of a trace, the key 'name' is unknown"),
        (2, {"call": "To_Write"}, "record 2: it is no record of a trace, there is no call To_Write"),
        (2, {"call": ["to_write"]}, "record 2: it is no record of a trace, call is ['to_write']; it must be a text"),
        (3, {"count": True}, "record 3: it is no record of a trace, True is no number of 32 bits"),
        (3, {"count": 3.0}, "record 3: it is no record of a trace, 3.0 is no number of 32 bits"),
        (3, {"crc32": float(zlib.crc32(bytes([1, 254, 3, 128, 127, 0])))}, "record 3: it is no record of a trace, "),
        (3, {"crc32": float("nan")}, "record 3: it is no record of a trace, NaN is no number"),
        (15, {"end": 14.0}, "record 15: it is no record of a trace, 14.0 is no number of 64 bits"),
        (15, {"ends": 14}, "record 15: it is no record of a trace, the key 'ends' is unknown"),
    ],
)
def test_lines_that_are_wrong_are_named(tmp_path: Path, number: int, values: dict[str, Any], complaint: str) -> None:
    path = changed(recorded(tmp_path / "a.jsonl"), number, **values)
    with pytest.raises(TraceError) as caught:
        replay(path)
    assert str(caught.value).startswith(f"{path}: {complaint}")


def test_other_counters_than_recorded_are_an_error(tmp_path: Path) -> None:
    path = recorded(tmp_path / "a.jsonl")
    counters = json.loads(path.read_text(encoding="utf-8").splitlines()[-1])["counters"]
    with pytest.raises(TraceError, match="its counters differ from the recorded ones"):
        replay(changed(path, 15, counters=counters | {"products": 2}))


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"products": True}, "True is no number"), ({"products": 1.0}, "1.0 is no number"), ({"other": 1}, "'other'"),
     ({"inputs": [0] * 8}, "inputs is a list of 9"), ({"inputs": {"0": 1}}, "inputs is a list of 9")],
)  # fmt: skip
def test_counters_have_their_types(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    path = recorded(tmp_path / "a.jsonl")
    counters = json.loads(path.read_text(encoding="utf-8").splitlines()[-1])["counters"]
    with pytest.raises(TraceError, match=f"record 15: it is no record of a trace, .*{words}"):
        replay(changed(path, 15, counters=counters | changes))


def test_a_key_is_there_once(tmp_path: Path) -> None:
    path = recorded(tmp_path / "a.jsonl")
    path.write_text(path.read_text(encoding="utf-8").replace('"slot":2', '"slot":3,"slot":2', 1), encoding="utf-8")
    with pytest.raises(TraceError, match="record 5: it is no record of a trace, a key occurs twice"):
        replay(path)


@BOTH
def test_the_memory_of_a_replay_has_a_limit(tmp_path: Path, suffix: str) -> None:
    """One tile copied into many slots, and large arrays written again and again, stand in few bytes."""
    large: dict[str, int | tuple[int, ...]] = {
        "counts": (64, 64, 64),
        "rows": 4096,
        "columns": 64,
        "active_rows": 4096,
        "active_columns": 64,
    }
    header = Header({**HEADER.parameters, **large}, "x", "y", None, "z")
    path = tmp_path / f"a.{suffix}"
    with TraceWriter(path, header) as writer:
        writer.write(Call(Operation.SEND, count=4096, values=np.zeros(4096)))
        for slot in range(1, 3000):
            writer.write(Call(Operation.SEND, slot=slot, count=64, values=np.zeros(64)))
        for node in range(64):
            writer.write(Call(Operation.MOVE, (node,), count=3000))
        writer.finish(NOTHING)
    with pytest.raises(TraceError, match=r"the device refuses .* no memory left.*; try a larger --memory"):
        replay(path, memory=Size.parse("64 MiB"))
    with pytest.raises(TraceError, match="there is no such device, its memory does not suffice; try a larger --memory"):
        replay(path, memory=Size.parse("8 MiB"))
    with pytest.raises(TraceError, match=r"it has .* bytes, half of 64 KiB is the most; try a larger --memory"):
        replay(path, memory=Size.parse("64 KiB"))


def test_a_record_has_its_part_of_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("[" + "[]," * 100_000 + "[]]\n", encoding="utf-8")
    with pytest.raises(TraceError, match=r"it has more than 32,768 bytes, as 4 MiB of memory allow"):
        replay(path, memory=Size.parse("4 MiB"))
    path.write_bytes(b"CYCT\xff\xff\xff\x7f")
    with pytest.raises(TraceError, match=r"it has 268,435,455 bytes, 1 GiB of memory allow 8,388,608"):
        replay(path)


def test_what_has_no_end_is_no_file() -> None:
    with pytest.raises(TraceError, match="it is no file"):
        replay("/dev/zero")


@BOTH
def test_a_trace_may_not_end_early_or_late(tmp_path: Path, suffix: str) -> None:
    path = recorded(tmp_path / f"a.{suffix}")
    whole = path.read_bytes()
    for cut in (*range(0, len(whole), max(1, len(whole) // 60)), len(whole) - 2):
        path.write_bytes(whole[:cut])
        with pytest.raises(TraceError):
            replay(path)
    path.write_bytes(whole + b"x")
    with pytest.raises(TraceError, match="something after the end"):
        replay(path)


@BOTH
def test_hostile_files_end_in_one_error(tmp_path: Path, suffix: str) -> None:
    """Some bytes of a good trace replaced, removed or repeated: it replays to the same end, or is refused."""
    whole = recorded(tmp_path / f"a.{suffix}").read_bytes()
    path = tmp_path / f"b.{suffix}"
    refused = 0
    for seed in range(500):
        draw = random.Random(seed)
        mutant = bytearray(whole)
        for _ in range(draw.randrange(1, 4)):
            place, size = draw.randrange(len(mutant)), draw.randrange(1, 9)
            mutant[place : place + draw.choice((0, size))] = draw.randbytes(draw.choice((0, size)))
        path.write_bytes(mutant)
        try:
            replay(path)
        except TraceError:
            refused += 1
    assert refused > 300


@pytest.mark.parametrize(
    "content",
    [b"", b"\n", b"[]\n", b"{}\n", b"null\n", b"[" * 100_000, b"CYCT", b"CYCT\xff\xff\xff\xff\xff\xff", b"\xff" * 100,
     b'{"a":' * 50_000, b"CYCT\x02{}", b"9" * 10_000, b"CYCT\xff\xff\xff\xff\x0f{}"],
)  # fmt: skip
def test_what_is_no_trace_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(TraceError, match="its beginning: it is no record of a trace"):
        replay(tmp_path / "a")


def test_a_device_without_end_is_refused(tmp_path: Path) -> None:
    """Its memory is bounded before any is taken."""
    path = recorded(tmp_path / "a.jsonl")
    large = json.loads(path.read_text(encoding="utf-8").splitlines()[0])["parameters"] | {"counts": [2**31, 2**31, 2]}
    with pytest.raises(TraceError, match="there is no such device"):
        replay(changed(path, 0, parameters=large))


@pytest.mark.parametrize(("field", "value"), [("rows", [128]), ("rows", []), ("counts", 5), ("rows", True)])
def test_parameters_have_their_own_form(tmp_path: Path, field: str, value: Any) -> None:
    path = recorded(tmp_path / "a.jsonl")
    given = json.loads(path.read_text(encoding="utf-8").splitlines()[0])["parameters"] | {field: value}
    with pytest.raises(TraceError, match="its beginning"):
        replay(changed(path, 0, parameters=given))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full device")
def test_a_full_disk_is_one_error() -> None:
    def written() -> None:
        with TraceWriter(Path("/dev/full"), HEADER) as writer:
            writer.finish(NOTHING)

    with pytest.raises(OptionError, match="it cannot be written"):
        written()


def test_files_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="it cannot be read"):
        replay(tmp_path / "nowhere")
    with pytest.raises(OptionError, match="it cannot be written"):
        TraceWriter(tmp_path / "nowhere" / "a.jsonl", HEADER)


def test_the_page_on_c_has_the_counters_and_the_checksum() -> None:
    page = (Path(__file__).parent.parent / "docs" / "c.md").read_text(encoding="utf-8")
    fields = re.search(r"([^{}]*)} cyclecast_counters;", driver_source("cyclecast_device.h"))
    levels = re.search(r"define CYCLECAST_LEVELS (\d+)", driver_source("cyclecast_device.h"))
    first = re.search(r"WINDOW_COUNTERS = (\d+)", driver_source("cyclecast_windows.h"))
    assert fields
    assert levels
    assert first
    word = int(first[1])
    for name, many in re.findall(r"uint64_t (\w+)(\[CYCLECAST_LEVELS \+ 1\])?;", fields[1]):
        last = word + 2 * (int(levels[1]) + 1 if many else 1) - 1
        assert f"| {word}{' to' if many else ','} {last} | `{name}` |" in page
        word = last + 1
    assert f"`123456789` is 0x{zlib.crc32(b'123456789'):08X}" in page
