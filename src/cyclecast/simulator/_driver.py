"""Devices that C drivers make, seen from Python: calls as values, their payloads as arrays."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from cyclecast.errors import BehaviourError
from cyclecast.simulator._native import OBSERVER, OK, CCall, c_parameters, reference_library
from cyclecast.simulator._parameters import LEVELS, Parameters


class Operation(IntEnum):
    """`cyclecast_operation`."""

    BEGIN = 0
    TO_WRITE = 1
    TO_READ = 2
    PROGRAM = 3
    SEND = 4
    MOVE = 5
    STREAM = 6
    START = 7
    WAIT = 8
    ACCUMULATE = 9
    RECEIVE = 10


class Status(IntEnum):
    """`cyclecast_status`."""

    OK = 0
    RANGE = 1
    STATE = 2
    UNWRITTEN = 3
    BUSY = 4
    EMPTY = 5
    MISMATCH = 6
    MEMORY = 7
    HARDWARE = 8


NO_VALUES: NDArray[Any] = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """One call of the device interface."""

    operation: Operation
    place: tuple[int, ...] = ()
    """Indices, outermost level first; () is the device itself."""
    slot: int = 0
    count: int = 0
    """Word lines, values, sums or slots."""
    filters: int = 0
    """Of weights."""
    values: NDArray[Any] = field(default_factory=lambda: NO_VALUES)
    """What goes to the device (weights, inputs), or what came from it (sums), one after another."""
    name: str = ""
    """Of the workload that begins."""


@dataclass(frozen=True, slots=True)
class Counters:
    """`cyclecast_counters`: what has happened since the device was opened."""

    compute_fs: int
    write_fs: int
    programs: int
    products: int
    waits: int
    inputs: tuple[int, ...]
    """Tiles of inputs into the nodes of each depth; at the deepest, into arrays."""
    sums: tuple[int, ...]
    """Tiles of sums out of them."""

    def since(self, before: Counters) -> Counters:
        """What has been counted after that."""
        numbers: dict[str, Any] = {name: getattr(self, name) - getattr(before, name) for name in COUNTED}
        tiles: dict[str, Any] = {
            name: tuple(now - then for now, then in zip(getattr(self, name), getattr(before, name), strict=True))
            for name in TILES
        }
        return Counters(**numbers, **tiles)


COUNTED = ("compute_fs", "write_fs", "programs", "products", "waits")
TILES = ("inputs", "sums")


class Driver:
    """An open device. Closed by `close`, or at the end of a `with`."""

    def __init__(self, handle: Any, library: Any) -> None:
        self.handle = handle
        self._library = library
        self._observer: Any = None

    @classmethod
    def open(cls, parameters: Parameters, library: Any = None) -> Self:
        """The device of these parameters, on the reference driver unless another library is given."""
        chosen, handle = library or reference_library(), ctypes.c_void_p()
        status = chosen.cyclecast_open(ctypes.byref(c_parameters(parameters)), ctypes.byref(handle))
        if status != OK:
            why = "its memory does not suffice" if status == Status.MEMORY else "parameters out of range"
            raise BehaviourError("device", "it cannot be opened", why)
        return cls(handle, chosen)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the device's memory back; a second time, nothing happens."""
        if self.handle:
            self._library.cyclecast_close(self.handle)
            self.handle = None

    @property
    def counters(self) -> Counters:
        """As they stand."""
        found = self._library.cyclecast_read_counters(self.handle).contents
        tiles: dict[str, Any] = {name: tuple(getattr(found, name)) for name in TILES}
        numbers: dict[str, Any] = {name: int(getattr(found, name)) for name in COUNTED}
        return Counters(**numbers, **tiles)

    def execute(self, call: Call) -> NDArray[Any]:
        """Execute a call; the sums that it received, if it receives. `BehaviourError` where the driver refuses."""
        if not self.handle:
            raise BehaviourError("device", "a call", "it is closed", "Driver.open")
        wanted = {Operation.PROGRAM: call.count * call.filters, Operation.SEND: call.count}.get(call.operation, 0)
        if call.values.size < wanted:
            what = f"{call.operation.name.lower()} at {call.place}"
            raise BehaviourError(what, f"{call.values.size} values", f"the call says {wanted}")
        made = CCall(operation=call.operation, slot=call.slot, count=call.count, filters=call.filters)
        made.place.depth = len(call.place)
        made.place.at[: min(LEVELS, len(call.place))] = call.place[:LEVELS]
        made.name = call.name.encode()
        received = np.zeros(call.count if call.operation is Operation.RECEIVE else 0, dtype=np.int64)
        given = np.ascontiguousarray(call.values, dtype=np.int32)
        made.values = given.ctypes.data_as(ctypes.POINTER(ctypes.c_int32))
        made.sums = received.ctypes.data_as(ctypes.POINTER(ctypes.c_int64))
        status = self._library.cyclecast_execute(self.handle, ctypes.byref(made))
        if status != OK:
            raise BehaviourError(
                f"{call.operation.name.lower()} at {call.place}", Status(status).name.lower(), self.message
            )
        return received

    @contextmanager
    def observed(self, observer: Callable[[Call], None]) -> Iterator[None]:
        """Inside, the observer is told of every call that succeeds; what it raises is raised at the end."""
        errors: list[BaseException] = []

        def told(_: Any, call: Any) -> None:
            try:
                if not errors:
                    observer(_call(call.contents))
            except BaseException as error:  # C cannot pass it on
                errors.append(error)

        self._observer = OBSERVER(told)
        self._library.cyclecast_observe(self.handle, self._observer, None)
        try:
            yield
        finally:
            self._library.cyclecast_observe(self.handle, OBSERVER(), None)
        if errors:
            raise errors[0]

    @property
    def message(self) -> str:
        """What was wrong with the last call that was refused."""
        return str(self._library.cyclecast_message(self.handle).decode())


def _call(call: CCall) -> Call:
    operation = Operation(call.operation)
    values = NO_VALUES
    if operation in (Operation.PROGRAM, Operation.SEND):
        size = call.count * (call.filters if operation is Operation.PROGRAM else 1)
        values = np.ctypeslib.as_array(call.values, (size,)).copy()
    elif operation is Operation.RECEIVE:
        values = np.ctypeslib.as_array(call.sums, (call.count,)).copy()
    name = call.name.decode() if call.name else ""
    place = tuple(call.place.at[: call.place.depth])
    return Call(operation, place, call.slot, call.count, call.filters, values, name)
