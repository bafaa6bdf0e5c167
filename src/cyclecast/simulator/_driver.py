"""Devices that C drivers make, seen from Python."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from cyclecast.errors import BehaviourError
from cyclecast.simulator._calls import Call, Operation, c_call, c_values, call_of, where
from cyclecast.simulator._native import OBSERVER, OK, c_parameters, reference_library
from cyclecast.simulator._parameters import Parameters, is_whole, wrong_parameter


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
    """An open device. Closed by `close`, or at the end of a `with`; every other use is then a `BehaviourError`."""

    def __init__(self, handle: Any, library: Any, columns: int) -> None:
        self._handle = handle
        self._library = library
        self._columns = columns
        self._observer: Any = None
        self._telling = False

    @classmethod
    def open(cls, parameters: Parameters, library: Any = None, *, most_bytes: int | None = None) -> Self:
        """The device of these parameters, on the reference driver unless another library is given.

        `most_bytes` bounds the memory of the behaviour model, which has 4 GiB by default. `BehaviourError` where the
        parameters make no device, or where its memory does not suffice.
        """
        wrong = wrong_parameter(parameters)
        if most_bytes is not None and not is_whole(most_bytes, 64):
            wrong = f"most_bytes is {str(most_bytes)[:40]}; it must be an integer from 0 to 2^64 - 1"
        if wrong:
            raise BehaviourError("device", "it cannot be opened", wrong)
        chosen, handle, made = library or reference_library(), ctypes.c_void_p(), c_parameters(parameters)
        if most_bytes is None:
            status = chosen.cyclecast_open(ctypes.byref(made), ctypes.byref(handle))
        else:
            status = chosen.cyclecast_reference_open_within(ctypes.byref(made), most_bytes, ctypes.byref(handle))
        if status != OK:
            why = "its memory does not suffice" if status == Status.MEMORY else "parameters out of range"
            raise BehaviourError("device", "it cannot be opened", why)
        return cls(handle, chosen, made.columns)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the device's memory back; a second time, nothing happens."""
        if self._telling:
            raise BehaviourError("device", "it cannot be closed by its observer", "a call is under way")
        if self._handle:
            self._library.cyclecast_close(self._handle)
            self._handle = None

    @property
    def handle(self) -> Any:
        """What functions in C take for the device."""
        if not self._handle:
            raise BehaviourError("device", "it is closed", lever="Driver.open")
        return self._handle

    @property
    def counters(self) -> Counters:
        """As they stand."""
        found = self._library.cyclecast_read_counters(self.handle).contents
        tiles: dict[str, Any] = {name: tuple(getattr(found, name)) for name in TILES}
        numbers: dict[str, Any] = {name: int(getattr(found, name)) for name in COUNTED}
        return Counters(**numbers, **tiles)

    def execute(self, call: Call) -> NDArray[Any]:
        """Execute a call; the sums that it received, if it receives. `BehaviourError` where the driver refuses."""
        handle, made, values = self.handle, c_call(call), c_values(call)
        if call.operation is Operation.RECEIVE and made.count > self._columns:
            raise BehaviourError(where(call), f"count is {made.count}", f"it must be at most {self._columns} sums")
        received = np.zeros(made.count if call.operation is Operation.RECEIVE else 0, dtype=np.int64)
        made.values = values.ctypes.data_as(ctypes.POINTER(ctypes.c_int32))
        made.sums = received.ctypes.data_as(ctypes.POINTER(ctypes.c_int64))
        status = self._library.cyclecast_execute(handle, ctypes.byref(made))
        if status != OK:
            raise BehaviourError(where(call), Status(status).name.lower(), self.message)
        return received

    @contextmanager
    def observed(self, observer: Callable[[Call], None]) -> Iterator[None]:
        """Inside, the observer is told of every call that succeeds; what it raises is raised at the end."""
        errors: list[BaseException] = []

        def told(_: Any, call: Any) -> None:
            self._telling = True
            try:
                if not errors:
                    observer(call_of(call.contents))
            except BaseException as error:  # C cannot pass it on
                errors.append(error)
            finally:
                self._telling = False

        before = self._observer
        self._observe(self.handle, OBSERVER(told))
        try:
            yield
        finally:
            if self._handle:
                self._observe(self._handle, before)
        if errors:
            raise errors[0]

    def _observe(self, handle: Any, observer: Any) -> None:
        """Have C tell this observer, which must live as long; None ends that."""
        self._library.cyclecast_observe(handle, observer or OBSERVER(), None)
        self._observer = observer

    @property
    def message(self) -> str:
        """What was wrong with the last call that was refused."""
        return str(self._library.cyclecast_message(self.handle).decode(errors="replace"))
