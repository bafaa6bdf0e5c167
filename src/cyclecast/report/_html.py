"""A report as one self-contained HTML file: first values, then plots and tables."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from cyclecast.device import Device
from cyclecast.energy import peak
from cyclecast.placement import Check, Placement, next_changes
from cyclecast.report._assumptions import PLACEMENT
from cyclecast.report._figures import energy_of, energy_parts, figures, label
from cyclecast.report._placement import placement_info
from cyclecast.report._placement_text import limit_text, totals_text
from cyclecast.report._text import short_energy, short_time
from cyclecast.terminal import json_text, printable_lines
from cyclecast.timing import TimingModel, bounds_of, timing_model
from cyclecast.units import Energy, Time

Table = tuple[list[str], list[list[str]]]
"""Column titles, and rows."""


def report_info(
    placement: Placement, *, timing: str | TimingModel = "analytical", check: Check | None = None
) -> dict[str, Any]:
    """`placement_info`, with bounds of every operator, the roof, the best changes of the chip, and the assumptions."""
    info, model, device = placement_info(placement, check), timing_model(timing), placement.device
    for operator, stage in zip(info["operators"], placement.stages, strict=True):
        found = bounds_of(model, stage.mapping, device)
        operator |= {"lower_fs": found.lower.femtoseconds, "lower_by": found.lower_by}
    return info | {
        "roof": _roof(placement),
        "changes": [
            {
                "field": change.field,
                "before": change.before,
                "after": change.after,
                "interval_fs": change.interval.femtoseconds,
                "latency_fs": change.latency.femtoseconds,
                "interval_saved_fs": change.interval_saved.femtoseconds,
                "latency_saved_fs": change.latency_saved.femtoseconds,
            }
            for change in next_changes(placement, model)
        ],
        "parameters": [[field, value] for field, value in _flat(placement.chip)],
        "assumptions": [list(each) for each in PLACEMENT],
    }


def _roof(placement: Placement) -> dict[str, Any]:
    """Peak rate of all chips, and bandwidth of the ports at their outermost level."""
    level, count = placement.chip.levels[0], placement.chip.levels[0].count * placement.chips
    ports = [port.bytes_per_second for port in (level.input_bandwidth, level.output_bandwidth) if port]
    rate = float(peak(placement.chip).operations_per_second) * placement.chips / 1e12
    return {"tops": rate, "bytes_per_second": count * sum(ports) if ports else None}


def _flat(device: Device) -> Iterator[tuple[str, str]]:
    """Every field that the device's file states, by its dotted name, without components and units."""

    def walk(prefix: str, value: Any) -> Iterator[tuple[str, str]]:
        if isinstance(value, dict):
            for name, part in value.items():
                if name not in ("components", "units"):
                    yield from walk(f"{prefix}.{name}" if prefix else name, part)
        elif isinstance(value, list):
            for part in value:
                yield from walk(f"{prefix}.{part['name']}", {k: v for k, v in part.items() if k != "name"})
        else:
            yield prefix, str(value)

    yield from walk("", device.to_json())


def html(info: dict[str, Any]) -> str:
    """The page of `report_info`; with another one as `against`, it also shows the differences."""
    drawn = {name: json.loads(figure.to_json()) for name, figure in figures(info).items()}
    environment = Environment(
        loader=PackageLoader("cyclecast.report"),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        finalize=_seen,
    )
    return environment.get_template("report.html").render(
        info=info,
        title=f"{info['network']} on {info['device']['name']}",
        cards=_cards(info),
        lines=totals_text(info).split("\n"),
        sections=[section for section in _sections(info) if section[0] in drawn],
        tables=tables(info),
        compared=totals_table(info) if info.get("against") else None,
        plotly=Markup(get_plotlyjs().replace("</script", "<\\/script")),
        figures=_script(drawn),
        values=_script({name: value for name, value in info.items() if name != "against"}),
    )


