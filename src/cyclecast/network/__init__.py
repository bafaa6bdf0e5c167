"""Workloads, networks, and the pixels that operators of a network need from each other."""

from __future__ import annotations

from cyclecast.network._digital import NOWHERE, DigitalOperator
from cyclecast.network._network import (
    NOT_FINITE,
    Along,
    Edge,
    HostOperator,
    Member,
    Network,
    Operator,
    Reach,
    host_time,
)
from cyclecast.network._receptive_field import live_pixels, operators_from_json, operators_to_json, receptive_field
from cyclecast.network._workload import Axis, Kind, Slide, Workload

__all__ = [
    "NOT_FINITE",
    "NOWHERE",
    "Along",
    "Axis",
    "DigitalOperator",
    "Edge",
    "HostOperator",
    "Kind",
    "Member",
    "Network",
    "Operator",
    "Reach",
    "Slide",
    "Workload",
    "host_time",
    "live_pixels",
    "operators_from_json",
    "operators_to_json",
    "receptive_field",
]
