"""Consoles, tables and a stream that remove control characters from all text."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import IO, TextIO, TypedDict, Unpack

import rich.console
import rich.table
from rich.console import ConsoleOptions, JustifyMethod, RenderableType
from rich.segment import Segment
from rich.style import StyleType

from cyclecast.terminal._printable import printable, printable_lines


class _Options(TypedDict, total=False):
    """The options of Rich's console that are used here."""

    stderr: bool
    soft_wrap: bool
    width: int
    file: IO[str]
    record: bool
    force_terminal: bool
    color_system: None


class Console(rich.console.Console):
    """A Rich console without markup, highlighting or emoji: names are printed literally."""

    def __init__(self, **options: Unpack[_Options]) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, **options)

    @property
    def file(self) -> IO[str]:
        """The output stream; of a `CleanStream` the one behind it, since this console cleans its own text."""
        stream = super().file
        return stream.stream if isinstance(stream, CleanStream) else stream

    @file.setter
    def file(self, new: IO[str]) -> None:
        self._file = new

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The segments to print, with cleaned text; Rich's own control segments are kept."""
        if isinstance(renderable, str):
            renderable = printable_lines(renderable)
        for segment in super().render(renderable, options):
            if segment.control or (segment.text.isascii() and segment.text.isprintable()):
                yield segment
            else:
                yield Segment(printable_lines(segment.text), segment.style)


class Table(rich.table.Table):
    """A Rich table that cleans the strings of cells and titles, so that each name stays on one line."""

    def __init__(self, *headers: str, title: str | None = None, title_justify: JustifyMethod = "center") -> None:
        super().__init__(*headers, title=title and printable(title), title_justify=title_justify)

    def add_row(self, *cells: RenderableType | None, style: StyleType | None = None, end_section: bool = False) -> None:
        """Add a row; each string becomes one line."""
        clean = (printable(cell) if isinstance(cell, str) else cell for cell in cells)
        super().add_row(*clean, style=style, end_section=end_section)


class CleanStream:
    """A stream for text that no `Console` prints, such as warnings and output of libraries."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        """Write the text, with `?` for characters without a glyph."""
        self.stream.write(printable_lines(text.replace("\r", "\n")))
        return len(text)

    def flush(self) -> None:
        """Flush the stream behind."""
        self.stream.flush()

    def writelines(self, lines: Iterable[str]) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    def isatty(self) -> bool:
        """False, so that nobody adds colours, which would be removed."""
        return False

    def __iter__(self) -> Iterator[str]:
        return iter(self.stream)

    def __getattr__(self, name: str) -> object:
        return getattr(self.stream, name)


def errors() -> Console:
    """The console for mistakes, on standard error; a message is one line, however long."""
    return Console(stderr=True, soft_wrap=True)


def write(text: str) -> None:
    """Write cleaned lines to standard output."""
    sys.stdout.write(printable_lines(text))
