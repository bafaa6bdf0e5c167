"""Instruction traces: files of driver calls, in one of two formats of the same records.

A trace has a header (the device), one record per call with its payload and the payload's CRC-32, and an end (number of
calls, counters of the device). `.jsonl` files have a JSON object per line, with payloads in base64. All other files are
binary: `CYCT`, the header's length and the header as JSON, then records of LEB128 numbers (operation, indices, slot,
count, filters, length of the payload, CRC-32) and payloads. `docs/c.md` describes both.
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import IO, Self

import numpy as np

from cyclecast.errors import BehaviourError, CyclecastError, OptionError, TraceError
from cyclecast.simulator._calls import NUMBERS, Call, Operation
from cyclecast.simulator._driver import COUNTED, TILES, Counters, Driver
from cyclecast.simulator._parameters import LEVELS
from cyclecast.simulator._records import (
    SUM_BYTES,
    Header,
    count_of,
    header_of,
    no_constant,
    require_known,
    text_of,
    unique_keys,
    word,
)
from cyclecast.storage.reading import Json
from cyclecast.units import Size

MAGIC = b"CYCT"
END = 255
"""Operation number that ends a binary trace."""
MOST_NAME = 4096
MEMORY = Size(2**30)
"""Default memory limit of reading or replaying a trace."""
ALL = Size(2**62)
"""Largest memory limit: more than any machine has, and still a C integer."""
SHARE = 128
"""Largest record, as a fraction of the memory limit: JSON lists take 32 times their text, and the device needs the
rest."""
AGAIN = "writing the trace again"
LARGER = "a larger --memory"
CALL_FIELDS = ("call", "at", *NUMBERS)


class TraceWriter:
    """Writes a trace: `write` for every call, then `finish`. Raises `OptionError` if the file cannot be written."""

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
        with suppress(OSError):  # `finish` has reported it, or another error is under way
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
        """Add the end, with the device's counters for the calls of this trace."""
        end: dict[str, Json] = {"end": self._calls, "counters": asdict(counters)}
        if self._binary:
            text = json.dumps(end).encode()
            self._put(_number(END) + _number(len(text)) + text)
        else:
            self._line(end)
        self._put(b"")

    def _put(self, content: bytes) -> None:
        """Write content; flush if it is empty."""
        try:
            if content:
                self._file.write(content)
            else:
                self._file.flush()
        except OSError as error:
            raise OptionError(self._file.name, "it cannot be written", str(error.strerror), "another path") from error

    def _line(self, value: Mapping[str, Json]) -> None:
        self._put(json.dumps(value, separators=(",", ":")).encode() + b"\n")


