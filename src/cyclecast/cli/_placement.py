"""Verbs about whole chips: place, report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from cyclecast.cli._common import FolderArgument, JsonOption, app, console, print_json, reports_mistakes
from cyclecast.errors import OptionError

WRITTEN = "placement.json"


@app.command()
@reports_mistakes
def place(
    folder: FolderArgument,
    chips: Annotated[str, typer.Option("--chips", help="How many chips, or auto: as many as hold all weights.")] = "1",
    objective: Annotated[
        str, typer.Option("--objective", help="What is to be least: interval, latency, energy or arrays.")
    ] = "interval",
    batch: Annotated[
        int, typer.Option("--batch", min=1, help="Images for which weights stay, where not all can stay for good.")
    ] = 1,
    dynamic: Annotated[
        str | None,
        typer.Option("--dynamic", help="Who multiplies two computed operands: host or arrays; else the device says."),
    ] = None,
    timing: Annotated[str, typer.Option("--timing", help="The timing model of single operators.")] = "analytical",
    as_json: JsonOption = False,
) -> None:
    """Put a tuned network into the arrays of whole chips: replicas, pipeline, re-programming."""
    settings = {"chips": chips, "objective": objective, "batch": batch, "dynamic": dynamic, "timing": timing}
    info = place_folder(folder, settings, shown=not as_json)[1]
    if as_json:
        print_json(info)
        return
    from cyclecast.report import placement_table

    console().print(placement_table(info))
    console().print(f"wrote {folder}/{WRITTEN}", soft_wrap=True)


def place_folder(folder: Path, settings: dict[str, Any], shown: bool) -> tuple[Any, dict[str, Any]]:
    """The placement of what `tune` wrote, and its info, which is written beside it."""
    chips = _chips(settings["chips"])
    from cyclecast import building
    from cyclecast.placing import place as place_network
    from cyclecast.report import placement_info, status

    with status("placing", shown=shown):
        tuned = building.load(folder)
        options = {name: value for name, value in settings.items() if name != "chips"}
        placed = place_network(tuned, chips=chips, **options)
        info = placement_info(placed) | {"settings": settings}
    try:
        (folder / WRITTEN).write_text(json.dumps(info, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise OptionError(
            f"{folder}/{WRITTEN}", "it cannot be written", str(error.strerror), "another folder"
        ) from error
    return placed, info


def _chips(text: str) -> int | None:
    if text == "auto":
        return None
    if not text.isascii() or not text.isdigit():
        raise OptionError("--chips", f"'{text}'", "a number, or auto", "--chips auto")
    return int(text)
