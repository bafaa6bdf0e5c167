"""The plots of a report, drawn from the values of `report_info` only."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Any

import plotly.graph_objects as go

from cyclecast.report._text import short_time
from cyclecast.units import Time

MICROSECOND = 10**9
"""A microsecond [fs]."""
PALETTE = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#999933", "#882255", "#44aa99", "#666666")
"""Colours that readers with colour vision deficiency can tell apart (Okabe and Ito; Tol)."""
HEIGHT, ROW = 360, 20
"""Height of a plot, and of a bar in plots with one bar per operator [pixels]."""


def figures(info: dict[str, Any]) -> dict[str, go.Figure]:
    """All plots by name; empty ones are left out."""
    made = {
        "graph": _graph(info),
        "pipeline": _pipeline(info),
        "floor": _floor(info, who=True),
        "occupancy": _floor(info, who=False),
        "phases": _phases(info),
        "energy": _energy(info),
        "roofline": _roofline(info),
        "gaps": _gaps(info),
        "changes": _changes(info),
        "front": _front(info),
        "difference": _difference(info),
    }
    return {name: figure for name, figure in made.items() if figure is not None}


def label(operator: dict[str, Any]) -> str:
    """Number and kind of an operator, for the axis of a bar chart."""
    return f"{operator['place']} {operator['name'].split()[0]}"


def hover(operator: dict[str, Any]) -> str:
    """Text about an operator at the pointer."""
    return (
        f"{operator['place']} {operator['name']}<br>{operator['mapping']}<br>{operator['arrays']:,} arrays, "
        f"{operator['replicas']:,} replicas, busy {short_time(Time(operator['busy_fs']))}"
    )


def _layout(height: int = HEIGHT, **more: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "height": height,
        "margin": {"l": 8, "r": 8, "t": 8, "b": 8},
        "template": "plotly_white",
        "font": {"family": "system-ui, sans-serif", "size": 12},
        "colorway": list(PALETTE),
        "legend": {"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0},
    }
    return base | more


def _axis(title: str, **more: Any) -> dict[str, Any]:
    return {"title": {"text": title}, "automargin": True} | more


def _log(title: str) -> dict[str, Any]:
    return _axis(title, type="log", dtick="D2", tickformat="~s")


def _names() -> dict[str, Any]:
    """An axis of operators, the first on top."""
    return _axis("", autorange="reversed", ticksuffix=" ")


def _rows(count: int) -> int:
    return max(HEIGHT // 2, ROW * count + 90)


def _graph(info: dict[str, Any]) -> go.Figure:
    """Operators from left to right by their distance from the input; size and colour show the time of each."""
    operators = info["operators"]
    places = {each["place"]: each for each in operators}
    depth: dict[int, int] = {}
    for each in operators:
        depth[each["place"]] = 1 + max((depth[source] for source in each["sources"] if source in depth), default=-1)
    lanes: dict[int, list[int]] = {}
    for place, level in depth.items():
        lanes.setdefault(level, []).append(place)
    height = {place: lane - (len(row) - 1) / 2 for row in lanes.values() for lane, place in enumerate(row)}
    figure = go.Figure()
    for each in operators:
        for source in each["sources"]:
            if source in places:
                ends = (depth[source], height[source]), (depth[each["place"]], height[each["place"]])
                figure.add_trace(_edge(*ends))
    busy = [each["busy_fs"] / MICROSECOND for each in operators]
    figure.add_trace(
        go.Scatter(
            x=[depth[each["place"]] for each in operators],
            y=[height[each["place"]] for each in operators],
            mode="markers+text",
            marker={
                "size": [12 + 22 * time / max(busy, default=1) for time in busy],
                "color": busy,
                "colorscale": "Blues",
                "cmin": 0,
                "line": {"width": 1, "color": "#333"},
                "colorbar": {"title": {"text": "busy, us"}, "thickness": 10},
            },
            text=[str(each["place"]) for each in operators],
            textposition="top center",
            hovertext=[hover(each) for each in operators],
            hoverinfo="text",
            showlegend=False,
        )
    )
    figure.update_layout(_layout(300, xaxis=_axis("operators from the input on", showgrid=False, zeroline=False)))
    figure.update_yaxes(visible=False)
    return figure


def _edge(start: tuple[float, float], end: tuple[float, float]) -> go.Scatter:
    """A line, bent if it passes other operators."""
    far = end[0] - start[0]
    bend = 0.0 if far <= 1 else min(1.6, 0.45 + 0.08 * far)
    middle = (start[0] + end[0]) / 2, max(start[1], end[1]) + bend
    points = (start, middle, end) if bend else (start, end)
    return go.Scatter(
        x=[x for x, _ in points],
        y=[y for _, y in points],
        mode="lines",
        line={"shape": "spline", "width": 1, "color": "#999"},
        hoverinfo="skip",
        showlegend=False,
    )


def _pipeline(info: dict[str, Any]) -> go.Figure:
    """Time at which every operator works on the first image; segments follow one another, each after it is written."""
    operators, offsets, clock = info["operators"], [], 0
    for segment in info["segments"]:
        offsets.append(clock + segment["write_fs"])
        clock = offsets[-1] + segment["latency_fs"] + (info["batch"] - 1) * segment["period_fs"]
    figure = go.Figure()
    names = [label(each) for each in operators]
    starts = [(offsets[each["segment"]] + each["start_fs"]) / MICROSECOND for each in operators]
    lasts = [(each["end_fs"] - each["start_fs"]) / MICROSECOND for each in operators]
    texts = [hover(each) for each in operators]
    figure.add_trace(go.Bar(y=names, x=lasts, base=starts, orientation="h", name="first image", hovertext=texts))
    figure.update_layout(_layout(_rows(len(operators)), xaxis=_axis("us"), yaxis=_names()))
    return figure


def _floor(info: dict[str, Any], who: bool) -> go.Figure:
    """Every PE of every chip: the operator with most arrays in it (`who`), or the utilisation of its arrays [%]."""
    floor, chips = info["floor"], info["chips"]
    wide, tall = _grid(floor)
    arrays_of: list[dict[int, int]] = [{} for _ in range(floor["pes"] * chips)]
    segment = max(range(len(info["segments"])), key=lambda number: info["segments"][number]["arrays"])
    for each in info["operators"]:
        for pe, arrays in each["pes"] if each["segment"] == segment else ():
            arrays_of[pe][each["place"]] = arrays
    values: list[list[float | None]] = [[None] * wide for _ in range(chips * (tall + 1) - 1)]
    texts = [[""] * wide for _ in values]
    for pe, there in enumerate(arrays_of):
        chip, number = divmod(pe, floor["pes"])
        row, col = divmod(number, wide)
        row += chip * (tall + 1)
        used = sum(there.values())
        most = max(there, key=there.__getitem__, default=None)
        values[row][col] = (None if most is None else most) if who else 100 * used / floor["arrays_per_pe"]
        list_ = "<br>".join(f"operator {place}: {arrays}" for place, arrays in sorted(there.items()))
        texts[row][col] = f"{floor['level']} {pe}: {used} of {floor['arrays_per_pe']} arrays<br>{list_}"
    scale = "Turbo" if who else "Viridis"
    title = "operator" if who else "% in use"
    figure = go.Figure(
        go.Heatmap(
            z=values,
            text=texts,
            hoverinfo="text",
            colorscale=scale,
            xgap=1,
            ygap=1,
            colorbar={"title": {"text": title}, "thickness": 10},
            **({} if who else {"zmin": 0, "zmax": 100}),
        )
    )
    figure.update_layout(_layout(min(1600, max(240, 22 * len(values) + 40))))
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False, autorange="reversed")
    return figure


def _grid(floor: dict[str, Any]) -> tuple[int, int]:
    """Columns and rows of a chip: those of its routers, with the PEs of each side by side, or almost a square."""
    network, pes = floor["network"], floor["pes"]
    wide = ceil(pes**0.5)
    if network:
        each = ceil(pes / (network["rows"] * network["cols"]))
        wide = min(pes, each * network["cols"])
    return wide, ceil(pes / wide)


def _phases(info: dict[str, Any]) -> go.Figure:
    """The phases of every operator's time; hidden phases are paler."""
    operators = info["operators"]
    names = list(dict.fromkeys(phase["name"] for each in operators for phase in each["phases"]))
    figure = go.Figure()
    for colour, name in zip(PALETTE, names, strict=False):
        for hidden in (False, True):
            times = [_phase(each, name, hidden) / MICROSECOND for each in operators]
            if any(times):
                figure.add_trace(
                    go.Bar(
                        y=[label(each) for each in operators],
                        x=times,
                        orientation="h",
                        name=f"{name}, hidden" if hidden else name,
                        marker={"color": colour, "opacity": 0.3 if hidden else 1},
                        visible="legendonly" if hidden else True,
                    )
                )
    layout = _layout(_rows(len(operators)), barmode="stack", xaxis=_axis("us"), yaxis=_names())
    figure.update_layout(layout)
    return figure


