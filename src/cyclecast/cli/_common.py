"""The program, options that several verbs share, and printing of results."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from cyclecast import plugins
from cyclecast.cli._door import DEBUG, Door
from cyclecast.device import Device, Doubt, library, load_doubted
from cyclecast.errors import OptionError
from cyclecast.storage.reading import json_value
from cyclecast.storage.versions import __version__
from cyclecast.terminal import Console, errors, json_text, short, write

app = typer.Typer(
    cls=Door,
    help="An auto-scheduler for chips that do not exist yet.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

WIDTH_WITHOUT_TERMINAL = 160
NETWORK, LOOK, FILES = "A network on a chip", "A closer look", "Devices and code of your own"
"""Headings of the verbs in `--help`."""


def _devices(incomplete: str) -> list[str]:
    return [name for name in library() if name.startswith(incomplete)]


DeviceArgument = Annotated[
    str, typer.Argument(help="A library name, or a path to a device file.", autocompletion=_devices)
]
DeviceOption = Annotated[
    str, typer.Option("--device", help="A library name, or a path to a device file.", autocompletion=_devices)
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


ModelArgument = Annotated[
    Path, typer.Argument(help="The network: .onnx, .pt2 (torch.export) or .tflite.", show_default=False)
]
ShapeOption = Annotated[
    list[str] | None, typer.Option("--shape", help="Fix an input's shape: name=1,3,224,224. Repeatable.")
]
ConstantOption = Annotated[
    list[str] | None,
    typer.Option("--constant", help="Bind an input to a value: rate=16000, or ratio=1,2,3. Repeatable."),
]


def _version(asked: bool) -> None:
    if asked:
        console().print(__version__)
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[
        bool, typer.Option(DEBUG, help="Print a traceback if a command fails; works with any verb.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """An auto-scheduler for chips that do not exist yet."""


def _path(text: str) -> Path:
    """A path; an empty text, which would mean the current folder, is refused."""
    if not text:
        raise typer.BadParameter("it is empty; it must be a path")
    return Path(text)


FolderArgument = Annotated[
    Path, typer.Argument(help="A folder written by tune.", parser=_path, metavar="FOLDER", show_default=False)
]


def out_option(name: str, help: str) -> Any:
    """An option for the path of an output."""
    return typer.Option(name, help=help, parser=_path, metavar="PATH", show_default=False)


ForceOption = Annotated[
    bool, typer.Option("--force", help="Replace existing files, even if cyclecast did not write them.")
]


def require_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OptionError(f"--out {folder}", "it must be a folder", str(error.strerror), "another path") from None


def read_json(where: str, path: Path) -> Any:
    """The value of a JSON file. Raises `OptionError`, which names the option `where`."""
    try:
        return json_value(path.read_bytes())
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise OptionError(where, "it cannot be read as JSON", str(reason), "another file") from None


def read_device(name: str, as_json: bool) -> tuple[Device, list[str]]:
    """The device that an option names, and its doubts, which are printed unless `as_json`."""
    device, doubts = load_doubted(name)
    return device, tell_doubts(doubts, as_json)


def tell_doubts(doubts: Iterable[Doubt], as_json: bool) -> list[str]:
    """Print a line per doubt on standard error unless `as_json`; return the lines."""
    lines = list(map(str, doubts))
    for doubt in () if as_json else lines:
        errors().print(f"doubt: {doubt}")
    return lines


def shapes_of(options: Sequence[str] | None) -> dict[str, tuple[int, ...]]:
    """Shapes by input name, from `--shape name=1,3,224,224` options. Raises `OptionError`."""
    shapes = {}
    for option in options or ():
        name, _, numbers = option.rpartition("=")
        try:
            shapes[name] = tuple(int(number) for number in numbers.split(","))
        except ValueError:
            shapes[name] = ()
        if not name or not shapes[name] or min(shapes[name]) < 1:
            raise OptionError("--shape", f"'{short(option)}'", "it must be NAME=N,N,...", "--shape input=1,3,224,224")
    return shapes


def _front_ends(specs: list[str] | None) -> list[str] | None:
    for spec in specs or ():
        plugins.use("frontend", spec)
    return specs


FrontEndOption = Annotated[
    list[str] | None,
    typer.Option("--front-end", callback=_front_ends, help="An additional front end: ./mine.py:Name. Repeatable."),
]


def bound_model(model: Path, options: Sequence[str] | None) -> Any:
    """The network with inputs bound by `--constant rate=16000` options. Raises `OptionError`."""
    from cyclecast.frontend import bound

    constants = {}
    for option in options or ():
        name, _, numbers = option.rpartition("=")
        try:
            values = [_number(number) for number in numbers.split(",")]
        except ValueError:
            values = []
        if not name or not values:
            raise OptionError("--constant", f"'{short(option)}'", "it must be NAME=N or NAME=N,N,...", "--constant x=1")
        constants[name] = values[0] if "," not in numbers else values
    return bound(model, constants)


def _number(text: str) -> float:
    """A number, integer if it is written so; true and false are booleans."""
    words = {"true": True, "false": False}
    if text.lower() in words:
        return words[text.lower()]
    try:
        return int(text)
    except ValueError:
        return float(text)


def print_json(value: dict[str, Any]) -> None:
    write(json_text(value))


def console() -> Console:
    """The console for results."""
    console = Console()
    return console if console.is_terminal else Console(width=WIDTH_WITHOUT_TERMINAL)
