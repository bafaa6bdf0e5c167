"""Text as it may reach a terminal: names in strangers' files may hold escape sequences and invisible characters."""

from __future__ import annotations

import json
import re
from typing import Any

CONTROL_SEQUENCE = re.compile(r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]")
"""A colour, a movement of the cursor: what a terminal would obey."""
WITHOUT_GLYPH = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
"""Fillers, joiners and selectors that Unicode counts as marks and letters, and blank Braille."""
UNSEEN = "?"
"""What stands for a character, or for a sequence of control, that nobody sees."""


def printable(text: str) -> str:
    """The text on one line, with `?` for every control sequence and every other character that has no glyph.

    That is: control characters (C0, C1, DEL, line breaks and tabs among them), format characters (directions of
    writing, joiners, soft hyphens, tags), separators of lines and paragraphs, halves of surrogate pairs, fillers and
    selectors of variants.
    """
    if text.isascii() and text.isprintable():
        return text
    plain = WITHOUT_GLYPH.sub(UNSEEN, CONTROL_SEQUENCE.sub(UNSEEN, text))
    return "".join(sign if sign.isprintable() else UNSEEN for sign in plain)


def short(text: str, most: int = 60) -> str:
    """The text, or its first characters and an ellipsis: what somebody gave may be a megabyte."""
    return text if len(text) <= most else f"{text[:most]}..."


def printable_lines(text: str) -> str:
    """The same for a text of several lines: line feeds stay, a tab becomes a space."""
    return "\n".join(map(printable, text.replace("\t", " ").split("\n")))


def json_text(value: Any, indent: int | None = 2) -> str:
    """The value as JSON in ASCII, and nothing in it that a terminal obeys: JSON itself lets DEL stand."""
    return json.dumps(value, indent=indent).replace("\x7f", "\\u007f") + "\n"
