"""Names that would move the cursor, hide text or reverse it on a terminal."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import onnx

import networks

UNSEEN = "\x1b[31mA\x1b]0;title\x07\u202eB\x9b2J\x7f\u2028\u200b\U000e0041\xad\u3164\ufe0f"
"""CSI, OSC, BEL, right-to-left override, one-byte CSI, DEL, line separator, zero-width space, tag, soft hyphen, and a
letter and a mark without a glyph."""
FILLERS = "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180f\u2800\u3164\ufe00\ufe0f\uffa0\U000e0100\U000e01ef"
"""Letters, marks and a symbol without a glyph."""
IN_A_NAME = "\x1b[2J\u202ex\x7f\u200b\u2028"
"""The same for names of files."""


def offenders(text: str) -> set[str]:
    """Characters of a text that must not reach a terminal."""
    unseen = {sign for sign in text if unicodedata.category(sign) in ("Cc", "Cf", "Cs", "Zl", "Zp") and sign != "\n"}
    return unseen | {sign for sign in text if sign in FILLERS}


def network(path: Path) -> Path:
    """A small network with such characters in all names, including those of inputs and outputs."""
    model = onnx.load(networks.tiny_cnn(path.with_name("plain.onnx")))
    graph = model.graph
    for place, node in enumerate(graph.node):
        node.name = f"{place}{UNSEEN}"
        for names in (node.input, node.output):
            names[:] = [name and name + UNSEEN for name in names]
    for value in (*graph.input, *graph.output, *graph.initializer):
        value.name += UNSEEN
    graph.name += UNSEEN
    onnx.save(model, path)
    return path