class Trace:
    """A trace to read: the header at once, then the calls by iteration, then the counters. Raises `TraceError`."""

    def __init__(self, path: Path, *, memory: Size = MEMORY) -> None:
        self.path, self.memory = path, min(memory, ALL)
        self.counters: Counters | None = None
        self._where = "its beginning"
        self._most = self.memory.bytes // SHARE
        self._bytes = BytesIO(self._content())
        self._binary = self._bytes.getbuffer()[: len(MAGIC)] == MAGIC
        with self._explained():
            self.header = header_of(self._json(self._binary_text() if self._binary else self._text_line()))

    def _content(self) -> bytes:
        """The whole file. Raises `TraceError` if it is larger than half of the memory limit."""
        try:
            if not self.path.is_file() and self.path.exists():
                raise TraceError(str(self.path), "it is no file", lever="cyclecast trace FOLDER")
            size, most = self.path.stat().st_size, self.memory.bytes // 2
            if size > most:
                raise TraceError(str(self.path), f"it has {size:,} bytes", f"half of {self.memory} is the most", LARGER)
            with self.path.open("rb") as file:
                return file.read(size)
        except OSError as error:
            reason = str(error.strerror)
            raise TraceError(str(self.path), "it cannot be read", reason, "cyclecast trace FOLDER") from error

    @property
    def left(self) -> int:
        """Memory left beside the file and its records [bytes]."""
        return self.memory.bytes // 4 * 3 - self._bytes.getbuffer().nbytes

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

    def wrong(self, what: str, bound: str = "", lever: str = AGAIN) -> TraceError:
        """An error at the last record."""
        return TraceError(f"{self.path}: {self._where}", what, bound, lever)

    def _explained(self) -> _Explained:
        return _Explained(self)

    def _json(self, text: bytes) -> dict[str, object]:
        if not text:
            raise ValueError("the file ends too early")
        value = json.loads(text, object_pairs_hook=unique_keys, parse_constant=no_constant)
        if not isinstance(value, dict):
            raise ValueError("an object is wanted")
        return value

    def _text_line(self) -> bytes:
        return self._limited(self._bytes.readline(self._most + 1))

    def _limited(self, text: bytes) -> bytes:
        if len(text) > self._most:
            raise ValueError(f"it has more than {self._most:,} bytes, as {self.memory} of memory allow")
        return text

    def _line_call(self) -> Call | None:
        record = self._json(self._text_line())
        if "end" in record:
            self._end(record)
            return None
        name = text_of(record, "call")
        operation = Operation[name.upper()] if name.islower() else None
        if operation is None:
            raise ValueError(f"there is no call {name[:40]}")
        begins = operation is Operation.BEGIN
        require_known(record, (*CALL_FIELDS, "name") if begins else (*CALL_FIELDS, "values", "crc32"))
        place = record.get("at", [])
        if not isinstance(place, list):
            raise ValueError("a place is a list of indices")
        numbers = [word(record.get(field, 0)) for field in NUMBERS]
        if begins:
            payload = text_of(record, "name", "").encode()
            return self._checked(operation, place, numbers, payload, zlib.crc32(payload))
        payload = base64.b64decode(text_of(record, "values", ""), validate=True)
        return self._checked(operation, place, numbers, payload, word(record.get("crc32", 0)))

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
        self, operation: Operation, place: Sequence[object], numbers: list[int], payload: bytes, checksum: int
    ) -> Call:
        slot, count, filters = numbers
        if len(place) > LEVELS:
            raise ValueError(f"a place of depth {len(place)}, of {LEVELS} at most")
        at = tuple(map(word, place))
        if zlib.crc32(payload) != checksum:
            raise ValueError("the payload does not have its checksum")
        if operation is Operation.BEGIN:
            if len(payload) > MOST_NAME:
                raise ValueError(f"a name of {len(payload)} bytes, of {MOST_NAME} at most")
            return Call(operation, at, slot=slot, count=count, filters=filters, name=payload.decode())
        values = {Operation.PROGRAM: count * filters, Operation.SEND: count, Operation.RECEIVE: count}
        size = SUM_BYTES if operation is Operation.RECEIVE else self.header.value_bytes
        wanted = values.get(operation, 0) * size
        if len(payload) != wanted:
            raise ValueError(f"a payload of {len(payload)} bytes, {wanted} are wanted")
        found = np.frombuffer(payload, f"<i{size}").astype(np.int64)
        return Call(operation, at, slot=slot, count=count, filters=filters, values=found)

    def _end(self, record: Mapping[str, object]) -> None:
        require_known(record, ("end", "counters"))
        counted = record["counters"]
        if not isinstance(counted, dict):
            raise ValueError("counters are an object")
        require_known(counted, (*COUNTED, *TILES))
        for name in TILES:
            if not isinstance(counted[name], list) or len(counted[name]) != LEVELS + 1:
                raise ValueError(f"{name} is a list of {LEVELS + 1} numbers")
        self.counters = Counters(
            inputs=tuple(map(count_of, counted["inputs"])),
            sums=tuple(map(count_of, counted["sums"])),
            compute_fs=count_of(counted["compute_fs"]),
            write_fs=count_of(counted["write_fs"]),
            programs=count_of(counted["programs"]),
            products=count_of(counted["products"]),
            waits=count_of(counted["waits"]),
        )
        self._calls = count_of(record["end"])

    def _taken(self, size: int) -> bytes:
        if size > self._most:
            raise ValueError(f"it has {size:,} bytes, {self.memory} of memory allow {self._most:,}")
        taken = self._bytes.read(size)
        if len(taken) != size:
            raise ValueError("the file ends too early")
        return taken

    def _read(self) -> int:
        """A LEB128 number below 2^32: seven bits per byte, lowest first; the highest bit marks a continuation."""
        value = 0
        for shift in range(0, 35, 7):
            byte = self._taken(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return word(value)
        raise ValueError("a number of more than 32 bits")


class _Explained:
    """Context: turn any error in reading a record into a `TraceError` that names the record."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, CyclecastError) or not isinstance(
            error, ValueError | KeyError | TypeError | AttributeError | RecursionError | binascii.Error
        ):
            return
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise self._trace.wrong("it is no record of a trace", reason) from error


@dataclass(frozen=True, slots=True)
class Replayed:
    """Result of a replay without differences."""

    header: Header
    calls: int
    products: int
    received: int
    """Number of sums, all equal to the recorded ones."""
    counters: Counters


def replay(path: str | Path, *, fast: bool = False, memory: Size = MEMORY) -> Replayed:
    """Execute a trace on the reference driver. Raises `TraceError` if a sum or counter differs from the recorded one.

    `memory` limits the memory of the trace, including the device that it describes.
    """
    trace = Trace(Path(path), memory=memory)
    calls = received = 0
    with _opened(trace, fast) as driver:
        for call in trace:
            calls += 1
            try:
                sums = driver.execute(call)
            except BehaviourError as error:
                lever = LARGER if error.demand == "memory" else AGAIN
                raise trace.wrong(f"the device refuses {call.operation.name.lower()}", str(error), lever) from error
            if call.operation is Operation.RECEIVE:
                if not np.array_equal(sums, call.values):
                    raise trace.wrong(
                        "its sums differ from the recorded ones", f"{sums[:4]} instead of {call.values[:4]} first"
                    )
                received += call.count
        counters = driver.counters
    if counters != trace.counters:
        raise trace.wrong("its counters differ from the recorded ones", f"{counters} instead of {trace.counters}")
    return Replayed(trace.header, calls, counters.products, received, counters)


def _opened(trace: Trace, fast: bool) -> Driver:
    try:
        return Driver.open(dict(trace.header.parameters) | {"fast": int(fast)}, most_bytes=trace.left)
    except BehaviourError as error:
        lever = LARGER if "memory" in error.bound else AGAIN
        raise trace.wrong("there is no such device", error.bound, lever) from error


def _payload(call: Call, header: Header) -> bytes:
    if call.operation is Operation.BEGIN:
        return call.name.encode()
    size = SUM_BYTES if call.operation is Operation.RECEIVE else header.value_bytes
    return call.values.astype(f"<i{size}").tobytes()


def _record(call: Call, payload: bytes) -> dict[str, Json]:
    """The JSON record of a call; zeros and empty fields are left out."""
    fields: dict[str, Json] = {"at": list(call.place), "slot": call.slot, "count": call.count, "filters": call.filters}
    record: dict[str, Json] = {"call": call.operation.name.lower()}
    record |= {name: value for name, value in fields.items() if value}
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