def _phase(operator: dict[str, Any], name: str, hidden: bool) -> int:
    return sum(p["fs"] for p in operator["phases"] if p["name"] == name and p["hidden"] == hidden)


def energy_parts(info: dict[str, Any]) -> list[str]:
    """The components that take energy, as level and name, largest first."""
    found: dict[str, int] = {}
    for spent in (info["energy"], *(each["energy"] for each in info["operators"])):
        for part in spent:
            found[_part(part)] = found.get(_part(part), 0) + part["aj"]
    return sorted((name for name, amount in found.items() if amount), key=lambda name: -found[name])


def energy_of(spent: list[dict[str, Any]], names: Sequence[str]) -> list[int]:
    """Energy of each component [aJ]."""
    amounts = {_part(part): part["aj"] for part in spent}
    return [amounts.get(name, 0) for name in names]


def _part(part: dict[str, Any]) -> str:
    return f"{part['level']} {part['name']}".strip()


def _energy(info: dict[str, Any]) -> go.Figure | None:
    names, rows = energy_parts(info), [(label(each), each["energy"]) for each in info["operators"]]
    if not names:
        return None
    rows.append(("chips", info["energy"]))
    amounts = {name: [energy_of(spent, names)[place] for _, spent in rows] for place, name in enumerate(names)}
    shown, others = names[: len(PALETTE) - 1], names[len(PALETTE) - 1 :]
    if others:
        amounts["others"] = [sum(each) for each in zip(*(amounts[name] for name in others), strict=True)]
        shown.append("others")
    figure = go.Figure()
    for colour, name in zip(PALETTE, shown, strict=False):
        microjoules = [amount / 10**12 for amount in amounts[name]]
        bars = {"y": [text for text, _ in rows], "x": microjoules, "orientation": "h", "name": name}
        figure.add_trace(go.Bar(bars, marker={"color": colour}))
    layout = _layout(_rows(len(rows)), barmode="stack", xaxis=_axis("uJ"), yaxis=_names())
    figure.update_layout(layout)
    return figure


