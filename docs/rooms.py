"""Draws the rooms of the package, from the table of rows in design.md: `python docs/rooms.py` writes rooms.svg."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).parent

PHRASES = {
    "cyclecast": "the public names",
    "cli": "the commands",
    "report": "tables and pages",
    "testing": "suites for plug-ins",
    "tvm": "parts for MetaSchedule",
    "workflow": "what commands do",
    "csource": "networks as C",
    "executable": "programs that run here",
    "frontend": "files to workloads",
    "runner": "answers for a device",
    "schedule": "rules and lowering",
    "placement": "a whole network on chips",
    "search": "which mappings are timed",
    "_tvm": "the door to TVM",
    "simulator": "what arrays compute",
    "energy": "energy, power, area",
    "timing": "how long a mapping takes",
    "mapping": "where tiles lie",
    "mapspace": "what can be decided",
    "network": "what is scheduled",
    "device": "the chip",
    "_clock": "simulated time",
    "_integers": "exact arithmetic",
    "_notebook": "tables in HTML",
    "errors": "all exceptions",
    "plugins": "names to objects",
    "storage": "folders, versions",
    "terminal": "what is printed",
    "units": "times, sizes",
}
"""The content of each room, in a few words."""
DOOR = "_tvm"

WIDTH, LEFT, RIGHT, TOP, GAP = 1122, 60, 170, 16, 10
PITCH, HEIGHT = 66, 50
STYLE = (
    ".box{fill:#eef3f9;stroke:#44546a;stroke-width:1.4}.door{fill:#fdf1dc;stroke:#b7791f;stroke-width:1.8}"
    ".with{fill:#f7f3ea}.without{fill:#f2f6f1}.arrow{fill:none;stroke:#44546a;stroke-width:1.6;marker-end:url(#tip)}"
    "text{fill:#1d2733;text-anchor:middle}.small{font-size:12px;fill:#566373}.title{font-weight:600}.end{text-anchor:end}"
)


def rows(page: str) -> list[tuple[int, list[str]]]:
    """The number and the rooms of each row of the table, the highest first."""
    found = re.findall(r"^ *(\d+)  ([a-z_ ]+?)(?: +<-.*)?$", page, re.MULTILINE)
    return [(int(number), names.split()) for number, names in found]


def drawn(page: str) -> str:
    """The picture: a band for each row, a box for each room, and where the door to TVM is."""
    table = rows(page)
    door = next(place for place, (_, names) in enumerate(table) if DOOR in names)
    split, bottom = TOP + (door + 1) * PITCH, TOP + len(table) * PITCH
    parts = [
        f'<rect width="{WIDTH}" height="{bottom + TOP}" fill="#fff"/>',
        _region("with", TOP, split - 4, "may import TVM"),
        _region("without", split + 4, bottom, "work without TVM"),
        *(_row(number, names, TOP + place * PITCH) for place, (number, names) in enumerate(table)),
        f'<path class="arrow" d="M{WIDTH - 36} {TOP + 30}V{bottom - 30}"/>',
        f'<text class="small" transform="translate({WIDTH - 20} {bottom // 2}) rotate(90)">imports go down</text>',
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + TOP}" role="img"'
        f' font-family="system-ui, Helvetica, Arial, sans-serif" font-size="15" aria-label="{_read_aloud(table)}">\n'
        '<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 0L10 5L0 10z" fill="#44546a"/></marker><style>{STYLE}</style></defs>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _region(kind: str, top: int, bottom: int, label: str) -> str:
    text = f'<text class="small end" x="{WIDTH - 74}" y="{top + 26}">{label}</text>'
    return f'<rect class="{kind}" x="8" y="{top}" width="{WIDTH - 66}" height="{bottom - top}" rx="10"/>{text}'


def _row(number: int, names: list[str], top: int) -> str:
    """A row of boxes of one width, which fill it."""
    room = WIDTH - LEFT - RIGHT
    width = min((room - GAP * (len(names) - 1)) / len(names), 230)
    start = LEFT + (room - width * len(names) - GAP * (len(names) - 1)) / 2
    y = top + (PITCH - HEIGHT) // 2
    boxes = [_box(name, start + place * (width + GAP), y, width) for place, name in enumerate(names)]
    return f'<text class="small" x="34" y="{y + 30}">{number}</text>' + "".join(boxes)


def _box(name: str, x: float, y: int, width: float) -> str:
    middle, kind = x + width / 2, "door" if name == DOOR else "box"
    return (
        f'<rect class="{kind}" x="{x:.0f}" y="{y}" width="{width:.0f}" height="{HEIGHT}" rx="8"/>'
        f'<text class="title" x="{middle:.0f}" y="{y + 21}">{name}</text>'
        f'<text class="small" x="{middle:.0f}" y="{y + 39}">{PHRASES[name]}</text>'
    )


def _read_aloud(table: list[tuple[int, list[str]]]) -> str:
    return "The rooms of the package, from the top: " + "; ".join(", ".join(names) for _, names in table)


if __name__ == "__main__":
    (DOCS / "rooms.svg").write_text(drawn((DOCS / "design.md").read_text(encoding="utf-8")), encoding="utf-8")
