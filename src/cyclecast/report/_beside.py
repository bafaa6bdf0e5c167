"""Values of a report on the operators that arrays do not compute, one operator after another."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from cyclecast._integers import ceil_div
from cyclecast.device import Device
from cyclecast.network import HostOperator, Network, host_time
from cyclecast.report._bottleneck import share
from cyclecast.timing import Home, homes, host_chains, unit_times, units_of, work_of
from cyclecast.units import Time

if TYPE_CHECKING:
    from cyclecast.workflow.tuning import TunedWorkload


def homes_of(network: Network, device: Device) -> tuple[Home, ...]:
    """The units, or the host, of each digital operator; the host computes products of two computed operands."""
    return homes(network.digital, device, {place for place, each in enumerate(network.operators) if each.kernel})


def host_info(network: Network, device: Device, found: Iterable[Home]) -> list[dict[str, Any]]:
    """The chains of operators on the host, equal ones together, and its products."""
    listed = [operator for operator in network.host if operator.macs or not network.digital]
    entries = [_entry(operator, host_time(operator, device.host)) for operator in listed]
    products = {operator.name for operator in listed}
    chains: defaultdict[int, list[Home]] = defaultdict(list)
    for home in found:
        if home.on_host and home.operator.name not in products:
            chains[home.operator.chain].append(home)
    times = host_chains((home for each in chains.values() for home in each), device)
    groups: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for chain, each in chains.items():
        groups[" + ".join(home.operator.name for home in each), each[0].why].append(chain)
    for (name, why), numbers in groups.items():
        operators = [home.operator for number in numbers for home in chains[number]]
        moved = sum(each.loads + each.stores for each in operators)
        moved += sum(chains[number][0].operator.through for number in numbers)
        operations = sum(each.operations for each in operators)
        fused = HostOperator(name, count=len(operators), operations=operations, bytes=moved, reason=why)
        entries.append(_entry(fused, sum((times[number] for number in numbers), Time(0))))
    whole = sum((Time(entry["fs"]) for entry in entries), Time(0))
    return [entry | {"share": share(Time(entry["fs"]), whole)} for entry in entries]


def _entry(operator: HostOperator, time: Time) -> dict[str, Any]:
    return {
        "name": operator.name,
        "count": operator.count,
        "operations": operator.operations,
        "bytes": operator.bytes,
        "macs": operator.macs,
        "reason": operator.reason,
        "fs": time.femtoseconds,
    }


def units_info(found: Iterable[Home], device: Device) -> list[dict[str, Any]]:
    """The operators on digital units, those of equal name on equal units together."""
    counts: defaultdict[tuple[str, str, str], list[int]] = defaultdict(list)
    for home in found:
        for each in home.shares:
            counts[home.operator.name, device.levels[each.level].name, each.unit.name].append(each.operations)
    return [
        {"name": name, "level": level, "unit": unit, "count": len(numbers), "operations": sum(numbers)}
        for (name, level, unit), numbers in counts.items()
    ]


def units_time(network: Network, device: Device, found: Iterable[Home], tuned: Mapping[str, TunedWorkload]) -> Time:
    """Time of digital units that arrays do not hide, of all operators one after another.

    Units and arrays are two stages of a flow shop, whose makespan is the time of the slower one and one step of the
    other.
    """
    units, whole = units_of(device), 0
    for place, work in work_of(found).items():
        entry = tuned[network.operators[place].kernel]
        alone, mapping = entry.timing.total.femtoseconds, entry.mapping
        digital = max(time.femtoseconds for time in unit_times(work, mapping, units).values())
        whole += max(0, digital - alone) + int(ceil_div(min(alone, digital), mapping.temporal.pixel))
    return Time(whole)
