"""A short trace with a call of every kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from cyclecast.device import Device
from cyclecast.simulator import Call, Driver, Header, Operation, TraceWriter, parameters

TINY = Device.load("tiny")
HEADER = Header(parameters(TINY), "a network", "tiny", 3, "some version")
ARRAY = (1, 0, 1)
CALLS = (
    Call(Operation.BEGIN, name="kernel_ä"),
    Call(Operation.TO_WRITE, ARRAY),
    Call(Operation.PROGRAM, ARRAY, count=3, filters=2, values=np.array([1, -2, 3, -128, 127, 0])),
    Call(Operation.TO_READ, ARRAY),
    Call(Operation.SEND, slot=2, count=3, values=np.array([-128, 127, 5])),
    Call(Operation.MOVE, ARRAY[:1], slot=2, count=1),
    Call(Operation.MOVE, ARRAY[:2], count=1),
    Call(Operation.STREAM, ARRAY),
    Call(Operation.START, ARRAY),
    Call(Operation.WAIT),
    Call(Operation.ACCUMULATE, ARRAY, count=1),
    Call(Operation.ACCUMULATE, ARRAY[:2], count=1),
    Call(Operation.ACCUMULATE, ARRAY[:1], count=1),
    Call(Operation.RECEIVE, count=2),
)


def recorded(path: Path) -> Path:
    """A trace of calls that a device has executed."""
    with Driver.open(HEADER.parameters) as driver, TraceWriter(path, HEADER) as writer:
        for call in CALLS:
            sums = driver.execute(call)
            values = sums if call.operation is Operation.RECEIVE else call.values
            writer.write(Call(**fields(call) | {"values": values}))
        writer.finish(driver.counters)
    return path


def fields(call: Call) -> dict[str, Any]:
    return {name: getattr(call, name) for name in ("operation", "place", "slot", "count", "filters", "values", "name")}
