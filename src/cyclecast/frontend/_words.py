"""Messages of other tools, in one line."""

from __future__ import annotations

import re

MOST_SIGNS = 200
"""Of another tool's message."""
RUNTIME_PREFIX = re.compile(
    r"^.*\[ONNXRuntimeError\] : \d+ : \w+ : (\S+\.(cc|h):\d+ (.*?\)( const)? (?=[A-Z]|\w+ was )|\S+ ))?"
)
"""Prefix of onnxruntime's messages: its code, and the place in its own source."""


def first_line(error: BaseException) -> str:
    """The first line of a message, without what only its makers understand."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return shortened(lines[0]) if lines else type(error).__name__


def shortened(message: str) -> str:
    """A message without onnxruntime's prefix, of a length that can be read."""
    text = RUNTIME_PREFIX.sub("", message)
    return text if len(text) <= MOST_SIGNS else f"{text[:MOST_SIGNS]}..."
