"""Reports for a terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cyclecast.units import Time

LEGEND = (
    "mapping: word lines x filters of an array | LEVEL with g groups, r row tiles, c column tiles, p replicas side by "
    "side | time with passes (g, r, c) and steps (p)"
)


def tuned_table(info: dict[str, Any]) -> RenderableType:
    """The workloads of `tuned_info` with their mappings and times, and the totals."""
    table = Table(title=f"{info['network']} on {info['device']['name']}", title_justify="left")
    table.add_column("workload", overflow="fold")
    table.add_column("count", justify="right")
    table.add_column("mapping", overflow="fold")
    table.add_column("cycles", justify="right")
    table.add_column("time", justify="right")
    table.add_column("bound")
    table.add_column("arrays", justify="right")
    for workload in info["workloads"]:
        timing = workload["timing"]
        table.add_row(
            workload["name"],
            str(workload["count"]),
            workload["mapping"]["text"],
            f"{timing['cycles']:,}",
            short_time(Time(timing["total_fs"])),
            timing["bound"],
            f"{workload['array_utilisation']:.1%}",
        )
    return Group(table, Text(LEGEND, style="dim"), Text(_totals(info)))


def _totals(info: dict[str, Any]) -> str:
    total = info["total"]
    host = sum(operator["count"] for operator in info["host"])
    count = sum(workload["count"] for workload in info["workloads"])
    reused = f", {total['reused']} of {len(info['workloads'])} workloads reused" if total["reused"] else ""
    return (
        f"total: {total['cycles']:,} cycles, {short_time(Time(total['fs']))} for {total['macs'] / 1e6:,.1f} MMAC in "
        f"{count} operators ({len(info['workloads'])} distinct); {host} operators stay on the host, untimed{reused}"
    )


def short_time(time: Time) -> str:
    """Four digits and a unit."""
    for unit, size in (("s", 10**15), ("ms", 10**12), ("us", 10**9), ("ns", 10**6)):
        if time.femtoseconds >= size * 0.99995:  # what rounds to 1 of the unit
            return f"{float(f'{time.femtoseconds / size:.4g}'):,g} {unit}"
    return str(time)
