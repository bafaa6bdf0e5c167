"""Calls of a device as Python values with arrays as payloads, and their checked conversion to C."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field
from enum import IntEnum
from operator import index

import numpy as np
from numpy.typing import NDArray

from cyclecast.errors import BehaviourError
from cyclecast.simulator._native import CCall
from cyclecast.simulator._parameters import LEVELS


class Operation(IntEnum):
    """`cyclecast_operation` of the C interface."""

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


Values = NDArray[np.int8 | np.int16 | np.int32 | np.int64 | np.float64]
"""Integers of any type."""
NO_VALUES: Values = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """One call of the device interface."""

    operation: Operation
    place: tuple[int, ...] = ()
    """Indices, outermost level first; () is the device itself."""
    _: KW_ONLY
    slot: int = 0
    count: int = 0
    """Number of word lines, values, sums or slots."""
    filters: int = 0
    """Number of filters of the weights."""
    values: Values = field(default_factory=lambda: NO_VALUES)
    """Payload, flat: weights or inputs to the device, or sums from it."""
    name: str = ""
    """Name of the workload that begins."""


def where(call: Call) -> str:
    """The call in a message."""
    return f"{str(getattr(call.operation, 'name', call.operation))[:40].lower()} at {str(call.place)[:80]}"


def c_call(call: Call) -> CCall:
    """The C structure without payload and sums. Raises `BehaviourError` for values that its fields cannot hold."""
    if not isinstance(call.place, tuple | list) or len(call.place) > LEVELS:
        raise BehaviourError(where(call), "a place of another kind", f"it must be a tuple of at most {LEVELS} indices")
    made = CCall(operation=_operation(call))
    made.slot, made.count, made.filters = (_word(call, name, getattr(call, name)) for name in NUMBERS)
    made.place.depth = len(call.place)
    made.place.at[: len(call.place)] = [_word(call, "an index", one) for one in call.place]
    if not isinstance(call.name, str) or "\0" in call.name:
        raise BehaviourError(where(call), f"name is {str(call.name)[:40]!r}", "it must be a text without NUL")
    try:
        made.name = call.name.encode()
    except UnicodeEncodeError as error:
        raise BehaviourError(where(call), f"name is {call.name[:40]!r}", "it must be a text in Unicode") from error
    return made


def _operation(call: Call) -> int:
    try:
        number = index(call.operation)
    except TypeError as error:
        raise BehaviourError(where(call), "no operation", "it must be an Operation") from error
    if not 0 <= number < 2**31:
        raise BehaviourError(where(call), "no operation", "it must be an Operation")
    return number


NUMBERS = ("slot", "count", "filters")


def _word(call: Call, name: str, value: object) -> int:
    """An unsigned 32-bit integer. Raises `BehaviourError`; C would silently take it modulo 2^32."""
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or not 0 <= value < 2**32:
        raise BehaviourError(where(call), f"{name} is {str(value)[:40]}", "it must be an integer from 0 to 2^32 - 1")
    return int(value)


def c_values(call: Call) -> NDArray[np.int32]:
    """The payload as int32, flat. Raises `BehaviourError` for non-integers or fewer values than the call states."""
    what = {Operation.PROGRAM: "a weight", Operation.SEND: "an input"}.get(call.operation)
    if what is None:
        return np.zeros(0, dtype=np.int32)
    wanted = call.count * (call.filters if call.operation is Operation.PROGRAM else 1)
    try:
        values = np.asarray(call.values)
    except (ValueError, MemoryError) as error:
        raise BehaviourError(where(call), "values are no array", "they must be integers") from error
    if values.size < wanted:
        raise BehaviourError(where(call), f"{values.size} values", f"the call says {wanted}")
    if values.dtype.kind not in "iuf":
        raise BehaviourError(where(call), f"values of type {values.dtype}", "they must be integers of 32 bits")
    if values.dtype.kind != "i" or values.dtype.itemsize > INT32.dtype.itemsize:
        fit = (values >= INT32.min) & (values <= INT32.max) & (values == np.trunc(values))
        if not fit.all():
            wrong = values[~fit].ravel()[0]
            raise BehaviourError(where(call), f"{what} is {wrong}", "it must be an integer from -2^31 to 2^31 - 1")
    return np.ascontiguousarray(values, dtype=np.int32)


INT32 = np.iinfo(np.int32)


def call_of(call: CCall) -> Call:
    """The Python value of a C call, with copies of its arrays."""
    operation = Operation(call.operation)
    values = NO_VALUES
    if operation in (Operation.PROGRAM, Operation.SEND):
        size = call.count * (call.filters if operation is Operation.PROGRAM else 1)
        values = np.ctypeslib.as_array(call.values, (size,)).copy()
    elif operation is Operation.RECEIVE:
        values = np.ctypeslib.as_array(call.sums, (call.count,)).copy()
    name = call.name.decode(errors="replace") if call.name else ""
    place = tuple(call.place.at[: call.place.depth])
    return Call(operation, place, slot=call.slot, count=call.count, filters=call.filters, values=values, name=name)
