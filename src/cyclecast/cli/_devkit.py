"""The verb for authors of extensions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cyclecast.cli._common import FILES, DeviceOption, JsonOption, app, console, print_json, read_device
from cyclecast.terminal import Table

devkit_app = typer.Typer(help="Test your own extensions of cyclecast.", no_args_is_help=True)
app.add_typer(devkit_app, name="devkit", rich_help_panel=FILES)
FAILED = 3
"""Exit code if a test fails."""


@devkit_app.command("check")
def devkit_check(
    spec: Annotated[str, typer.Argument(help="./mine.py:Name, a device file, or a device of the library.")],
    device: DeviceOption = "isaac",
    source: Annotated[
        Path | None, typer.Option("--source", help="A file that the front end reads.", show_default=False)
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Test your timing model, strategy, rule, mutation rule, runner, front end, report or device.

    Exit code 3 if a test fails.
    """
    described, _ = read_device(device, as_json)
    from cyclecast.testing import check

    kind, found = check(spec, described, source)
    failed = sum(law.failed for law in found)
    if as_json:
        print_json({"spec": spec, "kind": kind, "failed": failed, "tests": [law._asdict() for law in found]})
    else:
        table = Table(f"{kind} {spec}", "", "why")
        for law in found:
            table.add_row(law.test, "FAILS" if law.failed else "left out" if law.said else "holds", law.said)
        console().print(table)
        console().print(f"{failed} of {len(found)} tests fail" if failed else "all tests pass")
    if failed:
        raise typer.Exit(FAILED)
