"""Verbs about device files."""

from __future__ import annotations

import typer

from cyclecast.cli._common import FILES, DeviceArgument, JsonOption, app, console, print_json
from cyclecast.device import Device, load_doubted
from cyclecast.terminal import write

device_app = typer.Typer(help="Check and show device files.", no_args_is_help=True)
app.add_typer(device_app, name="device", rich_help_panel=FILES)


@device_app.command("check")
def device_check(
    device: DeviceArgument,
    as_json: JsonOption = False,
) -> None:
    """Check a device file, and print the figures that follow from it."""
    from cyclecast.report import device_info, device_text

    info = device_info(*load_doubted(device))
    if as_json:
        print_json(info)
    else:
        console().print(device_text(info), soft_wrap=True)


@device_app.command("show")
def device_show(
    device: DeviceArgument,
    as_json: JsonOption = False,
) -> None:
    """Print a device file; with --json, all defaults are filled in."""
    loaded = Device.load(device)
    if as_json:
        print_json(loaded.model_dump(mode="json"))
    else:
        write(loaded.to_yaml())


@device_app.command("list")
def device_list(as_json: JsonOption = False) -> None:
    """List the devices of the library."""
    names = list(Device.library())
    if as_json:
        print_json({"devices": names})
    else:
        write("\n".join(names) + "\n")


@device_app.command("schema")
def device_schema() -> None:
    """Print the JSON Schema of device files, for editors."""
    write(Device.schema_text())
