"""Devices of the C drivers, used from Python."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from operator import sub
from typing import Self

import numpy as np
from numpy.typing import NDArray

from cyclecast.errors import BehaviourError
from cyclecast.simulator._calls import Call, Operation, c_call, c_values, call_of, where
from cyclecast.simulator._native import OBSERVER, OK, CCall, c_parameters, reference_library
from cyclecast.simulator._parameters import Parameters, is_whole, wrong_parameter


class Status(IntEnum):
    """`cyclecast_status` of the C interface."""

    OK = 0
    RANGE = 1
    STATE = 2
    UNWRITTEN = 3
    BUSY = 4
    EMPTY = 5
    MISMATCH = 6
    MEMORY = 7
    HARDWARE = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """`cyclecast_counters` of the C interface: events since the device was opened."""

    compute_fs: int
    write_fs: int
    programs: int
    products: int
    waits: int
    inputs: tuple[int, ...]
    """Tiles of inputs moved into the nodes of each depth; at the deepest, into arrays."""
    sums: tuple[int, ...]
    """Tiles of sums moved out of them."""

    def since(self, before: Counters) -> Counters:
        """The events after an earlier state."""
        return Counters(
            compute_fs=self.compute_fs - before.compute_fs,
            write_fs=self.write_fs - before.write_fs,
            programs=self.programs - before.programs,
            products=self.products - before.products,
            waits=self.waits - before.waits,
            inputs=tuple(map(sub, self.inputs, before.inputs)),
            sums=tuple(map(sub, self.sums, before.sums)),
        )


COUNTED = ("compute_fs", "write_fs", "programs", "products", "waits")
TILES = ("inputs", "sums")


class Driver:
    """An open device. `close`, or the end of a `with`, closes it; any later use raises `BehaviourError`."""

    def __init__(self, handle: ctypes.c_void_p, library: ctypes.CDLL, columns: int) -> None:
        self._handle: ctypes.c_void_p | None = handle
        self._library = library
        self._columns = columns
        self._observer: object = None
        self._notifying = False

    @classmethod
    def open(cls, parameters: Parameters, library: ctypes.CDLL | None = None, *, most_bytes: int | None = None) -> Self:
        """Open a device with these parameters, on the reference driver unless a library is given.

        `most_bytes` limits the memory of the behaviour model; the default is 4 GiB. Raises `BehaviourError` for invalid
        parameters or too little memory.
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
        """Free the device's memory; a second call does nothing."""
        if self._notifying:
            raise BehaviourError("device", "it cannot be closed by its observer", "a call is under way")
        if self._handle:
            self._library.cyclecast_close(self._handle)
            self._handle = None

    @property
    def handle(self) -> ctypes.c_void_p:
        """Pointer to the device for C functions. Raises `BehaviourError` if it is closed."""
        if not self._handle:
            raise BehaviourError("device", "it is closed", lever="Driver.open")
        return self._handle

    @property
    def counters(self) -> Counters:
        """The current counters."""
        found = self._library.cyclecast_read_counters(self.handle).contents
        return Counters(
            compute_fs=found.compute_fs,
            write_fs=found.write_fs,
            programs=found.programs,
            products=found.products,
            waits=found.waits,
            inputs=tuple(found.inputs),
            sums=tuple(found.sums),
        )

    def execute(self, call: Call) -> NDArray[np.int64]:
        """Execute a call; return the sums of a RECEIVE. Raises `BehaviourError` if the driver refuses the call."""
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
        """Context: call the observer with every successful call; its exception is raised at the end."""
        errors: list[BaseException] = []

        def notify(_: object, call: ctypes._Pointer[CCall]) -> None:
            self._notifying = True
            try:
                if not errors:
                    observer(call_of(call.contents))
            except BaseException as error:  # an exception cannot pass through C
                errors.append(error)
            finally:
                self._notifying = False

        before = self._observer
        self._observe(self.handle, OBSERVER(notify))
        try:
            yield
        finally:
            if self._handle:
                self._observe(self._handle, before)
        if errors:
            raise errors[0]

    def _observe(self, handle: ctypes.c_void_p, observer: object) -> None:
        """Set the C observer, which must stay alive; None removes it."""
        self._library.cyclecast_observe(handle, observer or OBSERVER(), None)
        self._observer = observer

    @property
    def message(self) -> str:
        """Reason for the last refused call."""
        return str(self._library.cyclecast_message(self.handle).decode(errors="replace"))
