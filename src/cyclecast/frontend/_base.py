"""What a front end is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

Shapes = Mapping[str, Sequence[int]]
"""Shapes by input name, for inputs whose shape the file leaves open."""


class FrontEnd(Protocol):
    """Reads one kind of source as a float Relax program with all shapes fixed and all constants folded."""

    def accepts(self, source: Path) -> bool:
        """Whether this front end is the one for the source."""
        ...

    def load(self, source: Path, shapes: Shapes) -> Any:
        """The source as an `IRModule` whose `main` is the network; `ModelError` where that cannot be."""
        ...
