"""Values and tables about a search."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from cyclecast.report._mapping import mapping_text
from cyclecast.report._text import short_energy, short_time
from cyclecast.search import SearchResult
from cyclecast.terminal import Table
from cyclecast.units import Energy, Time

LEGEND = (
    "points: combinations of decisions | legal: fraction that fits arrays and levels | timed: mappings that were "
    "timed | next: the next longer time\ngap: best time over lower bound, 0 % proves the optimum | not in the "
    "space: windows with more outputs than an array has filters"
)


def search_info(outcome: SearchResult) -> dict[str, Any]:
    """All values about a search; documented in `docs/json.md`."""
    plain = outcome.to_json()
    certificate = plain["certificate"]
    if certificate:
        certificate["gap"] = outcome.certificate.gap if outcome.certificate else None
    for choice, entry in zip(outcome.front, plain["front"], strict=True):
        entry["text"] = mapping_text(choice.mapping)
    return plain


def search_table(info: dict[str, Any]) -> RenderableType:
    """Space and certificate of the search of each workload of `tuned_info`."""
    table = Table(title="search", title_justify="left")
    table.add_column("workload", overflow="fold")
    for column in ("points", "legal", "timed", "best", "next", "lower bound", "gap"):
        table.add_column(column, justify="right")
    for workload in info["workloads"]:
        sketches = workload["search"]["sketches"]
        space = [sum(sketch[count] for sketch in sketches) for count in ("points", "legal")]
        table.add_row(workload["name"], *_points(*space), *_certificate(workload))
    parts: list[RenderableType] = [table, rules_table(info), Text(LEGEND, style="dim")]
    parts += [front_table(workload) for workload in info["workloads"] if workload["search"]["front"]]
    searches = [workload["search"] for workload in info["workloads"]]
    notes = {f"{search['strategy']}: {search['note']}": None for search in searches if search["note"]}
    return Group(*parts, *map(Text, notes))


def rules_table(info: dict[str, Any]) -> Table:
    """Size of the space that each set of rules opened, over all workloads."""
    opened: dict[str, list[dict[str, Any]]] = {}
    for workload in info["workloads"]:
        for sketch in workload["search"]["sketches"]:
            opened.setdefault(sketch["rules"], []).append(sketch)
    table = Table(title="rules", title_justify="left")
    table.add_column("rules")
    for column in ("workloads", "points", "legal"):
        table.add_column(column, justify="right")
    for rules, sketches in sorted(opened.items()):
        space = [sum(sketch[count] for sketch in sketches) for count in ("points", "legal")]
        table.add_row(rules, str(len(sketches)), *_points(*space))
    return table


def front_table(workload: dict[str, Any]) -> Table:
    """The Pareto mappings of a workload, at most `MOST_CHOICES`, evenly spread."""
    front = workload["search"]["front"]
    shown = front if len(front) <= MOST_CHOICES else [front[round(place)] for place in _spread(len(front))]
    table = Table(title=f"front of {workload['name']}: {len(shown)} of {len(front)}", title_justify="left")
    table.add_column("mapping", overflow="fold")
    for column in ("time", "energy", "arrays"):
        table.add_column(column, justify="right")
    for choice in shown:
        time, energy = short_time(Time(choice["fs"])), short_energy(Energy(choice["aj"]))
        table.add_row(choice["text"], time, energy, f"{choice['arrays']:,}")
    return table


MOST_CHOICES = 12


def _spread(length: int) -> list[float]:
    return [place * (length - 1) / (MOST_CHOICES - 1) for place in range(MOST_CHOICES)]


def _points(points: int, legal: int) -> tuple[str, str]:
    """Number of points, and the fraction that fits the device."""
    return (f"{points:.3g}", f"{legal / points:.2g}") if points else ("", "")


def _certificate(workload: dict[str, Any]) -> tuple[str, ...]:
    certificate = workload["search"]["certificate"]
    if certificate is None:
        return f"{workload['candidates']:,}", short_time(Time(workload["timing"]["total_fs"]))
    following = "" if certificate["runner_up"] is None else short_time(Time(certificate["runner_up"]))
    times = (short_time(Time(certificate["best"])), following, short_time(Time(certificate["lower"])))
    gap = "unknown" if certificate["gap"] is None else f"{certificate['gap']:.1%}"
    return f"{certificate['timed']:,}", *times, gap
