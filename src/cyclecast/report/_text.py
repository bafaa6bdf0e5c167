"""Reports as text for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from cyclecast.errors import Refused
from cyclecast.terminal import Table
from cyclecast.units import Energy, Time
from cyclecast.units import short_energy as short_energy
from cyclecast.units import short_time as short_time

LEGEND = (
    "simulated: additional time by event simulation | "
    "MACs: share of all multiply-accumulates | share: of the time, with the host's\n"
    "mapping: window of outputs for each input vector | word lines x filters of an array | groups packed into it |\n"
    "LEVEL with g groups, r row tiles, c column tiles, p replicas side by side | "
    "time with passes (g, r, c) and steps (p) |\n"
    "input-stationary: all passes for every step, else all steps for every pass; what is left out is 1"
)

WHY_LEGEND = (
    "phases: shares of the time, in brackets the longest hidden one | least: time over lower bound, and what sets the "
    "bound |\nhelps most: time saved if this field of the device were 10 % better; a step of another size is shown, "
    "and its saving is scaled to 10 %"
)


def tuned_table(info: dict[str, Any]) -> RenderableType:
    """The workloads of `tuned_info` with mappings and times, and the totals."""
    table = Table(title=f"{info['network']} on {info['device']['name']}", title_justify="left")
    table.add_column("workload", overflow="fold")
    table.add_column("count", justify="right")
    table.add_column("mapping", overflow="fold")
    table.add_column("cycles", justify="right")
    table.add_column("time", justify="right")
    simulated = any(workload["second_opinion"] for workload in info["workloads"])
    if simulated:
        table.add_column("simulated", justify="right")
    table.add_column("bound")
    for column in ("arrays", "MACs", "share"):
        table.add_column(column, justify="right")
    for workload in info["workloads"]:
        timing = workload["timing"]
        table.add_row(
            workload["name"],
            str(workload["count"]),
            workload["mapping"]["text"],
            f"{timing['cycles']:,}",
            short_time(Time(timing["total_fs"])),
            *((_simulated(workload),) if simulated else ()),
            timing["bound"],
            f"{workload['array_utilisation']:.1%}",
            f"{workload['macs_share']:.1%}",
            f"{workload['time_share']:.1%}",
        )
    legend, why_legend = (Text(text, style="dim") for text in (LEGEND, WHY_LEGEND))
    first = warnings(info["total"]["warning"], info["total"]["loss"])
    arrays = (table, legend, why_table(info), why_legend) if info["workloads"] else ()
    host = (host_table(info),) if info["host"] else ()
    return Group(*first, *arrays, *host, Text(_warnings(info) + _totals(info)))


def warnings(*texts: str) -> tuple[Text, ...]:
    """A line for each text that is not empty."""
    return tuple(Text(f"warning: {text}", style="bold") for text in texts if text)


def _simulated(workload: dict[str, Any]) -> str:
    """Time of the event simulation relative to that of the timing model."""
    second = workload["second_opinion"]
    return f"+{second['total_fs'] / workload['timing']['total_fs'] - 1:.1%}" if second else ""


def why_table(info: dict[str, Any]) -> Table:
    """Phases of each time, its lower bound, the field of the device that would help most, and the energy."""
    table = Table(title="why", title_justify="left")
    spent = any(workload["why"]["energy"] for workload in info["workloads"])
    for column in ("workload", "phases, %", "least", "helps most"):
        table.add_column(column, overflow="fold")
    if spent:
        table.add_column("energy", justify="right")
        table.add_column("most of it")
    for workload in info["workloads"]:
        why = workload["why"]
        row = (workload["name"], _phases(why["phases"]), _least(why), _gain(why["gains"]))
        table.add_row(*row, *(_energy(why["energy"]) if spent else ()))
    return table


def host_table(info: dict[str, Any]) -> Table:
    """Operators on the host, the longest first."""
    table = Table(title="on the host", title_justify="left")
    table.add_column("operator")
    for column in ("count", "operations", "bytes", "time", "MACs", "share"):
        table.add_column(column, justify="right")
    table.add_column("why")
    for operator in sorted(info["host"], key=lambda operator: (-operator["fs"], operator["name"])):
        numbers = (operator["count"], operator["operations"], operator["bytes"])
        cells = [f"{number:,}" for number in numbers]
        shares = (f"{operator['macs_share']:.1%}" if operator["macs"] else "", f"{operator['time_share']:.1%}")
        table.add_row(operator["name"], *cells, short_time(Time(operator["fs"])), *shares, operator["reason"])
    return table


def refused_table(refused: Sequence[Refused]) -> Table:
    """Operators that cannot be imported, their first nodes, and advice."""
    table = Table(title="operators that cannot be imported", title_justify="left")
    for column in ("operator", "count", "first nodes", "what to do"):
        table.add_column(column, overflow="fold")
    for row in refused:
        table.add_row(row.operator, str(row.count), ", ".join(row.nodes), row.advice)
    return table


def _phases(phases: list[dict[str, Any]]) -> str:
    """Shares of the total, of at least half a percent."""
    shown = [phase for phase in phases if phase["share"] >= 0.005]
    visible = ", ".join(f"{phase['name']} {100 * phase['share']:.0f}" for phase in shown if not phase["hidden"])
    hidden = max((phase for phase in shown if phase["hidden"]), key=lambda phase: phase["share"], default=None)
    return f"{visible} ({hidden['name']} {100 * hidden['share']:.0f})" if hidden else visible


def _least(why: dict[str, Any]) -> str:
    above = why["above_lower"]
    return f"{float(f'{above:.3g}'):,g}x {why['lower_by']}" if above is not None else ""


def _gain(gains: list[dict[str, Any]]) -> str:
    if not gains:
        return "nothing"
    best = gains[0]
    saved = 100 * best["saved"]
    step = "" if best["change"].endswith("%") else f" {best['change']}"
    return f"{best['field']}{step}: -{saved:.{0 if saved >= 9.95 else 1}f} %"


def _energy(energy: dict[str, Any] | None) -> tuple[str, str]:
    if not energy:
        return "", ""
    return short_energy(Energy(energy["aj"])), energy["components"][0]["name"]


def _warnings(info: dict[str, Any]) -> str:
    found = [(workload["name"], workload["why"]["warning"]) for workload in info["workloads"]]
    again = ((each["name"], each["disbelieved"]) for each in info["workloads"] if each["disbelieved"])
    found += [(name, f"searched again, since its record is not believed: {why}") for name, why in again]
    return "".join(f"warning: {name}: {text}\n" for name, text in found if text)


def _totals(info: dict[str, Any]) -> str:
    total = info["total"]
    host = sum(operator["count"] for operator in info["host"])
    count = sum(workload["count"] for workload in info["workloads"])
    reused = f"\n{total['reused']} of {len(info['workloads'])} workloads reused" if total["reused"] else ""
    energy = f", {short_energy(Energy(total['energy_aj']))}" if total["energy_aj"] is not None else ""
    times = (short_time(Time(total[name])) for name in ("fs", "units_fs", "host_fs", "with_host_fs"))
    arrays, on_units, on_host, together = times
    units = sum(each["count"] for each in info["units"])
    second = total["second_opinion_fs"]
    simulated = f" ({short_time(Time(second))} simulated)" if second else ""
    products = total["macs"] + total["host_macs"]
    share = f"{total['macs'] / products:.1%} of all" if products else "no"
    return (
        f"whole network, one operator after another: {together}\n"
        f"arrays: {total['cycles']:,} cycles, {arrays}{simulated}{energy}\n"
        f"for {total['macs'] / 1e6:,.1f} MMAC ({share} "
        f"multiply-accumulates) in {count} operators ({len(info['workloads'])} distinct), "
        f"{total['coverage']:.1%} of all operations\n"
        f"{_alone(info)}beside the arrays: {units} operators on digital units, {on_units} that arrays do not hide; "
        f"{host} on the host, {on_host} by its roofline"
        f"{reused}"
    )


def _alone(info: dict[str, Any]) -> str:
    """A line that says what the energy contains, if it is known."""
    if info["total"]["energy_aj"] is None:
        return ""
    return "energy is for one operator after another: components that always draw power (chip links) count for each\n"