def _roofline(info: dict[str, Any]) -> go.Figure | None:
    """Rates over operational intensity (Williams et al., CACM 2009), with the roof of the whole system."""
    roof = info["roof"]
    points = [each for each in info["operators"] if each["port_bytes"] and each["busy_fs"]]
    if not points:
        return None
    intensity = [2 * each["macs"] / each["port_bytes"] for each in points]
    rates = [2 * each["macs"] * 1000 / each["busy_fs"] for each in points]
    figure = go.Figure()
    if roof["bytes_per_second"]:
        knee = roof["tops"] * 1e12 / roof["bytes_per_second"]
        ends = [min(*intensity, knee) / 2, knee, max(*intensity, knee) * 2]
        heights = [min(roof["tops"], x * roof["bytes_per_second"] / 1e12) for x in ends]
        figure.add_trace(go.Scatter(x=ends, y=heights, mode="lines", name="roof", line={"color": "#333"}))
    texts = [hover(each) for each in points]
    figure.add_trace(
        go.Scatter(x=intensity, y=rates, mode="markers", name="operators", hovertext=texts, hoverinfo="text")
    )
    axes = _log("operations per byte through ports"), _log("TOPS")
    figure.update_layout(_layout(xaxis=axes[0], yaxis=axes[1]))
    return figure


def _gaps(info: dict[str, Any]) -> go.Figure:
    """Time of every operator alone, and its lower bound on the whole system."""
    operators = info["operators"]
    figure = go.Figure()
    for name, field in (("alone", "alone_fs"), ("lower bound on all arrays", "lower_fs")):
        times = [each[field] / MICROSECOND for each in operators]
        figure.add_trace(go.Bar(y=[label(each) for each in operators], x=times, orientation="h", name=name))
    axes = _log("us"), _names()
    layout = _layout(_rows(2 * len(operators)), barmode="group", xaxis=axes[0], yaxis=axes[1])
    figure.update_layout(layout)
    return figure


def _changes(info: dict[str, Any]) -> go.Figure | None:
    """Time that the best changes of the chip would save [%]."""
    shown = info["changes"][:12]
    if not shown:
        return None
    figure = go.Figure()
    whole = info["total"]
    for name in ("interval", "latency"):
        saved = [100 * each[f"{name}_saved_fs"] / max(1, whole[f"chip_{name}_fs"]) for each in shown]
        figure.add_trace(go.Bar(y=[each["field"] for each in shown], x=saved, orientation="h", name=name))
    axes = _axis("% saved"), _names()
    figure.update_layout(_layout(_rows(2 * len(shown)), barmode="group", xaxis=axes[0], yaxis=axes[1]))
    return figure


def _front(info: dict[str, Any]) -> go.Figure | None:
    front = info["front"]
    if len(front) < 2:
        return None
    figure = go.Figure()
    for name, field in (("interval", "interval_fs"), ("latency", "latency_fs")):
        times = [each[field] / MICROSECOND for each in front]
        arrays = [each["arrays"] for each in front]
        texts = [f"{each['segments']} segments" if each["segments"] > 1 else "all resident" for each in front]
        figure.add_trace(go.Scatter(x=arrays, y=times, mode="markers", name=name, hovertext=texts))
    figure.update_layout(_layout(xaxis=_log("arrays"), yaxis=_log("us")))
    return figure


def _difference(info: dict[str, Any]) -> go.Figure | None:
    """Every operator beside the one at the same place of the other run."""
    other = info.get("against")
    if not other:
        return None
    figure = go.Figure()
    for name, run in (("this", info), ("other", other)):
        operators = run["operators"]
        times = [each["busy_fs"] / MICROSECOND for each in operators]
        figure.add_trace(go.Bar(y=[label(each) for each in operators], x=times, orientation="h", name=name))
    axes = _axis("busy, us"), _names()
    count = max(len(info["operators"]), len(other["operators"]))
    figure.update_layout(_layout(_rows(2 * count), barmode="group", xaxis=axes[0], yaxis=axes[1]))
    return figure
