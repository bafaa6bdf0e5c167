"""Messages of other tools, shortened to one line."""

from __future__ import annotations

import re

MOST_SIGNS, MOST_LETTERS = 200, 400
"""Longest name, and longest message of another tool, in characters."""
RUNTIME_PREFIX = re.compile(
    r"^.*\[ONNXRuntimeError\] : \d+ : \w+ : (\S+\.(cc|h):\d+ (.*?\)( const)? (?=[A-Z]|\w+ was )|\S+ ))?"
)
"""Prefix of onnxruntime's messages: an error code and a place in its source."""


def first_line(error: BaseException) -> str:
    """The first line of an error's message, and the second if the first ends with a colon; without source positions."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    whole = " ".join(lines[:2]) if lines and lines[0].endswith(":") else next(iter(lines), "")
    return shortened(whole, MOST_LETTERS) or type(error).__name__


def shortened(message: str, most: int = MOST_SIGNS) -> str:
    """A message without onnxruntime's prefix, cut to `most` characters."""
    text = RUNTIME_PREFIX.sub("", message)
    return text if len(text) <= most else f"{text[:most]}..."
