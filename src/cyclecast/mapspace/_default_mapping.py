"""The mapping of a workload without a search."""

from __future__ import annotations

from cyclecast.device import Device
from cyclecast.mapping import Mapping, require_fit
from cyclecast.mapspace._decisions import grant, require_bits
from cyclecast.mapspace._tilings import resident_mapping
from cyclecast.network import Workload


def default_mapping(workload: Workload, device: Device) -> Mapping:
    """The mapping without a search: the largest tiles, levels filled from the inside outwards, then replicas.

    If it has several passes and the device cannot write during inference, a mapping of one pass, if there is one.
    Raises `FitError` if the device cannot hold the workload.
    """
    require_bits(workload, device)
    mapping = grant(workload, device, {})
    if mapping.passes > 1 and not device.array.write.during_inference:
        mapping = resident_mapping(workload, device) or mapping
    require_fit(mapping, device)
    return mapping
