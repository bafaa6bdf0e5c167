"""A placement as text for a terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from cyclecast.report._text import short_energy, short_time
from cyclecast.terminal import Table
from cyclecast.units import Energy, Time

LEGEND = (
    "busy: time that one image occupies the operator's arrays or ports | starts, ends: of the first image in its "
    "segment |\nkeeps: inputs that wait at the same time, and the space for them in the buffers of its PEs"
)
MOST_POINTS = 8
"""Most placements of the front in the table."""


def placement_table(info: dict[str, Any]) -> RenderableType:
    """The operators of `placement_info` with arrays and times, segments, the front, and the totals."""
    parts: list[RenderableType] = [_operators(info), Text(LEGEND, style="dim")]
    if len(info["segments"]) > 1:
        parts.append(_segments(info))
    if len(info["front"]) > 1:
        parts.append(_front(info))
    if info["dynamic_products"]:
        parts.append(_dynamic(info))
    return Group(*parts, Text(totals_text(info)))


def _time(femtoseconds: int) -> str:
    return short_time(Time(femtoseconds))


def _operators(info: dict[str, Any]) -> Table:
    chips = f"{info['chips']} x " if info["chips"] > 1 else ""
    table = Table(title=f"{info['network']} on {chips}{info['device']['name']}", title_justify="left")
    many = len(info["segments"]) > 1
    columns = [("operator", "left"), *([("segment", "right")] if many else []), ("mapping", "left")]
    columns += [(name, "right") for name in ("arrays", "replicas", "busy", "starts", "ends", "keeps")]
    for name, justify in columns:
        table.add_column(name, justify=justify, overflow="fold")  # type: ignore[arg-type] # one of two literals
    for each in info["operators"]:
        room = "" if each["room_bytes"] is None else f" of {_bytes(each['room_bytes'])}"
        times = (_time(each[name]) for name in ("busy_fs", "start_fs", "end_fs"))
        segment = [str(each["segment"])] if many else []
        counts = f"{each['arrays']:,}", f"{each['replicas']:,}"
        table.add_row(each["name"], *segment, each["mapping"], *counts, *times, _bytes(each["kept_bytes"]) + room)
    return table


def _bytes(count: int) -> str:
    return f"{count:,} B" if count < 1024 else f"{count / 1024:,.1f} KiB"


def _segments(info: dict[str, Any]) -> Table:
    table = Table(title="segments", title_justify="left")
    for name in ("segment", "operators", "arrays", "write", "latency", "period"):
        table.add_column(name, justify="right")
    table.add_column("limited by", overflow="fold")
    for number, segment in enumerate(info["segments"]):
        times = (_time(segment[name]) for name in ("write_fs", "latency_fs", "period_fs"))
        limit = limit_text(segment["limits"][0]) if segment["limits"] else ""
        table.add_row(str(number), str(segment["operators"]), f"{segment['arrays']:,}", *times, limit)
    return table


def _front(info: dict[str, Any]) -> Table:
    front = info["front"]
    shown = spread(front, MOST_POINTS)
    table = Table(title=f"Pareto placements: {len(shown)} of {len(front)}", title_justify="left")
    for name in ("segments", "interval", "latency", "energy", "arrays"):
        table.add_column(name, justify="right")
    for point in shown:
        energy = "" if point["energy_aj"] is None else short_energy(Energy(point["energy_aj"]))
        times = _time(point["interval_fs"]), _time(point["latency_fs"])
        table.add_row(str(point["segments"]), *times, energy, f"{point['arrays']:,}")
    return table


def spread(values: list[Any], most: int) -> list[Any]:
    """At most `most` of the values, evenly spread, with the first and the last."""
    if len(values) <= most:
        return values
    return [values[round(place * (len(values) - 1) / (most - 1))] for place in range(most)]


def _dynamic(info: dict[str, Any]) -> Table:
    table = Table(title=f"products of two computed operands: by the {info['dynamic']}", title_justify="left")
    table.add_column("product")
    for name in ("on the host", "in arrays: write", "compute", "arrays"):
        table.add_column(name, justify="right")
    for product in info["dynamic_products"]:
        times = (_time(product[name]) for name in ("host_fs", "write_fs", "compute_fs"))
        table.add_row(product["name"], *times, f"{product['arrays']:,}" if product["arrays"] else "too few")
    return table


def limit_text(limit: dict[str, Any]) -> str:
    """The bottleneck, and where it is."""
    return f"{limit['what']} ({limit['where']}, {_time(limit['fs'])})"


def _bound_text(bound: dict[str, Any]) -> str:
    where = "all arrays always busy" if bound["what"] == "work" else f"{bound['what']}: {bound['where']}"
    return f"{_time(bound['fs'])} ({where})"


def totals_text(info: dict[str, Any]) -> str:
    """The results in a few lines."""
    total, check = info["total"], info["check"]
    energy = "" if total["energy_aj"] is None else f", {short_energy(Energy(total['energy_aj']))} an image"
    how = "all weights resident" if info["resident"] else f"{len(info['segments'])} segments take turns"
    batch = f" for batches of {info['batch']}" if info["batch"] > 1 else ""
    lines = [
        *([f"warning: {info['loss']}"] if info["loss"] else []),
        *_contradicted(info),
        f"whole network{batch}: interval {_time(total['interval_fs'])}, latency {_time(total['latency_fs'])}; "
        f"limited by {limit_text(info['limit'])}",
        f"on the chip, {how}: interval {_time(total['chip_interval_fs'])}, latency {_time(total['chip_latency_fs'])}"
        f"{energy}, {total['arrays']:,} of {total['all_arrays']:,} arrays; arrays alone: interval "
        f"{_time(total['arrays_interval_fs'])}",
        *(
            [f"lower bounds of the interval, weights resident: {', '.join(map(_bound_text, info['bounds'][:2]))}"]
            if info["bounds"]
            else []
        ),
        f"event simulation{_of_segment(info)}: interval {_time(check['interval_fs'])}, latency "
        f"{_time(check['latency_fs'])} (closed form {_time(check['closed_interval_fs'])}, "
        f"{_time(check['closed_latency_fs'])})" + _stalls(check),
        _beside(info),
    ]
    lines += _gains(info)
    return "\n".join(lines)


def _beside(info: dict[str, Any]) -> str:
    """A line about the operators that arrays do not compute."""
    host = sum(each["on"] == "host" for each in info["digital"])
    units = sum(each["on"] == "units" for each in info["digital"])
    shown = info["on_host"]
    by_host = f"{host} on the host, {_time(info['total']['host_fs'])} by its roofline"
    return f"beside the arrays: {units} operators on digital units, {by_host}" + (f" ({shown})" if shown else "")


FAR = 0.05
"""Relative difference between simulated and closed-form interval from which the first line shows it."""


def _contradicted(info: dict[str, Any]) -> list[str]:
    """A line with the result of the event simulation, if it contradicts the closed form."""
    check = info["check"]
    if check["blocked"]:
        places = ", ".join(map(str, check["blocked"]))
        return [f"deadlock in the event simulation{_of_segment(info)}: operators {places} wait for buffer space"]
    if abs(check["interval_fs"] - check["closed_interval_fs"]) <= FAR * check["closed_interval_fs"]:
        return []
    simulated = f"interval {_time(check['interval_fs'])}, latency {_time(check['latency_fs'])}"
    return [f"by event simulation{_of_segment(info)}: {simulated}; the lines below are by the closed form"]


def _of_segment(info: dict[str, Any]) -> str:
    return f" of segment {info['check']['segment']}" if len(info["segments"]) > 1 else ""


def _stalls(check: dict[str, Any]) -> str:
    if check["blocked"]:
        places = ", ".join(map(str, check["blocked"]))
        return f"; with larger buffers, because operators {places} would wait for space forever"
    found = [f"{each['operator']} waits {_time(each['fs'])} for {each['cause']}" for each in check["stalls"]]
    return "; " + "; ".join(found[:2]) if found else ""


def _gains(info: dict[str, Any]) -> list[str]:
    total, wear, lines = info["total"], info["wear"], []
    if total["gain"] is not None:
        what = "as fast" if info["objective"] == "interval" else f"better in {info['objective']}"
        lines.append(
            f"with the mappings of tune: interval {_time(total['independent_fs'])}; "
            f"with mappings chosen for this placement: {total['gain']:.2f} times {what}"
        )
    crowded = [
        each for each in info["operators"] if (each["room_bytes"] or 0) < each["kept_bytes"] and each["room_bytes"]
    ]
    if crowded:
        worst = max(crowded, key=lambda each: each["kept_bytes"] / each["room_bytes"])
        lines.append(
            f"warning: buffers are too small for {len(crowded)} operators; {worst['name']} keeps "
            f"{_bytes(worst['kept_bytes'])} of inputs, and there is space for {_bytes(worst['room_bytes'])}"
        )
    if wear:
        lines.append(
            f"wear: {wear['writes']} writes of a cell per batch, endurance {wear['endurance']:,} writes; lifetime "
            f"{_years(wear['years'])} at full speed, {_years(wear['years_at_one'])} at one image a second"
        )
    return lines


def _years(years: float) -> str:
    days = years * 365.25
    if years >= 1:
        return f"{years:,.3g} years"
    return f"{days:.3g} days" if days >= 1 else f"{days * 24 * 60:,.3g} minutes"
