"""Output to a terminal: text without control characters, consoles and tables."""

from __future__ import annotations

from cyclecast.terminal._console import CleanStream, Console, Table, errors, write
from cyclecast.terminal._printable import json_text, printable, printable_lines, short

__all__ = [
    "CleanStream",
    "Console",
    "Table",
    "errors",
    "json_text",
    "printable",
    "printable_lines",
    "short",
    "write",
]
