"""Facts about a placement: bounds, costs of products of computed operands, wear, and the error if nothing fits."""

from __future__ import annotations

from cyclecast._integers import ceil_div
from cyclecast.errors import FitError
from cyclecast.network import HostOperator, Operator, host_time
from cyclecast.placement._base import Bottleneck, DynamicCost, Wear
from cyclecast.placement._interval import work_bound
from cyclecast.placement._pareto_mappings import least_arrays
from cyclecast.placement._plan import Plan
from cyclecast.placement._resident import writing_time
from cyclecast.placement._search import PlacementSearch
from cyclecast.timing import sum_bits
from cyclecast.units import Time

YEAR = 365.25 * 24 * 3600
"""Seconds of a year."""


def bounds(search: PlacementSearch) -> tuple[Bottleneck, ...]:
    """Lower bounds on the interval of every resident placement, the longest first.

    The bounds are the work spread over all arrays, the slowest workload with all arrays to itself, and the ports. The
    first two hold for the analytical model only, and are left out for others.
    """
    shares, slowest = [], Bottleneck("workload", "", Time(0))
    for place in search.placed:
        operator = search.operators[place]
        options = search.options_of(operator)
        if options is not None:
            shares.append((options.fewest, options.least_work))
            slowest = max(
                slowest, Bottleneck("workload", operator.name, Time(options.least_time)), key=lambda each: each.time
            )
    work = Bottleneck("work", "all arrays", Time(work_bound(shares, search.budget) if slowest.time else 0))
    found = [limit for limit in (work, slowest, *_bandwidth(search)) if limit.time > Time(0)]
    return tuple(sorted(found, key=lambda limit: -limit.time.femtoseconds))


def _bandwidth(search: PlacementSearch) -> list[Bottleneck]:
    """Bounds of the outermost level's ports: every input in and every sum out once, spread over all instances."""
    level = search.device.levels[0]
    workloads = [search.operators[place].workload for place in search.placed]
    into = sum(w.inputs * w.input_bits for w in workloads)
    out = sum(w.pixels * w.groups * w.filters * sum_bits(w) for w in workloads)
    ports = (level.input_bandwidth, into, "in"), (level.output_bandwidth, out, "out")
    return [
        Bottleneck(f"{level.name} port", f"all, {way}", port.time(ceil_div(bits, 8 * level.count)))
        for port, bits, way in ports
        if port
    ]


def costs_of_dynamic(search: PlacementSearch) -> tuple[DynamicCost, ...]:
    """The costs of every product of two computed operands, on the host and in its fastest mapping."""
    found = []
    for place, operator in enumerate(search.operators):
        if operator.is_dynamic:
            options = search.options_of(operator)
            least = options.mappings[-1] if options else None
            write = writing_time(least, search.device) if least else 0
            time = options.times[-1] - write if options else 0
            host = host_time(host_product(operator), search.chip.host)
            found.append(DynamicCost(place, host, Time(write), Time(time), least.arrays if least else 0))
    return tuple(found)


def host_product(operator: Operator) -> HostOperator:
    """A product of two computed operands as an operator of the host, in single precision (A33)."""
    workload = operator.workload
    values = workload.groups * workload.pixels * (workload.reduction + workload.filters) + workload.weights
    macs = workload.macs
    return HostOperator(operator.name, count=1, operations=2 * macs, bytes=4 * values, macs=macs)


def misfit(search: PlacementSearch) -> FitError:
    """The error for a network without a placement."""
    needed = sum(least_arrays(search.operators[place].workload, search.chip) for place in search.placed)
    return FitError(
        f"{search.network.name} on {search.chips} x {search.chip.name}",
        f"{needed:,} arrays for all weights",
        f"there are {search.budget:,}, and none are written during inference",
        f"{ceil_div(needed, search.chip.arrays)} chips or more",
    )


def wear(search: PlacementSearch, plan: Plan) -> Wear | None:
    """The writes of cells and their lifetime; None if no cell is written again or the device states no endurance."""
    endurance = search.chip.array.write.endurance
    stages = [stage for segment in plan.segments for stage in segment.stages]
    once = len(plan.segments) if len(plan.segments) > 1 else 0
    again = sum(stage.mapping.passes - 1 for stage in stages)
    writes = once + again + search.batch * bool(search.dynamic)
    if endurance is None or not writes:
        return None
    whole = (search.batch * plan.interval).seconds
    batches = endurance / writes
    return Wear(writes, endurance, batches * whole / YEAR, batches * search.batch / YEAR)
