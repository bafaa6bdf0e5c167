"""The simulated pipeline as trace events, for Perfetto and chrome://tracing.

The format is that of the "Trace Event Format" document of the Chromium project: complete events (`ph` is "X") with
times in microseconds, and metadata events that name processes and threads. A process is a PE: of each operator, the one
with the busiest port represents the others. Its threads are the operator's arrays, their ADCs, and the port.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping as Mapped
from fractions import Fraction
from typing import Any

from cyclecast.placement import Busy, Check, Placement
from cyclecast.timing import slots
from cyclecast.units import Time

NETWORK = 1_000_000
"""Process number of the network between PEs."""
UNITS = 1_000_000
"""First thread number of digital units."""


def trace_events(placement: Placement, check: Check) -> dict[str, Any]:
    """The trace-event JSON of a simulation."""
    named = dict(_names(placement, check))
    metadata = [
        {"name": kind, "ph": "M", "pid": pid, "tid": tid, "args": {"name": name}}
        for (kind, pid, tid), name in sorted(named.items())
    ]
    converting = {} if placement.chip.array.digital else _conversions(placement)
    events = [event for span in check.spans for event in _events(span, converting)]
    return {
        "displayTimeUnit": "ns",
        "otherData": {"generator": "cyclecast", "network": placement.network.name, "device": placement.chip.name},
        "traceEvents": metadata + events,
    }


def _names(placement: Placement, check: Check) -> Iterator[tuple[tuple[str, int, int], str]]:
    level, operators = placement.chip.levels[0].name, placement.network.operators
    for span in check.spans:
        name, (pid, tid) = f"{span.operator} {operators[span.operator].name}", _thread(span)
        if span.resource == "network":
            yield ("process_name", pid, 0), f"network between {level}s"
            yield ("thread_name", pid, tid), f"to {name}"
            continue
        yield ("process_name", pid, 0), f"{level} {span.pe}"
        thread = {"port": "port", "unit": f"digital unit of {name}"}.get(span.resource, f"arrays of {name}")
        yield ("thread_name", pid, tid), thread
        if span.resource == "arrays" and not placement.chip.array.digital:
            yield ("thread_name", pid, tid + 1), f"ADCs of {name}"


def _thread(span: Busy) -> tuple[int, int]:
    """Process and thread numbers of a span.

    The port of a PE is thread 0, an operator's arrays have an odd number, its ADCs the next; units come last.
    """
    if span.resource == "network":
        return NETWORK, span.operator + 1
    if span.resource == "unit":
        return span.pe + 1, UNITS + span.operator
    return span.pe + 1, 0 if span.resource == "port" else 2 * span.operator + 1


def _events(span: Busy, converting: Mapped[int, tuple[int, Fraction]]) -> Iterator[dict[str, Any]]:
    pid, tid = _thread(span)
    name = f"image {span.image}" if span.resource == "arrays" else f"operator {span.operator}"
    yield _event(name, span.resource, pid, tid, span.begin, span.end, span)
    if span.resource == "arrays" and span.operator in converting:
        first, share = converting[span.operator]
        whole = span.end.femtoseconds - span.begin.femtoseconds
        begin = span.begin.femtoseconds + min(first, whole)
        yield _event(name, "adc", pid, tid + 1, Time(begin), Time(begin + int(whole * share)), span)


def _conversions(placement: Placement) -> dict[int, tuple[int, Fraction]]:
    """By operator: start of the ADCs after the arrays [fs], and the fraction of the time in which they convert."""
    device, overlap = placement.device, placement.chip.array.adc_overlap
    found = {}
    for stage in placement.stages:
        steps = list(slots(stage.mapping, device))
        reading = sum(times * (max(read, time) if overlap else read + time) for times, read, time in steps)
        found[stage.operator] = steps[0][1], Fraction(sum(times * time for times, _, time in steps), reading)
    return found


def _event(name: str, category: str, pid: int, tid: int, begin: Time, end: Time, span: Busy) -> dict[str, Any]:
    return {
        "name": name,
        "cat": category,
        "ph": "X",
        "pid": pid,
        "tid": tid,
        "ts": begin.femtoseconds / 1e9,
        "dur": (end.femtoseconds - begin.femtoseconds) / 1e9,
        "args": {"operator": span.operator, "image": span.image},
    }
