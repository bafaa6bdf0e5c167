"""Values of a report on a placement."""

from __future__ import annotations

from typing import Any

from cyclecast.mapping import loss_of
from cyclecast.placement import Bottleneck, Check, DynamicCost, ParetoPlacement, Placement, Segment, Stage, simulate
from cyclecast.report._mapping import mapping_text
from cyclecast.timing import Home

MOST_LIMITS = 5
"""Most bottlenecks reported per segment."""


def placement_info(placement: Placement, check: Check | None = None) -> dict[str, Any]:
    """All values about a placement and its event simulation; documented in `docs/json.md`."""
    found = check or simulate(placement, spans=False)
    interval, latency = placement.with_host
    return {
        "network": placement.network.name,
        "device": {"name": placement.chip.name, "digest": placement.chip.digest},
        "chips": placement.chips,
        "objective": placement.objective,
        "batch": placement.batch,
        "dynamic": str(placement.dynamic),
        "resident": placement.is_resident,
        "overlapped": placement.overlapped,
        "loss": str(loss_of(((stage.mapping, 1) for stage in placement.stages), placement.device) or ""),
        "total": {
            "interval_fs": interval.femtoseconds,
            "latency_fs": latency.femtoseconds,
            "chip_interval_fs": placement.interval.femtoseconds,
            "chip_latency_fs": placement.latency.femtoseconds,
            "arrays_interval_fs": placement.arrays_interval.femtoseconds,
            "energy_aj": placement.energy.attojoules if placement.energy else None,
            "arrays": placement.arrays,
            "all_arrays": placement.chip.arrays * placement.chips,
            "utilisation": placement.utilisation,
            "host_fs": placement.host.femtoseconds,
            "independent_fs": placement.independent.femtoseconds if placement.independent else None,
            "gain": placement.gain,
        },
        "limit": _limit(placement.limit),
        "bounds": [_limit(bound) for bound in placement.bounds],
        "check": _check(placement, found),
        "segments": [_segment(segment) for segment in placement.segments],
        "operators": _operators(placement),
        "on_host": placement.on_host,
        "digital": [_home(placement, home) for home in placement.homes],
        "energy": _energies(placement).get(None, []),
        "floor": _floor(placement),
        "front": [_point(point) for point in placement.front],
        "dynamic_products": [_product(placement, cost) for cost in placement.dynamic_costs],
        "wear": placement.wear._asdict() if placement.wear else None,
    }


def _check(placement: Placement, found: Check) -> dict[str, Any]:
    """The event simulation of the segment with the longest period, and its closed form."""
    longest = max(placement.segments, key=lambda segment: segment.period)
    return {
        "segment": placement.segments.index(longest),
        "interval_fs": found.interval.femtoseconds,
        "latency_fs": found.latency.femtoseconds,
        "blocked": list(found.blocked),
        "closed_interval_fs": longest.period.femtoseconds,
        "closed_latency_fs": longest.latency.femtoseconds,
        "stalls": [
            {
                "place": stall.operator,
                "operator": placement.network.operators[stall.operator].name,
                "cause": stall.cause,
                "fs": stall.time.femtoseconds,
            }
            for stall in found.stalls
        ],
    }


def _point(point: ParetoPlacement) -> dict[str, Any]:
    return {
        "segments": point.segments,
        "interval_fs": point.interval.femtoseconds,
        "latency_fs": point.latency.femtoseconds,
        "energy_aj": point.energy.attojoules if point.energy else None,
        "arrays": point.arrays,
    }


def _product(placement: Placement, cost: DynamicCost) -> dict[str, Any]:
    return {
        "name": placement.network.operators[cost.operator].name,
        "host_fs": cost.host.femtoseconds,
        "write_fs": cost.write.femtoseconds,
        "compute_fs": cost.compute.femtoseconds,
        "arrays": cost.arrays,
    }


def _limit(limit: Bottleneck) -> dict[str, Any]:
    return {"what": limit.what, "where": limit.where, "fs": limit.time.femtoseconds}


def _segment(segment: Segment) -> dict[str, Any]:
    return {
        "operators": len(segment.stages),
        "arrays": segment.arrays,
        "write_fs": segment.write.femtoseconds,
        "period_fs": segment.period.femtoseconds,
        "latency_fs": segment.latency.femtoseconds,
        "limits": [_limit(limit) for limit in segment.limits[:MOST_LIMITS]],
    }


def _operators(placement: Placement) -> list[dict[str, Any]]:
    """Every operator on arrays, in the order of the program."""
    kept, energies = {each.operator: each for each in placement.kept}, _energies(placement)
    found = []
    for number, segment in enumerate(placement.segments):
        for stage in segment.stages:
            operator, keeps = placement.operator(stage), kept[stage.operator]
            found.append(
                {
                    "place": stage.operator,
                    "name": operator.name,
                    "kernel": operator.kernel,
                    "segment": number,
                    "sources": sorted(edge.source for edge in operator.sources),
                    "arrays": stage.site.arrays,
                    "replicas": int(stage.mapping.replicas),
                    "mapping": mapping_text(stage.mapping),
                    "busy_fs": stage.busy.femtoseconds,
                    "start_fs": stage.start.femtoseconds,
                    "end_fs": stage.end.femtoseconds,
                    "kept_bytes": keeps.bytes,
                    "room_bytes": keeps.room,
                    "macs": operator.workload.macs,
                    "port_bytes": _port_bytes(stage),
                    "phases": [
                        {"name": phase.name, "fs": phase.time.femtoseconds, "hidden": phase.hidden}
                        for phase in stage.timing.phases
                    ],
                    "alone_fs": stage.timing.total.femtoseconds,
                    "energy": energies.get(stage.operator, []),
                    "pes": [list(share) for share in stage.site.shares],
                }
            )
    return found


def _home(placement: Placement, home: Home) -> dict[str, Any]:
    """A digital operator, and where it is computed."""
    operator, levels = home.operator, placement.chip.levels
    return {
        "name": operator.name,
        "after": operator.after,
        "chain": operator.chain,
        "on": "host" if home.on_host else "units" if home.shares else "",
        "why": home.why,
        "units": [
            {"level": levels[share.level].name, "unit": share.unit.name, "operations": share.operations}
            for share in home.shares
        ],
    }


def _energies(placement: Placement) -> dict[int | None, list[dict[str, Any]]]:
    """Energy of components by operator, None for the chips themselves; each value is rounded."""
    found: dict[int | None, list[dict[str, Any]]] = {}
    for each in placement.spent:
        entry = {"level": each.level, "name": each.component, "aj": round(each.amount)}
        found.setdefault(each.operator, []).append(entry)
    return found


def _port_bytes(stage: Stage) -> int:
    """Bytes through all ports of the outermost level."""
    moved = stage.timing.events.moved[1] if stage.timing.events else None
    return int(moved.inputs + moved.outputs) if moved else 0


def _floor(placement: Placement) -> dict[str, Any]:
    floor, network = placement.floor, placement.chip.network
    return {
        "level": placement.chip.levels[0].name,
        "pes": floor.pes,
        "arrays_per_pe": floor.arrays_per_pe,
        "network": network.model_dump(mode="json") if network else None,
    }
