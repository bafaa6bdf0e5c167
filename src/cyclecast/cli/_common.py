"""What all verbs share: the program, its options, how results and mistakes are printed."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from cyclecast.errors import CyclecastError, OperatorsError, OptionError

app = typer.Typer(
    help="An auto-scheduler for chips that do not exist yet.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

WIDTH_WITHOUT_TERMINAL = 160

DeviceArgument = Annotated[str, typer.Argument(help="A library name, or a path to a device file.")]
FolderArgument = Annotated[Path, typer.Argument(help="A folder written by tune.", show_default=False)]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


class StoppedError(KeyboardInterrupt):
    """Ctrl-C, with a line that says what is kept."""


def reports_mistakes(verb: Callable[..., None]) -> Callable[..., None]:
    """Turn a `CyclecastError` into one message (or JSON object) and exit code 2, and Ctrl-C into exit code 130."""

    @wraps(verb)
    def wrapped(*args: Any, **options: Any) -> None:
        try:
            verb(*args, **options)
        except CyclecastError as error:
            if options.get("as_json"):
                fields = {"where": error.where, "demand": error.demand, "bound": error.bound, "lever": error.lever}
                listed = (
                    {"operators": [asdict(row) for row in error.refused]} if isinstance(error, OperatorsError) else {}
                )
                print_json({"error": {"kind": type(error).__name__, **fields, **listed}})
            else:
                console = Console(stderr=True, soft_wrap=True, highlight=False, markup=False, emoji=False)
                if isinstance(error, OperatorsError):
                    from cyclecast.report import refused_table

                    console.print(refused_table(error.refused))
                console.print(Text.assemble(("error:", "bold red"), f" {error}"))
            raise typer.Exit(2) from None
        except KeyboardInterrupt as stop:
            line = str(stop) if isinstance(stop, StoppedError) else "stopped"
            Console(stderr=True, soft_wrap=True, highlight=False, markup=False, emoji=False).print(line)
            raise typer.Exit(130) from None

    return wrapped


def _path(text: str) -> Path:
    """A path that is one: an empty text would be the current folder."""
    if not text:
        raise typer.BadParameter("it is empty; it must be a path")
    return Path(text)


def out_option(name: str, help: str) -> Any:
    """An option that says where to write."""
    return typer.Option(name, help=help, parser=_path, metavar="PATH", show_default=False)


ForceOption = Annotated[
    bool, typer.Option("--force", help="Replace files that are in the way and not written by cyclecast.")
]


def require_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OptionError(f"--out {folder}", "it must be a folder", str(error.strerror), "another path") from None


def print_json(value: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


def console() -> Console:
    """For results: names of files and networks are printed as they are, brackets too."""
    console = Console(highlight=False, markup=False, emoji=False)
    return (
        console
        if console.is_terminal
        else Console(highlight=False, markup=False, emoji=False, width=WIDTH_WITHOUT_TERMINAL)
    )
