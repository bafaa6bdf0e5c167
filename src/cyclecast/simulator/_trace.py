"""Instruction traces: the calls of a driver as a file, in one of two forms of the same records.

A header (what the device is), one record for each call with its payload and the payload's CRC-32, and an end (how many
calls there were, what the device counted). `.jsonl` files have a JSON object on each line, payloads in base64. All
other files are binary: `CYCT`, the header's length and the header as JSON, then records of LEB128 numbers (operation,
indices, slot, count, filters, length of the payload, CRC-32) and payloads. `docs/c.md` describes both.
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import IO, Any, Self

import numpy as np

from cyclecast.errors import BehaviourError, CyclecastError, OptionError, TraceError
from cyclecast.simulator._driver import COUNTED, TILES, Call, Counters, Driver, Operation
from cyclecast.simulator._parameters import FIELDS, LEVELS, Parameters

FORMAT, VERSION = "cyclecast-trace", 1
MAGIC = b"CYCT"
END = 255
"""In place of an operation: the end of a binary trace."""
WORD = 2**32
SUM_BYTES = 8
MOST_NAME = 4096


@dataclass(frozen=True, slots=True)
class Header:
    """What a trace says before its first call."""

    parameters: Parameters
    network: str = ""
    device: str = ""
    seed: int | None = None
    """Of random inputs of the network."""
    versions: str = ""

    @property
    def value_bytes(self) -> int:
        """Of a weight or an input in a payload: 1, 2 or 4."""
        bits = max(int(str(self.parameters[name])) for name in ("weight_bits", "input_bits"))
        return next((size for size in (1, 2) if 8 * size >= bits), 4)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"format": FORMAT, "version": VERSION} | asdict(self) | {"parameters": dict(self.parameters)}


class TraceWriter:
    """Writes a trace: `write` for every call, `finish` at the end."""

    def __init__(self, path: Path, header: Header) -> None:
        self._binary = path.suffix != ".jsonl"
        self._header = header
        self._calls = 0
        try:
            self._file: IO[bytes] = path.open("wb")
        except OSError as error:
            raise OptionError(str(path), "it cannot be written", str(error.strerror), "another path") from error
        if self._binary:
            text = json.dumps(header.to_json()).encode()
            self._put(MAGIC + _number(len(text)) + text)
        else:
            self._line(header.to_json())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        with suppress(OSError):  # which flushing has reported, or an earlier error stands for
            self._file.close()

    def write(self, call: Call) -> None:
        """Add a call."""
        self._calls += 1
        payload = _payload(call, self._header)
        if not self._binary:
            self._line(_record(call, payload))
            return
        numbers = [call.operation, len(call.place), *call.place, call.slot, call.count, call.filters]
        self._put(b"".join(map(_number, (*numbers, len(payload), zlib.crc32(payload)))) + payload)

    def finish(self, counters: Counters) -> None:
        """Add the end: what the device has counted for the calls of this trace."""
        end = {"end": self._calls, "counters": asdict(counters)}
        if self._binary:
            text = json.dumps(end).encode()
            self._put(_number(END) + _number(len(text)) + text)
        else:
            self._line(end)
        self._put(b"")

    def _put(self, content: bytes) -> None:
        """Write; without any content, all that has been written so far."""
        try:
            if content:
                self._file.write(content)
            else:
                self._file.flush()
        except OSError as error:
            raise OptionError(self._file.name, "it cannot be written", str(error.strerror), "another path") from error

    def _line(self, value: dict[str, Any]) -> None:
        self._put(json.dumps(value, separators=(",", ":")).encode() + b"\n")


class Trace:
    """A trace being read: its header at once, its calls one after another, its counters after the last of them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.counters: Counters | None = None
        self._where = "its beginning"
        try:
            self._bytes = BytesIO(path.read_bytes())
        except OSError as error:
            raise TraceError(str(path), "it cannot be read", str(error.strerror), "cyclecast trace FOLDER") from error
        self._binary = self._bytes.getbuffer()[: len(MAGIC)] == MAGIC
        with self._explained():
            self.header = _header(self._json(self._binary_text() if self._binary else self._bytes.readline()))

    def __iter__(self) -> Iterator[Call]:
        number = 0
        while self.counters is None:
            number += 1
            self._where = f"record {number}"
            with self._explained():
                call = self._binary_call() if self._binary else self._line_call()
            if call is not None:
                yield call
            elif number - 1 != self._calls:
                raise self.wrong(f"{number - 1} calls", f"the end says {self._calls}")
        if self._bytes.read(1):
            raise self.wrong("something after the end")

    def wrong(self, what: str, bound: str = "") -> TraceError:
        """An error at the record that was read last."""
        return TraceError(f"{self.path}: {self._where}", what, bound, "writing the trace again")

    def _explained(self) -> _Explained:
        return _Explained(self)

    def _json(self, text: bytes) -> dict[str, Any]:
        if not text:
            raise ValueError("the file ends too early")
        value = json.loads(text)
        if not isinstance(value, dict):
            raise ValueError("an object is wanted")
        return value

    def _line_call(self) -> Call | None:
        record = self._json(self._bytes.readline())
        if "end" in record:
            self._end(record)
            return None
        operation = Operation[str(record["call"]).upper()]
        payload = base64.b64decode(record.get("values", ""), validate=True)
        if operation is Operation.BEGIN:
            payload = str(record.get("name", "")).encode()
            record["crc32"] = zlib.crc32(payload)
        place = record.get("at", [])
        if not isinstance(place, list):
            raise ValueError("a place is a list of indices")
        numbers = [_word(record.get(name, 0)) for name in ("slot", "count", "filters")]
        return self._checked(operation, place, numbers, payload, record.get("crc32", 0))

    def _binary_text(self) -> bytes:
        if self._bytes.tell() == 0:
            self._bytes.read(len(MAGIC))
        return self._taken(self._read())

    def _binary_call(self) -> Call | None:
        operation = self._read()
        if operation == END:
            self._end(self._json(self._taken(self._read())))
            return None
        depth = self._read()
        if depth > LEVELS:
            raise ValueError(f"a place of depth {depth}, of {LEVELS} at most")
        place = [self._read() for _ in range(depth)]
        numbers = [self._read() for _ in range(3)]
        size, checksum = self._read(), self._read()
        return self._checked(Operation(operation), place, numbers, self._taken(size), checksum)

    def _checked(
        self, operation: Operation, place: list[Any], numbers: list[int], payload: bytes, checksum: int
    ) -> Call:
        slot, count, filters = numbers
        if len(place) > LEVELS:
            raise ValueError(f"a place of depth {len(place)}, of {LEVELS} at most")
        at = tuple(map(_word, place))
        if zlib.crc32(payload) != checksum:
            raise ValueError("the payload does not have its checksum")
        if operation is Operation.BEGIN:
            if len(payload) > MOST_NAME:
                raise ValueError(f"a name of {len(payload)} bytes, of {MOST_NAME} at most")
            return Call(operation, at, slot, count, filters, name=payload.decode())
        values = {Operation.PROGRAM: count * filters, Operation.SEND: count, Operation.RECEIVE: count}
        size = SUM_BYTES if operation is Operation.RECEIVE else self.header.value_bytes
        wanted = values.get(operation, 0) * size
        if len(payload) != wanted:
            raise ValueError(f"a payload of {len(payload)} bytes, {wanted} are wanted")
        return Call(operation, at, slot, count, filters, np.frombuffer(payload, f"<i{size}").astype(np.int64))

    def _end(self, record: dict[str, Any]) -> None:
        counted = record["counters"]
        tiles: dict[str, Any] = {name: tuple(map(_count, counted[name])) for name in TILES}
        numbers: dict[str, Any] = {name: _count(counted[name]) for name in COUNTED}
        self.counters = Counters(**numbers, **tiles)
        self._calls = record["end"]

    def _taken(self, size: int) -> bytes:
        taken = self._bytes.read(size)
        if len(taken) != size:
            raise ValueError("the file ends too early")
        return taken

    def _read(self) -> int:
        """A number below 2^32, seven bits in a byte, the lowest first, the highest bit set before the last."""
        value = 0
        for shift in range(0, 35, 7):
            byte = self._taken(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return _word(value)
        raise ValueError("a number of more than 32 bits")


class _Explained:
    """Turns what goes wrong while a record is read into an error that says where."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        if isinstance(error, CyclecastError) or not isinstance(
            error, ValueError | KeyError | TypeError | AttributeError | RecursionError | binascii.Error
        ):
            return
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise self._trace.wrong("it is no record of a trace", reason) from error


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay found; where anything differed there is an error instead."""

    header: Header
    calls: int
    products: int
    received: int
    """Sums that came out as recorded."""
    counters: Counters


def replay(path: str | Path, *, fast: bool = False) -> Replayed:
    """Execute a trace on the reference driver: sums and counters come out as recorded, or it is a `TraceError`."""
    trace = Trace(Path(path))
    calls = received = 0
    with _opened(trace, fast) as driver:
        for call in trace:
            calls += 1
            try:
                sums = driver.execute(call)
            except BehaviourError as error:
                raise trace.wrong(f"the device refuses {call.operation.name.lower()}", str(error)) from error
            if call.operation is Operation.RECEIVE:
                if not np.array_equal(sums, call.values):
                    raise trace.wrong("other sums than recorded", f"{sums[:4]} instead of {call.values[:4]} first")
                received += call.count
        counters = driver.counters
    if counters != trace.counters:
        raise trace.wrong("the device counts otherwise", f"{counters} instead of {trace.counters}")
    return Replayed(trace.header, calls, counters.products, received, counters)


def _opened(trace: Trace, fast: bool) -> Driver:
    try:
        return Driver.open(dict(trace.header.parameters) | {"fast": int(fast)})
    except BehaviourError as error:
        raise trace.wrong("there is no such device", error.bound) from error


def _header(record: dict[str, Any]) -> Header:
    if record.get("format") != FORMAT or record.get("version") != VERSION or record["version"] is True:
        raise ValueError(f"no {FORMAT} of version {VERSION}")
    given, parameters = record["parameters"], dict[str, int | tuple[int, ...]]()
    for name, bits, length in FIELDS:
        value = given[name]
        if isinstance(value, list) != (length > 1):
            raise ValueError(f"parameter {name} is a list of {length} numbers" if length > 1 else f"{name} is a number")
        many = value if isinstance(value, list) else [value]
        if len(many) > length or any(type(one) is not int or not 0 <= one < 2**bits for one in many):
            raise ValueError(f"parameter {name} is no number of {bits} bits, or not {length} of them")
        parameters[name] = tuple(many) if isinstance(value, list) else value
    texts = {name: str(record.get(name, "")) for name in ("network", "device", "versions")}
    return Header(parameters, seed=record.get("seed"), **texts)


def _payload(call: Call, header: Header) -> bytes:
    if call.operation is Operation.BEGIN:
        return call.name.encode()
    size = SUM_BYTES if call.operation is Operation.RECEIVE else header.value_bytes
    return call.values.astype(f"<i{size}").tobytes()


def _record(call: Call, payload: bytes) -> dict[str, Any]:
    """Of a line; numbers that are zero and what is empty are left out."""
    fields = {"at": list(call.place), "slot": call.slot, "count": call.count, "filters": call.filters}
    record = {"call": call.operation.name.lower()} | {name: value for name, value in fields.items() if value}
    if call.operation is Operation.BEGIN:
        return record | {"name": call.name}
    if payload:
        record |= {"values": base64.b64encode(payload).decode(), "crc32": zlib.crc32(payload)}
    return record


def _number(value: int) -> bytes:
    found = bytearray()
    while value >= 0x80:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def _word(value: Any) -> int:
    if type(value) is not int or not 0 <= value < WORD:
        raise ValueError(f"{str(value)[:20]} is no number of 32 bits")
    return value


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**64:
        raise ValueError("a counter is a number of 64 bits")
    return value
