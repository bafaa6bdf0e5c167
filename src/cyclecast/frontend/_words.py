"""Messages of other tools, in one line."""

from __future__ import annotations

import re

MOST_SIGNS, MOST_LETTERS = 200, 400
"""Of a name; of another tool's message, which says first what it was doing."""
RUNTIME_PREFIX = re.compile(
    r"^.*\[ONNXRuntimeError\] : \d+ : \w+ : (\S+\.(cc|h):\d+ (.*?\)( const)? (?=[A-Z]|\w+ was )|\S+ ))?"
)
"""Prefix of onnxruntime's messages: its code, and the place in its own source."""


def first_line(error: BaseException) -> str:
    """The first line of a message, and what it announces, without what only its makers understand."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    whole = " ".join(lines[:2]) if lines and lines[0].endswith(":") else next(iter(lines), "")
    return shortened(whole, MOST_LETTERS) or type(error).__name__


def shortened(message: str, most: int = MOST_SIGNS) -> str:
    """A message without onnxruntime's prefix, of a length that can be read."""
    text = RUNTIME_PREFIX.sub("", message)
    return text if len(text) <= most else f"{text[:most]}..."
