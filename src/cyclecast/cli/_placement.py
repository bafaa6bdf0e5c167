"""Verbs about whole chips: place, report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from cyclecast.cli._common import (
    NETWORK,
    FolderArgument,
    ForceOption,
    JsonOption,
    app,
    console,
    out_option,
    print_json,
    read_json,
    tell_doubts,
)
from cyclecast.errors import ModelError, OptionError
from cyclecast.storage.folders import output, output_file, read_file, require_file_unchanged
from cyclecast.storage.reading import json_value, members
from cyclecast.terminal import json_text, short

if TYPE_CHECKING:
    from cyclecast.placement import Check, Placement

WRITTEN = "placement.json"
MOST_BYTES = 1 << 28
"""Largest `placement.json` [bytes]."""


@app.command(rich_help_panel=NETWORK)
def place(
    folder: FolderArgument,
    chips: Annotated[str, typer.Option("--chips", help="Number of chips, or auto: as many as hold all weights.")] = "1",
    objective: Annotated[
        Literal["interval", "latency", "energy", "arrays"],
        typer.Option("--objective", help="The quantity to minimise."),
    ] = "interval",
    batch: Annotated[
        int, typer.Option("--batch", min=1, help="Images per writing of the weights, if not all weights are resident.")
    ] = 1,
    dynamic: Annotated[
        Literal["host", "arrays"] | None,
        typer.Option("--dynamic", help="Where to multiply two computed operands; default: by the device."),
    ] = None,
    timing: Annotated[str, typer.Option("--timing", help="The timing model of single operators.")] = "analytical",
    arrays: Annotated[
        int | None, typer.Option("--arrays", min=1, help="Most arrays in use at the same time.", show_default=False)
    ] = None,
    plan: Annotated[
        Path | None,
        typer.Option("--plan", help="A JSON file with replicas by operator, placed as given.", show_default=False),
    ] = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Place a tuned network on whole chips: replicas, pipeline, re-programming."""
    settings = {"chips": chips, "objective": objective, "batch": batch, "dynamic": dynamic, "timing": timing}
    settings |= {"arrays": arrays, "replicas": _plan(plan) if plan else None}
    from cyclecast.report import placement_info

    placed, check, doubted = _placed(folder, settings, as_json)
    info = placement_info(placed, check) | {"settings": settings, "doubts": doubted}
    with output(folder, "place", force=force) as place:
        (place / WRITTEN).write_text(json_text(info), encoding="utf-8")
    if as_json:
        print_json(info)
        return
    from cyclecast.report import placement_table

    console().print(placement_table(info))
    console().print(f"wrote {folder}/{WRITTEN}", soft_wrap=True)


@app.command(rich_help_panel=NETWORK)
def report(
    folder: FolderArgument,
    out: Annotated[Path | None, out_option("--out", "The file; default: FOLDER/report.html.")] = None,
    against: Annotated[
        Path | None, typer.Option("--against", help="Another folder written by tune, to compare with.")
    ] = None,
    trace: Annotated[
        Path | None, out_option("--trace", "A timeline of the pipeline for Perfetto: trace events as JSON.")
    ] = None,
    form: Annotated[
        str, typer.Option("--form", help="Format of the report: html, the name of a plug-in's, or ./mine.py:Name.")
    ] = "html",
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write one HTML page about a placed network: plots and tables, for a browser or a printer.

    The placement is that of the last `place`, or one with default options.
    """
    from cyclecast import report as reports
    from cyclecast.placement import simulate

    written_as = reports.report_form(form)
    target, other, doubted = out or folder / f"report{written_as.suffix}", None, list[str]()
    if against:
        settings = _settings(against)
        compared, check, found = _placed(against, settings, as_json)
        doubted += found
        other = reports.report_info(compared, timing=settings["timing"], check=check)
    settings = _settings(folder)
    placed, check, found = _placed(folder, settings, as_json)
    info = reports.write_report(
        placed, target, timing=settings["timing"], against=other, check=check, force=force, form=written_as
    )
    if trace:
        text = json_text(reports.trace_events(placed, simulate(placed, images=IMAGES)), indent=None)
        with output_file(trace, TIMELINE, force=force) as written:
            written.write_text(text, encoding="utf-8")
    if as_json:
        print_json(info | {"settings": settings, "out": str(target), "doubts": [*found, *doubted]})
        return
    console().print(reports.totals_text(info))
    console().print(f"wrote {target}{f' and {trace}' if trace else ''}", soft_wrap=True)


IMAGES = 4
"""Images in a timeline."""
TIMELINE = r'"generator": "cyclecast"'
"""Mark at the beginning of a timeline."""
DEFAULTS: dict[str, Any] = {
    "chips": "1",
    "objective": "interval",
    "batch": 1,
    "dynamic": None,
    "timing": "analytical",
    "arrays": None,
    "replicas": None,
}
OPTIONAL: dict[str, tuple[type, ...]] = {"dynamic": (str,), "arrays": (int,), "replicas": (list, dict)}
"""Settings that may be missing or None, and their other types."""


def _settings(folder: Path) -> dict[str, Any]:
    """Settings of the last `place`, or the defaults. Raises `OptionError` for a damaged file."""
    require_file_unchanged(folder / WRITTEN)
    try:
        found = members(members(json_value(read_file(folder, WRITTEN, MOST_BYTES)))["settings"])
        settings = {name: found.get(name) if name in OPTIONAL else found[name] for name in DEFAULTS}
        for name, value in settings.items():
            if type(value) is not type(DEFAULTS[name]) and not isinstance(value, OPTIONAL.get(name, ())):
                raise TypeError(name)
        return settings
    except FileNotFoundError:
        return DEFAULTS
    except ModelError:
        raise
    except (OSError, ValueError, KeyError, TypeError) as error:
        where = f"{folder}/{WRITTEN}"
        raise OptionError(where, "it is not what place wrote", type(error).__name__, "placing again") from error


def _placed(folder: Path, settings: dict[str, Any], as_json: bool) -> tuple[Placement, Check, list[str]]:
    """Placement of a tuned network, its event simulation, and the doubts about its device, which are printed."""
    chips = _chips(settings["chips"])
    from cyclecast.placement import simulate
    from cyclecast.workflow import stored
    from cyclecast.workflow.placing import place as place_network
    from cyclecast.workflow.progress import placing_bar

    with placing_bar(shown=not as_json) as progress:
        options = {name: value for name, value in settings.items() if name != "chips"}
        scheduled = stored.load(folder)
        placed = place_network(scheduled, chips=chips, progress=progress, **options)
        check = simulate(placed, spans=False)
    return placed, check, tell_doubts(scheduled.doubts, as_json)


def _plan(path: Path) -> Any:
    """Replicas by operator, an object or a list; or those in the field `replicas` of an object."""
    found = read_json(f"--plan {path}", path)
    found = found["replicas"] if isinstance(found, dict) and "replicas" in found else found
    if not isinstance(found, list | dict):
        what = "replicas by operator: an object, or a list"
        raise OptionError(f"--plan {path}", f"it holds a {type(found).__name__}", f"it must hold {what}", '{"0": 4}')
    return found


def _chips(text: str) -> int | None:
    if text == "auto":
        return None
    if not text.isascii() or not text.isdigit() or len(text) > MOST_DIGITS:
        raise OptionError(
            "--chips", f"'{short(text)}'", f"a number of at most {MOST_DIGITS} digits, or auto", "--chips auto"
        )
    return int(text)


MOST_DIGITS = 18
"""Most digits of a number of chips."""
