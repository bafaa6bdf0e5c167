"""The picture in docs/design.md is drawn from the table there."""

from __future__ import annotations

import runpy
from pathlib import Path
from xml.etree import ElementTree

DOCS = Path(__file__).parents[1] / "docs"


def test_the_picture_of_the_rooms_is_that_of_the_table() -> None:
    drawn = runpy.run_path(str(DOCS / "rooms.py"))["drawn"]
    picture: str = drawn((DOCS / "design.md").read_text(encoding="utf-8"))
    ElementTree.fromstring(picture)
    assert (DOCS / "rooms.svg").read_text(encoding="utf-8") == picture, "run python docs/rooms.py"