def _seen(value: Any) -> Any:
    """A value that a template prints, without invisible characters; markup is kept."""
    return printable_lines(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _script(value: Any) -> Markup:
    """JSON for a script element, in ASCII."""
    return Markup(json_text(value, indent=None).replace("<", "\\u003c"))


def _time(femtoseconds: int) -> str:
    return short_time(Time(femtoseconds))


def _cards(info: dict[str, Any]) -> list[dict[str, Any]]:
    """Title, text, value and subtitle of each card."""
    total, check, limit = info["total"], info["check"], info["limit"]
    rate = f"whole network; {10**15 / total['interval_fs']:,.0f} per second" if total["interval_fs"] else ""
    found = [
        ("interval", _time(total["interval_fs"]), total["interval_fs"], rate),
        ("latency", _time(total["latency_fs"]), total["latency_fs"], f"chip, simulated: {_time(check['latency_fs'])}"),
        ("limited by", limit["what"], limit["fs"], f"{limit['where']}, {_time(limit['fs'])}"),
        (
            "chip",
            _time(total["chip_interval_fs"]),
            total["chip_interval_fs"],
            f"interval; arrays alone {_time(total['arrays_interval_fs'])}; simulated {_time(check['interval_fs'])}",
        ),
        (
            "arrays",
            f"{total['arrays']:,}",
            total["arrays"],
            f"{total['utilisation']:.1%} of {info['chips']} chip{'s' if info['chips'] > 1 else ''}",
        ),
        ("host", _time(total["host_fs"]), total["host_fs"], "for one image, by its roofline"),
    ]  # fmt: skip
    if total["energy_aj"] is not None:
        watts = total["energy_aj"] / 10**18 / (max(1, total["chip_interval_fs"]) / 10**15)
        spent = short_energy(Energy(total["energy_aj"]))
        found.insert(4, ("energy", spent, total["energy_aj"], f"an image on the chip; {watts:,.3g} W at full speed"))
    return [dict(zip(("title", "text", "value", "below"), each, strict=True)) for each in found]


def _sections(info: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Name, heading and caption of each plot."""
    slowest = "the fullest segment" if len(info["segments"]) > 1 else "all operators"
    level = info["floor"]["level"]
    return [
        ("difference", "Differences", "time that every operator is busy, here and in the other run"),
        ("graph", "The network", "operators from the input on; large and dark ones are busy longest for one image"),
        ("pipeline", "The first image", "time at which every operator works on it"),
        ("floor", "Floor plan", f"the operator with most arrays in every {level}, {slowest}"),
        ("occupancy", "Utilisation", f"arrays in use in every {level}, {slowest}"),
        ("phases", "Time", "phases of every operator's mapping; hidden ones can be switched on"),
        ("energy", "Energy", "components, for one image; the power of idle ones is shared by the operators"),
        ("roofline", "Roofline", "rates of the operators, and the limit by arrays and ports"),
        ("gaps", "Bounds", "time of every operator alone, and the lower bound for mappings on all arrays"),
        ("changes", "The next best change", "time saved if one field of the chip were 10 % better"),
        ("front", "Pareto placements", "no evaluated placement is better in all objectives"),
    ]


def tables(info: dict[str, Any]) -> dict[str, Table]:
    """The numbers of every plot."""
    other = {each["place"]: each for each in (info.get("against") or {"operators": []})["operators"]}
    changes = [
        [c["field"], c["before"], c["after"], _time(c["interval_fs"]), _time(c["latency_fs"])] for c in info["changes"]
    ]
    front = [
        [
            str(p["segments"]),
            _time(p["interval_fs"]),
            _time(p["latency_fs"]),
            _spent(p["energy_aj"]),
            f"{p['arrays']:,}",
        ]
        for p in info["front"]
    ]
    parts = energy_parts(info)
    energy = [
        [name, *map(_spent, energy_of(each["energy"], parts))]
        for name, each in [*((label(each), each) for each in info["operators"]), ("chips", info)]
    ]
    found: dict[str, Table] = {
        name: (["operator", *columns], [[label(each), *row(each)] for each in info["operators"]])
        for name, (columns, row) in BY_OPERATOR.items()
    }
    differs = [
        [label(each), _time(each["busy_fs"]), _time(other[each["place"]]["busy_fs"]) if each["place"] in other else ""]
        for each in info["operators"]
    ]
    return found | {
        "energy": (["", *parts], energy),
        "difference": (["operator", "here", "other"], differs),
        "changes": (["field", "now", "better", "interval", "latency"], changes),
        "front": (["segments", "interval", "latency", "energy", "arrays"], front),
    }


def _spent(attojoules: int | None) -> str:
    return "" if attojoules is None else short_energy(Energy(attojoules))


def _kept(each: dict[str, Any]) -> list[str]:
    room = "" if each["room_bytes"] is None else f"{each['room_bytes']:,} B"
    return [f"{each['arrays']:,}", f"{each['kept_bytes']:,} B", room]


Row = Callable[[dict[str, Any]], list[str]]
BY_OPERATOR: dict[str, tuple[list[str], Row]] = {
    "graph": (
        ["what", "reads", "busy"],
        lambda each: [each["name"], ", ".join(map(str, each["sources"])), _time(each["busy_fs"])],
    ),
    "pipeline": (
        ["segment", "starts", "ends"],
        lambda each: [str(each["segment"]), _time(each["start_fs"]), _time(each["end_fs"])],
    ),
    "floor": (
        ["mapping", "arrays", "replicas", "where"],
        lambda each: [
            each["mapping"], f"{each['arrays']:,}", f"{each['replicas']:,}", _ranges([pe for pe, _ in each["pes"]])
        ],
    ),
    "occupancy": (["arrays", "keeps", "has room for"], _kept),
    "phases": (
        ["phases, hidden ones in brackets"],
        lambda each: [", ".join(_phase(phase) for phase in each["phases"] if phase["fs"])],
    ),
    "roofline": (
        ["MACs", "bytes through ports", "busy"],
        lambda each: [f"{each['macs']:,}", f"{each['port_bytes']:,}", _time(each["busy_fs"])],
    ),
    "gaps": (
        ["alone", "lower bound", "by"],
        lambda each: [_time(each["alone_fs"]), _time(each["lower_fs"]), each["lower_by"]],
    ),
}  # fmt: skip
"""Tables with one row per operator: the titles of the other columns, and the function that fills them."""


def totals_table(info: dict[str, Any]) -> Table:
    """Results of this and the other run."""
    rows = []
    for name, field, show in TOTALS:
        here, there = info["total"][field], info["against"]["total"][field]
        if here is not None and there is not None:
            change = f"{100 * (here / there - 1):+.1f} %" if there else ""
            rows.append([name, show(here), show(there), change])
    rows.append(["limited by", limit_text(info["limit"]), limit_text(info["against"]["limit"]), ""])
    return ["", "here", "other", "change"], rows


TOTALS: tuple[tuple[str, str, Any], ...] = (
    ("interval", "interval_fs", _time),
    ("latency", "latency_fs", _time),
    ("interval of the chip", "chip_interval_fs", _time),
    ("interval of arrays alone", "arrays_interval_fs", _time),
    ("energy", "energy_aj", lambda amount: short_energy(Energy(amount))),
    ("arrays", "arrays", lambda count: f"{count:,}"),
    ("host", "host_fs", _time),
)


def _phase(phase: dict[str, Any]) -> str:
    text = f"{phase['name']} {_time(phase['fs'])}"
    return f"({text})" if phase["hidden"] else text


def _ranges(numbers: list[int]) -> str:
    """Ordered numbers as text, with runs joined: 0-3, 7."""
    found: list[list[int]] = []
    for number in numbers:
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in found)
