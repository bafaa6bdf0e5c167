"""Values of a report on a tuned network."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from cyclecast.mapping import loss_of
from cyclecast.report._beside import homes_of, host_info, units_info, units_time
from cyclecast.report._bottleneck import why_info
from cyclecast.report._mapping import mapping_text
from cyclecast.report._search import search_info

if TYPE_CHECKING:
    from cyclecast.timing import Timing
    from cyclecast.workflow.tuning import Tuned, TunedWorkload


def tuned_info(tuned: Tuned) -> dict[str, Any]:
    """All values about a tuned or estimated network; documented in `docs/json.md`."""
    workloads = [_workload_info(entry, tuned) for entry in tuned.workloads]
    found = homes_of(tuned.network, tuned.device)
    host = host_info(tuned.network, tuned.device, found)
    on_host = sum(operator["fs"] for operator in host)
    by_kernel = {entry.member.kernel: entry for entry in tuned.workloads}
    on_units = units_time(tuned.network, tuned.device, found, by_kernel).femtoseconds
    whole = tuned.total.femtoseconds + on_units + on_host
    for entry, count in [*((entry, entry["count"]) for entry in workloads), *((entry, 1) for entry in host)]:
        spent = entry["fs"] if "fs" in entry else entry["timing"]["total_fs"]
        entry["macs_share"] = _share(count * entry["macs"], tuned.network.macs + tuned.network.host_macs)
        entry["time_share"] = _share(count * spent, whole)
    return {
        "network": tuned.network.name,
        "device": {"name": tuned.device.name, "digest": tuned.device.digest},
        "workloads": workloads,
        "host": host,
        "units": units_info(found, tuned.device),
        "total": {
            "macs": tuned.network.macs,
            "host_macs": tuned.network.host_macs,
            "cycles": sum(entry.member.count * entry.timing.cycles for entry in tuned.workloads),
            "fs": tuned.total.femtoseconds,
            "second_opinion_fs": tuned.second_opinion.femtoseconds if tuned.second_opinion else None,
            "units_fs": on_units,
            "host_fs": on_host,
            "with_host_fs": whole,
            "coverage": tuned.network.coverage,
            "warning": tuned.network.warning,
            "loss": str(loss_of(((each.mapping, each.member.count) for each in tuned.workloads), tuned.device) or ""),
            "energy_aj": _energy(workloads),
            "reused": sum(entry.reused for entry in tuned.workloads),
        },
    }


def _second_opinion(timing: Timing | None) -> dict[str, Any] | None:
    if timing is None:
        return None
    values = timing.to_json()
    return {name: values[name] for name in ("total_fs", "cycles", "bound", "phases")}


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _energy(workloads: list[dict[str, Any]]) -> int | None:
    """Energy of all occurrences [aJ], or None if one of them has none."""
    spent = [(workload["count"], workload["why"]["energy"]) for workload in workloads]
    if not spent or any(energy is None for _, energy in spent):
        return None
    return sum(int(count * energy["aj"]) for count, energy in spent)


def _workload_info(entry: TunedWorkload, tuned: Tuned) -> dict[str, Any]:
    workload = entry.member.workload
    return {
        "name": workload.name,
        "kernel": entry.member.kernel,
        "count": entry.member.count,
        "macs": workload.macs,
        "shape": {
            "groups": workload.groups,
            "pixels": workload.pixels,
            "reduction": workload.reduction,
            "filters": workload.filters,
        },
        "mapping": {
            "text": mapping_text(entry.mapping),
            "word_lines": entry.mapping.word_lines,
            "filters": entry.mapping.filters,
            "levels": {level.level: asdict(level.factors) for level in entry.mapping.levels},
            "temporal": asdict(entry.mapping.temporal),
            "packed": entry.mapping.packed,
            "window": {slide.pixel: size for slide, size in zip(workload.slides, entry.mapping.window, strict=False)},
            "input_stationary": entry.mapping.input_stationary,
        },
        "timing": entry.timing.to_json(),
        "second_opinion": _second_opinion(entry.second_opinion),
        "why": why_info(entry.mapping, tuned.device, tuned.model, entry.timing),
        "arrays": entry.mapping.arrays,
        "array_utilisation": entry.mapping.utilisation(tuned.device),
        "candidates": entry.candidates,
        "search": search_info(entry.outcome),
        "reused": entry.reused,
        "disbelieved": entry.disbelieved,
    }
