"""Cleaned text for a terminal: names in untrusted files may hold escape sequences and invisible characters."""

from __future__ import annotations

import json
import re

CONTROL_SEQUENCE = re.compile(r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]")
"""A control sequence, such as a colour or a movement of the cursor."""
WITHOUT_GLYPH = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
"""Fillers, joiners and selectors that Unicode classifies as marks or letters, and blank Braille."""
UNSEEN = "?"
"""Replacement of an invisible character or a control sequence."""


def printable(text: str) -> str:
    """The text on one line, with `?` for every control sequence and every other character without a glyph.

    These are control characters (C0, C1, DEL, including line breaks and tabs), format characters (writing directions,
    joiners, soft hyphens, tags), line and paragraph separators, surrogates, fillers and variation selectors.
    """
    if text.isascii() and text.isprintable():
        return text
    plain = WITHOUT_GLYPH.sub(UNSEEN, CONTROL_SEQUENCE.sub(UNSEEN, text))
    return "".join(sign if sign.isprintable() else UNSEEN for sign in plain)


def short(text: str, most: int = 60) -> str:
    """The text, cut to `most` characters with an ellipsis."""
    return text if len(text) <= most else f"{text[:most]}..."


def printable_lines(text: str) -> str:
    """A text of several lines, each cleaned; a tab becomes a space."""
    return "\n".join(map(printable, text.replace("\t", " ").split("\n")))


def json_text(value: object, indent: int | None = 2) -> str:
    """The value as ASCII JSON, without DEL, which JSON would leave as it is."""
    return json.dumps(value, indent=indent).replace("\x7f", "\\u007f") + "\n"
