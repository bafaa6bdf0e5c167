"""The timeline in the trace-event format."""

from __future__ import annotations

import json
from collections import defaultdict
from itertools import pairwise

import jsonschema
import pytest

from cyclecast.device import Device
from cyclecast.placement import Placement, simulate
from cyclecast.report import trace_events
from placed import attention, placed

pytestmark = pytest.mark.tvm

ISAAC = Device.load("isaac")
SCHEMA = {
    "type": "object",
    "required": ["traceEvents"],
    "properties": {
        "displayTimeUnit": {"enum": ["ms", "ns"]},
        "traceEvents": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name", "ph", "pid", "tid"],
                "properties": {
                    "name": {"type": "string", "minLength": 1},
                    "ph": {"enum": ["M", "X"]},
                    "pid": {"type": "integer"},
                    "tid": {"type": "integer"},
                    "ts": {"type": "number", "minimum": 0},
                    "dur": {"type": "number", "exclusiveMinimum": 0},
                    "args": {"type": "object"},
                },
                "if": {"properties": {"ph": {"const": "X"}}},
                "then": {"required": ["ts", "dur", "cat"]},
                "else": {"properties": {"name": {"enum": ["process_name", "thread_name"]}}, "required": ["args"]},
            },
        },
    },
}
"""Of the "Trace Event Format" (Chromium project): complete and metadata events."""


@pytest.fixture(scope="module")
def placement() -> Placement:
    return placed(attention(), ISAAC, dynamic="arrays")


def test_the_format(placement: Placement) -> None:
    text = json.dumps(trace_events(placement, simulate(placement, images=4)))
    jsonschema.validate(json.loads(text), SCHEMA)


def test_a_thread_does_one_thing_at_a_time(placement: Placement) -> None:
    """What a viewer needs to draw complete events: none of a thread overlaps another."""
    threads = defaultdict(list)
    for event in trace_events(placement, simulate(placement, images=4))["traceEvents"]:
        if event["ph"] == "X":
            threads[event["pid"], event["tid"]].append((event["ts"], event["ts"] + event["dur"]))
    for spans in threads.values():
        for (_, end), (begin, _) in pairwise(sorted(spans)):
            assert begin >= end - 1e-9


def test_arrays_adcs_ports_and_the_network_have_threads_with_names(placement: Placement) -> None:
    events = trace_events(placement, simulate(placement, images=4))["traceEvents"]
    named = {(event["pid"], event["tid"]): event["args"]["name"] for event in events if event["name"] == "thread_name"}
    used = {(event["pid"], event["tid"]) for event in events if event["ph"] == "X"}
    assert used <= set(named)
    kinds = {name.split()[0] for name in named.values()}
    assert {"arrays", "ADCs", "port", "to"} <= kinds
    processes = {event["args"]["name"] for event in events if event["name"] == "process_name"}
    assert "network between pes" in processes
    assert any(name.startswith("pe ") for name in processes)


def test_a_digital_device_has_no_adcs() -> None:
    digital = placed(attention(16, 16, 1), Device.load("yan2022").vary("levels.bank.count", 64))
    events = trace_events(digital, simulate(digital, images=4))["traceEvents"]
    assert not any(event.get("cat") == "adc" for event in events)
