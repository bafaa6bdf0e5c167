"""Exit of the command line: the only place that turns mistakes, interrupts and failures into a line and an exit code.

| cause | line on standard error | exit code |
|---|---|---|
| a `CyclecastError`, a wrong option | `error: ` where, demand, bound; try lever | 2 |
| the machine: no space, no memory, a number or a nesting beyond all bounds, TVM's refusal | the same | 2 |
| values that differ by more than `verify` allows | `departs: ` what, and by how much | 3 |
| Ctrl-C | `stopped`, and what is kept | 130 |
| a fault of cyclecast itself | that it is one, and how to report it (`main` only) | 1 |

With `--debug`, anywhere in the command, a traceback comes first.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, suppress
from dataclasses import asdict
from functools import partial
from types import FrameType
from typing import Any, NoReturn

import typer
from rich.text import Text
from typer.core import TyperGroup

from cyclecast import plugins
from cyclecast.cli._early import STOPPED
from cyclecast.errors import CyclecastError, MistakesError, OperatorsError, OptionError, is_of_tvm
from cyclecast.terminal import CleanStream, errors, json_text, write

DEBUG = "--debug"
MISTAKE, FAULT = 2, 1
"""Exit codes."""


class StoppedError(KeyboardInterrupt):
    """Ctrl-C, with a line about the results that are kept."""


VERBS = (
    "tune", "place", "report", "compile", "verify",
    "estimate", "sqnr", "vectors", "trace", "replay",
    "device", "devkit",
)  # fmt: skip
"""Verbs in the order of use: from a network to a chip, single steps, the user's own files."""


class Door(TyperGroup):
    """The group of all verbs. Running it ends in `SystemExit`, except for a fault of cyclecast."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The verbs in the order of use."""
        return sorted(self.commands, key=VERBS.index)

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a verb like Typer does, but with our exit codes."""
        given = list(sys.argv[1:] if args is None else args)
        words = [word for word in given if word != DEBUG]
        run = partial(super().main, words, prog_name, complete_var, False, windows_expand_args, **extra)
        if not standalone_mode:
            return run()
        with redirect_stderr(CleanStream(sys.stderr)), _interrupts() as stops:
            try:
                code = run()
            except Exception as error:
                code = _stop() if stops else answer(error, as_json="--json" in words, debug=DEBUG in given)
        sys.exit(code if isinstance(code, int) else 0)

    def invoke(self, ctx: Any) -> Any:
        """Run the verb; Ctrl-C ends it with a line."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            raise typer.Exit(_stop(str(stop) if isinstance(stop, StoppedError) else "")) from None


@contextmanager
def _interrupts() -> Iterator[list[int]]:
    """Context: record every Ctrl-C, because a library may turn it into another error."""
    stops: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        stops.append(number)
        if _is_in_tvm(frame):  # an exception through TVM's frames may end the process by a signal
            leave(_stop())
        signal.default_int_handler(number, frame)

    def lost(ignored: sys.UnraisableHookArgs) -> None:
        if isinstance(ignored.exc_value, KeyboardInterrupt):  # it fell into a finalizer, which cannot pass it on
            leave(_stop())
        shown(ignored)

    ours = threading.current_thread() is threading.main_thread()
    ours = ours and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    shown = sys.unraisablehook
    if ours:
        signal.signal(signal.SIGINT, note)
        sys.unraisablehook = lost
    try:
        yield stops
    finally:
        if ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            sys.unraisablehook = shown


def _is_in_tvm(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_globals.get("__name__", "").partition(".")[0] in ("tvm", "tvm_ffi"):
            return True
        frame = frame.f_back
    return False


def leave(code: int) -> NoReturn:
    """Exit at once: threads of interrupted libraries may never end, or end by a signal."""
    with suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def _stop(line: str = "") -> int:
    errors().print(line or "stopped")
    return STOPPED


def answer(error: BaseException, *, as_json: bool, debug: bool) -> int:
    """Print the cause of the end; return the exit code. A fault of cyclecast is raised again."""
    if isinstance(error, typer.TyperException) and not str(error):
        return error.exit_code  # no verb: the list of verbs was printed
    mistake = mistake_of(error)
    if mistake is None:
        raise error
    if debug:
        tell_traceback(error)
    if as_json:
        write(json_text({"error": {"kind": type(mistake).__name__, **_fields(mistake), **_listed(mistake)}}))
    else:
        if isinstance(mistake, OperatorsError):
            from cyclecast.report import refused_table

            errors().print(refused_table(mistake.refused))
        for line in mistake.lines if isinstance(mistake, MistakesError) else (str(mistake),):
            errors().print(Text.assemble(("error:", "bold red"), f" {line}"))
    return MISTAKE


def _fields(error: CyclecastError) -> dict[str, str]:
    return {"where": error.where, "demand": error.demand, "bound": error.bound, "lever": error.lever}


def _listed(error: CyclecastError) -> dict[str, Any]:
    """The entries of an error that has several."""
    if isinstance(error, OperatorsError):
        return {"operators": [asdict(row) for row in error.refused]}
    return {"mistakes": [_fields(each) for each in error.mistakes]} if isinstance(error, MistakesError) else {}


def mistake_of(error: BaseException) -> CyclecastError | None:
    """The error to report for a mistake of the user, the machine or TVM; None for a fault of cyclecast."""
    match error:
        case CyclecastError():
            return error
        case _ if culprit := plugins.raised_in(error):
            what = f"it raises {type(error).__name__}: {_first_line(error)}"
            return OptionError(culprit, what, lever=f"mending it; {DEBUG} prints the traceback")
        case typer.TyperException():
            message = getattr(error, "format_message", error.__str__)()
            command = getattr(getattr(error, "ctx", None), "command_path", "cyclecast")
            said = message.replace("Value error, ", "").rstrip(".")  # which pydantic puts before a wrong choice
            return OptionError(command, said, lever=f"{command} --help")
        case OSError() | MemoryError() | RecursionError() | OverflowError() | UnicodeError():
            return _of_the_machine(error)
        case _ if is_of_tvm(error):
            return CyclecastError("TVM", "it refuses the network or the program", _first_line(error), DEBUG)
        case _:
            return None


def _of_the_machine(error: Exception) -> CyclecastError:
    match error:
        case OSError():
            name = next((str(name) for name in (error.filename, error.filename2) if name is not None), "a file")
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            lever = "making room on the disk, or another folder; TMPDIR names the one for temporary files"
            return CyclecastError(
                name, "it cannot be used", error.strerror or _first_line(error), lever if full else "another path"
            )
        case MemoryError():
            return CyclecastError("memory", "there is not enough of it", _first_line(error), "a smaller network")
        case RecursionError():
            return CyclecastError("input", "it is nested too deeply", lever="a file with fewer levels")
        case OverflowError():
            return CyclecastError("input", "a number in it is too large", _first_line(error), "a smaller one")
        case _:
            return CyclecastError("input", "a text in it is no Unicode", _first_line(error), "another name")


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else ""


def tell_traceback(error: BaseException) -> None:
    """Print the traceback on standard error, without control characters."""
    errors().print("".join(traceback.format_exception(error)).rstrip())


def tell_fault(error: BaseException) -> None:
    """Print that cyclecast has a fault, and how to report it."""
    line = _first_line(error)
    what = f"{type(error).__name__}: {line}" if line else type(error).__name__
    errors().print(
        Text.assemble(
            ("error:", "bold red"),
            f" a fault of cyclecast itself: {what}; please report it with the command, its files and what {DEBUG} adds",
        )
    )
