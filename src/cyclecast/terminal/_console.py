"""The one exit to a terminal: consoles, tables and a stream that let no control character of a name through."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Any, TextIO

import rich.console
import rich.table
from rich.console import ConsoleOptions, RenderableType
from rich.segment import Segment

from cyclecast.terminal._printable import printable, printable_lines


class Console(rich.console.Console):
    """Of Rich, for standard output or standard error: names are printed as they are, brackets too, if one sees them."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"highlight": False, "markup": False, "emoji": False} | options)

    @property
    def file(self) -> Any:
        """The stream behind a `CleanStream`: this console cleans what it prints itself, and colours it then."""
        stream = super().file
        return stream.stream if isinstance(stream, CleanStream) else stream

    @file.setter
    def file(self, new: Any) -> None:
        self._file = new

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """All that is printed comes by here: its texts, apart from what Rich itself tells the terminal."""
        if isinstance(renderable, str):
            renderable = printable_lines(renderable)
        for segment in super().render(renderable, options):
            if segment.control or (segment.text.isascii() and segment.text.isprintable()):
                yield segment
            else:
                yield Segment(printable_lines(segment.text), segment.style)


class Table(rich.table.Table):
    """Of Rich, where a name stays on its line: strings of cells and titles are cleaned before they are measured."""

    def __init__(self, *headers: Any, title: str | None = None, **options: Any) -> None:
        super().__init__(*headers, title=title and printable(title), **options)

    def add_row(self, *cells: RenderableType | None, **options: Any) -> None:
        """A row; a string among the cells is one line."""
        super().add_row(*(printable(cell) if isinstance(cell, str) else cell for cell in cells), **options)


class CleanStream:
    """Standard error for everything that does not print by a `Console`: warnings, and what libraries say."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        """Write the text with `?` for what has no glyph."""
        self.stream.write(printable_lines(text.replace("\r", "\n")))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write all of these texts."""
        for line in lines:
            self.write(line)

    def isatty(self) -> bool:
        """False: whoever asks would colour its text, and the colours were taken out."""
        return False

    def __iter__(self) -> Iterator[str]:
        return iter(self.stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def errors() -> Console:
    """The console for mistakes, on standard error: a message is one line, however long."""
    return Console(stderr=True, soft_wrap=True)


def write(text: str) -> None:
    """Write lines to standard output, cleaned."""
    sys.stdout.write(printable_lines(text))
